//! What is stored, and what is not.

use super::super::{Judged, NotStored, judge};
use super::*;

#[track_caller]
fn check(operation: Operation, form: Form, body: &[u8], want: Result<&str, &'static str>) {
    let got = judge(operation, form, body);
    let got = got.as_ref().map(|judged| judged.finish_reason.as_str()).map_err(|NotStored(reason)| *reason);
    assert_eq!(got, want, "{}", String::from_utf8_lossy(body));
}

#[test]
fn recorded_streams_are_judged() {
    for (operation, name, want) in [
        (Operation::Chat, "chat-usage", Ok("stop")),
        (Operation::Chat, "chat-plain", Ok("stop")),
        (Operation::Chat, "chat-crlf", Ok("stop")),
        (Operation::Chat, "chat-cr", Ok("stop")),
        (Operation::Chat, "chat-no-final-blank-line", Ok("stop")),
        (Operation::Chat, "chat-tools", Ok("tool_calls")),
        (Operation::Chat, "chat-reasoning-comments", Ok("stop")),
        (Operation::Chat, "chat-usage-every-chunk", Ok("stop")),
        (Operation::Chat, "chat-error-first", Err("error")),
        (Operation::Chat, "chat-role-then-error", Err("error")),
        (Operation::Chat, "chat-empty", Err("empty")),
        (Operation::Chat, "chat-cut", Err("cut")),
        (Operation::TextCompletion, "text-completion", Err("length")),
        (Operation::Messages, "messages", Ok("end_turn")),
        (Operation::Messages, "messages-error", Err("error")),
        (Operation::Responses, "responses", Ok("completed")),
        (Operation::Responses, "responses-failed", Err("error")),
    ] {
        check(operation, Form::Stream, &recorded(name), want);
    }
}

#[test]
fn every_stream_that_ends_early_is_refused() {
    for (operation, name) in [
        (Operation::Chat, "chat-usage"),
        (Operation::Chat, "chat-tools"),
        (Operation::Messages, "messages"),
        (Operation::Responses, "responses"),
    ] {
        let stream = recorded(name);
        let end = stream.trim_ascii_end().len();
        for cut in 0..end {
            let verdict = judge(operation, Form::Stream, &stream[..cut]);
            assert!(verdict.is_err(), "{name} cut at {cut}: {verdict:?}");
        }
    }
}

#[test]
fn what_is_judged_is_told() {
    let verdict = judge(Operation::Messages, Form::Stream, &recorded("messages"));
    let want = Judged {
        finish_reason: "end_turn".to_owned(),
        model: "claude-3-7-sonnet-20250219".to_owned(),
        input_tokens: 31,
        output_tokens: 15,
        has_usage: true,
    };
    assert_eq!(verdict, Ok(want));
    let plain = judge(Operation::Chat, Form::Stream, &recorded("chat-plain")).unwrap();
    assert!(!plain.has_usage && plain.input_tokens == 0);
}

/// What makes a document with this end, and the ends that are normal.
type Maker<'a> = (Operation, &'a dyn Fn(&str) -> String, &'a [&'a str]);

#[test]
fn documents_are_judged_by_how_they_ended() {
    let chat = |end: &str| {
        format!(r#"{{"choices":[{{"index":0,"message":{{"content":"x"}},"finish_reason":{end}}}]}}"#)
    };
    let text = |end: &str| format!(r#"{{"choices":[{{"index":0,"text":"x","finish_reason":{end}}}]}}"#);
    let message = |end: &str| format!(r#"{{"content":[{{"type":"text","text":"x"}}],"stop_reason":{end}}}"#);
    let response = |end: &str| format!(r#"{{"status":{end},"output":[{{"type":"message"}}],"error":null}}"#);
    let makers: [Maker<'_>; 4] = [
        (Operation::Chat, &chat, &["stop", "tool_calls", "function_call"]),
        (Operation::TextCompletion, &text, &["stop"]),
        (Operation::Messages, &message, &["end_turn", "stop_sequence", "tool_use"]),
        (Operation::Responses, &response, &["completed"]),
    ];
    for (operation, make, normal) in makers {
        for end in normal {
            check(operation, Form::Document, make(&format!("{end:?}")).as_bytes(), Ok(end));
        }
        for (end, reason) in [
            ("\"length\"", "length"),
            ("\"max_tokens\"", "length"),
            ("\"content_filter\"", "content_filter"),
            ("\"refusal\"", "refusal"),
            ("\"pause_turn\"", "finish_reason"),
            ("\"in_progress\"", "finish_reason"),
            ("1", "finish_reason"),
            ("null", "cut"),
        ] {
            check(operation, Form::Document, make(end).as_bytes(), Err(reason));
        }
    }
}

#[test]
fn documents_that_are_no_answers_are_refused() {
    let filtered =
        r#"{"status":"incomplete","incomplete_details":{"reason":"content_filter"},"output":[{}]}"#;
    let long = r#"{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[{}]}"#;
    for (operation, body, reason) in [
        (Operation::Chat, "", "json"),
        (Operation::Chat, "[]", "json"),
        (Operation::Chat, "{", "json"),
        (Operation::Chat, "{}", "json"),
        (Operation::Chat, "{} x", "json"),
        (Operation::Chat, r#"{"choices":[]}"#, "choices"),
        (Operation::Chat, r#"{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}]}"#, "json"),
        (Operation::Chat, r#"{"choices":[],"choices":[]}"#, "json"),
        (Operation::Chat, r#"{"error":{"code":"x"},"choices":[]}"#, "error"),
        (Operation::Chat, r#"{"err\u006fr":{"code":"x"},"choices":[]}"#, "json"),
        (Operation::Chat, r#"{"choices":[{"index":0,"finish_reason":"stop","error":{"code":1}}]}"#, "error"),
        (Operation::Messages, r#"{"type":"error","error":{"type":"overloaded_error"}}"#, "error"),
        (Operation::Messages, r#"{"content":[],"stop_reason":"end_turn"}"#, "empty"),
        (Operation::Messages, r#"{"stop_reason":"end_turn"}"#, "json"),
        (Operation::Responses, filtered, "content_filter"),
        (Operation::Responses, long, "length"),
        (Operation::Responses, r#"{"status":"completed"}"#, "json"),
        (Operation::Responses, r#"{"status":"failed","error":{"code":"x"},"output":[]}"#, "error"),
        (Operation::Embeddings, r#"{"data":1}"#, "json"),
        (Operation::Embeddings, r#"{"error":{"code":"x"}}"#, "error"),
        (Operation::Other, "{}", "form"),
    ] {
        check(operation, Form::Document, body.as_bytes(), Err(reason));
    }
}

#[test]
fn embeddings_are_stored_as_documents_only() {
    let body = br#"{"object":"list","data":[{"embedding":[0.1]}],"model":"e","usage":{"prompt_tokens":3}}"#;
    let judged = judge(Operation::Embeddings, Form::Document, body).unwrap();
    assert_eq!((judged.model.as_str(), judged.input_tokens, judged.has_usage), ("e", 3, true));
    check(Operation::Embeddings, Form::Stream, b"data: {}\n\n", Err("form"));
    assert_eq!(replay(Operation::Embeddings, Form::Document, body, DOCUMENT), Some(body.to_vec()));
    assert_eq!(replay(Operation::Embeddings, Form::Document, body, STREAM), None);
}

#[test]
fn streams_of_choices_are_refused_for_the_least_doubt() {
    let end = r#"{"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}"#;
    let open = r#"{"choices":[{"index":1,"delta":{"content":"x"},"finish_reason":null}]}"#;
    let long = r#"{"choices":[{"index":1,"delta":{},"finish_reason":"length"}]}"#;
    let filtered = r#"{"choices":[{"index":1,"delta":{},"finish_reason":"content_filter"}]}"#;
    for (events, want) in [
        (vec![end, "[DONE]"], Ok("stop")),
        (vec![end], Err("cut")),
        (vec![end, open, "[DONE]"], Err("cut")),
        (vec![end, open, long, "[DONE]"], Err("length")),
        (vec![end, filtered, "[DONE]"], Err("content_filter")),
        (vec![end, "[DONE]", end], Err("json")),
        (vec!["[DONE]"], Err("choices")),
        (vec![end, "{", "[DONE]"], Err("json")),
        (vec![end, r#"{"error":{"message":"x"}}"#, "[DONE]"], Err("error")),
        (vec![r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#, "[DONE]"], Err("json")),
    ] {
        check(Operation::Chat, Form::Stream, sse(&events).as_bytes(), want);
    }
}

#[test]
fn typed_streams_may_end_like_the_older_ones() {
    for (operation, name) in [(Operation::Messages, "messages"), (Operation::Responses, "responses")] {
        let stream = [recorded(name), b"data: [DONE]\n\n".to_vec()].concat();
        assert!(judge(operation, Form::Stream, &stream).is_ok());
        assert!(replay(operation, Form::Stream, &stream, DOCUMENT).is_some());
        let stream = [recorded(name), b"data: {\"type\":\"ping\"}\n\n".to_vec()].concat();
        assert!(judge(operation, Form::Stream, &stream).is_err());
    }
}

#[test]
fn a_message_without_the_end_of_a_block_is_cut() {
    let stream = String::from_utf8(recorded("messages")).unwrap();
    let open = stream.replace(r#"{"type":"content_block_stop","index":0}"#, r#"{"type":"ping"}"#);
    check(Operation::Messages, Form::Stream, open.as_bytes(), Err("cut"));
}

#[test]
fn an_event_too_large_to_be_read_is_refused() {
    let filler = "x".repeat(sluice_core::sse::MAX_EVENT_BYTES);
    let chunk =
        format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"{filler}"}},"finish_reason":"stop"}}]}}"#);
    check(Operation::Chat, Form::Stream, sse(&[&chunk, "[DONE]"]).as_bytes(), Err("size"));
}
