//! How much memory answers take, and which of them stay.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use sluice_e2e::cache::{self, Caller, label};
use sluice_e2e::client::Connection;
use sluice_e2e::gateway::Options;

use crate::bed::{Bed, one_worker, shared};

const MIB: u64 = 1 << 20;

/// What the gateway may keep.
const MEMORY: u64 = 4 * MIB;

/// Clients that ask at the same time.
const CLIENTS: usize = 4;

/// Answers that fill the store more than twice, so that all of its keys and values have been there.
const WARM: usize = 700;

/// Answers after that: 36 MiB of them.
const MANY: usize = 2_500;

/// What Envoy may grow by while it replaces everything in a full store nine times: the store once more, for its allocator
/// holds on to what it was given back, and as much for connections, buffers and counters. Kept without a bound, the
/// answers alone would take more than four times as much.
const GROWTH: u64 = 2 * MEMORY;

/// Sizes from 100 bytes to 64 KiB, small ones more often.
fn size(n: usize) -> usize {
    const SIZES: [usize; 8] = [100, 400, 900, 1_100, 4_000, 9_000, 40_000, 65_000];
    SIZES[n * 5 % SIZES.len()]
}

/// Asks for `count` different answers, and `often` after every few of them.
fn fill(bed: &Bed, from: usize, count: usize, often: &str) {
    let next = AtomicUsize::new(from);
    let failed = Mutex::new(None);
    let client = || {
        let mut client = Connection::open(bed.gateway.address()).expect("the gateway listens");
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if n >= from + count || failed.lock().expect("no panic").is_some() {
                return;
            }
            let members = json!({"n": n, "x_mock": {"a": {"say": "x".repeat(size(n))}}});
            let body = cache::body("filling", &members).to_string();
            client.write(&Caller::nobody(&bed.gateway).request(&body)).expect("a request");
            let reply = client.read().expect("an answer");
            if (reply.status, label(&reply)) != (200, "miss") {
                *failed.lock().expect("no panic") = Some(reply);
                return;
            }
            if n.is_multiple_of(20) {
                client.write(&Caller::nobody(&bed.gateway).request(often)).expect("a request");
                assert_eq!(label(&client.read().expect("an answer")), "hit", "in use after {n} others");
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(client);
        }
    });
    let failed = failed.into_inner().expect("no panic");
    assert!(failed.is_none(), "{failed:?}");
}

#[test]
fn thousands_of_answers_take_no_more_than_they_may_and_what_is_in_use_stays() {
    let bed = Bed::start(&Options::default(), "cache: {memory: 4MiB, max_entry: 128KiB}\n");
    bed.provider.remember_nothing();
    let ask = |test: &str| bed.chat(test, &json!({})).label().to_owned();
    assert_eq!([ask("often"), ask("seldom")], ["miss", "miss"]);
    let often = cache::body("often", &json!({})).to_string();
    fill(&bed, 0, WARM, &often);
    let before = bed.gateway.envoy_memory();
    fill(&bed, WARM, MANY, &often);
    let grown = bed.gateway.envoy_memory().saturating_sub(before);
    assert!(grown <= GROWTH, "{grown} bytes more than {before}");
    assert_eq!(ask("often"), "hit");
    assert_eq!(ask("seldom"), "miss", "the oldest make room");
    let stored = cache::counter(&bed.gateway, "response_cache_stored_total");
    assert!(stored >= u64::try_from(WARM + MANY).expect("small"), "{stored}");
}

#[test]
fn gateways_share_no_memory() {
    let (one, other) = (shared(), one_worker());
    let ask = |bed: &Bed| bed.chat("apart", &json!({})).label().to_owned();
    assert_eq!([ask(&one), ask(&other), ask(&one), ask(&other)], ["miss", "miss", "hit", "hit"]);
}
