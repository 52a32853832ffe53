//! Answers that say nothing but why there is none.

use serde_json::{Value, json};
use sluice_core::openai::Operation;

use super::cut::set;
use super::{DONE, Frame, data, typed};

/// The whole answer; none for operations whose answers hold no text.
pub(super) fn answer(operation: Operation, frame: Frame<'_>, message: &str) -> Option<Value> {
    match operation {
        Operation::Chat => Some(chat(frame, message)),
        Operation::TextCompletion => Some(completion(frame, message)),
        Operation::Messages => Some(messages(frame, message)),
        Operation::Responses => Some(response(frame, message)),
        Operation::Embeddings | Operation::Other => None,
    }
}

fn chat(Frame { model, created_s, id }: Frame<'_>, message: &str) -> Value {
    let said = json!({"role": "assistant", "content": message, "refusal": null});
    json!({
        "id": format!("chatcmpl-{id}"), "object": "chat.completion", "created": created_s, "model": model,
        "choices": [{"index": 0, "message": said, "logprobs": null, "finish_reason": "content_filter"}],
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    })
}

fn completion(Frame { model, created_s, id }: Frame<'_>, message: &str) -> Value {
    json!({
        "id": format!("cmpl-{id}"), "object": "text_completion", "created": created_s, "model": model,
        "choices": [{"index": 0, "text": message, "logprobs": null, "finish_reason": "content_filter"}],
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    })
}

fn messages(Frame { model, id, .. }: Frame<'_>, message: &str) -> Value {
    json!({
        "id": format!("msg_{id}"), "type": "message", "role": "assistant", "model": model,
        "content": [{"type": "text", "text": message}], "stop_reason": "refusal", "stop_sequence": null,
        "usage": {"input_tokens": 0, "output_tokens": 0},
    })
}

fn response(Frame { model, created_s, id }: Frame<'_>, message: &str) -> Value {
    let item = json!({
        "id": format!("msg_{id}"), "type": "message", "status": "completed", "role": "assistant",
        "content": [{"type": "refusal", "refusal": message}],
    });
    let details = json!({"cached_tokens": 0});
    let reasoning = json!({"reasoning_tokens": 0});
    json!({
        "id": format!("resp_{id}"), "object": "response", "created_at": created_s, "model": model,
        "status": "incomplete", "error": null, "incomplete_details": {"reason": "content_filter"},
        "instructions": null, "metadata": {}, "output": [item], "parallel_tool_calls": true,
        "temperature": null, "tool_choice": "auto", "tools": [], "top_p": null,
        "usage": {
            "input_tokens": 0, "input_tokens_details": details,
            "output_tokens": 0, "output_tokens_details": reasoning, "total_tokens": 0,
        },
    })
}

/// The same as a stream.
pub(super) fn stream(operation: Operation, answer: &Value, message: &str) -> String {
    match operation {
        Operation::Messages => message_events(answer, message),
        Operation::Responses => response_events(answer, message),
        _ => chunks(operation, answer, message),
    }
}

fn chunks(operation: Operation, answer: &Value, message: &str) -> String {
    let choice = |said: Value, reason: Value| {
        let mut choice = json!({"index": 0, "logprobs": null, "finish_reason": reason});
        set(&mut choice, if operation == Operation::Chat { "delta" } else { "text" }, said);
        choice
    };
    let (first, last) = match operation {
        Operation::Chat => (json!({"role": "assistant", "content": message, "refusal": null}), json!({})),
        _ => (json!(message), json!("")),
    };
    let object = if operation == Operation::Chat { "chat.completion.chunk" } else { "text_completion" };
    let chunk = |choice: Value| {
        let mut chunk = json!({"object": object, "choices": [choice]});
        for name in ["id", "created", "model"] {
            set(&mut chunk, name, answer.get(name).cloned().unwrap_or_default());
        }
        data(&chunk)
    };
    chunk(choice(first, Value::Null)) + &chunk(choice(last, json!("content_filter"))) + DONE
}

fn message_events(answer: &Value, message: &str) -> String {
    let mut start = answer.clone();
    set(&mut start, "content", json!([]));
    set(&mut start, "stop_reason", Value::Null);
    let stop = json!({"stop_reason": "refusal", "stop_sequence": null});
    [
        json!({"type": "message_start", "message": start}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": message}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": stop, "usage": {"output_tokens": 0}}),
        json!({"type": "message_stop"}),
    ]
    .iter()
    .map(typed)
    .collect()
}

fn response_events(answer: &Value, message: &str) -> String {
    let mut begun = answer.clone();
    for (name, value) in [
        ("status", json!("in_progress")),
        ("incomplete_details", Value::Null),
        ("output", json!([])),
        ("usage", Value::Null),
    ] {
        set(&mut begun, name, value);
    }
    let item = answer.pointer("/output/0").cloned().unwrap_or_default();
    let mut empty = item.clone();
    set(&mut empty, "content", json!([]));
    set(&mut empty, "status", json!("in_progress"));
    let part = json!({"type": "refusal", "refusal": message});
    let no_part = json!({"type": "refusal", "refusal": ""});
    let id = item.get("id").cloned().unwrap_or_default();
    let place = |kind: &str, name: &str, value: Value| {
        let mut event = json!({"type": kind, "item_id": id, "output_index": 0, "content_index": 0});
        set(&mut event, name, value);
        event
    };
    let mut events = [
        json!({"type": "response.created", "response": begun}),
        json!({"type": "response.in_progress", "response": begun}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": empty}),
        place("response.content_part.added", "part", no_part),
        place("response.refusal.delta", "delta", json!(message)),
        place("response.refusal.done", "refusal", json!(message)),
        place("response.content_part.done", "part", part),
        json!({"type": "response.output_item.done", "output_index": 0, "item": item}),
        json!({"type": "response.incomplete", "response": answer}),
    ];
    for (number, event) in events.iter_mut().enumerate() {
        set(event, "sequence_number", json!(number));
    }
    events.iter().map(typed).collect()
}
