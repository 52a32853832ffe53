//! Chat and text completions as OpenAI sends them
//! (<https://platform.openai.com/docs/api-reference/chat-streaming>), members in OpenAI's order.

use serde_json::{Value, json};

use super::voice::Voice;
use crate::script::Usage;

/// The first chunk of a stream: the role and no content.
pub(super) fn role(voice: &Voice<'_>) -> String {
    let delta = if voice.script.tools {
        r#"{"role":"assistant","content":null}"#.to_owned()
    } else {
        r#"{"role":"assistant","content":"","refusal":null}"#.to_owned()
    };
    chunk(voice, &delta, None, 0)
}

/// The content chunk `index`: text, reasoning or a piece of a tool call.
pub(super) fn content(voice: &Voice<'_>, index: usize) -> String {
    let word = &voice.words[index];
    let delta = if voice.script.tools {
        tool_piece(voice, index)
    } else if index < voice.reasoning_words() {
        json!({"reasoning_content": word})
    } else {
        json!({"content": word})
    };
    chunk(voice, &delta.to_string(), None, index + 1)
}

/// Finish reason, usage as the script and the request want it, `[DONE]`.
pub(super) fn closing(voice: &Voice<'_>, is_text: bool) -> Vec<String> {
    let output = voice.output_tokens();
    let reason = finish_reason(voice);
    let mut events = vec![if is_text {
        text(voice, "", Some(&reason), output)
    } else {
        chunk(voice, "{}", Some(&reason), output)
    }];
    let asked = voice.script.usage == Usage::Asked && voice.include_usage;
    if asked || voice.script.usage == Usage::Every {
        let object = if is_text { "text_completion" } else { "chat.completion.chunk" };
        let usage = format!(r#","usage":{}"#, voice.usage(output));
        events.push(envelope(voice, object, "[]", &usage));
    }
    events.push("data: [DONE]\n\n".to_owned());
    events
}

/// A chunk of a text completion.
pub(super) fn text(voice: &Voice<'_>, word: &str, reason: Option<&str>, output: usize) -> String {
    let (word, reason) = (json!(word), json!(reason));
    let choices = format!(r#"[{{"text":{word},"index":0,"logprobs":null,"finish_reason":{reason}}}]"#);
    envelope(voice, "text_completion", &choices, &chunk_usage(voice, !reason.is_null(), output))
}

/// A whole chat completion.
pub(super) fn whole(voice: &Voice<'_>) -> String {
    let mut message = json!({"role": "assistant", "content": voice.text(), "refusal": null});
    if voice.script.tools {
        message["content"] = Value::Null;
        message["tool_calls"] = json!([{"id": "call_1", "type": "function",
            "function": {"name": "get_weather", "arguments": arguments(voice).concat()}}]);
    }
    let choice = format!(
        r#"[{{"index":0,"message":{message},"logprobs":null,"finish_reason":{}}}]"#,
        json!(finish_reason(voice))
    );
    whole_body(voice, "chat.completion", &choice)
}

/// A whole text completion.
pub(super) fn whole_text(voice: &Voice<'_>) -> String {
    let (text, reason) = (json!(voice.text()), json!(finish_reason(voice)));
    let choice = format!(r#"[{{"text":{text},"index":0,"logprobs":null,"finish_reason":{reason}}}]"#);
    whole_body(voice, "text_completion", &choice)
}

fn whole_body(voice: &Voice<'_>, object: &str, choices: &str) -> String {
    let usage = match voice.script.usage {
        Usage::Never => String::new(),
        Usage::Null => r#","usage":null"#.to_owned(),
        _ => format!(r#","usage":{}"#, voice.usage(voice.output_tokens())),
    };
    format!("{{{}}}\n", members(voice, object, choices, &usage))
}

fn chunk(voice: &Voice<'_>, delta: &str, reason: Option<&str>, output: usize) -> String {
    let reason = json!(reason);
    let choices = format!(r#"[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{reason}}}]"#);
    envelope(voice, "chat.completion.chunk", &choices, &chunk_usage(voice, !reason.is_null(), output))
}

/// `usage` of a chunk with choices. OpenAI: "All other chunks will also include a usage field, but with a null
/// value" (<https://platform.openai.com/docs/api-reference/chat/create>, `stream_options`).
fn chunk_usage(voice: &Voice<'_>, is_last: bool, output: usize) -> String {
    match voice.script.usage {
        Usage::Asked if voice.include_usage => r#","usage":null"#.to_owned(),
        Usage::Null => r#","usage":null"#.to_owned(),
        Usage::Every => format!(r#","usage":{}"#, voice.usage(output)),
        Usage::Finish if is_last => format!(r#","usage":{}"#, voice.usage(output)),
        _ => String::new(),
    }
}

fn envelope(voice: &Voice<'_>, object: &str, choices: &str, usage: &str) -> String {
    format!("data: {{{},\"obfuscation\":\"k3yX\"}}\n\n", members(voice, object, choices, usage))
}

fn members(voice: &Voice<'_>, object: &str, choices: &str, usage: &str) -> String {
    let (model, provider) = (json!(voice.model), voice.provider);
    format!(
        concat!(
            r#""id":"chatcmpl-e2e","object":"{}","created":1700000000,"model":{},"service_tier":"default","#,
            r#""system_fingerprint":"fp_{}","choices":{}{}"#
        ),
        object, model, provider, choices, usage
    )
}

fn finish_reason(voice: &Voice<'_>) -> String {
    let right = if voice.script.tools { "tool_calls" } else { "stop" };
    voice.script.finish_reason.clone().unwrap_or_else(|| right.to_owned())
}

fn tool_piece(voice: &Voice<'_>, index: usize) -> Value {
    let piece = &arguments(voice)[index];
    if index == 0 {
        let function = json!({"name": "get_weather", "arguments": piece});
        return json!({"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]});
    }
    json!({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
}

/// The arguments of the tool call in as many pieces as there are words.
fn arguments(voice: &Voice<'_>) -> Vec<String> {
    let last = voice.words.len().saturating_sub(1);
    (0..=last)
        .map(|n| match n {
            0 => String::new(),
            _ if n == last => r#"{"city":"Zürich"}"#.to_owned(),
            _ => " ".to_owned(),
        })
        .collect()
}
