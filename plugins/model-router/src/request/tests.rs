use proptest::prelude::*;
use serde_json::json;

use super::*;

#[test]
fn a_request_is_measured_without_its_media() {
    let measure = |body: serde_json::Value| scan(body.to_string().as_bytes()).unwrap();
    let text = "x".repeat(40);
    let picture = format!("data:image/png;base64,{}", "A".repeat(4000));
    for (body, tokens, tools, images) in [
        (json!({"prompt": text}), 10, false, false),
        (json!({"input": [text, text]}), 20, false, false),
        (json!({"input": [1, 2, 300_000]}), 4, false, false),
        (json!({"system": text, "instructions": text, "messages": [{"content": text}]}), 30, false, false),
        (
            json!({"messages": [{"content": [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": picture}}]}]}),
            10,
            false,
            true,
        ),
        (
            json!({"input": [{"content": [{"type": "input_image", "image_url": picture}, {"type": "input_text", "text": text}]}]}),
            10,
            false,
            true,
        ),
        (
            json!({"messages": [{"content": [{"type": "image", "source": {"type": "base64", "data": picture}}]}]}),
            0,
            false,
            true,
        ),
        (
            json!({"messages": [{"content": [{"type": "file", "file": {"file_data": picture}}]}]}),
            0,
            false,
            false,
        ),
        (json!({"messages": [{"content": "image_url"}], "metadata": {"image_url": text}}), 3, false, false),
        (json!({"tools": [{"image_url": text}]}), 10, true, false),
        (json!({"functions": [{}]}), 0, true, false),
        (json!({"tools": []}), 0, false, false),
        (
            json!({"tools": null, "messages": null, "model": null, "stream": null, "max_tokens": null}),
            1,
            false,
            false,
        ),
    ] {
        let facts = measure(body.clone());
        assert_eq!((facts.input_tokens, facts.tools, facts.images), (tokens, tools, images), "{body}");
    }
}

#[test]
fn text_that_begins_like_a_file_is_text() {
    let (text, file) = ("x".repeat(40), format!("data:video/mp4;base64,{}", "A".repeat(4000)));
    let uri = format!("data:{text}");
    for (body, tokens) in [
        (json!({"messages": [{"content": [{"type": "video_url", "video_url": {"url": file}}]}]}), 0),
        (json!({"input": [{"content": [{"type": "input_file", "file_data": file}]}]}), 0),
        (json!({"input": [{"content": [{"type": "input_file", "file_data": text}]}]}), 10),
        (json!({"messages": [{"content": uri}]}), 12),
        (json!({"input": [uri], "prompt": uri, "system": uri}), 34),
        (json!({"messages": [{"content": [{"type": "text", "text": uri}]}]}), 12),
    ] {
        assert_eq!(scan(body.to_string().as_bytes()).unwrap().input_tokens, tokens, "{body}");
    }
}

#[test]
fn the_output_cap_has_three_names() {
    for (body, want) in [
        (r#"{"max_tokens":5}"#, Some(5)),
        (r#"{"max_completion_tokens":6,"max_tokens":5}"#, Some(6)),
        (r#"{"n":3,"max_output_tokens":7}"#, Some(7)),
        (r#"{"max_tokens":1.5,"max_output_tokens":"7"}"#, None),
        ("{}", None),
    ] {
        assert_eq!(scan(body.as_bytes()).unwrap().max_output, want, "{body}");
    }
}

#[test]
fn deep_bodies_are_bounded() {
    let deep = |depth: usize| {
        format!(r#"{{"model":"gpt-5","messages":{}1{}}}"#, "[".repeat(depth), "]".repeat(depth))
    };
    assert!(scan(deep(500).as_bytes()).unwrap().input_tokens > 100);
    assert_eq!(scan(deep(100_000).as_bytes()).unwrap_err().code.name(), "invalid_json");
}

proptest! {
    #[test]
    fn no_body_makes_it_panic(
        body in prop::collection::vec(any::<u8>(), 0..80),
        text in "[{}\\[\\]:,\"a-z0 ]{0,60}",
    ) {
        let _ = scan(&body);
        let _ = scan(text.as_bytes());
        let _ = scan_form(&body, "b");
    }
}

#[test]
fn the_answers_asked_for_are_counted() {
    for (body, want) in [
        ("{}", 0),
        (r#"{"n":3}"#, 3),
        (r#"{"n":2,"best_of":5}"#, 5),
        (r#"{"n":"3"}"#, 0),
        (r#"{"n":-1,"messages":[{"n":9}]}"#, 0),
    ] {
        assert_eq!(scan(body.as_bytes()).unwrap().choices, want, "{body}");
    }
}
