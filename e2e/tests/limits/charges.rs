//! What a request costs: once, what was used, at the price of whoever served.

use serde_json::{Value, json};
use sluice_e2e::client;
use sluice_e2e::limits::{self, Running, body, body_with};
use sluice_e2e::wait;

use crate::bed::{NOTHING, ONE, shared, told};

#[test]
fn a_request_is_charged_what_the_provider_reports_in_every_measure() {
    let bed = shared();
    for stream in [false, true] {
        let model = format!("gpt-all-one-{stream}");
        for times in [1.0, 2.0, 3.0] {
            assert_eq!(bed.chat(&model, &json!({"stream": stream})).status, 200);
            assert_close(bed.used(&model), ONE.map(|one| one * times));
        }
    }
}

/// Sums of decimals, in doubles.
fn assert_close(got: [f64; 7], want: [f64; 7]) {
    let is_close = |(got, want): (&f64, &f64)| (got - want).abs() < 1e-9;
    assert!(got.iter().zip(&want).all(is_close), "{got:?} is not {want:?}");
}

#[test]
fn a_failover_is_charged_once_and_at_the_price_of_the_model_that_served() {
    let bed = shared();
    let usage_first = json!({"usage": "every", "error_after": 0});
    for (name, stream, fault) in [
        ("status", false, json!({"status": 503})),
        ("event", true, json!({"error_first": true})),
        ("usage", true, usage_first),
        ("reset", true, json!({"reset": true})),
        ("page", false, json!({"content_type": "text/html", "body": "<p>"})),
    ] {
        let model = format!("gpt-all-over-{name}");
        assert_eq!(bed.chat(&model, &json!({"stream": stream, "x_mock": {"a": fault}})).status, 200);
        let record = bed.record(&model);
        assert_eq!((&record["provider"], &record["limit"]), (&json!("b"), &json!("admitted")), "{record}");
        // 11 µ$ in and 10 µ$ out: without a price of their own, cached tokens are as dear as others
        assert_eq!(bed.used(&model), [16.0, 11.0, 5.0, 28.3, 0.000_021, 1.0, 0.0], "{name}");
    }
}

#[test]
fn an_exhausted_chain_costs_no_tokens() {
    let bed = shared();
    for (name, stream, fault) in [
        ("status", false, json!({"status": 503})),
        ("stream", true, json!({"status": 503})),
        ("event", true, json!({"error_first": true})),
        ("usage", true, json!({"usage": "every", "error_after": 0})),
        ("reset", true, json!({"reset": true})),
        ("hung", true, json!({"hang_first_token": true, "usage": "every"})),
    ] {
        let model = format!("gpt-all-exhausted-{name}");
        let reply = bed.chat(&model, &json!({"stream": stream, "x_mock": {"*": fault}}));
        assert!(reply.status >= 500, "{}", reply.status);
        assert_eq!(bed.used(&model), [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0], "{name}: it did reach providers");
    }
}

#[test]
fn a_providers_own_refusal_costs_no_tokens() {
    let bed = shared();
    assert_eq!(bed.chat("gpt-all-mistaken", &told(json!({"status": 400}))).status, 400);
    assert_eq!(bed.used("gpt-all-mistaken"), [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
}

#[test]
fn a_request_that_anybody_refuses_costs_nothing() {
    let bed = shared();
    let address = bed.gateway.address();
    let worker = [("authorization", "Bearer sk-worker")];
    let refused = |body: &Value, headers: &[(&str, &str)]| limits::chat(address, headers, body).status;
    assert_eq!(refused(&body("llama-none"), &[]), 404);
    assert_eq!(refused(&body("gpt-small-worker"), &worker), 403, "another model");
    assert_eq!(refused(&body("gpt-all-refused"), &[("authorization", "Bearer sk-nobody")]), 401);
    let large = body_with("gpt-all-refused", &json!({"user": "x".repeat(70_000)}));
    assert_eq!(refused(&large, &[]), 413);
    let twice = r#"{"model": "gpt-all-refused", "model": "gpt-all-refused", "messages": []}"#;
    let headers = [("content-type", "application/json")];
    let reply = client::send(address, "POST", "/v1/chat/completions", &headers, twice.as_bytes());
    assert_eq!(reply.status, 400);
    let reply = client::send(address, "GET", "/v1/models", &[], b"");
    assert_eq!(reply.status, 200);
    assert_eq!(bed.used("gpt-all-refused"), NOTHING);
    assert_eq!(bed.standing("gpt-small-worker", "small")["used"], 0);
}

#[test]
fn requests_in_flight_are_limited_until_they_end_or_their_client_leaves() {
    let bed = shared();
    let (address, model) = (bed.gateway.address(), "gpt-two-streams");
    let endless = body_with(model, &told(json!({"hang_after": 2})));
    let mut first = Running::begin(address, &[], &endless);
    let mut second = Running::begin(address, &[], &endless);
    first.read_until("Hello", 1);
    second.read_until("Hello", 1);
    assert_eq!(bed.standing(model, "two")["held"], 2);
    for _ in 0..3 {
        let reply = bed.chat(model, &json!({}));
        assert_eq!((reply.status, reply.code().as_str()), (429, "concurrency_limit_exceeded"));
        assert_eq!(reply.header("retry-after"), Some("1"));
        assert_eq!(reply.header("x-should-retry"), None);
    }
    first.leave();
    wait::until("the place to be free", || (bed.standing(model, "two")["held"] == 1).then_some(()));
    for stream in [false, true, false] {
        let reply = bed.chat(model, &json!({"stream": stream}));
        assert_eq!(reply.status, 200, "one place, free again after each: {}", reply.text());
        wait::until("its end", || (bed.standing(model, "two")["held"] == 1).then_some(()));
    }
    second.leave();
    assert_eq!(limits::used(address, &[], model, "two"), 0);
}

#[test]
fn a_request_that_no_provider_took_costs_nothing_and_one_that_any_took_is_a_request() {
    let bed = shared();
    for (name, requests) in [("nobody", 0), ("busy-first", 1), ("busy-last", 1)] {
        for stream in [false, true] {
            let model = format!("{name}-{stream}");
            let members = json!({"stream": stream, "x_mock": {"b": {"status": 503}}});
            let reply = bed.chat(&model, &members);
            assert!([502, 503].contains(&reply.status), "{}", reply.text());
            assert_eq!(bed.used_of(&model, "requests"), requests, "{model}");
            assert_eq!(bed.used_of(&model, "flight"), 0, "{model}");
        }
    }
}
