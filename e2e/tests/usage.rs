//! Metering: exact in the record, invisible to a client that did not ask.
#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use serde_json::{Value, json};
use sluice_e2e::answer::{Answer, Asked};
use sluice_e2e::bed::{self, Bed};
use sluice_e2e::client::{self, Reply};
use sluice_e2e::script::Script;
use sluice_e2e::sse;

/// Posts to an operation of provider `a`.
fn ask(bed: &Bed, path: &str, test: &str, members: &Value) -> Reply {
    let mut body = bed::chat_body(test);
    for (name, value) in members.as_object().expect("an object") {
        body[name] = value.clone();
    }
    bed.gateway.post(path, &body)
}

/// What provider `a` itself would have sent for the same request.
fn as_sent(path: &str, test: &str, include_usage: bool, script: Value) -> Vec<u8> {
    let asked = Asked { path: path.to_owned(), model: bed::model(test), stream: true, include_usage };
    Answer::new("a", &asked, &Script::json(script)).bytes()
}

fn assert_tokens(record: &Value, input: u64, output: u64) {
    assert_eq!(record["input_tokens"], input, "{record}");
    assert_eq!(record["output_tokens"], output, "{record}");
    assert_eq!(record["usage_source"], "reported", "{record}");
}

#[test]
fn a_stream_whose_client_did_not_ask_is_byte_identical() {
    let bed = bed::shared();
    for (number, script) in [
        json!({}),
        json!({"crlf": true}),
        json!({"comments": true}),
        json!({"write_size": 1}),
        json!({"write_size": 13, "crlf": true, "comments": true}),
        json!({"tools": true}),
        json!({"reasoning": true}),
        json!({"events": 200}),
    ]
    .into_iter()
    .enumerate()
    {
        for path in ["/chat/completions", "/completions"] {
            let test = format!("identical-{number}-{}", path.len());
            let reply = ask(&bed, path, &test, &json!({"stream": true, "x_mock": {"a": script}}));
            let want = as_sent(path, &test, false, script.clone());
            assert_eq!(reply.text(), String::from_utf8_lossy(&want), "{script} {path}");
            assert_eq!(
                bed.providers[0].tagged(&bed::tag(&test))[0].json()["stream_options"]["include_usage"],
                true
            );
            let events = script["events"].as_u64().unwrap_or(5);
            assert_tokens(&bed.ai_log(&test), 11, events);
        }
    }
}

#[test]
fn a_client_that_asked_gets_the_usage_as_sent() {
    let bed = bed::shared();
    for (test, script) in [("asked", json!({})), ("asked-bytes", json!({"write_size": 1}))] {
        let members =
            json!({"stream": true, "stream_options": {"include_usage": true}, "x_mock": {"a": script}});
        let reply = ask(&bed, "/chat/completions", test, &members);
        let want = as_sent("/chat/completions", test, true, script);
        assert_eq!(reply.text(), String::from_utf8_lossy(&want));
        assert_tokens(&bed.ai_log(test), 11, 5);
    }
}

#[test]
fn a_refusal_to_be_metered_is_of_no_use() {
    let bed = bed::shared();
    for (test, options) in [
        ("evade-false", json!({"include_usage": false})),
        ("evade-null", json!({"include_usage": null})),
        ("evade-other", json!({"include_obfuscation": false})),
        ("evade-empty", json!({})),
        ("evade-none", json!(null)),
    ] {
        let members = json!({"stream": true, "stream_options": options});
        let reply = ask(&bed, "/chat/completions", test, &members);
        assert_eq!(
            reply.text(),
            String::from_utf8_lossy(&as_sent("/chat/completions", test, false, json!({})))
        );
        let seen = bed.providers[0].tagged(&bed::tag(test)).remove(0).json();
        assert_eq!(seen["stream_options"]["include_usage"], true, "{test}");
        assert_eq!(seen["stream_options"]["include_obfuscation"], options["include_obfuscation"], "{test}");
        assert_tokens(&bed.ai_log(test), 11, 5);
    }
}

#[test]
fn no_content_type_and_no_second_member_evades_the_meter() {
    let bed = bed::shared();
    for (test, kind, options) in [
        ("evade-kind", "; charset=utf-8", r#""stream":true"#),
        (
            "evade-twice",
            "application/json",
            r#""stream":true,"stream_options":{"include_usage":false,"include_usage":false}"#,
        ),
    ] {
        let body = bed::chat_body(test).to_string().replacen('{', &format!("{{{options},"), 1);
        let headers = [("content-type", kind)];
        let path = "/v1/chat/completions";
        let reply = client::send(bed.gateway.address(), "POST", path, &headers, body.as_bytes());
        assert_eq!(reply.status, 200, "{test}: {}", reply.text());
        let seen = bed.providers[0].tagged(&bed::tag(test)).remove(0);
        let text = String::from_utf8_lossy(&seen.body).into_owned();
        assert!(text.contains(r#""include_usage":true"#) && !text.contains("false"), "{text}");
        assert_tokens(&bed.ai_log(test), 11, 5);
    }
}

#[test]
fn every_operation_is_metered() {
    let bed = bed::shared();
    for (test, path, stream, operation, output) in [
        ("meter-chat", "/chat/completions", false, "chat", 5),
        ("meter-chat-stream", "/chat/completions", true, "chat", 5),
        ("meter-text", "/completions", false, "text_completion", 5),
        ("meter-text-stream", "/completions", true, "text_completion", 5),
        ("meter-responses", "/responses", false, "responses", 5),
        ("meter-responses-stream", "/responses", true, "responses", 5),
        ("meter-embeddings", "/embeddings", false, "embeddings", 0),
    ] {
        let reply = ask(&bed, path, test, &json!({"stream": stream, "input": "hi", "prompt": "hi"}));
        assert_eq!(reply.status, 200, "{test}: {}", reply.text());
        let record = bed.ai_log(test);
        assert_eq!(record["operation"], operation);
        assert_eq!(record["input_tokens"], 11, "{test}: {record}");
        assert_eq!(record["output_tokens"].as_u64().unwrap_or(0), output, "{test}: {record}");
        assert_eq!(record["response_model"], format!("{}@a", bed::model(test)), "{test}");
    }
}

#[test]
fn a_responses_stream_passes_as_sent() {
    let bed = bed::shared();
    let reply = ask(&bed, "/responses", "responses-bytes", &json!({"stream": true, "input": "hi"}));
    let want = as_sent("/responses", "responses-bytes", false, json!({}));
    assert_eq!(reply.text(), String::from_utf8_lossy(&want));
    let seen = bed.providers[0].tagged(&bed::tag("responses-bytes")).remove(0).json();
    assert!(seen.get("stream_options").is_none(), "the Responses API reports usage unasked");
}

#[test]
fn details_of_usage_are_in_the_record() {
    let bed = bed::shared();
    for (test, stream) in [("details-stream", true), ("details-whole", false)] {
        bed.ask(test, stream, json!({"a": {"reasoning": true, "events": 6}}));
        let record = bed.ai_log(test);
        assert_tokens(&record, 11, 6);
        assert_eq!(
            (record["cached_tokens"].as_u64(), record["reasoning_tokens"].as_u64()),
            (Some(3), Some(3))
        );
    }
}

#[test]
fn usage_is_found_wherever_a_provider_puts_it() {
    let bed = bed::shared();
    for usage in ["finish", "every"] {
        let test = format!("placed-{usage}");
        let answered = bed.ask(&test, true, json!({"a": {"usage": usage}}));
        assert!(sse::is_done(&answered.reply.events()));
        assert!(sse::text(&answered.reply.events()).starts_with("Hello from a"));
        assert_tokens(&bed.ai_log(&test), 11, 5);
    }
}

#[test]
fn usage_that_a_provider_hides_is_estimated_and_called_so() {
    let bed = bed::shared();
    for (usage, stream) in [("null", true), ("never", true), ("never", false)] {
        let test = format!("hidden-{usage}-{stream}");
        bed.ask(&test, stream, json!({"a": {"usage": usage, "say": "word ".repeat(100)}}));
        let record = bed.ai_log(&test);
        assert_eq!(record["usage_source"], "estimated", "{record}");
        let output = record["output_tokens"].as_u64().expect("an estimate");
        assert!((40..=260).contains(&output), "100 words are not {output} tokens");
    }
}

#[test]
fn usage_is_that_of_the_provider_that_answered() {
    let bed = bed::shared();
    let script = json!({"a": {"error_after": 0}, "b": {"events": 9}});
    bed.ask("usage-failover", true, script);
    let record = bed.ai_log("usage-failover");
    assert_tokens(&record, 11, 9);
    assert_eq!(record["response_model"], "model-b@b");
}
