//! Requests and answers of all operations whose answers are text, whole and as streams, cut wherever a test wants.

use serde_json::{Value, json};
use sluice_e2e::client::Reply;
use sluice_e2e::sse::Event;

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    Chat,
    Text,
    Messages,
    Responses,
}

impl Speech {
    pub(crate) const ALL: [Self; 4] = [Self::Chat, Self::Text, Self::Messages, Self::Responses];

    /// Its path after `/v1`.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Chat => "/chat/completions",
            Self::Text => "/completions",
            Self::Messages => "/messages",
            Self::Responses => "/responses",
        }
    }

    /// Its name in models of tests.
    pub(crate) fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// A request that says `text`.
    pub(crate) fn ask(self, model: &str, text: &str, stream: bool) -> Value {
        let mut body = json!({"model": model, "stream": stream});
        match self {
            Self::Chat => body["messages"] = json!([{"role": "user", "content": text}]),
            Self::Text => body["prompt"] = json!(text),
            Self::Messages => {
                body["messages"] = json!([{"role": "user", "content": text}]);
                body["max_tokens"] = json!(50);
            }
            Self::Responses => body["input"] = json!(text),
        }
        body
    }

    /// A whole answer.
    pub(crate) fn whole(self, text: &str) -> String {
        let body = match self {
            Self::Chat => {
                json!({"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": [
                {"index": 0, "message": {"role": "assistant", "content": text, "refusal": null}, "logprobs": null, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}})
            }
            Self::Text => {
                json!({"id": "c1", "object": "text_completion", "created": 1, "model": "m", "choices": [
                {"index": 0, "text": text, "logprobs": null, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}})
            }
            Self::Messages => json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m",
                "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "stop_sequence": null,
                "usage": {"input_tokens": 11, "output_tokens": 5}}),
            Self::Responses => response("completed", &[item(text)]),
        };
        body.to_string()
    }

    /// A stream of `deltas`.
    pub(crate) fn stream(self, deltas: &[&str]) -> String {
        match self {
            Self::Chat => {
                chunks(&deltas.iter().map(|delta| json!({"content": delta})).collect::<Vec<_>>(), "stop")
            }
            Self::Text => completion(deltas),
            Self::Messages => message(&[("text_delta", "text", deltas)]),
            Self::Responses => responses(deltas),
        }
    }

    /// The text of an answer, whole or streamed, as far as it came: everything that the model said.
    pub(crate) fn said(self, reply: &Reply) -> String {
        if reply.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")) {
            return self.streamed(&reply.events());
        }
        let paths: &[&str] = match self {
            Self::Chat => &["/choices/0/message/content"],
            Self::Text => &["/choices/0/text"],
            Self::Messages => &["/content/0/text"],
            Self::Responses => &["/output/0/content/0/text", "/output/0/content/0/refusal"],
        };
        let body = reply.json();
        paths.iter().find_map(|path| body.pointer(path)?.as_str()).unwrap_or_default().to_owned()
    }

    pub(crate) fn streamed(self, events: &[Event]) -> String {
        let path = match self {
            Self::Chat => "/choices/0/delta/content",
            Self::Text => "/choices/0/text",
            Self::Messages => "/delta/text",
            Self::Responses => "/delta",
        };
        events.iter().filter_map(|event| Some(event.json().pointer(path)?.as_str()?.to_owned())).collect()
    }

    /// How an answer with status 200 ends: the reason it gives, or the error.
    pub(crate) fn ending(self, reply: &Reply) -> String {
        if reply.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")) {
            return self.stream_ending(&reply.events());
        }
        let body = reply.json();
        if let Some(code) = error_code(&body) {
            return format!("error {code}");
        }
        let reason = match self {
            Self::Chat | Self::Text => &body["choices"][0]["finish_reason"],
            Self::Messages => &body["stop_reason"],
            Self::Responses if body["status"] == "incomplete" => &body["incomplete_details"]["reason"],
            Self::Responses => &body["status"],
        };
        reason.as_str().unwrap_or("nothing").to_owned()
    }

    fn stream_ending(self, events: &[Event]) -> String {
        let Some(last) = events.last() else { return "nothing".to_owned() };
        let error = (last.name == "error").then(|| last.json()["code"].as_str().map(str::to_owned)).flatten();
        if let Some(code) = error.or_else(|| error_code(&last.json())) {
            return format!("error {code}");
        }
        let before = |kind: &str| {
            let found = events.iter().rev().find(|event| event.json()["type"] == kind);
            found.map(Event::json).unwrap_or_default()
        };
        let reason = match self {
            Self::Chat | Self::Text if last.data == "[DONE]" => events
                .iter()
                .rev()
                .find_map(|event| Some(event.json()["choices"][0]["finish_reason"].as_str()?.to_owned())),
            Self::Messages if last.json()["type"] == "message_stop" => {
                before("message_delta")["delta"]["stop_reason"].as_str().map(str::to_owned)
            }
            Self::Responses if last.json()["type"] == "response.incomplete" => {
                last.json()["response"]["incomplete_details"]["reason"].as_str().map(str::to_owned)
            }
            Self::Responses if last.json()["type"] == "response.completed" => Some("completed".to_owned()),
            _ => None,
        };
        reason.unwrap_or_else(|| "nothing".to_owned())
    }

    /// What an answer that ends by itself ends with.
    pub(crate) const fn stop(self) -> &'static str {
        match self {
            Self::Chat | Self::Text => "stop",
            Self::Messages => "end_turn",
            Self::Responses => "completed",
        }
    }

    /// What an answer that was withheld ends with.
    pub(crate) const fn filtered(self) -> &'static str {
        match self {
            Self::Messages => "refusal",
            _ => "content_filter",
        }
    }
}

/// The code of an error, whole or as an event; in Anthropic's shape its type.
pub(crate) fn error_code(body: &Value) -> Option<String> {
    let error = body.get("error").filter(|error| !error.is_null())?;
    let code = error["code"].as_str().or_else(|| error["type"].as_str()).unwrap_or("without a code");
    Some(code.to_owned())
}

/// A stream of chat chunks with these deltas.
pub(crate) fn chunks(deltas: &[Value], finish: &str) -> String {
    let choice =
        |delta: &Value| json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": null}]);
    let mut events = vec![chunk(&choice(&json!({"role": "assistant", "content": ""})))];
    events.extend(deltas.iter().map(|delta| chunk(&choice(delta))));
    events.push(chunk(&json!([{"index": 0, "delta": {}, "logprobs": null, "finish_reason": finish}])));
    events.concat() + "data: [DONE]\n\n"
}

/// One chunk with these choices.
pub(crate) fn chunk(choices: &Value) -> String {
    let chunk = json!({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices});
    format!("data: {chunk}\n\n")
}

fn completion(deltas: &[&str]) -> String {
    let chunk = |text: &str, finish: Value| {
        let choice = json!([{"index": 0, "text": text, "logprobs": null, "finish_reason": finish}]);
        let chunk =
            json!({"id": "c1", "object": "text_completion", "created": 1, "model": "m", "choices": choice});
        format!("data: {chunk}\n\n")
    };
    let events: String = deltas.iter().map(|text| chunk(text, Value::Null)).collect();
    events + &chunk("", json!("stop")) + "data: [DONE]\n\n"
}

fn typed(event: &Value) -> String {
    format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default())
}

/// A stream of the Messages API: for each block the type of its deltas, their member, and what they say.
pub(crate) fn message(blocks: &[(&str, &str, &[&str])]) -> String {
    let head = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 11, "output_tokens": 1}});
    let mut events = vec![json!({"type": "message_start", "message": head})];
    for (index, (kind, member, deltas)) in blocks.iter().enumerate() {
        let block = match *kind {
            "thinking_delta" => json!({"type": "thinking", "thinking": "", "signature": ""}),
            "input_json_delta" => json!({"type": "tool_use", "id": "t1", "name": "send", "input": {}}),
            _ => json!({"type": "text", "text": ""}),
        };
        events.push(json!({"type": "content_block_start", "index": index, "content_block": block}));
        for delta in *deltas {
            let mut said = json!({"type": kind});
            said[*member] = json!(delta);
            events.push(json!({"type": "content_block_delta", "index": index, "delta": said}));
        }
        events.push(json!({"type": "content_block_stop", "index": index}));
    }
    let stop = json!({"stop_reason": "end_turn", "stop_sequence": null});
    events.push(json!({"type": "message_delta", "delta": stop, "usage": {"output_tokens": 5}}));
    events.push(json!({"type": "message_stop"}));
    events.iter().map(typed).collect()
}

fn item(text: &str) -> Value {
    json!({"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": []}]})
}

fn response(status: &str, output: &[Value]) -> Value {
    let usage = json!({"input_tokens": 11, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 16});
    json!({"id": "resp_1", "object": "response", "created_at": 1, "status": status, "error": null, "model": "m",
        "output": output, "parallel_tool_calls": true, "tool_choice": "auto", "tools": [],
        "usage": if status == "completed" { usage } else { Value::Null }})
}

fn responses(deltas: &[&str]) -> String {
    let text = deltas.concat();
    let mut begun = item("");
    begun["content"] = json!([]);
    let place = json!({"item_id": "msg_1", "output_index": 0, "content_index": 0});
    let at = |kind: &str, member: &str, value: Value| {
        let mut event = place.clone();
        event["type"] = json!(kind);
        event[member] = value;
        event
    };
    let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []});
    let mut events = vec![
        json!({"type": "response.created", "response": response("in_progress", &[])}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": begun}),
        at("response.content_part.added", "part", part("")),
    ];
    events.extend(deltas.iter().map(|delta| at("response.output_text.delta", "delta", json!(delta))));
    events.push(at("response.output_text.done", "text", json!(text)));
    events.push(at("response.content_part.done", "part", part(&text)));
    events.push(json!({"type": "response.output_item.done", "output_index": 0, "item": item(&text)}));
    events.push(json!({"type": "response.completed", "response": response("completed", &[item(&text)])}));
    for (number, event) in events.iter_mut().enumerate() {
        event["sequence_number"] = json!(number);
    }
    events.iter().map(typed).collect()
}
