//! Settlement by protocol, and what becomes of it when a provider hides its usage.

use serde_json::{Value, json};
use sluice_e2e::limits::{INPUT, TOKENS, body_with};

use crate::bed::{Limited, shared, told};

/// Posts to an operation, then compares its record and the ledger with `want`.
fn assert_settled(bed: &Limited, path: &str, name: &str, members: &Value, want: (u64, u64, &str)) {
    let model = format!("gpt-all-{name}");
    let reply = bed.gateway.post(path, &body_with(&model, members));
    assert_eq!(reply.status, 200, "{name}: {}", reply.text());
    let record = bed.record(&model);
    let [total, input, output, ..] = bed.used(&model);
    let count = |count: u64| f64::from(u32::try_from(count).expect("small"));
    assert_eq!(
        [input, output, total],
        [count(want.0), count(want.1), count(want.0 + want.1)],
        "{name}: {record}"
    );
    assert_eq!(record["usage_source"], want.2, "{name}: {record}");
}

#[test]
fn every_operation_is_settled_with_its_reported_usage() {
    let bed = shared();
    for (name, path, stream, output) in [
        ("chat", "/chat/completions", false, 5),
        ("chat-stream", "/chat/completions", true, 5),
        ("text", "/completions", false, 5),
        ("text-stream", "/completions", true, 5),
        ("responses", "/responses", false, 5),
        ("responses-stream", "/responses", true, 5),
        ("embeddings", "/embeddings", false, 0),
    ] {
        let members = json!({"stream": stream, "input": "hi", "prompt": "hi"});
        assert_settled(&bed, path, name, &members, (INPUT, output, "reported"));
    }
}

#[test]
fn anthropics_protocol_is_settled_with_what_it_reports() {
    let bed = shared();
    let whole = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "Hi"}],
        "usage": {"input_tokens": 20, "cache_read_input_tokens": 8, "cache_creation_input_tokens": 2, "output_tokens": 7}});
    let script = json!({"body": whole.to_string()});
    assert_settled(&bed, "/messages", "messages", &told(script), (30, 7, "reported"));
    let mut members = told(json!({"body": messages_stream(), "write_size": 7}));
    members["stream"] = json!(true);
    assert_settled(&bed, "/messages", "messages-stream", &members, (30, 7, "reported"));
}

/// As <https://docs.anthropic.com/en/docs/build-with-claude/streaming> has it: usage in the first event and in the
/// last but one.
fn messages_stream() -> String {
    let start = json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant",
        "model": "claude", "content": [], "stop_reason": null,
        "usage": {"input_tokens": 20, "cache_read_input_tokens": 8, "cache_creation_input_tokens": 2, "output_tokens": 1}}});
    let block =
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}});
    let delta =
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}});
    let end =
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}});
    let events = [
        start,
        block,
        delta,
        json!({"type": "content_block_stop", "index": 0}),
        end,
        json!({"type": "message_stop"}),
    ];
    let event =
        |data: &Value| format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap_or_default());
    events.iter().map(event).collect()
}

#[test]
fn usage_in_any_place_is_settled_once() {
    let bed = shared();
    for usage in ["asked", "finish", "every"] {
        for options in [json!(null), json!({"include_usage": true}), json!({"include_usage": false})] {
            let name = format!("place-{usage}-{}", options["include_usage"]);
            let mut members = told(json!({"usage": usage, "gap_ms": 60}));
            members["stream"] = json!(true);
            members["stream_options"] = options;
            assert_settled(&bed, "/chat/completions", &name, &members, (INPUT, TOKENS - INPUT, "reported"));
        }
    }
}

#[test]
fn usage_that_is_hidden_is_estimated_and_the_record_says_so() {
    let bed = shared();
    for (name, usage, stream) in [
        ("null", "null", true),
        ("never", "never", true),
        ("null-whole", "null", false),
        ("never-whole", "never", false),
    ] {
        let mut members = told(json!({"usage": usage, "say": "word ".repeat(100)}));
        members["stream"] = json!(stream);
        // 500 bytes make 125 tokens
        assert_settled(
            &bed,
            "/chat/completions",
            &format!("hidden-{name}"),
            &members,
            (INPUT, 125, "estimated"),
        );
    }
}

#[test]
fn usage_that_cannot_be_is_not_believed() {
    let bed = shared();
    let body = |usage: Value| {
        let choice = json!({"index": 0, "message": {"role": "assistant", "content": "x".repeat(40)}, "finish_reason": "stop"});
        json!({"id": "1", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage})
            .to_string()
    };
    for (name, usage) in [
        ("negative", json!({"prompt_tokens": -1, "completion_tokens": -5})),
        ("huge", json!({"prompt_tokens": 1e300, "completion_tokens": 18_446_744_073_709_551_615_u64})),
        ("text", json!({"prompt_tokens": "11", "completion_tokens": null})),
    ] {
        let script = told(json!({"body": body(usage)}));
        assert_settled(&bed, "/chat/completions", &format!("mad-{name}"), &script, (INPUT, 10, "estimated"));
    }
}
