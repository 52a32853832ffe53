//! The record of every request, whatever became of it.
#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use serde_json::{Value, json};
use sluice_e2e::bed;
use sluice_e2e::client;
use sluice_e2e::gateway::Options;

const CHAT: &str = "/v1/chat/completions";

/// The record of the request with this `user-agent`, for requests that have no model.
fn record_of(bed: &bed::Bed, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    let line = bed.gateway.log_line(what, |line| line["ai_log"].is_object() && is_it(&line["ai_log"]));
    line["ai_log"].clone()
}

#[test]
fn a_good_request_is_recorded_in_full() {
    let bed = bed::shared();
    for (test, stream) in [("record-stream", true), ("record-whole", false)] {
        let timing = json!({"delay_ms": 100, "first_token_ms": 200, "gap_ms": 20});
        bed.ask(test, stream, json!({"a": {"status": 503}, "b": timing}));
        let record = bed.ai_log(test);
        for (field, want) in [
            ("model", json!(bed::model(test))),
            ("response_model", json!("model-b@b")),
            ("provider", json!("b")),
            ("operation", json!("chat")),
            ("stream", json!(stream)),
            ("rule", json!("gpt-*")),
            ("target", json!("a")),
            ("input_tokens", json!(11)),
            ("output_tokens", json!(5)),
            ("cached_tokens", json!(3)),
            ("usage_source", json!("reported")),
            ("finish_reason", json!("stop")),
            ("status", json!(200)),
        ] {
            assert_eq!(record[field], want, "{field} in {record}");
        }
        let duration = record["duration_ms"].as_u64().expect("a duration");
        assert!((100..10_000).contains(&duration), "{record}");
        if stream {
            let ttft = record["ttft_ms"].as_u64().expect("a time to the first token");
            assert!((300..=duration).contains(&ttft), "{record}");
        }
        assert_attempts(&record);
    }
}

fn assert_attempts(record: &Value) {
    let attempts = record["attempts"].as_array().expect("attempts");
    assert_eq!(attempts.len(), 2, "{record}");
    for (attempt, (provider, model, status, verdict)) in attempts.iter().zip([
        ("a", record["model"].as_str().expect("a model"), 503, "status_503"),
        ("b", "model-b", 200, "ok"),
    ]) {
        assert_eq!((attempt["provider"].as_str(), attempt["model"].as_str()), (Some(provider), Some(model)));
        assert_eq!((attempt["status"].as_u64(), attempt["verdict"].as_str()), (Some(status), Some(verdict)));
        assert!(attempt["ms"].is_u64(), "{attempt}");
        let key = attempt["key"].as_str().expect("a key's fingerprint");
        assert!(key.len() == 8 && key.bytes().all(|byte| byte.is_ascii_hexdigit()), "{key}");
    }
}

#[test]
fn refused_requests_are_recorded() {
    let bed = bed::shared();
    bed.gateway.chat(&json!({"model": "llama-recorded", "messages": []}));
    let record = bed.gateway.ai_log("llama-recorded");
    assert_eq!((record["status"].as_u64(), record["error"].as_str()), (Some(404), Some("model_not_found")));
    for (body, error) in [("{", "invalid_json"), ("{}", "missing_model")] {
        let headers = [("content-type", "application/json")];
        client::send(bed.gateway.address(), "POST", CHAT, &headers, body.as_bytes());
        let record = record_of(&bed, error, |record| record["error"] == error);
        assert_eq!(record["status"], 400, "{record}");
        assert!(record["duration_ms"].is_u64(), "{record}");
    }
}

#[test]
fn failed_requests_are_recorded_with_every_attempt() {
    let bed = bed::shared();
    bed.ask(
        "record-failed",
        true,
        json!({"a": {"status": 500}, "b": {"error_first": true}, "c": {"status": 429}}),
    );
    let record = bed.ai_log("record-failed");
    assert_eq!((record["status"].as_u64(), record["error"].as_str()), (Some(502), Some("upstream_error")));
    let verdicts: Vec<&Value> =
        record["attempts"].as_array().expect("attempts").iter().map(|a| &a["verdict"]).collect();
    assert_eq!(verdicts, ["status_500", "error_event", "status_429"]);
}

#[test]
fn a_providers_own_refusal_is_recorded() {
    let bed = bed::shared();
    bed.ask("record-400", false, json!({"a": {"status": 400}}));
    let record = bed.ai_log("record-400");
    assert_eq!(record["status"], 400);
    assert_eq!(record["attempts"][0]["verdict"], "status_400", "{record}");
}

#[test]
fn a_broken_stream_is_recorded_with_what_it_had() {
    let bed = bed::shared();
    for (test, script, finish, end) in [
        ("record-cut", json!({"cut_after": 3}), Value::Null, "unterminated"),
        ("record-reset", json!({"reset_after": 3, "gap_ms": 30}), Value::Null, "provider_reset"),
        ("record-error", json!({"error_after": 3}), Value::Null, "error_event"),
        ("record-length", json!({"finish_reason": "length"}), json!("length"), "complete"),
    ] {
        bed.ask(test, true, json!({"a": script}));
        let record = bed.ai_log(test);
        assert_eq!((record["status"].as_u64(), &record["finish_reason"]), (Some(200), &finish), "{record}");
        assert!(record["output_tokens"].as_u64().is_some_and(|tokens| tokens > 0), "{record}");
        assert_eq!(record["end"], end, "{record}");
    }
}

#[test]
fn a_tool_calls_finish_reason_is_recorded() {
    let bed = bed::shared();
    for (test, stream) in [("record-tools-stream", true), ("record-tools-whole", false)] {
        bed.ask(test, stream, json!({"a": {"tools": true}}));
        assert_eq!(bed.ai_log(test)["finish_reason"], "tool_calls");
    }
}

#[test]
fn every_line_is_json_and_none_tells_what_was_said() {
    let bed = bed::shared();
    let body = json!({"messages": [{"role": "user", "content": "a prompt-canary \"quoted\"\n"}],
                      "x_mock": {"a": {"say": "an answer-canary"}}, "stream": true});
    bed.ask_with("canary", body.clone());
    bed.ask_with("quote\"d\\model", body);
    let record = bed.ai_log("canary");
    assert_eq!((record.get("prompt"), record.get("answer")), (None, None), "{record}");
    bed.gateway.log_line("a model with quotes", |line| line["ai_log"]["model"] == "gpt-quote\"d\\model");
    let logs = [bed.gateway.access_text(), bed.gateway.envoy_log(), bed.gateway.stderr()].concat();
    assert!(!logs.contains("prompt-canary") && !logs.contains("answer-canary"));
}

#[test]
fn each_request_is_recorded_once() {
    let bed = bed::shared();
    for n in 0..10 {
        bed.ask(&format!("once-{n}"), n % 2 == 0, json!({"a": {"status": 503}}));
    }
    for n in 0..10 {
        bed.ai_log(&format!("once-{n}"));
    }
    let log = bed.gateway.access_log();
    let of = |n: usize| {
        log.iter().filter(|line| line["ai_log"]["model"] == bed::model(&format!("once-{n}"))).count()
    };
    assert!((0..10).all(|n| of(n) == 1));
}

#[test]
fn what_a_decision_was_made_of_is_recorded() {
    let sections = "limits: [{name: team, by: [\"header:x-team\"], requests: 4, per: 1h}]\ncache: {}\n\
                    consumers: [{name: ann, keys: [sk-ann-0123456789abcdef]}]\n";
    let bed = bed::Bed::start(&Options::default(), sections);
    let mut body = bed::chat_body("decided");
    body["max_tokens"] = json!(9);
    body["n"] = json!(2);
    body["tools"] = json!([{"type": "function", "function": {"name": "f"}}]);
    let headers = [
        ("content-type", "application/json"),
        ("x-team", "search"),
        ("x-other", "not asked for"),
        ("authorization", "Bearer sk-ann-0123456789abcdef"),
    ];
    let reply = client::send(bed.gateway.address(), "POST", CHAT, &headers, body.to_string().as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
    let record = bed.ai_log("decided");
    for (member, want) in [
        ("headers", json!({"x-team": "search"})),
        ("has", json!(["tools"])),
        ("max_output", json!(9)),
        ("choices", json!(2)),
        ("limit_fill", json!({"limit": "team", "percent": 25})),
        ("cache", json!("miss")),
    ] {
        assert_eq!(record[member], want, "{member} in {record}");
    }
    assert!(record["input_estimate"].as_u64().is_some_and(|tokens| tokens > 0), "{record}");
    let key = record["cache_key"].as_str().expect("a key");
    assert!(key.len() >= 16 && key.bytes().all(|byte| byte.is_ascii_hexdigit()), "{key}");
    let times =
        ["started_us", "limited_us", "ended_us"].map(|name| record["times"][name].as_u64().expect("a time"));
    assert!(times.is_sorted(), "{record}");
    bed.gateway.assert_no_trap();
}

/// A bed whose log holds prompts, with further sections.
fn telling(log: &str, sections: &str) -> bed::Bed {
    bed::Bed::start(&Options::default(), &format!("log: {log}\n{sections}"))
}

/// The bed's logs and metrics, but for the records.
fn elsewhere(bed: &bed::Bed) -> String {
    let stats = client::send(bed.gateway.admin(), "GET", "/stats", &[], b"").text();
    [bed.gateway.envoy_log(), bed.gateway.stderr(), stats].concat()
}

const ASKED: &str = "Mail bob@example.com a prompt-canary.";
const SAID: &str = "Call +49 30 901820 for the answer-canary.";

#[test]
fn prompts_and_answers_are_told_without_what_is_personal() {
    let asked = "Mail [EMAIL] a prompt-canary.";
    let said = "Call [PHONE] for the answer-canary.";
    let cases = [
        ("{prompts: truncated, max_chars: 15}", &asked[..15], (&said[..15], Some(SAID.len()))),
        ("{prompts: truncated, max_chars: 8}", "Mail ", ("Call ", Some(SAID.len()))),
        ("{prompts: full}", asked, (said, None)),
    ];
    let beds = cases.map(|(log, ..)| telling(log, ""));
    for (bed, test, stream) in
        beds.iter().flat_map(|bed| [(bed, "tell-stream", true), (bed, "tell-whole", false)])
    {
        let messages = json!([{"role": "user", "content": ASKED}]);
        let body = json!({"messages": messages, "stream": stream, "x_mock": {"*": {"say": SAID}}});
        assert_eq!(bed.ask_with(test, body).reply.status, 200);
    }
    for ((log, prompt, answer), bed) in cases.into_iter().zip(&beds) {
        for record in ["tell-stream", "tell-whole"].map(|test| bed.ai_log(test)) {
            assert!(record["prompt"].as_str().is_some_and(|told| told.starts_with(prompt)), "{record}");
            assert_eq!(
                (&record["answer"], &record["answer_chars"]),
                (&json!(answer.0), &json!(answer.1)),
                "{log}"
            );
        }
        let access = bed.gateway.access_text();
        assert!(!access.contains("bob@") && !access.contains("901820"), "{access}");
        assert!(!elsewhere(bed).contains("canary"));
        bed.gateway.assert_no_trap();
    }
}

#[test]
fn a_stream_that_breaks_off_is_told_as_far_as_it_came() {
    let bed = telling("{prompts: full}", "");
    let script = json!({"say": "One two bob@example.com four five six.", "reset_after": 3, "gap_ms": 30});
    bed.ask("tell-reset", true, json!({"*": script}));
    let record = bed.ai_log("tell-reset");
    assert_eq!(record["end"], "provider_reset", "{record}");
    assert!(record["answer"].as_str().is_some_and(|told| told.starts_with("One two ")), "{record}");
    assert!(record["answer_chars"].as_u64().is_some_and(|chars| chars > 8), "{record}");
    assert!(!record.to_string().contains("bob@"), "{record}");
    bed.gateway.assert_no_trap();
}

#[test]
fn a_blocked_request_is_told_and_one_without_a_key_is_not() {
    let sections = "guard: {checks: [{name: words, keywords: [forbidden], action: block}]}\n\
                    consumers: [{name: ann, keys: [sk-ann-0123456789abcdef]}]\n";
    let bed = telling("{prompts: full}", sections);
    let mut body = bed::chat_body("tell-blocked");
    body["messages"] = json!([{"role": "user", "content": "A forbidden word for bob@example.com"}]);
    let ask = |headers: &[(&str, &str)]| {
        client::send(bed.gateway.address(), "POST", CHAT, headers, body.to_string().as_bytes()).status
    };
    assert_eq!(ask(&[("content-type", "application/json")]), 401);
    let refused = record_of(&bed, "401", |record| record["status"] == 401);
    assert_eq!((refused.get("prompt"), refused.get("answer")), (None, None), "{refused}");
    assert_eq!(
        ask(&[("content-type", "application/json"), ("authorization", "Bearer sk-ann-0123456789abcdef")]),
        400
    );
    let blocked = bed.ai_log("tell-blocked");
    assert_eq!((&blocked["error"], &blocked["end"]), (&json!("content_policy_violation"), &json!("refused")));
    assert_eq!(blocked["prompt"], "A forbidden word for [EMAIL]");
    assert_eq!(blocked.get("answer"), None, "{blocked}");
    bed.gateway.assert_no_trap();
}
