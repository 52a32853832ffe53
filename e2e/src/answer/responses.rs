//! The Responses API as OpenAI streams it (<https://platform.openai.com/docs/api-reference/responses-streaming>).

use serde_json::{Value, json};

use super::voice::{CACHED_TOKENS, INPUT_TOKENS, Voice};
use crate::script::Usage;

/// Events before the first delta.
pub(super) fn opening(voice: &Voice<'_>) -> Vec<String> {
    let part = json!({"type": "output_text", "text": "", "annotations": [], "logprobs": []});
    vec![
        event("response.created", 0, json!({"response": whole(voice, "in_progress")})),
        event("response.output_item.added", 1, json!({"output_index": 0, "item": item("", "in_progress")})),
        event(
            "response.content_part.added",
            2,
            json!({"item_id": "msg_1", "output_index": 0, "content_index": 0, "part": part}),
        ),
    ]
}

/// One delta.
pub(super) fn content(voice: &Voice<'_>, index: usize) -> String {
    let delta = json!({"item_id": "msg_1", "output_index": 0, "content_index": 0, "delta": voice.words[index], "logprobs": []});
    event("response.output_text.delta", 3 + index, delta)
}

/// Events after the last delta. There is no `[DONE]`: `response.completed` ends the stream.
pub(super) fn closing(voice: &Voice<'_>) -> Vec<String> {
    let next = 3 + voice.words.len();
    let text = json!({"item_id": "msg_1", "output_index": 0, "content_index": 0, "text": voice.text(), "logprobs": []});
    vec![
        event("response.output_text.done", next, text),
        event(
            "response.output_item.done",
            next + 1,
            json!({"output_index": 0, "item": item(&voice.text(), "completed")}),
        ),
        event("response.completed", next + 2, json!({"response": whole(voice, "completed")})),
    ]
}

/// A response object; with output and usage once it is `completed`.
pub(super) fn whole(voice: &Voice<'_>, status: &str) -> Value {
    let is_complete = status == "completed";
    let output =
        if is_complete && !voice.script.empty { json!([item(&voice.text(), status)]) } else { json!([]) };
    let usage = if is_complete && voice.script.usage != Usage::Never { usage(voice) } else { Value::Null };
    json!({
        "id": "resp_e2e", "object": "response", "created_at": 1_700_000_000, "status": status, "error": null,
        "model": voice.model, "output": output, "parallel_tool_calls": true, "tool_choice": "auto", "tools": [],
        "usage": usage,
    })
}

fn usage(voice: &Voice<'_>) -> Value {
    let output = voice.output_tokens();
    json!({
        "input_tokens": INPUT_TOKENS, "input_tokens_details": {"cached_tokens": CACHED_TOKENS},
        "output_tokens": output, "output_tokens_details": {"reasoning_tokens": voice.reasoning_words()},
        "total_tokens": INPUT_TOKENS + output,
    })
}

fn item(text: &str, status: &str) -> Value {
    let content = if text.is_empty() {
        json!([])
    } else {
        json!([{"type": "output_text", "text": text, "annotations": []}])
    };
    json!({"id": "msg_1", "type": "message", "role": "assistant", "status": status, "content": content})
}

fn event(name: &str, sequence: usize, mut data: Value) -> String {
    data["type"] = json!(name);
    data["sequence_number"] = json!(sequence);
    format!("event: {name}\ndata: {data}\n\n")
}
