//! Answers given again as they were, or in the other form.

use serde_json::{Value, json};
use sluice_e2e::bed::tag;
use sluice_e2e::cache::Caller;
use sluice_e2e::client::{End, Reply};
use sluice_e2e::sse;

use crate::bed::{Asked, Bed, shared, stream, stream_with_usage};

const TEXT: &str = "Hello from a, café 你好 🚰 2 3 4";

#[track_caller]
fn assert_hit(asked: &Asked, form: &str) {
    assert_eq!((asked.reply.status, asked.reply.end, asked.label()), (200, End::Clean, "hit"));
    let age: u64 = asked.reply.header("age").expect("an age").parse().expect("seconds");
    assert!(age <= 60, "{age}");
    let content_type = asked.reply.header("content-type").expect("a type");
    assert!(content_type.starts_with(form), "{content_type}");
    assert_eq!(asked.reply.header("content-length"), Some(asked.reply.body.len().to_string().as_str()));
}

fn text(reply: &Reply) -> String {
    let json = reply.json();
    let of_document = ["/choices/0/message/content", "/choices/0/text", "/output/0/content/0/text"]
        .into_iter()
        .find_map(|path| json.pointer(path).and_then(Value::as_str));
    of_document.map_or_else(|| sse::text(&reply.events()), str::to_owned)
}

#[test]
fn an_answer_is_given_again_byte_by_byte_in_the_same_form() {
    let bed = shared();
    for (test, members, form) in [
        ("same-document", json!({}), "application/json"),
        ("same-stream", stream(), "text/event-stream"),
        ("same-usage", stream_with_usage(), "text/event-stream"),
    ] {
        let first = bed.chat(test, &members);
        assert_eq!((first.label(), first.reply.header("age")), ("miss", None), "{test}");
        for _ in 0..3 {
            let again = bed.chat(test, &members);
            assert_hit(&again, form);
            assert_eq!(again.reply.text(), first.reply.text(), "{test}");
            assert_eq!(again.reply.header("content-type"), first.reply.header("content-type"));
        }
        assert_eq!(bed.seen(test).len(), 1, "{test}");
    }
}

#[test]
fn a_document_is_given_as_a_stream_and_a_stream_as_a_document() {
    let bed = shared();
    for (test, first, second, form) in [
        ("document-as-stream", json!({}), stream(), "text/event-stream"),
        ("document-as-usage", json!({}), stream_with_usage(), "text/event-stream"),
        ("stream-as-document", stream(), json!({}), "application/json"),
        ("usage-as-document", stream_with_usage(), json!({}), "application/json"),
    ] {
        let recorded = bed.chat(test, &first);
        let given = bed.chat(test, &second);
        assert_hit(&given, form);
        assert_eq!((text(&recorded.reply), text(&given.reply)), (TEXT.to_owned(), TEXT.to_owned()), "{test}");
        let usage = given.reply.text().matches("\"prompt_tokens\":11").count();
        let wants_usage = second["stream"] != true || second["stream_options"]["include_usage"] == true;
        assert_eq!(usage, usize::from(wants_usage), "{test}: {}", given.reply.text());
        if second["stream"] == true {
            assert!(sse::is_done(&given.reply.events()), "{test}: {}", given.reply.text());
        }
        assert_eq!(bed.chat(test, &first).reply.text(), recorded.reply.text(), "{test}: and as it was");
        assert_eq!(bed.seen(test).len(), 1, "{test}");
    }
}

#[test]
fn usage_of_a_stream_is_given_to_those_who_ask_for_it_alone() {
    let bed = shared();
    let without = bed.chat("usage-later", &stream());
    assert!(!without.reply.text().contains("\"usage\""), "the client did not ask: {}", without.reply.text());
    let with = bed.chat("usage-later", &stream_with_usage());
    assert_hit(&with, "text/event-stream");
    let events = with.reply.events();
    let last = &events[events.len() - 2].json();
    assert_eq!((&last["usage"]["total_tokens"], &last["choices"]), (&json!(16), &json!([])), "{last}");
    let again = bed.chat("usage-later", &stream());
    assert_hit(&again, "text/event-stream");
    assert_eq!(again.reply.text(), without.reply.text());

    let with = bed.chat("usage-first", &stream_with_usage());
    let without = bed.chat("usage-first", &stream());
    assert_hit(&without, "text/event-stream");
    assert!(with.reply.text().contains("\"usage\":null") && !without.reply.text().contains("\"usage\""));
    assert_eq!(sse::text(&without.reply.events()), TEXT);
}

/// Each operation in both forms, as far as it has them: from either to itself and to the other.
#[test]
fn every_operation_is_kept() {
    let bed = shared();
    for (path, members, has_streams) in [
        ("/v1/completions", json!({"prompt": "hi"}), true),
        ("/v1/responses", json!({"input": "hi"}), true),
        ("/v1/embeddings", json!({"input": "hi"}), false),
    ] {
        for first in [false, true].into_iter().filter(|stream| has_streams || !stream) {
            let test = format!("operation-{}-{first}", path.rsplit('/').next().expect("a name"));
            let ask = |stream: bool| ask_at(&bed, path, &test, &members, stream);
            let recorded = ask(first);
            assert_eq!(recorded.label(), "miss", "{test}");
            let again = ask(first);
            assert_hit(&again, if first { "text/event-stream" } else { "application/json" });
            assert_eq!(again.reply.text(), recorded.reply.text(), "{test}");
            if has_streams {
                let other = ask(!first);
                assert_hit(&other, if first { "application/json" } else { "text/event-stream" });
                assert_eq!(text(&other.reply), TEXT, "{test}: {}", other.reply.text());
            }
            assert_eq!(bed.seen(&test).len(), 1, "{test}");
        }
    }
}

#[track_caller]
fn ask_at(bed: &Bed, path: &str, test: &str, members: &Value, stream: bool) -> Asked {
    let mut body = json!({"model": format!("gpt-{test}"), "user": tag(test)});
    for (name, value) in members.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    if stream {
        body["stream"] = json!(true);
    }
    let (reply, record) = Caller::nobody(&bed.gateway).at(path).ask(&body);
    Asked { reply, record }
}

/// What OpenAI sends beyond text, as a stream and as a document.
fn rich() -> [(&'static str, String); 2] {
    let stream = [
        json!({"id": "c1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "m", "choices": [
            {"index": 0, "delta": {"role": "assistant", "content": null}, "finish_reason": null}]}),
        json!({"id": "c1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "m", "choices": [
            {"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "call_1", "type": "function",
             "function": {"name": "get_weather", "arguments": ""}}]}, "finish_reason": null}]}),
        json!({"id": "c1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "m", "choices": [
            {"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": "{\"city\":\"Zü"}}]},
             "finish_reason": null}]}),
        json!({"id": "c1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "m", "choices": [
            {"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": "rich\"}"}}]},
             "finish_reason": null}]}),
        json!({"id": "c1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "m", "choices": [
            {"index": 1, "delta": {"role": "assistant", "content": "No."}, "logprobs": {"content": [
             {"token": "No", "logprob": -0.123_456_789_012_345_67, "bytes": [78, 111], "top_logprobs": []}]},
             "finish_reason": "stop"}]}),
        json!({"id": "c1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "m", "choices": [
            {"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}),
    ];
    let stream: String = stream.iter().map(|event| format!("data: {event}\n\n")).collect();
    let document = json!({"id": "c1", "object": "chat.completion", "created": 1_700_000_000, "model": "m", "choices": [
        {"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "content": null, "tool_calls": [
         {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{\"city\":\"Zürich\"}"}}]}},
        {"index": 1, "finish_reason": "stop", "message": {"role": "assistant", "content": "No."}}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}});
    [("stream", stream + "data: [DONE]\n\n"), ("document", document.to_string())]
}

#[test]
fn tool_calls_choices_and_logprobs_survive_from_form_to_form() {
    let bed = shared();
    for (first, body) in rich() {
        let test = format!("rich-{first}");
        bed.tell(&test, &[json!({"body": body})]);
        let recorded = bed.chat(&test, &json!({"stream": first == "stream"}));
        assert_eq!(recorded.label(), "miss", "{}", recorded.reply.text());
        let document = bed.chat(&test, &json!({}));
        assert_hit(&document, "application/json");
        let json = document.reply.json();
        let call = &json["choices"][0]["message"]["tool_calls"][0];
        assert_eq!(
            (&call["id"], &call["function"]["name"]),
            (&json!("call_1"), &json!("get_weather")),
            "{json}"
        );
        assert_eq!(call["function"]["arguments"], "{\"city\":\"Zürich\"}");
        assert_eq!(json["choices"][0]["finish_reason"], "tool_calls");
        assert_eq!(json["choices"][1]["message"]["content"], "No.");
        let streamed = bed.chat(&test, &stream());
        assert_hit(&streamed, "text/event-stream");
        assert!(sse::is_done(&streamed.reply.events()));
        assert_eq!(pieces(&streamed.reply), ("{\"city\":\"Zürich\"}".to_owned(), "No.".to_owned()), "{test}");
    }
    let exact = bed.chat("rich-stream", &json!({})).reply.text();
    assert!(exact.contains("-0.12345678901234568") || exact.contains("-0.12345678901234566"), "{exact}");
}

/// The first choice's arguments and the second one's text.
fn pieces(reply: &Reply) -> (String, String) {
    let (mut arguments, mut text) = (String::new(), String::new());
    for event in reply.events() {
        for choice in event.json()["choices"].as_array().into_iter().flatten() {
            let delta = &choice["delta"];
            if choice["index"] == 1 {
                text.push_str(delta["content"].as_str().unwrap_or_default());
            } else {
                let call = &delta["tool_calls"][0]["function"];
                arguments.push_str(call["arguments"].as_str().unwrap_or_default());
            }
        }
    }
    (arguments, text)
}
