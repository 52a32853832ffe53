//! Every place where a model reads or writes text, with `@` for it.

use serde_json::Value;

use crate::speech::Speech;

const CHAT: &str = "/chat/completions";

/// Of requests: name, path after `/v1`, members beside `model`.
const ASKED: [(&str, &str, &str); 39] = [
    ("system", CHAT, r#"{"messages":[{"role":"system","content":"@"},{"role":"user","content":"hi"}]}"#),
    ("developer", CHAT, r#"{"messages":[{"role":"developer","content":"@"}]}"#),
    ("user", CHAT, r#"{"messages":[{"role":"user","content":"@"}]}"#),
    ("assistant", CHAT, r#"{"messages":[{"role":"assistant","content":"@"}]}"#),
    ("tool", CHAT, r#"{"messages":[{"role":"tool","tool_call_id":"c1","content":"@"}]}"#),
    (
        "tool-parts",
        CHAT,
        r#"{"messages":[{"role":"tool","tool_call_id":"c1","content":[{"type":"text","text":"@"}]}]}"#,
    ),
    (
        "part",
        CHAT,
        r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"@"}]}]}"#,
    ),
    (
        "beside-image",
        CHAT,
        r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}},{"type":"text","text":"@"}]}]}"#,
    ),
    ("refusal", CHAT, r#"{"messages":[{"role":"assistant","content":[{"type":"refusal","refusal":"@"}]}]}"#),
    ("name", CHAT, r#"{"messages":[{"role":"user","name":"@","content":"hi"}]}"#),
    (
        "arguments",
        CHAT,
        r#"{"messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"q\":{\"deep\":[\"@\"]}}"}}]}]}"#,
    ),
    ("reasoning", CHAT, r#"{"messages":[{"role":"assistant","reasoning_content":"@","content":"a"}]}"#),
    (
        "description",
        CHAT,
        r#"{"messages":[],"tools":[{"type":"function","function":{"name":"f","description":"@"}}]}"#,
    ),
    (
        "parameters",
        CHAT,
        r#"{"messages":[],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"a":{"type":"string","description":"@"}}}}}]}"#,
    ),
    (
        "enum",
        CHAT,
        r#"{"messages":[],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"a":{"type":"string","enum":["@"]}}}}}]}"#,
    ),
    (
        "schema",
        CHAT,
        r#"{"messages":[],"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object","description":"@"}}}}"#,
    ),
    ("prediction", CHAT, r#"{"messages":[],"prediction":{"type":"content","content":"@"}}"#),
    ("stop", CHAT, r#"{"messages":[],"stop":["@"]}"#),
    ("unknown", CHAT, r#"{"messages":[],"guidance":{"hint":{"more":["@"]}}}"#),
    ("unknown-name", CHAT, r#"{"messages":[],"guidance":{"@":1}}"#),
    ("prompt", "/completions", r#"{"prompt":"@"}"#),
    ("prompts", "/completions", r#"{"prompt":["a","@"]}"#),
    ("suffix", "/completions", r#"{"prompt":"a","suffix":"@"}"#),
    ("embedded", "/embeddings", r#"{"input":"@"}"#),
    ("embedded-list", "/embeddings", r#"{"input":["a","@"]}"#),
    ("input", "/responses", r#"{"input":"@"}"#),
    ("instructions", "/responses", r#"{"input":"hi","instructions":"@"}"#),
    (
        "input-part",
        "/responses",
        r#"{"input":[{"role":"user","content":[{"type":"input_text","text":"@"}]}]}"#,
    ),
    (
        "call-output",
        "/responses",
        r#"{"input":[{"type":"function_call_output","call_id":"c1","output":"@"}]}"#,
    ),
    (
        "call",
        "/responses",
        r#"{"input":[{"type":"function_call","call_id":"c1","name":"f","arguments":"{\"q\":\"@\"}"}]}"#,
    ),
    (
        "summary",
        "/responses",
        r#"{"input":[{"type":"reasoning","id":"r","summary":[{"type":"summary_text","text":"@"}]}]}"#,
    ),
    ("variable", "/responses", r#"{"prompt":{"id":"p","variables":{"who":"@"}}}"#),
    ("m-system", "/messages", r#"{"max_tokens":9,"system":"@","messages":[]}"#),
    ("m-system-part", "/messages", r#"{"max_tokens":9,"system":[{"type":"text","text":"@"}],"messages":[]}"#),
    (
        "m-result",
        "/messages",
        r#"{"max_tokens":9,"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"@"}]}]}]}"#,
    ),
    (
        "m-use",
        "/messages",
        r#"{"max_tokens":9,"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"n","input":{"a":{"b":"@"}}}]}]}"#,
    ),
    (
        "m-document",
        "/messages",
        r#"{"max_tokens":9,"messages":[{"role":"user","content":[{"type":"document","source":{"type":"text","media_type":"text/plain","data":"@"},"title":"t"}]}]}"#,
    ),
    (
        "m-thinking",
        "/messages",
        r#"{"max_tokens":9,"messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"@","signature":"s"}]}]}"#,
    ),
    (
        "m-tool",
        "/messages",
        r#"{"max_tokens":9,"messages":[],"tools":[{"name":"n","description":"@","input_schema":{"type":"object"}}]}"#,
    ),
];

/// Of whole answers: name, operation, body.
const SAID: [(&str, Speech, &str); 15] = [
    (
        "content",
        Speech::Chat,
        r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"@"},"finish_reason":"stop"}]}"#,
    ),
    (
        "reasoning",
        Speech::Chat,
        r#"{"choices":[{"index":0,"message":{"role":"assistant","reasoning_content":"@","content":"a"},"finish_reason":"stop"}]}"#,
    ),
    (
        "refusal",
        Speech::Chat,
        r#"{"choices":[{"index":0,"message":{"role":"assistant","content":null,"refusal":"@"},"finish_reason":"stop"}]}"#,
    ),
    (
        "arguments",
        Speech::Chat,
        r#"{"choices":[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"q\":[\"@\"]}"}}]},"finish_reason":"tool_calls"}]}"#,
    ),
    (
        "transcript",
        Speech::Chat,
        r#"{"choices":[{"index":0,"message":{"role":"assistant","content":null,"audio":{"id":"a","data":"AAAA","transcript":"@"}},"finish_reason":"stop"}]}"#,
    ),
    (
        "second",
        Speech::Chat,
        r#"{"choices":[{"index":0,"message":{"content":"fine"},"finish_reason":"stop"},{"index":1,"message":{"content":"@"},"finish_reason":"stop"}]}"#,
    ),
    (
        "unknown",
        Speech::Chat,
        r#"{"choices":[{"index":0,"message":{"content":"a","aside":{"more":["@"]}},"finish_reason":"stop"}]}"#,
    ),
    ("text", Speech::Text, r#"{"choices":[{"index":0,"text":"@","finish_reason":"stop"}]}"#),
    (
        "m-text",
        Speech::Messages,
        r#"{"type":"message","content":[{"type":"text","text":"@"}],"stop_reason":"end_turn"}"#,
    ),
    (
        "m-thinking",
        Speech::Messages,
        r#"{"type":"message","content":[{"type":"thinking","thinking":"@","signature":"s"},{"type":"text","text":"a"}],"stop_reason":"end_turn"}"#,
    ),
    (
        "m-tool",
        Speech::Messages,
        r#"{"type":"message","content":[{"type":"tool_use","id":"t","name":"n","input":{"a":"@"}}],"stop_reason":"tool_use"}"#,
    ),
    (
        "r-text",
        Speech::Responses,
        r#"{"status":"completed","output":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"@"}]}]}"#,
    ),
    (
        "r-refusal",
        Speech::Responses,
        r#"{"status":"completed","output":[{"type":"message","role":"assistant","content":[{"type":"refusal","refusal":"@"}]}]}"#,
    ),
    (
        "r-call",
        Speech::Responses,
        r#"{"status":"completed","output":[{"type":"function_call","call_id":"c","name":"f","arguments":"{\"q\":\"@\"}"}]}"#,
    ),
    (
        "r-summary",
        Speech::Responses,
        r#"{"status":"completed","output":[{"type":"reasoning","id":"r","summary":[{"type":"summary_text","text":"@"}]}]}"#,
    ),
];

/// Ways to hide a phrase in the structure of a chat request: what it is, and members beside `model`.
pub(crate) const HIDDEN: [(&str, &str); 21] = [
    ("escapes of JSON", r#""messages":[{"role":"user","content":"\u0069nternal \u0063odenam\u0065"}]"#),
    (
        "every letter escaped",
        r#""messages":[{"role":"user","content":"\u0069\u006e\u0074\u0065\u0072\u006e\u0061\u006c\u0020\u0063\u006f\u0064\u0065\u006e\u0061\u006d\u0065"}]"#,
    ),
    (
        "an escaped zero-width blank",
        r#""messages":[{"role":"user","content":"inter\u200bnal code\u00adname"}]"#,
    ),
    (
        "names of members escaped",
        r#""m\u0065ssages":[{"r\u006fle":"user","c\u006fntent":"internal codename"}]"#,
    ),
    (
        "escapes within tool arguments",
        r#""messages":[{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"q\":\"\\u0069nternal codename\"}"}}]}]"#,
    ),
    (
        "escaped line breaks within tool arguments",
        r#""messages":[{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"q\":\"internal\\ncodename\"}"}}]}]"#,
    ),
    (
        "two parts",
        r#""messages":[{"role":"user","content":[{"type":"text","text":"the internal "},{"type":"text","text":"codename"}]}]"#,
    ),
    (
        "a word in two parts",
        r#""messages":[{"role":"user","content":[{"type":"text","text":"inter"},{"type":"text","text":"nal code"},{"type":"text","text":"name"}]}]"#,
    ),
    (
        "parts around an image",
        r#""messages":[{"role":"user","content":[{"type":"text","text":"internal "},{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}},{"type":"text","text":"codename"}]}]"#,
    ),
    (
        "a nested tool result",
        r#""messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"tool_result","tool_use_id":"u","content":[{"type":"text","text":"internal codename"}]}]}]}]"#,
    ),
    (
        "a tool result in two parts",
        r#""messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"internal"},{"type":"text","text":" codename"}]}]}]"#,
    ),
    (
        "a member twice",
        r#""messages":[{"role":"user","content":"internal codename"}],"messages":[{"role":"user","content":"hi"}]"#,
    ),
    ("a content twice", r#""messages":[{"role":"user","content":"internal codename","content":"hi"}]"#),
    (
        "a member of other capitals",
        r#""messages":[{"role":"user","Content":"internal codename","content":"hi"}]"#,
    ),
    ("a role", r#""messages":[{"role":"internal codename","content":"hi"}]"#),
    ("a setting", r#""messages":[],"reasoning_effort":"internal codename""#),
    ("an id", r#""messages":[{"role":"tool","tool_call_id":"internal codename","content":"hi"}]"#),
    (
        "text that says it is a file",
        r#""messages":[{"role":"user","content":[{"type":"file","file":{"file_data":"internal codename"}}]}]"#,
    ),
    (
        "text that says it is an image",
        r#""messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:,internal codename"}}]}]"#,
    ),
    ("a surrogate pair", r#""messages":[{"role":"user","content":"\ud835\udc22nternal codename"}]"#),
    ("half a surrogate before it", r#""messages":[{"role":"user","content":"\ud835 internal codename"}]"#),
];

fn filled(json: &str, text: &str) -> Value {
    serde_json::from_str(&json.replace('@', text)).expect("JSON")
}

/// Requests with `text` in each place: name, path, members beside `model`. `text` needs no escapes.
pub(crate) fn asked(text: &str) -> impl Iterator<Item = (&'static str, &'static str, Value)> {
    ASKED.into_iter().map(move |(place, path, json)| (place, path, filled(json, text)))
}

/// Whole answers with `text` in each place: name, operation, body. `text` needs no escapes.
pub(crate) fn said(text: &str) -> impl Iterator<Item = (&'static str, Speech, Value)> {
    SAID.into_iter().map(move |(place, speech, json)| (place, speech, filled(json, text)))
}
