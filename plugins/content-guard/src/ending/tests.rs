use serde_json::{Value, json};
use sluice_core::meter::{BodyVerdict, Meter, StreamEnd, judge_body};

use super::*;
use crate::stream::{Checks, Finding, Setup, Streamed};

const OPERATIONS: [Operation; 6] = [
    Operation::Chat,
    Operation::TextCompletion,
    Operation::Messages,
    Operation::Responses,
    Operation::Embeddings,
    Operation::Other,
];

/// Finds nothing.
struct Nothing;

impl Checks for Nothing {
    fn find(&self, _: sluice_core::detect::Form, _: &str, _: usize) -> Vec<Finding> {
        Vec::new()
    }

    fn settled(&self, _: sluice_core::detect::Form, text: &str, _: usize) -> (usize, usize) {
        (text.len(), text.len())
    }
}

fn refused(operation: Operation, stream: bool) -> LocalReply {
    refusal(operation, stream, "gpt-4o", 1_700_000_000, "0123", "Not \"this\".")
}

/// The events of a stream: names, and data as JSON (the terminator as text).
fn events(stream: &[u8]) -> Vec<(String, Value)> {
    let mut events = Vec::new();
    let mut splitter = sse::Splitter::default();
    let mut take = |piece: sse::Piece<'_>| {
        let event = sse::parse(piece.bytes());
        if let Some(data) = event.data {
            let text = String::from_utf8(data.to_vec()).unwrap();
            let data = serde_json::from_str(&text).unwrap_or(Value::String(text));
            events.push((String::from_utf8(event.name.to_vec()).unwrap(), data));
        }
    };
    splitter.feed(stream, &mut take);
    splitter.finish(&mut take);
    events
}

/// How a meter sees a stream: its end and the reason.
fn metered(operation: Operation, stream: &[u8]) -> (StreamEnd, Option<String>) {
    let mut meter = Meter::new(operation);
    let mut splitter = sse::Splitter::default();
    splitter.feed(stream, |piece| {
        meter.piece(piece);
    });
    splitter.finish(|piece| {
        meter.piece(piece);
    });
    (meter.end(), meter.finish_reason().map(str::to_owned))
}

fn reason(operation: Operation) -> Option<String> {
    let reason = if operation == Operation::Messages { "refusal" } else { "content_filter" };
    Some(reason.to_owned())
}

#[test]
fn a_refusal_is_a_whole_answer_in_the_operations_shape() {
    for operation in OPERATIONS {
        let reply = refused(operation, false);
        if matches!(operation, Operation::Embeddings | Operation::Other) {
            assert_eq!(reply.status, 400);
            assert_eq!(refused(operation, true), reply);
            continue;
        }
        assert_eq!(reply.status, 200);
        let BodyVerdict { finish_reason, error, empty, invalid, model, .. } =
            judge_body(operation, reply.body.as_bytes());
        assert_eq!((finish_reason, model.as_deref()), (reason(operation), Some("gpt-4o")), "{operation:?}");
        assert!(!error && !empty && !invalid, "{operation:?}");
        assert!(reply.body.contains("Not \\\"this\\\"."));
    }
}

#[test]
fn a_refusal_can_be_a_stream() {
    for operation in OPERATIONS.into_iter().take(4) {
        let reply = refused(operation, true);
        let stream = reply.body.as_bytes();
        assert_eq!(metered(operation, stream), (StreamEnd::Complete, reason(operation)), "{operation:?}");
        assert!(reply.headers.contains(&("content-type", "text/event-stream; charset=utf-8".to_owned())));
        for (name, event) in events(stream) {
            assert_eq!(name, event["type"].as_str().unwrap_or_default());
        }
    }
}

/// What a client gets that has seen `seen` when the rest is withheld.
fn ended(operation: Operation, seen: &str, ending: Ending) -> Vec<u8> {
    let mut streamed = Streamed::new(Setup::default());
    let mut out = streamed.feed(&Nothing, 0, seen.as_bytes(), false).release;
    out.extend(cut(operation, streamed.shown(), ending, "No."));
    out
}

const CHAT: &str = r#"data: {"id":"c","created":7,"model":"m","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null},{"index":1,"delta":{"content":"b"},"finish_reason":"stop"}]}

"#;
const TEXT: &str = r#"data: {"id":"c","created":7,"model":"m","choices":[{"index":0,"text":"a","finish_reason":null}]}

"#;
const MESSAGE: &str = r#"data: {"type":"message_start","message":{"id":"m","model":"m"}}

data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

data: {"type":"content_block_stop","index":0}

data: {"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}

"#;
const RESPONSE: &str = r#"data: {"type":"response.created","sequence_number":0,"response":{"id":"r","model":"m","status":"in_progress","output":[]}}

data: {"type":"response.output_item.done","sequence_number":1,"output_index":0,"item":{"type":"reasoning","id":"i","summary":[]}}

"#;

#[test]
fn a_stream_that_is_cut_ends_by_its_protocol() {
    for (operation, seen) in [
        (Operation::Chat, CHAT),
        (Operation::TextCompletion, TEXT),
        (Operation::Messages, MESSAGE),
        (Operation::Responses, RESPONSE),
    ] {
        let stream = ended(operation, seen, Ending::Completion);
        assert_eq!(metered(operation, &stream), (StreamEnd::Complete, reason(operation)), "{operation:?}");
        let stream = ended(operation, seen, Ending::Error(Code::GuardUnavailable));
        assert_eq!(metered(operation, &stream).0, StreamEnd::ErrorEvent, "{operation:?}");
        assert!(!stream.ends_with(DONE.as_bytes()));
    }
}

#[test]
fn what_is_open_is_closed_and_no_more() {
    let last = |operation, seen: &str| {
        let all = events(&ended(operation, seen, Ending::Completion));
        let ours = all.len().saturating_sub(events(seen.as_bytes()).len());
        all.into_iter().rev().take(ours).rev().map(|(_, event)| event).collect::<Vec<_>>()
    };
    assert_eq!(
        last(Operation::Chat, CHAT),
        [
            json!({"id": "c", "created": 7, "model": "m", "object": "chat.completion.chunk",
                "choices": [{"index": 0, "delta": {}, "logprobs": null, "finish_reason": "content_filter"}]}),
            json!("[DONE]"),
        ]
    );
    let types = |events: Vec<Value>| -> Vec<String> {
        events.iter().map(|event| format!("{}{}", event["type"].as_str().unwrap(), event["index"])).collect()
    };
    assert_eq!(
        types(last(Operation::Messages, MESSAGE)),
        ["content_block_stop1", "message_deltanull", "message_stopnull"]
    );
    let response = last(Operation::Responses, RESPONSE);
    assert_eq!(response[0]["sequence_number"], 2);
    assert_eq!(response[0]["response"]["id"], "r");
    assert_eq!(response[0]["response"]["output"][0]["id"], "i");
    let over = format!("{CHAT}data: [DONE]\n\n");
    assert_eq!(ended(Operation::Chat, &over, Ending::Completion), over.as_bytes());
}
