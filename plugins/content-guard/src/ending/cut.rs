//! Endings of streams that the client has seen a part of.

use serde_json::{Map, Value, json};
use sluice_core::openai::Operation;

use super::{DONE, data, typed};
use crate::stream::Shown;

/// One last chunk for each choice that is not finished.
pub(super) fn choices(operation: Operation, shown: &Shown) -> String {
    let mut open: Vec<u64> =
        shown.choices.iter().filter(|(_, finished)| !**finished).map(|(index, _)| *index).collect();
    if shown.choices.is_empty() {
        open.push(0);
    }
    let mut out = String::new();
    for index in open {
        out.push_str(&data(&last_chunk(operation, shown, index)));
    }
    out.push_str(DONE);
    out
}

fn last_chunk(operation: Operation, shown: &Shown, index: u64) -> Value {
    let mut choice = json!({"index": index, "logprobs": null, "finish_reason": "content_filter"});
    let (object, member, empty) = match operation {
        Operation::TextCompletion => ("text_completion", "text", json!("")),
        _ => ("chat.completion.chunk", "delta", json!({})),
    };
    set(&mut choice, member, empty);
    let mut chunk = json!({"object": object, "choices": [choice]});
    for name in ["id", "created", "model"] {
        set(&mut chunk, name, shown.head.get(name).cloned().unwrap_or_default());
    }
    chunk
}

/// The blocks that are open are closed, and the message stops with a refusal.
pub(super) fn message(shown: &Shown) -> String {
    let mut out = String::new();
    for index in &shown.blocks {
        out.push_str(&typed(&json!({"type": "content_block_stop", "index": index})));
    }
    if !shown.is_stopped {
        let delta = json!({"stop_reason": "refusal", "stop_sequence": null});
        let usage = json!({"output_tokens": 0});
        out.push_str(&typed(&json!({"type": "message_delta", "delta": delta, "usage": usage})));
    }
    out.push_str(&typed(&json!({"type": "message_stop"})));
    out
}

/// The response is incomplete, with the items that are whole.
pub(super) fn response(shown: &Shown) -> String {
    let mut response = match &shown.head {
        Value::Object(head) => Value::Object(head.clone()),
        _ => Value::Object(Map::new()),
    };
    set(&mut response, "status", json!("incomplete"));
    set(&mut response, "incomplete_details", json!({"reason": "content_filter"}));
    set(&mut response, "output", shown.items.values().cloned().collect());
    let mut event = json!({"type": "response.incomplete", "response": response});
    if let Some(number) = shown.sequence {
        set(&mut event, "sequence_number", json!(number));
    }
    typed(&event)
}

pub(super) fn set(object: &mut Value, name: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}
