//! Whatever comes, nothing panics and nothing takes long.

use proptest::prelude::*;
use proptest::sample::Index;

use super::super::judge;
use super::*;

const STREAMS: [(Operation, &str); 7] = [
    (Operation::Chat, "chat-usage"),
    (Operation::Chat, "chat-tools"),
    (Operation::Chat, "chat-usage-every-chunk"),
    (Operation::TextCompletion, "text-completion"),
    (Operation::Messages, "messages"),
    (Operation::Responses, "responses"),
    (Operation::Chat, "oddities"),
];

/// Judges and converts in every way. What comes out must be readable.
fn try_all(operation: Operation, body: &[u8]) {
    for form in [Form::Stream, Form::Document] {
        let _ = judge(operation, form, body);
        for wanted in [STREAM, STREAM_WITH_USAGE, DOCUMENT] {
            let out = replay(operation, form, body, wanted);
            let is_converted = wanted.stream != (form == Form::Stream);
            if let Some(out) = out.filter(|_| is_converted) {
                assert!(std::str::from_utf8(&out).is_ok());
                assert!(wanted.stream || kind(&out) == Some(Kind::Object));
            }
        }
    }
}

#[test]
fn every_recorded_stream_changed_at_any_byte_does_no_harm() {
    for (operation, name) in STREAMS {
        let stream = recorded(name);
        for at in 0..stream.len() {
            let mut changed = stream.clone();
            changed[at] = [b'"', b'{', b'}', b',', b'0', 0xff, b'\n'][at % 7];
            let _ = judge(operation, Form::Stream, &changed);
            let _ = replay(operation, Form::Stream, &changed, DOCUMENT);
        }
    }
}

#[test]
fn deep_and_wide_answers_are_bounded() {
    let deep = format!("{}{}", r#"{"a":"#.repeat(100_000), "[".repeat(100_000));
    let nested = format!(r#"{{"x":{}1{}}}"#, "[".repeat(400), "]".repeat(400));
    let members: String = (0..5000).map(|n| format!(r#","m{n}":1"#)).collect();
    let delta = |delta: &str| {
        sse(&[&format!(r#"{{"choices":[{{"index":0,"delta":{delta},"finish_reason":"stop"}}]}}"#), "[DONE]"])
    };
    assert_eq!(folded(Operation::Chat, &delta(&deep)), None);
    assert!(folded(Operation::Chat, &delta(&nested)).is_some());
    assert_eq!(folded(Operation::Chat, &delta(&format!(r#"{{"a":1{members}}}"#))), None);
    let chunks: String = (0..5000).map(|n| delta(&format!(r#"{{"m{n}":1}}"#))).collect();
    assert_eq!(folded(Operation::Chat, &chunks), None);
    let choices: String =
        (0..5000).map(|n| sse(&[&format!(r#"{{"choices":[{{"index":{n},"delta":{{}}}}]}}"#)])).collect();
    assert_eq!(folded(Operation::Chat, &choices), None);
    try_all(Operation::Chat, "\n".repeat(100_000).as_bytes());
}

/// Minutes, if each part were held against all before it.
#[test]
fn an_answer_in_very_many_parts_takes_no_longer_than_its_length() {
    const PARTS: usize = 100_000;
    let part = r#"{"choices":[{"index":0,"delta":{"content":"a"},"logprobs":{"content":[1]}}]}"#;
    let end = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    let stream = sse(&[part]).repeat(PARTS) + &sse(&[end, "[DONE]"]);
    let document = folded(Operation::Chat, &stream).unwrap();
    assert!(document.contains(&"a".repeat(PARTS)) && document.contains(&"1,".repeat(PARTS - 1)));
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_no_harm(body in prop::collection::vec(any::<u8>(), 0..300)) {
        for operation in OPERATIONS {
            try_all(operation, &body);
        }
    }

    #[test]
    fn streams_of_shuffled_pieces_do_no_harm(
        which in 0..STREAMS.len(),
        picks in prop::collection::vec((any::<Index>(), 0_usize..200), 0..24),
    ) {
        let (operation, name) = STREAMS[which];
        let stream = recorded(name);
        let piece = |(at, length): (Index, usize)| stream.iter().skip(at.index(stream.len())).take(length).copied();
        let body: Vec<u8> = picks.into_iter().flat_map(piece).collect();
        try_all(operation, &body);
    }

    #[test]
    fn events_in_any_order_do_no_harm(
        which in 0..STREAMS.len(),
        order in prop::collection::vec(any::<Index>(), 0..24),
    ) {
        let (operation, name) = STREAMS[which];
        let events = data(&recorded(name));
        let picked: Vec<_> = order.iter().map(|at| at.get(&events).as_str()).collect();
        try_all(operation, sse(&picked).as_bytes());
    }

    #[test]
    fn documents_with_anything_replaced_do_no_harm(
        which in 0..STREAMS.len(),
        at in any::<Index>(),
        with in "[\\[\\]{}\",:0-9a-z\\\\]{0,6}",
    ) {
        let (operation, name) = STREAMS[which];
        if let Some(document) = replay(operation, Form::Stream, &recorded(name), DOCUMENT) {
            let (before, after) = document.split_at(at.index(document.len()));
            let after = after.get(with.len()..).unwrap_or_default();
            try_all(operation, &[before, with.as_bytes(), after].concat());
        }
    }
}
