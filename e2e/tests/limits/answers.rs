//! What a client and an operator are told: headers, errors, records, metrics, `GET /v1/limits`.

use serde_json::{Value, json};
use sluice_e2e::client::{self, Reply};
use sluice_e2e::limits::{self, TOKENS, body};
use sluice_e2e::wait;

use crate::bed::{Limited, shared};

/// Asks, and waits until it is settled.
fn ask(bed: &Limited, model: &str, members: &Value) -> Reply {
    let reply = bed.chat(model, members);
    bed.used_of(model, "rpm");
    reply
}

/// The `x-ratelimit-*` headers but those of resets, in wire order.
fn ratelimits(reply: &Reply) -> Vec<String> {
    let ours =
        reply.headers.iter().filter_map(|(name, value)| Some((name.strip_prefix("x-ratelimit-")?, value)));
    ours.filter(|(name, _)| !name.starts_with("reset"))
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

#[test]
fn every_answer_tells_how_the_tightest_limits_stand_in_place_of_the_providers_own_words() {
    let bed = shared();
    let own = json!({"headers": {
        "x-ratelimit-limit-requests": "9999", "x-ratelimit-remaining-tokens": "9998", "x-ratelimit-reset-tokens": "6m0s",
        "x-ratelimit-provider": "secret", "retry-after": "77",
    }});
    for (model, stream) in [("gpt-told-stream", true), ("gpt-told-whole", false)] {
        let members = json!({"stream": stream, "x_mock": {"*": own}});
        for (n, left) in [(1_u64, 24), (2, 8)] {
            let reply = ask(&bed, model, &members);
            assert_eq!(reply.status, 200, "{}", reply.text());
            let want = [
                "limit-requests=100".to_owned(),
                format!("remaining-requests={}", 100 - n),
                "limit-tokens=40".to_owned(),
                format!("remaining-tokens={left}"),
                "limit-cost-usd=0.5".to_owned(),
                format!("remaining-cost-usd={}", ["0.4984", "0.4968"][usize::from(n == 2)]),
            ];
            let mut got = ratelimits(&reply);
            got.sort();
            let mut want = want.to_vec();
            want.sort();
            assert_eq!(got, want);
            let resets = reply.header("x-ratelimit-reset-tokens").expect("a reset");
            assert!(resets == "1m1s" || resets == "1m0s" || resets == "60s", "{resets}");
            assert!(!reply.headers.iter().any(|(_, value)| value == "secret"));
        }
        let refused = ask(&bed, model, &members);
        assert_eq!((refused.status, refused.code().as_str()), (429, "rate_limit_exceeded"));
        assert!(ratelimits(&refused).contains(&"remaining-tokens=8".to_owned()), "{:?}", refused.headers);
        assert!(ratelimits(&refused).contains(&"remaining-requests=98".to_owned()));
    }
}

#[test]
fn a_passing_refusal_says_which_limit_and_when_it_frees() {
    let bed = shared();
    let model = "gpt-told-passing";
    for _ in 0..2 {
        assert_eq!(ask(&bed, model, &json!({})).status, 200);
    }
    let refused = ask(&bed, model, &json!({"stream": true}));
    assert_eq!(refused.header("content-type"), Some("application/json"));
    assert_eq!(refused.header("x-sluice-error"), Some("rate_limit_exceeded"));
    assert_eq!(refused.header("x-should-retry"), None);
    let number = |name| refused.header(name).and_then(|value| value.parse::<u64>().ok()).expect("a number");
    let (seconds, ms) = (number("retry-after"), number("retry-after-ms"));
    assert!((50..=61).contains(&seconds) && seconds == ms.div_ceil(1_000), "{seconds} s, {ms} ms");
    let message = refused.json()["error"]["message"].as_str().expect("a message").to_owned();
    let want = "Limit `tpm` is reached: 40 tokens in 1m, of which 32 are used or reserved; this request needs 16. It frees in ";
    assert!(message.starts_with(want), "{message}");
    let record = bed.gateway.log_line("the refusal", |line| {
        line["ai_log"]["limit"] == "refused:tpm" && line["ai_log"]["model"] == model
    });
    assert_eq!(
        (&record["ai_log"]["status"], &record["ai_log"]["error"]),
        (&json!(429), &json!("rate_limit_exceeded"))
    );
}

#[test]
fn a_quota_tells_clients_not_to_come_again() {
    let bed = shared();
    assert_eq!(ask(&bed, "gpt-told-quota", &json!({})).status, 200);
    let refused = ask(&bed, "gpt-told-quota", &json!({}));
    assert_eq!((refused.status, refused.code().as_str()), (429, "insufficient_quota"));
    assert_eq!(refused.header("x-should-retry"), Some("false"));
    assert_eq!((refused.header("retry-after"), refused.header("retry-after-ms")), (None, None));
    let error = refused.json()["error"].clone();
    assert_eq!(error["type"], "insufficient_quota", "{error}");
    let message = error["message"].as_str().expect("a message");
    assert!(message.starts_with("Quota `quota` is reached: 1 requests in "), "{message}");
}

#[test]
fn a_limit_may_have_words_of_its_own() {
    let bed = shared();
    assert_eq!(ask(&bed, "gpt-told-words", &json!({})).status, 200);
    let refused = ask(&bed, "gpt-told-words", &json!({}));
    assert_eq!(refused.json()["error"]["message"], "Ask platform@example.com — “soon”.");
    let refused = bed.gateway.post("/messages", &body("gpt-told-words"));
    assert_eq!(refused.status, 429);
    let want = json!({"type": "rate_limit_error", "message": "Ask platform@example.com — “soon”."});
    assert_eq!((&refused.json()["type"], &refused.json()["error"]), (&json!("error"), &want));
}

#[test]
fn operators_see_what_limits_do() {
    let bed = shared();
    for _ in 0..2 {
        assert_eq!(ask(&bed, "gpt-told-seen", &json!({})).status, 200);
    }
    for _ in 0..3 {
        assert_eq!(ask(&bed, "gpt-told-seen", &json!({})).status, 429);
    }
    wait::until("the counters", || {
        let refused = bed.gateway.counter("token_limit_refused_total;limit=seen");
        (refused == 3 && bed.gateway.counter("token_limit_admitted_total") > 0).then_some(())
    });
    let prometheus = client::get(bed.gateway.admin(), "/stats/prometheus").text();
    assert!(prometheus.contains("token_limit_admitted_total"), "{prometheus}");
    assert!(prometheus.contains("token_limit_refused_total"), "{prometheus}");
    let record = bed.gateway.ai_log("gpt-told-seen");
    assert_eq!(record["limit"], "admitted", "{record}");
}

#[test]
fn a_caller_can_ask_how_its_limits_stand() {
    let bed = shared();
    assert_eq!(ask(&bed, "gpt-told-quota-shown", &json!({})).status, 200);
    let address = bed.gateway.address();
    let mut shown = limits::shown(address, &[], "gpt-told-quota-shown");
    let resets: Vec<u64> = shown
        .iter_mut()
        .map(|limit| limit.as_object_mut().and_then(|limit| limit.remove("resets_in_ms")))
        .map(|resets| resets.and_then(|resets| resets.as_u64()).expect("a time"))
        .collect();
    assert!((50_000..=61_000).contains(&resets[0]) && resets[1] > 3_500_000, "{resets:?}");
    let month = 30_u64 * 86_400_000;
    let want = json!([
        {"name": "tpm", "measure": "total_tokens", "limit": 40, "used": 16, "held": 0, "remaining": 24, "per_ms": 60_000},
        {"name": "tph", "measure": "total_tokens", "limit": 10_000, "used": 16, "held": 0, "remaining": 9_984, "per_ms": 3_600_000},
        {"name": "rpm", "measure": "requests", "limit": 100, "used": 1, "held": 0, "remaining": 99, "per_ms": 60_000},
        {"name": "usd", "measure": "cost_usd", "limit": 0.5, "used": 0.0016, "held": 0, "remaining": 0.4984, "per_ms": month},
        {"name": "quota", "measure": "requests", "limit": 1, "used": 1, "held": 0, "remaining": 0, "per_ms": month},
    ]);
    assert_eq!(json!(shown), want);
    assert_eq!(client::get(address, "/v1/limits?model=llama").code(), "model_not_found");
    let all = client::send(address, "GET", "/v1/limits", &[("x-any-model", "1")], b"");
    assert_eq!((all.status, all.header("content-type")), (200, Some("application/json")));
    let all = all.json();
    assert_eq!((&all["limits"][0]["name"], &all["limits"][1]), (&json!("any-model"), &Value::Null));
    assert_eq!(
        client::get(address, "/v1/limits").json(),
        json!({"limits": []}),
        "those that look at no model"
    );
    for _ in 0..50 {
        limits::shown(address, &[], "gpt-told-quota-shown");
    }
    assert_eq!(bed.used_of("gpt-told-quota-shown", "rpm"), 1, "asking costs nothing");
    assert_eq!(bed.used_of("gpt-told-quota-shown", "tpm"), TOKENS);
}
