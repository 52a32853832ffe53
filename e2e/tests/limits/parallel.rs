//! No overshoot by parallelism: what is admitted together fits together.

use serde_json::{Value, json};
use sluice_e2e::limits::{self, INPUT, TOKENS, body, body_with};

use crate::bed::{Limited, shared};

const REQUESTS: usize = 200;

/// Tokens used of the limit called `name` by requests to `model`.
fn used(bed: &Limited, model: &str, name: &str) -> u64 {
    bed.used_of(model, name).as_u64().expect("tokens")
}

#[test]
fn of_200_parallel_requests_exactly_those_are_admitted_that_the_limit_pays_for() {
    let bed = shared();
    for (name, stream, delay_ms) in [("slow", true, 300), ("fast", false, 0), ("faster", true, 0)] {
        let model = format!("gpt-ten-{name}");
        let members = json!({"stream": stream, "x_mock": {"*": {"delay_ms": delay_ms}}});
        let replies = limits::at_once(bed.gateway.address(), REQUESTS, |_| body_with(&model, &members));
        assert_eq!((limits::count(&replies, 200), limits::count(&replies, 429)), (10, 190), "{name}");
        assert_eq!(bed.providers[0].tagged(&model).len(), 10);
        assert_eq!(used(&bed, &model, "ten"), 160, "what the ledger says is what was used");
        let late = limits::chat(bed.gateway.address(), &[], &body(&model));
        assert_eq!((late.status, late.code().as_str()), (429, "rate_limit_exceeded"));
    }
}

#[test]
fn with_estimates_too_low_the_limit_is_exceeded_by_no_more_than_their_error() {
    const EVENTS: u64 = 400;
    const GUESS: u64 = INPUT + 256; // of a model that has not answered yet; the next ones are higher
    let bed = shared();
    let model = "gpt-low";
    let script = json!({"*": {"delay_ms": 500, "events": EVENTS}});
    let members = json!({"stream": true, "max_tokens": null, "x_mock": script});
    let replies = limits::at_once(bed.gateway.address(), REQUESTS, |_| body_with(model, &members));
    let admitted = u64::try_from(limits::count(&replies, 200)).expect("few");
    assert!((1..=2670 / GUESS).contains(&admitted), "{admitted} admitted");
    let used = used(&bed, model, "low");
    assert_eq!(used, admitted * (INPUT + EVENTS), "true usage, debt included");
    assert!(used <= 2670 + admitted * (EVENTS + INPUT - GUESS), "{used}");
    assert_eq!(limits::chat(bed.gateway.address(), &[], &body(model)).status, 429);
}

#[test]
fn with_estimates_too_high_the_limit_is_never_exceeded_and_what_was_spared_can_be_used() {
    let bed = shared();
    let model = "gpt-high";
    let members = json!({"stream": true, "max_tokens": null, "x_mock": {"*": {"delay_ms": 100}}});
    let ask = || limits::at_once(bed.gateway.address(), 40, |_| body_with(model, &members));
    let first = u64::try_from(limits::count(&ask(), 200)).expect("few");
    assert!(first >= 2, "two guesses fit");
    assert_eq!(used(&bed, model, "high"), first * TOKENS);
    let second = u64::try_from(limits::count(&ask(), 200)).expect("few");
    assert!(second > 2, "an answer has taught how long answers are: {second}");
    let used = used(&bed, model, "high");
    assert_eq!(used, (first + second) * TOKENS);
    assert!(used <= 600);
}

#[test]
fn the_first_request_on_a_fresh_small_limit_is_never_refused_for_its_estimate() {
    let bed = shared();
    for (name, limit, members) in [
        ("small", "small", json!({})),
        ("small", "small", json!({"max_tokens": 4_000_000})),
        ("small", "small", json!({"max_tokens": null})),
        ("small", "small", json!({"messages": [{"role": "user", "content": "x".repeat(30_000)}]})),
        ("cent", "cent", json!({"max_tokens": null})),
    ]
    .into_iter()
    .enumerate()
    .map(|(n, (name, limit, members))| (format!("gpt-{name}-{n}"), limit, members))
    {
        let address = bed.gateway.address();
        let first = bed.chat(&name, &members);
        assert_eq!(first.status, 200, "{name}: {}", first.text());
        let used = limits::used(address, &[], &name, limit);
        let want = if limit == "cent" { json!(0.000_073_75) } else { json!(16) };
        assert_eq!(used, want, "{name}: all of it, though it is more than the limit");
        let refused = bed.chat(&name, &members);
        assert_eq!(refused.status, 429, "{name}");
        assert_eq!(limits::used(address, &[], &name, limit), want, "a refusal costs nothing");
    }
}

#[test]
fn a_request_that_one_limit_refuses_takes_nothing_from_the_others() {
    let bed = shared();
    let address = bed.gateway.address();
    let models = ["gpt-many-1", "gpt-many-2", "gpt-many-3"];
    let replies = limits::at_once(address, REQUESTS, |n| body(models[n % 3]));
    let admitted = limits::count(&replies, 200);
    assert_eq!((admitted, limits::count(&replies, 429)), (9, 191));
    let of = |name: &str| bed.used_of(models[0], name);
    assert_eq!([of("wide"), of("calls"), of("now")], [json!(144), json!(9), json!(0)]);
    assert_eq!([of("tokens"), of("narrow")], [json!(48), json!(3)]);
    let shown: Vec<Value> = limits::shown(address, &[], models[0]);
    assert!(shown.iter().all(|limit| limit["held"] == 0), "{shown:?}");
}
