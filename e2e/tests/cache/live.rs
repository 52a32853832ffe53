//! A cache that is added, changed and taken away while requests run.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use serde_json::json;
use sluice_e2e::cache::{self, Caller, label};
use sluice_e2e::client::End;
use sluice_e2e::gateway::Options;
use sluice_e2e::limits::Running;
use sluice_e2e::{sse, wait};

use crate::bed::{self, Bed, CONSUMERS, Held, hold, stream};

/// What the cache is at first, and after each test's changes.
pub(crate) const FIRST: &str = "cache: {ttl: 1h}\n";

/// The gateway whose file these tests rewrite, one after the other.
#[track_caller]
pub(crate) fn bed() -> Held {
    static BED: OnceLock<Mutex<Bed>> = OnceLock::new();
    let bed = BED
        .get_or_init(|| Mutex::new(Bed::start(&Options::default().workers(2), &[CONSUMERS, FIRST].concat())));
    hold(bed)
}

fn rewrite(bed: &Bed, section: &str) {
    bed.gateway.rewrite(&bed::yaml(&bed.provider, &[CONSUMERS, section].concat()));
}

/// What the cache does with a request, asked over new connections until both workers say the same often enough.
#[track_caller]
fn until_always(what: &str, is_it: impl Fn() -> bool) {
    wait::until(what, || (0..12).all(|_| is_it()).then_some(()));
}

fn ask_as(bed: &Bed, name: &str, test: &str) -> String {
    let body = cache::body(test, &json!({})).to_string();
    label(&Caller::named(&bed.gateway, name).send(&body)).to_owned()
}

#[test]
fn the_section_comes_and_goes() {
    let bed = bed();
    let kept = || ask_as(&bed, "ann", "comes");
    kept();
    until_always("a hit", || kept() == "hit");
    rewrite(&bed, "");
    until_always("no cache", || kept() == "none");
    rewrite(&bed, FIRST);
    until_always("a hit again", || kept() == "hit");
}

#[test]
fn scope_and_ttl_count_from_the_change_on() {
    let bed = bed();
    ask_as(&bed, "ann", "scoped");
    until_always("ann's hit", || ask_as(&bed, "ann", "scoped") == "hit");
    rewrite(&bed, "cache: {scope: tier}\n");
    wait::until("tiers to count", || {
        let test = format!("tier-{:?}", std::time::Instant::now());
        let mut labels = [(); 12].iter().map(|()| ask_as(&bed, "bob", &test));
        (ask_as(&bed, "ann", &test).starts_with("miss") && labels.all(|label| label == "hit")).then_some(())
    });
    rewrite(&bed, "cache: {ttl: 1s}\n");
    let expired = || {
        let test = format!("ttl-{:?}", std::time::Instant::now());
        ask_as(&bed, "ann", &test);
        wait::poll(std::time::Duration::from_secs(3), || (ask_as(&bed, "ann", &test) == "miss").then_some(()))
    };
    wait::until("answers that expire after a second", expired);
    rewrite(&bed, FIRST);
    until_always("a long life again", || ask_as(&bed, "ann", "scoped") == "hit");
}

#[test]
fn a_stream_outlives_every_change_and_is_kept_by_what_it_began_under() {
    let bed = bed();
    let script = json!({"events": 60, "gap_ms": 50});
    let body = cache::body("outlives", &json!({"x_mock": {"a": script}}));
    let mut running = Running::begin(bed.gateway.address(), &[], &body);
    running.read_until("Hello", 1);
    for section in ["cache: {memory: 16MiB}\n", "", FIRST] {
        rewrite(&bed, section);
        let want = if section.is_empty() { "none" } else { "hit" };
        until_always("the change", || ask_as(&bed, "ann", "meanwhile") == want);
    }
    let text = running.finish();
    assert!(text.ends_with("data: [DONE]\n\n"), "dropped: {text}");
    let body = body.to_string();
    wait::until("it to be kept", || {
        (label(&Caller::nobody(&bed.gateway).send(&body)) == "hit").then_some(())
    });
}

#[test]
fn changes_under_load_drop_no_request() {
    let bed = bed();
    let (is_over, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let load = || {
        while !is_over.load(Ordering::Relaxed) {
            let n = done.fetch_add(1, Ordering::Relaxed);
            let mut members = json!({"n": n % 7, "x_mock": {"a": {"gap_ms": 1, "filling": n % 5 * 4000}}});
            if n % 2 == 0 {
                members["stream"] = stream()["stream"].clone();
            }
            let reply = bed.gateway.chat(&cache::body("load", &members));
            assert_eq!((reply.status, reply.end), (200, End::Clean), "{}", reply.text());
            assert!(n % 2 > 0 || sse::is_done(&reply.events()), "{}", reply.text());
            assert!(reply.text().contains("café"), "{}", reply.text());
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(load)).collect();
        // A panic here would leave the load running for ever; it ends by itself once told.
        let changed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for (section, cached) in [
                ("cache: {memory: 8MiB}\n", true),
                ("", false),
                ("cache: {memory: 128MiB, scope: everyone}\n", true),
                ("cache: {memory: 8MiB, ttl: 1m, models: [\"gpt-*\"]}\n", true),
                (FIRST, true),
            ] {
                rewrite(&bed, section);
                let want = if cached { "hit" } else { "none" };
                until_always(section, || ask_as(&bed, "ann", "beside") == want);
            }
        }));
        is_over.store(true, Ordering::Relaxed);
        assert!(changed.is_ok(), "a change was not taken up");
        threads.into_iter().for_each(|thread| thread.join().expect("perfect answers"));
    });
    assert!(done.load(Ordering::Relaxed) > 50);
}
