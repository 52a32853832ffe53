//! Limits that change while requests run.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use serde_json::{Value, json};
use sluice_e2e::bed::{self, Bed};
use sluice_e2e::client::{self, End};
use sluice_e2e::gateway::Options;
use sluice_e2e::limits::{self, Running, TOKENS, body, body_with};
use sluice_e2e::sse;

/// One limit of 1,000 tokens in an hour, as it is at first.
const FIRST: &str = "name: team, total_tokens: 1000, per: 1h";

fn section(limit: &str) -> String {
    format!("limits: [{{{limit}}}]\n")
}

/// Changes the limit and waits until both workers, that is any connection, show it.
fn change(bed: &Bed, limit: &str, is_new: impl Fn(&Value) -> bool) {
    let address = bed.gateway.address();
    bed.gateway.rewrite_and_wait(&bed::yaml(&bed.providers, &section(limit)), |_| {
        // before the change there may be no limits, and nobody who shows them
        (0..10).all(|_| is_new(&client::get(address, "/v1/limits").json()["limits"][0]))
    });
}

/// The gateway whose file these tests rewrite, one after the other.
#[track_caller]
fn bed() -> MutexGuard<'static, Bed> {
    static BED: OnceLock<Mutex<Bed>> = OnceLock::new();
    let bed = BED.get_or_init(|| Mutex::new(Bed::start(&Options::default().workers(2), &section(FIRST))));
    bed.lock().unwrap_or_else(PoisonError::into_inner)
}

fn used(bed: &Bed, name: &str) -> Value {
    limits::used(bed.gateway.address(), &[], "gpt-x", name)
}

#[test]
fn a_limit_that_is_raised_or_lowered_keeps_what_was_used_and_one_that_counts_anew_does_not() {
    let bed = bed();
    change(&bed, FIRST, |limit| limit["name"] == "team");
    for _ in 0..5 {
        assert_eq!(bed.gateway.chat(&body("gpt-x")).status, 200);
    }
    assert_eq!(used(&bed, "team"), 80);
    change(&bed, "name: team, total_tokens: 5000, per: 1h", |limit| limit["limit"] == 5000);
    assert_eq!(used(&bed, "team"), 80, "raised");
    change(&bed, "name: team, total_tokens: 90, per: 1h", |limit| limit["limit"] == 90);
    assert_eq!(used(&bed, "team"), 80, "lowered");
    assert_eq!(bed.gateway.chat(&body("gpt-x")).status, 429);
    change(&bed, "name: team, total_tokens: 50, per: 1h, message: \"Enough.\"", |limit| limit["limit"] == 50);
    assert_eq!(bed.gateway.chat(&body("gpt-x")).json()["error"]["message"], "Enough.");
    change(&bed, FIRST, |limit| limit["limit"] == 1000);
    assert_eq!(bed.gateway.chat(&body("gpt-x")).status, 200);
    assert_eq!(used(&bed, "team"), 96, "the same ledger all the time");
    change(&bed, "name: team, output_tokens: 1000, per: 1h", |limit| limit["measure"] == "output_tokens");
    assert_eq!(used(&bed, "team"), 0, "it counts something else");
    change(&bed, "name: team, total_tokens: 1000, per: 2h", |limit| limit["per_ms"] == 7_200_000);
    assert_eq!(used(&bed, "team"), 0, "over another window");
    change(&bed, "name: crew, total_tokens: 1000, per: 1h", |limit| limit["name"] == "crew");
    assert_eq!(used(&bed, "crew"), 0, "under another name");
    change(&bed, FIRST, |limit| limit["name"] == "team" && limit["per_ms"] == 3_600_000);
    assert_eq!(used(&bed, "team"), 96, "and what was used is not forgotten meanwhile");
}

#[test]
fn a_stream_that_outlives_a_change_is_charged_once_by_the_limit_it_began_under() {
    let bed = bed();
    change(&bed, "name: long, total_tokens: 1000, per: 1h", |limit| limit["name"] == "long");
    let address = bed.gateway.address();
    let script = json!({"*": {"events": 80, "gap_ms": 40}});
    let members = json!({"max_tokens": 80, "x_mock": script});
    let mut stream = Running::begin(address, &[], &body_with("gpt-outlives", &members));
    stream.read_until("Hello", 1);
    let standing = limits::standing(address, &[], "gpt-outlives", "long");
    assert_eq!((&standing["held"], &standing["used"]), (&json!(91), &json!(0)));
    change(&bed, "name: long, total_tokens: 200, per: 1h", |limit| limit["limit"] == 200);
    assert_eq!(
        limits::standing(address, &[], "gpt-outlives", "long")["held"],
        91,
        "what it holds counts under the new one"
    );
    change(&bed, "name: other, requests: 10, per: 1h", |limit| limit["name"] == "other");
    change(&bed, "name: long, total_tokens: 300, per: 1h", |limit| limit["limit"] == 300);
    let text = stream.finish();
    assert!(text.ends_with("data: [DONE]\n\n"), "dropped: {text}");
    assert_eq!(used(&bed, "long"), 91);
}

#[test]
fn changes_under_load_drop_no_stream_and_lose_no_token() {
    let bed = bed();
    change(&bed, "name: load, total_tokens: 100000000, per: 1h", |limit| limit["name"] == "load");
    let (is_over, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let gateway = &bed.gateway;
    let load = || {
        while !is_over.load(Ordering::Relaxed) {
            let members = json!({"stream": true, "x_mock": {"*": {"gap_ms": 1}}});
            let reply = gateway.chat(&body_with("gpt-x", &members));
            assert_eq!((reply.status, reply.end), (200, End::Clean), "{}", reply.text());
            assert!(sse::is_done(&reply.events()));
            done.fetch_add(1, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(load)).collect();
        // A panic here would leave the load running for ever; it ends by itself once told.
        let changed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for amount in [200_000_000_u64, 50_000_000, 300_000_000, 100_000_000] {
                let limit = format!("name: load, total_tokens: {amount}, per: 1h");
                change(&bed, &limit, |limit| limit["limit"] == amount);
            }
        }));
        is_over.store(true, Ordering::Relaxed);
        assert!(changed.is_ok(), "a change was not taken up");
        threads.into_iter().for_each(|thread| thread.join().expect("perfect streams"));
    });
    let tokens = u64::try_from(done.load(Ordering::Relaxed)).expect("some") * TOKENS;
    assert_eq!(used(&bed, "load"), tokens);
}

#[test]
fn without_limits_nothing_is_counted_told_or_asked() {
    let bed = bed();
    change(&bed, "name: told, total_tokens: 1000, per: 1h", |limit| limit["name"] == "told");
    let ask = || bed.gateway.chat(&body("gpt-x"));
    assert!(ask().header("x-ratelimit-limit-tokens").is_some());
    let address = bed.gateway.address();
    bed.gateway.rewrite_and_wait(&bed::yaml(&bed.providers, ""), |_| {
        (0..10).all(|_| {
            client::get(address, "/v1/limits").status == 404
                && ask().header("x-ratelimit-limit-tokens").is_none()
        })
    });
    assert_eq!(ask().status, 200);
}
