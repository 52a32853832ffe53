use proptest::prelude::*;

use super::seen::MAX_WORD;
use super::*;
use crate::sse::Splitter;

const OPERATIONS: [Operation; 6] = [
    Operation::Chat,
    Operation::TextCompletion,
    Operation::Embeddings,
    Operation::Responses,
    Operation::Messages,
    Operation::Other,
];

fn stream(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/testdata/streams/{name}.sse", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn feed<'a>(operation: Operation, chunks: impl IntoIterator<Item = &'a [u8]>) -> (Meter, Vec<Seen>) {
    let (mut meter, mut seen) = (Meter::new(operation), Vec::new());
    let mut splitter = Splitter::default();
    for chunk in chunks {
        splitter.feed(chunk, |piece| seen.push(meter.piece(piece)));
    }
    splitter.finish(|piece| seen.push(meter.piece(piece)));
    (meter, seen)
}

/// What a stream's meter knows at its end, in one line.
fn summary(meter: &Meter) -> String {
    let usage = meter.usage(1000);
    let detail = |count: Option<u64>| count.map_or("-".to_owned(), |count| count.to_string());
    format!(
        "{} {} {}/{} {}/{} {} {}",
        meter.end().name(),
        meter.finish_reason().unwrap_or("-"),
        usage.input,
        usage.output,
        detail(usage.cached),
        detail(usage.reasoning),
        usage.source.name(),
        meter.error().unwrap_or("-"),
    )
}

#[test]
fn every_stream_is_read_to_its_end_at_every_split_point() {
    use Operation::{Chat, Messages, Responses, TextCompletion};
    for (name, operation, model, want) in [
        ("chat-usage", Chat, "gpt-4o-2024-08-06", "complete stop 19/10 4/3 reported -"),
        // Hello: 5/4; ", wörld 世界 🚀": 9 + 8 + 5 bytes and two wide characters
        ("chat-plain", Chat, "gpt-4o-2024-08-06", "complete stop 1000/7 -/- estimated -"),
        ("chat-crlf", Chat, "gpt-4o-2024-08-06", "complete stop 1000/7 -/- estimated -"),
        ("chat-cr", Chat, "gpt-4o-2024-08-06", "complete stop 1000/7 -/- estimated -"),
        ("chat-no-final-blank-line", Chat, "gpt-4o-2024-08-06", "complete stop 1000/7 -/- estimated -"),
        ("chat-tools", Chat, "gpt-4o-2024-08-06", "complete tool_calls 1000/8 -/- estimated -"),
        ("chat-reasoning-comments", Chat, "deepseek-reasoner", "complete stop 12/40 8/31 reported -"),
        ("chat-usage-every-chunk", Chat, "gpt-4o-2024-08-06", "complete stop 7/2 -/- reported -"),
        ("chat-error-first", Chat, "", "error_event - 1000/0 -/- estimated overloaded"),
        ("chat-role-then-error", Chat, "gpt-4o-2024-08-06", "error_event - 1000/0 -/- estimated 502"),
        ("chat-empty", Chat, "gpt-4o-2024-08-06", "complete stop 1000/0 -/- estimated -"),
        ("chat-cut", Chat, "gpt-4o-2024-08-06", "unterminated - 1000/2 -/- estimated -"),
        ("text-completion", TextCompletion, "gpt-3.5-turbo-instruct", "complete length 5/2 -/- reported -"),
        ("responses", Responses, "gpt-4o-2024-08-06", "complete completed 37/11 5/2 reported -"),
        (
            "responses-failed",
            Responses,
            "gpt-4o-2024-08-06",
            "error_event - 1000/0 -/- estimated server_error",
        ),
        ("messages", Messages, "claude-3-7-sonnet-20250219", "complete end_turn 31/15 6/- reported -"),
        ("messages-error", Messages, "", "error_event - 1000/0 -/- estimated overloaded_error"),
    ] {
        let stream = stream(name);
        let (whole, seen) = feed(operation, [&stream[..]]);
        assert_eq!(summary(&whole), want, "{name}");
        assert_eq!(whole.model().unwrap_or_default(), model, "{name}");
        assert!(!seen.contains(&Seen::Invalid), "{name}");
        for at in 0..=stream.len() {
            let (head, tail) = stream.split_at(at);
            let (split, split_seen) = feed(operation, [head, tail]);
            assert_eq!((summary(&split), split_seen), (want.to_owned(), seen.clone()), "{name} at {at}");
        }
    }
}

#[test]
fn the_gate_sees_when_an_answer_begins() {
    use Seen::{Content, Error, Finished, Nothing};
    let (nothing, finished) = (Finished { empty: true }, Finished { empty: false });
    for (name, operation, want) in [
        ("chat-usage", Operation::Chat, &[Nothing, Content, Content, finished, Nothing, finished][..]),
        ("chat-tools", Operation::Chat, &[Content, Content, Content, finished, finished]),
        (
            "chat-reasoning-comments",
            Operation::Chat,
            &[Nothing, Nothing, Nothing, Content, Content, finished, finished],
        ),
        ("chat-error-first", Operation::Chat, &[Error]),
        ("chat-role-then-error", Operation::Chat, &[Nothing, Error]),
        ("chat-empty", Operation::Chat, &[Nothing, nothing, nothing]),
        (
            "messages",
            Operation::Messages,
            &[Nothing, Nothing, Nothing, Content, Content, Nothing, finished, finished],
        ),
        ("responses", Operation::Responses, &[Nothing, Nothing, Nothing, Content, Content, Nothing, Content]),
        ("responses-failed", Operation::Responses, &[Nothing, Error]),
        ("chat-error-first", Operation::Other, &[Error]),
    ] {
        assert_eq!(feed(operation, [&stream(name)[..]]).1, want, "{name}");
    }
}

/// What one event with this data means.
fn seen(operation: Operation, data: &str) -> Seen {
    Meter::new(operation).event(&sse::encode(b"", data.as_bytes()))
}

#[test]
fn content_is_whatever_the_model_wrote() {
    let empty = Seen::Finished { empty: true };
    for (delta, want) in [
        (r#"{"delta":{"content":"a"}}"#, Seen::Content),
        (r#"{"delta":{"content":[{"type":"text","text":"a"}]}}"#, Seen::Content),
        (r#"{"delta":{"reasoning_content":"a"}}"#, Seen::Content),
        (r#"{"delta":{"reasoning":"a"}}"#, Seen::Content),
        (r#"{"delta":{"refusal":"a"}}"#, Seen::Content),
        (r#"{"delta":{"tool_calls":[{"index":0}]}}"#, Seen::Content),
        (r#"{"delta":{"function_call":{"name":"f"}}}"#, Seen::Content),
        (r#"{"delta":{"audio":{"id":"audio_1"}}}"#, Seen::Content),
        (r#"{"delta":{"content":"a"},"finish_reason":"stop"}"#, Seen::Content),
        (r#"{"text":"a"}"#, Seen::Content),
        (r#"{"delta":{"role":"assistant","content":""}}"#, Seen::Nothing),
        (r#"{"delta":{"content":null,"tool_calls":[ ],"function_call":{ },"audio":null}}"#, Seen::Nothing),
        (r#"{"delta":{"unknown":"a"}}"#, Seen::Nothing),
        (r#"{"delta":null,"text":""}"#, Seen::Nothing),
        (r#"{"delta":{},"finish_reason":null}"#, Seen::Nothing),
        (r#"{"delta":{},"finish_reason":""}"#, Seen::Nothing),
        (r#"{"delta":{},"finish_reason":"stop"}"#, empty),
        ("7", Seen::Nothing),
    ] {
        let data = format!(r#"{{"id":"x","choices":[{delta}],"usage":null,"error":null}}"#);
        assert_eq!(seen(Operation::Chat, &data), want, "{delta}");
    }
}

#[test]
fn broken_data_is_invalid_and_changes_nothing() {
    let deep = format!("{}1{}", r#"{"a":"#.repeat(2000), "}".repeat(2000));
    let wide =
        format!(r#"{{"choices":[{{"delta":{{"content":{}"x"{}}}}}]}}"#, "[".repeat(400), "]".repeat(400));
    for data in ["{", "[]", "null", "7", "nope", r#"{"choices":[}"#, r#"{"model":"m"} x"#, &deep] {
        let mut meter = Meter::new(Operation::Chat);
        assert_eq!(meter.event(&sse::encode(b"", data.as_bytes())), Seen::Invalid, "{data:.40}");
        assert_eq!(meter.model(), None, "{data:.40}");
        assert_eq!(seen(Operation::Other, data), Seen::Content, "{data:.40}");
    }
    assert_eq!(seen(Operation::Chat, &wide), Seen::Content);
    for data in ["", "  ", "\n"] {
        assert_eq!(seen(Operation::Chat, data), Seen::Nothing, "{data:?}");
    }
}

#[test]
fn an_error_is_known_by_its_code_and_never_by_its_message() {
    for (operation, event, want) in [
        (Operation::Chat, r#"data: {"error":{"message":"secret","code":"rate_limit"}}"#, "rate_limit"),
        (
            Operation::Chat,
            r#"data: {"error":{"message":"secret","code":null,"type":"server_error"}}"#,
            "server_error",
        ),
        (Operation::Chat, r#"data: {"error":{"message":"secret","code":429}}"#, "429"),
        (Operation::Chat, r#"data: {"error":"secret"}"#, "error"),
        (Operation::Chat, "event: error\ndata: secret", "error"),
        (Operation::Chat, "event: error\ndata: {\"message\":\"secret\"}", "error"),
        (
            Operation::Chat,
            r#"data: {"object":"error","message":"secret","type":"BadRequestError","code":400}"#,
            "400",
        ),
        (Operation::Responses, r#"data: {"type":"error","code":"ERR","message":"secret"}"#, "ERR"),
        (
            Operation::Other,
            r#"data: {"error":{"message":"secret","type":"a\u0000\u000ab"}}"#,
            r"a\u0000\u000ab",
        ),
    ] {
        let mut meter = Meter::new(operation);
        assert_eq!(meter.event(event.as_bytes()), Seen::Error, "{event}");
        assert_eq!(meter.error(), Some(want), "{event}");
    }
    let long = format!(r#"data: {{"error":{{"code":"{}"}}}}"#, "é".repeat(500));
    let mut meter = Meter::new(Operation::Chat);
    meter.event(long.as_bytes());
    assert_eq!(meter.error().map(str::len), Some(MAX_WORD));
}

#[test]
fn a_count_that_makes_no_sense_is_ignored() {
    for (number, want) in [
        ("7", 7),
        ("0", 0),
        ("4294967295", MAX_COUNT),
        ("4294967296", 1),
        ("99999999999999999999999999", 1),
        ("-7", 1),
        ("7.5", 1),
        ("7e3", 1),
        ("null", 1),
        (r#""7""#, 1),
        ("[7]", 1),
        (r#"{"a":7}"#, 1),
    ] {
        let mut meter = Meter::new(Operation::Chat);
        meter.body(format!(r#"{{"usage":{{"prompt_tokens":{number},"completion_tokens":2}}}}"#).as_bytes());
        assert_eq!(meter.usage(1).input, want, "{number}");
        assert_eq!(meter.has_usage(), want != 1, "{number}");
    }
}

#[test]
fn usage_with_a_part_missing_is_estimated() {
    let body = br#"{"choices":[{"message":{"content":"eight by"}}],"usage":{"prompt_tokens":9}}"#;
    let mut meter = Meter::new(Operation::Chat);
    meter.body(body);
    let usage = meter.usage(1000);
    assert_eq!((usage.input, usage.output, usage.source), (9, 2, Source::Estimated));
}

#[test]
fn anthropic_s_first_output_count_is_not_taken_for_the_last() {
    let mut meter = Meter::new(Operation::Messages);
    meter
        .event(br#"data: {"type":"message_start","message":{"usage":{"input_tokens":5,"output_tokens":1}}}"#);
    meter.event(br#"data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"eight by"}}"#);
    let usage = meter.usage(1000);
    assert_eq!((usage.input, usage.output, usage.source), (5, 2, Source::Estimated));
}

#[test]
fn text_is_estimated_by_bytes_and_wide_characters() {
    for (text, want) in [("", 0), ("a", 1), ("four", 1), ("five5", 2), ("世界", 2), ("naïve", 2), ("🚀", 1)]
    {
        assert_eq!(estimate(text.as_bytes()), want, "{text}");
    }
}

#[test]
fn an_event_too_large_to_read_is_content_or_the_end() {
    for (name, operation, ends) in [
        ("response.completed", Operation::Responses, true),
        ("response.output_text.delta", Operation::Responses, false),
        ("", Operation::Chat, false),
    ] {
        let mut meter = Meter::new(operation);
        let raw = sse::encode(name.as_bytes(), &[b'x'; 400]);
        let mut splitter = Splitter::with_limit(100);
        splitter.feed(&raw, |piece| assert_eq!(meter.piece(piece), Seen::Content));
        assert_eq!((meter.is_terminated(), meter.has_content()), (ends, true), "{name}");
        assert!(meter.usage(0).output >= 100);
    }
}

/// A body of `operation`, and what it is worth: usage, model, finish reason, and what is wrong with it.
const BODIES: [(Operation, &str, &str); 19] = {
    use Operation::{Chat, Embeddings, Messages, Other, Responses, TextCompletion};
    [
        (
            Chat,
            r#"{"model":"m","choices":[{"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}],
                "usage":{"prompt_tokens":3,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":1}}}"#,
            "3/4 m stop",
        ),
        (Chat, r#"{"choices":[{"message":{"content":null,"tool_calls":[{}]}}]}"#, ""),
        (Chat, r#"{"choices":[{"message":{"content":""},"finish_reason":"stop"}]}"#, "stop empty"),
        (Chat, r#"{"choices":[]}"#, "empty"),
        (Chat, "{}", "empty"),
        (Chat, r#"{"error":{"message":"x"}}"#, "error"),
        (Chat, "<html>", "invalid"),
        (Chat, "", "invalid"),
        (TextCompletion, r#"{"choices":[{"text":"a","finish_reason":"length"}]}"#, "length"),
        (TextCompletion, r#"{"choices":[{"text":""}]}"#, "empty"),
        (
            Embeddings,
            r#"{"data":[{"embedding":[0.1]}],"model":"e","usage":{"prompt_tokens":8,"total_tokens":8}}"#,
            "8/0 e",
        ),
        (Embeddings, r#"{"data":[]}"#, "empty"),
        (
            Responses,
            r#"{"status":"completed","error":null,"output":[{"content":[{"text":"a"}]}],
                "usage":{"input_tokens":5,"output_tokens":6}}"#,
            "5/6 completed",
        ),
        (Responses, r#"{"status":"failed","error":{"code":"x"},"output":[]}"#, "failed error"),
        (
            Responses,
            r#"{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[]}"#,
            "max_output_tokens empty",
        ),
        (
            Messages,
            r#"{"type":"message","content":[{"type":"text","text":"a"}],"stop_reason":"end_turn",
                "usage":{"input_tokens":5,"output_tokens":6}}"#,
            "5/6 end_turn",
        ),
        (Messages, r#"{"type":"error","error":{"type":"overloaded_error"}}"#, "error"),
        (Other, "<html>", ""),
        (Other, "{}", ""),
    ]
};

#[test]
fn a_whole_body_is_judged() {
    for (operation, body, want) in BODIES {
        let verdict = judge_body(operation, body.as_bytes());
        let words = [
            verdict.usage.map(|usage| format!("{}/{}", usage.input, usage.output)),
            verdict.model,
            verdict.finish_reason,
            verdict.error.then(|| "error".to_owned()),
            verdict.empty.then(|| "empty".to_owned()),
            verdict.invalid.then(|| "invalid".to_owned()),
        ];
        assert_eq!(words.into_iter().flatten().collect::<Vec<_>>().join(" "), want, "{body}");
    }
}

/// The stream without usage, fed in two parts.
fn stripped(operation: Operation, chunks: &[&[u8]]) -> Vec<u8> {
    let (mut meter, mut splitter, mut out) = (Meter::new(operation), Splitter::default(), Vec::new());
    let mut strip = |piece: Piece<'_>| match meter.event_without_usage(piece.bytes()).1 {
        Strip::Keep => out.extend_from_slice(piece.bytes()),
        Strip::Drop => {}
        Strip::Replace(with) => out.extend(with),
    };
    for chunk in chunks {
        splitter.feed(chunk, &mut strip);
    }
    splitter.finish(&mut strip);
    out
}

#[test]
fn without_its_usage_a_stream_is_what_it_would_have_been() {
    let last = |rest: &str| format!("data: {{\"choices\":[],{rest}}}\n\n");
    let count = r#"{"prompt_tokens":1,"completion_tokens":{"a":[1]}}"#;
    let usage = String::from_utf8(stream("chat-usage")).unwrap();
    let plain = String::from_utf8(stream("chat-plain")).unwrap();
    for (with, without) in [
        (usage.clone(), plain.clone()),
        (usage.replace('\n', "\r\n"), plain.replace('\n', "\r\n")),
        (usage.replace('\n', "\r"), plain.replace('\n', "\r")),
        ("data: {\"usage\":null,\"a\":1}\n\n".into(), "data: {\"a\":1}\n\n".into()),
        ("data: {\"usage\": null, \"a\": 1}\n\n".into(), "data: {\"a\": 1}\n\n".into()),
        ("data: {\"a\": 1, \"usage\": null, \"b\": 2}\n\n".into(), "data: {\"a\": 1, \"b\": 2}\n\n".into()),
        ("data: {\"a\": 1, \"usage\": null}\n\n".into(), "data: {\"a\": 1}\n\n".into()),
        ("data: {\"usage\":null}\n\n".into(), "data: {}\n\n".into()),
        (
            format!(": c\nid: 7\ndata:{{\"a\":1.0e0,\"usage\":{count}}} \n\n"),
            ": c\nid: 7\ndata:{\"a\":1.0e0} \n\n".into(),
        ),
        (
            format!(": c\n\n{}data: [DONE]\n\n", last(&format!("\"usage\":{count}"))),
            ": c\n\ndata: [DONE]\n\n".into(),
        ),
        (last("\"usage\":null"), "data: {\"choices\":[]}\n\n".into()),
        ("event: x\ndata: {\"usage\":\ndata: null}\n\n".into(), "event: x\ndata: {}\n\n".into()),
    ] {
        for at in 0..=with.len() {
            let (head, tail) = with.as_bytes().split_at(at);
            let got = stripped(Operation::Chat, &[head, tail]);
            assert_eq!(String::from_utf8_lossy(&got), without, "{with} at {at}");
        }
    }
}

#[test]
fn nothing_else_is_touched() {
    for untouched in [
        "data: {\"choices\":[],\"prompt_filter_results\":[]}\n\n",
        "data: {\"choices\":[{\"usage\":null}],\"x\":{\"usage\":{}}}\n\n",
        "data: {\"usage\":null\n\n",
        "data: [DONE]\n\n: usage\n\nretry: 1\n\n",
        "data: {\"a\":1}",
    ] {
        assert_eq!(stripped(Operation::TextCompletion, &[untouched.as_bytes()]), untouched.as_bytes());
    }
    for (operation, name) in [(Operation::Responses, "responses"), (Operation::Messages, "messages")] {
        let stream = stream(name);
        assert_eq!(stripped(operation, &[&stream]), stream);
    }
}

proptest! {
    #[test]
    fn nothing_a_provider_sends_makes_it_panic(
        name in "(error|response\\.completed|message_stop|[ -~]{0,8})",
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            r#"[\[\]{}:,"a0\\.eE-]{0,40}"#.prop_map(String::into_bytes),
        ],
    ) {
        for operation in OPERATIONS {
            let mut meter = Meter::new(operation);
            meter.event(&bytes);
            meter.event_without_usage(&sse::encode(name.as_bytes(), &bytes));
            let _ = judge_body(operation, &bytes);
            prop_assert!(meter.usage(0).input <= MAX_COUNT);
        }
    }
}

/// Texts of events, as they stand there.
const TEXTS: [&str; 11] = ["", "a", "Hello", "\\\"", "\\\\", "\"", "\\", "世界", "a\nb", "\r", "data: "];

/// An event of some protocol, with `@TEXT` for its text.
fn any_shape() -> impl Strategy<Value = String> {
    let shapes = prop::sample::select(vec![
        r#"data: {"id":"@ID","choices":[{"index":0,"delta":{"content":"@TEXT"},"finish_reason":null}]}@END"#,
        r#"data: {"id":"@ID","choices":[{"delta":{"content":"@TEXT"}}],"usage":null}@END"#,
        r#"data: {"usage" : null, "choices":[{"delta":{"content":"@TEXT"}}],"id":"@ID"}@END"#,
        r#"data: {"choices":[{"delta":{"content":"@TEXT","reasoning":"@ID"}}]}@END"#,
        r#"data: {"choices":[{"delta":{"content":"@TEXT"},"finish_reason":"@ID"}]}@END"#,
        r#"data: {"choices":[{"delta":{"content":"@TEXT"}}],"usage":{"prompt_tokens":1,"completion_tokens":2}}@END"#,
        r#"data: {"model":"@ID","choices":[{"text":"@TEXT"}]}@END"#,
        r#"event: content_block_delta
data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"@TEXT"}}@END"#,
        r#"data: {"type":"response.output_text.delta","delta":"@TEXT"}@END"#,
        r#"data: {"type":"response.completed","delta":"@TEXT"}@END"#,
        r#"data: {"type":"error","delta":"@TEXT","choices":[{"delta":{"content":"@TEXT"}}]}@END"#,
        "data: {\"choices\":[{\"delta\":{\"content\":\ndata: \"@TEXT\"}}]}@END",
        "data: [DONE]@END",
        ": @TEXT@END",
    ]);
    let ends = prop::sample::select(vec!["\n\n", "\r\n\r\n", "\n"]);
    (shapes, prop::sample::select(vec!["a", "b"]), ends)
        .prop_map(|(shape, id, end)| shape.replace("@ID", id).replace("@END", end))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn an_event_like_the_last_one_means_what_it_would_have_meant_alone(
        operation in prop::sample::select(OPERATIONS.to_vec()),
        shapes in prop::collection::vec(any_shape(), 1..4),
        events in prop::collection::vec((any::<[prop::sample::Index; 2]>(), any::<bool>()), 1..12),
    ) {
        let (mut meter, mut forgetful) = (Meter::new(operation), Meter::new(operation));
        for ([shape, text], strips) in events {
            let raw = shape.get(&shapes).replace("@TEXT", text.get::<&str>(&TEXTS));
            let raw = raw.as_bytes();
            if strips {
                prop_assert_eq!(meter.event_without_usage(raw), forgetful.event_without_usage(raw));
            } else {
                prop_assert_eq!(meter.event(raw), forgetful.event(raw));
            }
            forgetful.alike = Alike::NONE;
            let known = Meter { alike: Alike::NONE, ..meter.clone() };
            prop_assert_eq!(format!("{known:?}"), format!("{forgetful:?}"));
        }
    }
}

#[test]
fn an_event_like_the_last_one_is_not_read() {
    let event = |text: &str| {
        let data = format!(r#"{{"choices":[{{"delta":{{"content":"{text}"}}}}],"usage":null}}"#);
        sse::encode(b"", data.as_bytes())
    };
    let mut meter = Meter::new(Operation::Chat);
    for (text, known) in [("Hello", None), (" world", Some(" world")), ("", None), ("\\n", Some("\\n"))] {
        let raw = event(text);
        assert_eq!(meter.alike.text(&raw), known.map(str::as_bytes), "{text}");
        let kept =
            Strip::Replace(String::from_utf8(raw.clone()).unwrap().replace(r#","usage":null"#, "").into());
        assert_eq!(meter.event_without_usage(&raw).1, kept, "{text}");
    }
    assert_eq!(meter.usage(0).output, 4); // 13 bytes
}
