//! The scripted provider itself: a broken mock would make every suite lie.

use serde_json::json;

use super::*;
use crate::script::Usage;
use crate::sse;

fn asked(path: &str, extra: Value) -> Asked {
    let mut body = json!({"model": "m", "stream": true});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    Asked::new(path, &body)
}

fn chat(script: Value) -> Answer {
    Answer::new("a", &asked("/v1/chat/completions", json!({})), &Script::json(script))
}

#[test]
fn a_healthy_stream_says_all_and_ends_with_done() {
    for path in ["/v1/chat/completions", "/v1/completions"] {
        let answer = Answer::new("a", &asked(path, json!({})), &Script::default());
        let events = sse::events(&answer.bytes());
        assert!(sse::is_done(&events), "{path}");
        assert_eq!(sse::text(&events), "Hello from a, café 你好 🚰 2 3 4", "{path}");
    }
}

#[test]
fn usage_comes_only_when_asked_for() {
    let path = "/v1/chat/completions";
    let without = String::from_utf8(chat(json!({})).bytes()).unwrap();
    assert!(!without.contains("usage"));
    let options = json!({"stream_options": {"include_usage": true}});
    let with =
        String::from_utf8(Answer::new("a", &asked(path, options), &Script::default()).bytes()).unwrap();
    assert_eq!(with.matches(r#","usage":null"#).count(), 7);
    assert_eq!(with.matches(r#""choices":[],"usage":{"#).count(), 1);
}

#[test]
fn every_fault_ends_the_stream_where_it_should() {
    for (script, chunks, last) in [
        (json!({"error_first": true}), 1, None),
        (json!({"error_after": 0}), 2, None),
        (json!({"cut_after": 2}), 3, Some(Step::Pause(Duration::ZERO))),
        (json!({"reset_after": 2}), 3, Some(Step::Reset)),
        (json!({"hang_after": 0}), 1, Some(Step::Hang)),
        (json!({"empty": true}), 3, None),
    ] {
        let answer = chat(script.clone());
        let sent = answer.body.iter().filter(|step| matches!(step, Step::Data(_))).count();
        assert_eq!(sent, chunks, "{script}");
        assert!(last.is_none() || answer.body.last() == last.as_ref(), "{script}");
        assert_eq!(
            !sse::errors(&sse::events(&answer.bytes())).is_empty(),
            script.to_string().contains("error")
        );
    }
}

#[test]
fn pieces_and_line_ends_change_no_event() {
    let plain = sse::events(&chat(json!({})).bytes());
    for script in [json!({"write_size": 1}), json!({"crlf": true}), json!({"comments": true})] {
        assert_eq!(sse::events(&chat(script.clone()).bytes()), plain, "{script}");
    }
}

#[test]
fn a_truncated_body_claims_its_full_length() {
    let request = Asked::new("/v1/chat/completions", &json!({"model": "m"}));
    let full = Answer::new("a", &request, &Script::default());
    let cut = Answer::new("a", &request, &Script { truncate: Some(10), ..Script::default() });
    assert_eq!((cut.length, cut.bytes().len()), (full.length, 10));
}

#[test]
fn whole_bodies_are_json_of_their_operation() {
    for (path, object, tokens) in [
        ("/v1/chat/completions", "chat.completion", 5),
        ("/v1/completions", "text_completion", 5),
        ("/v1/embeddings", "list", 0),
        ("/v1/responses", "response", 5),
    ] {
        let request = Asked::new(path, &json!({"model": "m"}));
        let body: Value =
            serde_json::from_slice(&Answer::new("a", &request, &Script::default()).bytes()).unwrap();
        assert_eq!((body["object"].as_str(), body["model"].as_str()), (Some(object), Some("m@a")), "{path}");
        let usage = &body["usage"];
        let output = usage.get("completion_tokens").or_else(|| usage.get("output_tokens"));
        assert_eq!(output.and_then(Value::as_u64).unwrap_or_default(), tokens, "{path}");
    }
}

#[test]
fn usage_is_where_the_script_wants_it() {
    for (usage, count) in [(Usage::Finish, 1), (Usage::Every, 8), (Usage::Null, 0), (Usage::Never, 0)] {
        let script = Script { usage, ..Script::default() };
        let answer = Answer::new("a", &asked("/v1/chat/completions", json!({})), &script);
        let text = String::from_utf8(answer.bytes()).unwrap();
        assert_eq!(text.matches(r#""prompt_tokens":11"#).count(), count, "{usage:?}");
    }
}
