//! The texts of bodies of every protocol, as they pass.

use super::*;

const LIMIT: Limit = Limit { chars: 200, bytes: 800 };

fn headers(kind: &str, length: usize) -> Headers {
    let pair = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    Headers::new(vec![pair("content-type", kind), pair("content-length", &length.to_string())])
}

fn asked(doc: &str) -> Option<String> {
    let mut body = Body::request(&headers("application/json", doc.len())).unwrap();
    body.pass(doc.as_bytes(), true);
    body.prompt(LIMIT).map(|excerpt| excerpt.text)
}

fn answered(doc: &str) -> Option<String> {
    let mut body = Body::answer(&headers("application/json", doc.len()), LIMIT).unwrap();
    body.pass(doc.as_bytes(), true);
    body.said(LIMIT).map(|excerpt| excerpt.text)
}

fn streamed(parts: &[&[u8]]) -> Option<Excerpt> {
    let mut body = Body::answer(&headers("text/event-stream", 0), LIMIT).unwrap();
    parts.iter().for_each(|part| assert!(body.pass(part, false)));
    body.pass(b"", true);
    body.said(LIMIT)
}

#[test]
fn the_texts_of_a_request_are_those_that_a_model_reads() {
    for (doc, want) in [
        (
            r#"{"model":"m","messages":[{"role":"system","content":"Be kind."},{"role":"user","content":"I am bob@example.com"}],"user":"u"}"#,
            Some("Be kind.\nI am [EMAIL]"),
        ),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"4111 1111 "},{"type":"text","text":"1111 1111"}]}]}"#,
            Some("[CARD]"),
        ),
        (
            r#"{"messages":[{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"mail","arguments":"{\"to\":\"bob\\u0040example.com\"}"}}]}]}"#,
            Some(
                r#"mail
{"to":"[EMAIL]"}"#,
            ),
        ),
        (
            r#"{"instructions":"a","input":[{"role":"user","content":[{"type":"input_text","text":"b"},{"type":"input_image","image_url":"data:image/png;base64,AAAA"}]}]}"#,
            Some("a\nb"),
        ),
        (
            r#"{"system":"a","messages":[{"role":"user","content":"b\u2028c\ud800"}]}"#,
            Some("a\nb\u{2028}c\u{fffd}"),
        ),
        (r#"{"prompt":["a","b"]}"#, Some("a\nb")),
        (r#"{"input":[1,2,3]}"#, None),
        (r#"{"messages":[]}"#, None),
        (r#"{"messages":[{"role":"user","content":"cut o"#, None),
        ("not JSON", None),
        ("", None),
    ] {
        assert_eq!(asked(doc).as_deref(), want, "{doc}");
    }
}

#[test]
fn the_texts_of_an_answer_are_what_the_model_said() {
    let responses = r#"{"object":"response","instructions":"said before","tools":[{"type":"function","name":"f"}],"output":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"yes"}]}]}"#;
    for (doc, want) in [
        (
            r#"{"id":"c","object":"chat.completion","model":"@cf/m","provider":"Some One","choices":[{"index":0,"message":{"role":"assistant","content":"Ask bob@example.com"},"finish_reason":"stop"}]}"#,
            Some("Ask [EMAIL]"),
        ),
        (
            r#"{"choices":[{"message":{"content":"a"}},{"message":{"content":"b"}}],"usage":{"prompt_tokens":1}}"#,
            Some("a\nb"),
        ),
        (
            r#"{"type":"message","content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"yes"}]}"#,
            Some("hm\nyes"),
        ),
        (responses, Some("yes")),
        (r#"{"object":"list","model":"@cf/m","data":[{"embedding":[0.1,0.2],"index":0}]}"#, None),
        (r#"{"error":{"message":"no such model","type":"invalid_request_error"}}"#, Some("no such model")),
        (r#"{"detail":"no such path"}"#, Some("no such path")),
        (r#"{"choices":[{"message":{"content":"cut o"#, None),
    ] {
        assert_eq!(answered(doc).as_deref(), want, "{doc}");
    }
}

const CHAT: &str = concat!(
    ": hello\n\n",
    "data: {\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"Ask b\"}}]}\n\n",
    "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"No 😀.\"}}]}\r\n\r\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"ob@exam\"}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"ple.com.\"},\"logprobs\":{\"content\":[{\"token\":\"ple\"}]}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"c\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"n\\\":4111\"}}]}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"111111111111}\"}}]}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: [DONE]\n\n",
);

#[test]
fn a_stream_is_read_the_same_wherever_it_is_split() {
    let want = Some(Excerpt { text: "Ask [EMAIL].\nNo 😀.\n{\"n\":[CARD]}".to_owned(), chars: None });
    for split in 0..=CHAT.len() {
        let (one, two) = CHAT.as_bytes().split_at(split);
        assert_eq!(streamed(&[one, two]), want, "split at {split}");
    }
    let bytes: Vec<&[u8]> = CHAT.as_bytes().chunks(1).collect();
    assert_eq!(streamed(&bytes), want);
}

#[test]
fn the_deltas_of_every_protocol_are_joined_once() {
    for (stream, want) in [
        (
            concat!(
                "data: {\"type\":\"response.created\",\"response\":{\"instructions\":\"said before\"}}\n\n",
                "data: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"content_index\":0,\"delta\":\"He\"}\n\n",
                "data: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"content_index\":0,\"delta\":\"llo\"}\n\n",
                "data: {\"type\":\"response.audio.delta\",\"delta\":\"AAAA\"}\n\n",
                "data: {\"type\":\"response.output_text.done\",\"output_index\":0,\"content_index\":0,\"text\":\"Hello\"}\n\n",
                "data: {\"type\":\"response.completed\",\"response\":{\"output\":[{\"content\":[{\"text\":\"Hello\"}]}]}}\n\n",
            ),
            "Hello",
        ),
        (
            concat!(
                "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
                "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"He\"}}\n\n",
                "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"llo\"}}\n\n",
                "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{}\"}}\n\n",
                "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
            ),
            "Hello\n{}",
        ),
        (
            "data: {\"choices\":[{\"index\":0,\"text\":\"He\"}]}\n\ndata: {\"choices\":[{\"index\":0,\"text\":\"llo\"}]}",
            "Hello",
        ),
    ] {
        assert_eq!(streamed(&[stream.as_bytes()]).map(|excerpt| excerpt.text).as_deref(), Some(want));
    }
    assert_eq!(streamed(&[b"data: [DONE]\n\n"]), None);
    assert_eq!(streamed(&[b"data: {]\n\ndata: \xff\n\n", b"\n\n\n"]), None);
}

#[test]
fn an_event_too_large_to_read_is_left_out() {
    let event = |text: &str| format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n");
    let stream = [event("a"), event(&"x".repeat(MAX_EVENT)), event("b")].concat();
    assert_eq!(streamed(&[stream.as_bytes()]).unwrap().text, "ab");
}

#[test]
fn a_body_that_cannot_be_read_is_not_kept() {
    for (kind, length, readable) in [
        ("application/json", 0, true),
        ("application/json", MAX_DOCUMENT, true),
        ("application/json", MAX_DOCUMENT + 1, false),
        ("multipart/form-data; boundary=b", 0, false),
        ("text/plain", 0, false),
    ] {
        assert_eq!(Body::request(&headers(kind, length)).is_some(), readable, "{kind}");
        assert_eq!(Body::answer(&headers(kind, length), LIMIT).is_some(), readable, "{kind}");
    }
    assert!(Body::answer(&headers("text/event-stream", 0), LIMIT).is_some());
}

#[test]
fn a_document_that_turns_out_too_large_is_dropped() {
    let mut body = Body::request(&headers("application/json", 0)).unwrap();
    let part = vec![b' '; MAX_DOCUMENT];
    assert!(body.pass(&part, false));
    assert!(!body.pass(b"{", false) && matches!(body, Body::Unread));
    assert!(!body.pass(b"}", true));
    assert_eq!(body.prompt(LIMIT), None);
}
