//! A filter traps, on purpose, in a build for tests: its worker loses its streams and nothing else, and is back at once. A
//! native one costs its own stream alone.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use sluice_e2e::client::{self, Connection};
use sluice_e2e::gateway::{self, Gateway, Options};
use sluice_e2e::limits::Running;
use sluice_e2e::redis::{Options as RedisOptions, Redis};
use sluice_e2e::script::Script;
use sluice_e2e::wait;

use crate::bed::{Bed, TIMEOUTS, rounds};
use crate::books::{Allowed, Sums};
use crate::client::{Ask, Got};
use crate::traffic;

/// Leases of streams that are gone end by themselves, half a minute after they were last renewed.
const LEASES: Duration = Duration::from_secs(60);

/// Streams of each worker.
const STREAMS: usize = 3;

/// Traps in a row.
const TRAPS: usize = 12;

/// The same where each costs the road to Redis.
const TRAPS_OF_REDIS: usize = 2;

/// The folder of the modules that trap when told, as `scripts/build-wasm` and `scripts/build-native` made them beside the
/// tests.
#[track_caller]
fn dist() -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a target folder").join("trap");
    let (file, script) =
        if native() { ("libsluice.so", "build-native --tests") } else { ("sluice.wasm", "build-wasm") };
    assert!(folder.join(file).is_file(), "{}/{file} is missing: run scripts/{script}", folder.display());
    folder.display().to_string()
}

fn native() -> bool {
    gateway::filters_are("native")
}

/// How many of `all` requests so many traps may cost.
fn cost(traps: usize, all: usize) -> usize {
    if native() { traps } else { all }
}

/// A gateway that traps when told.
#[track_caller]
fn start(workers: usize, sections: &str) -> Bed {
    let options = Options::default().workers(workers).env("SLUICE_DIST", &dist());
    let mut bed = Bed::start(&options, &(TIMEOUTS.to_owned() + sections));
    bed.gateway.allow_traps();
    bed
}

/// How many connections each worker has taken.
fn taken(gateway: &Gateway) -> Vec<usize> {
    let stats = client::get(gateway.admin(), "/stats?filter=worker_..downstream_cx_total").text();
    let port = gateway.address().port().to_string();
    let lines = stats.lines().filter(|line| line.contains(&port));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect()
}

/// A new connection of `worker`; those of others are let go.
#[track_caller]
fn connect(gateway: &Gateway, worker: usize) -> Connection {
    let mut others = Vec::new();
    wait::until("the worker to take a connection", || {
        let before = taken(gateway);
        let client = Connection::open(gateway.address()).expect("the gateway listens");
        let by = wait::until("a worker to take a connection", || {
            taken(gateway).iter().zip(&before).position(|(now, before)| now > before)
        });
        if by == worker {
            return Some(client);
        }
        others.push(client); // a worker with more connections is not given the next
        None
    })
}

/// Streams of `worker` that have begun and go on until they are told to end.
fn streams(bed: &Bed, worker: usize) -> Vec<Running> {
    let ask = || Ask::new(bed, "gpt").mock(json!({"*": {"events": 400, "gap_ms": 10}}));
    (0..STREAMS)
        .map(|_| {
            bed.count_sent();
            let mut stream = Running::begin_over(connect(&bed.gateway, worker), &[], &ask().body);
            stream.read_until("\"content\"", 3);
            stream
        })
        .collect()
}

/// A request with the header that makes its worker's VM trap at that `moment`.
fn trap(bed: &Bed, client: &mut Connection, moment: &str) -> Got {
    Ask::new(bed, "gpt").header("x-test-trap", moment).send_over(bed, client)
}

/// Waits until no lease is left. What has been booked is returned.
#[track_caller]
fn settled(bed: &Bed) -> Sums {
    wait::poll(LEASES, || bed.booked()).expect("leases that end by themselves")
}

/// What must survive: an answer in the cache, a key that rests.
struct Kept {
    cached: Ask,
    with_resting_key: usize,
}

impl Kept {
    #[track_caller]
    fn of(bed: &Bed) -> Self {
        let cached = Ask::new(bed, "gpt-cache");
        assert!(cached.send(bed).is_whole());
        wait::until("the answer to be kept", || cached.send(bed).cache.starts_with("hit").then_some(()));
        bed.chain[0].for_key("sk-a-1", Script::status(429).header("retry-after", "3600"));
        for _ in 0..4 {
            assert!(Ask::new(bed, "gpt").send(bed).is_whole(), "by another provider, or with the other key");
        }
        Self { cached, with_resting_key: with_key(bed) }
    }

    #[track_caller]
    fn is_kept(&self, bed: &Bed) {
        let again = self.cached.send(bed);
        assert!(again.cache.starts_with("hit"), "{again:?}");
        for _ in 0..4 {
            assert!(Ask::new(bed, "gpt").send(bed).is_whole());
        }
        assert_eq!(with_key(bed), self.with_resting_key, "the key rests on");
    }
}

/// Requests that carried the key that rests.
fn with_key(bed: &Bed) -> usize {
    let seen = bed.chain[0].requests();
    seen.iter().filter(|seen| seen.key() == Some("sk-a-1")).count()
}

#[test]
fn a_trap_costs_the_streams_of_its_worker_and_nothing_that_was_counted() {
    let bed = start(2, "cache: {models: \"gpt-cache-*\", memory: 16MiB}\n");
    let kept = Kept::of(&bed);
    let booked = settled(&bed);
    let [lost, others] = [0, 1].map(|worker| streams(&bed, worker));
    let mut client = connect(&bed.gateway, 0);
    let got = trap(&bed, &mut client, "request");
    assert_eq!(got.status, 503, "{got:?}");
    for stream in others {
        let text = stream.finish();
        assert!(text.ends_with("data: [DONE]\n\n"), "another worker's stream goes on: {text}");
    }
    for stream in lost {
        let text = stream.finish_anyhow();
        assert_eq!(
            text.contains("[DONE]"),
            native(),
            "a stream whose VM is gone does not end as if it were whole"
        );
    }
    wait::until("the VM to be back", || {
        (Ask::new(&bed, "gpt").send_over(&bed, &mut connect(&bed.gateway, 0)).status == 200).then_some(())
    });
    kept.is_kept(&bed);
    let after = settled(&bed);
    assert!(after.tokens > booked.tokens && after.calls > booked.calls, "{booked:?}, then {after:?}");
    // The streams that were lost have no record, and are not paid for; nor is the request that trapped recorded.
    let (lost, leases) = (cost(1, bed.sent()), cost(1, STREAMS) as u64);
    let allowed = Allowed { lost, leases, traps: true, ..Allowed::default() };
    bed.balance("a trap", allowed);
}

#[test]
fn traps_in_a_row_under_load_leak_nothing() {
    let bed = start(2, "");
    let booked = settled(&bed);
    let got = traffic::during(&bed, || {
        for n in 0..TRAPS * rounds() {
            let moment = if n.is_multiple_of(2) { "request" } else { "answer" };
            let mut client = Connection::open(bed.gateway.address()).expect("the gateway listens");
            let got = trap(&bed, &mut client, moment);
            assert!([0, 503].contains(&got.status), "{moment}: {got:?}");
            wait::until("the VM to be back", || {
                (Ask::new(&bed, "gpt").send(&bed).status == 200).then_some(())
            });
        }
    });
    let fine = got.iter().filter(|(kind, got)| kind.is_fine(got)).count();
    assert!(fine > TRAPS, "between traps requests are served: {fine} of {}", got.len());
    let silent = got.iter().find(|(_, got)| got.status == 200 && got.clean && got.tail.is_empty());
    assert!(silent.is_none(), "an answer without a word: {silent:?}");
    let after = settled(&bed);
    assert!(after.tokens > booked.tokens, "{booked:?}, then {after:?}");
    let lost = cost(TRAPS * rounds(), bed.sent());
    let allowed = Allowed { lost, leases: lost as u64, traps: true, ..Allowed::default() };
    bed.balance(&format!("traps beside {} requests, {fine} of them fine", got.len()), allowed);
}

#[test]
fn a_trap_breaks_the_road_to_redis_for_no_longer_than_itself() {
    let redis = Redis::start(&RedisOptions::default());
    let bed =
        start(1, &format!("redis: {{url: \"redis://{}\", timeout: 1s, on_error: deny}}\n", redis.address()));
    let booked = settled(&bed);
    for _ in 0..TRAPS_OF_REDIS * rounds() {
        let mut client = Connection::open(bed.gateway.address()).expect("the gateway listens");
        let got = trap(&bed, &mut client, "answer");
        assert!([0, 503].contains(&got.status), "{got:?}");
        wait::until("a request that Redis admits", || {
            let ask = Ask::new(&bed, "gpt");
            (ask.send(&bed).is_whole() && limit(&bed, &ask.model) == "admitted").then_some(())
        });
    }
    assert!(settled(&bed).tokens > booked.tokens);
    let traps = TRAPS_OF_REDIS * rounds();
    let lost = cost(traps, bed.sent());
    let allowed = Allowed { lost, leases: traps as u64, traps: true, ..Allowed::default() };
    bed.balance("traps on the road to Redis", allowed);
}

/// What the limits decided on the request for `model`.
fn limit(bed: &Bed, model: &str) -> Value {
    bed.gateway.ai_log(model)["limit"].clone()
}
