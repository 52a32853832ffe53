//! Chat and text completion, there and back.

use proptest::prelude::*;

use super::super::raw::quote;
use super::*;

const CHAT: Operation = Operation::Chat;

/// A chat document of one choice with this message.
fn chat(message: &str, end: &str) -> String {
    let choice = format!(r#"{{"index":0,"message":{message},"logprobs":null,"finish_reason":"{end}"}}"#);
    let head = r#""id":"c","object":"chat.completion","created":1e0,"model":"m","service_tier":"default""#;
    let usage = r#""usage":{"prompt_tokens":1,"completion_tokens":2,"x":1.50}"#;
    format!(r#"{{{head},"choices":[{choice}],{usage}}}"#)
}

/// The message of the first choice of a stream of these deltas.
fn message(deltas: &[&str]) -> Option<String> {
    let chunk = |delta| format!(r#"{{"choices":[{{"index":0,"delta":{delta},"finish_reason":"stop"}}]}}"#);
    let chunks: Vec<_> = deltas.iter().map(chunk).collect();
    let mut data: Vec<_> = chunks.iter().map(String::as_str).collect();
    data.push("[DONE]");
    let document = folded(CHAT, &sse(&data))?;
    let message = document.split_once(r#""message":"#)?.1;
    Some(message.split_once(r#","finish_reason""#)?.0.to_owned())
}

#[test]
fn a_stream_is_given_as_recorded_less_its_usage() {
    let (with, without) = (recorded("chat-usage"), recorded("chat-plain"));
    assert_eq!(replay(CHAT, Form::Stream, &with, STREAM), Some(without.clone()));
    assert_eq!(replay(CHAT, Form::Stream, &with, STREAM_WITH_USAGE), Some(with));
    assert_eq!(replay(CHAT, Form::Stream, &without, STREAM), Some(without.clone()));
    assert_eq!(replay(CHAT, Form::Stream, &without, STREAM_WITH_USAGE), None);
    for name in ["chat-cr", "chat-crlf", "chat-no-final-blank-line", "chat-tools"] {
        assert_eq!(replay(CHAT, Form::Stream, &recorded(name), STREAM), Some(recorded(name)), "{name}");
    }
    let every = replay(CHAT, Form::Stream, &recorded("chat-usage-every-chunk"), STREAM).unwrap();
    assert!(!String::from_utf8(every).unwrap().contains("usage"));
}

#[test]
fn a_document_is_given_as_recorded() {
    let document = "{\n  \"choices\" : [ ] }";
    assert_eq!(told(CHAT, document, DOCUMENT), Some(document.as_bytes().to_vec()));
}

#[test]
fn recorded_streams_become_these_documents() {
    let top = r#""id":"chatcmpl-B9","object":"chat.completion","created":1741570283,"model":"gpt-4o-2024-08-06","service_tier":"default","system_fingerprint":"fp_fc9f1d7035""#;
    let hello = r#"{"role":"assistant","content":"Hello, wörld 世界 🚀","refusal":null}"#;
    let tools = r#"{"role":"assistant","content":null,"tool_calls":[{"id":"call_DdmO9","type":"function","function":{"name":"get_weather","arguments":"{\"city\":\"Paris\"}"}}],"refusal":null}"#;
    for (name, message, end) in [
        ("chat-plain", hello, "stop"),
        ("chat-crlf", hello, "stop"),
        ("chat-cr", hello, "stop"),
        ("chat-no-final-blank-line", hello, "stop"),
        ("chat-tools", tools, "tool_calls"),
    ] {
        let stream = String::from_utf8(recorded(name)).unwrap();
        let choice = format!(r#"{{"index":0,"message":{message},"logprobs":null,"finish_reason":"{end}"}}"#);
        assert_eq!(folded(CHAT, &stream), Some(format!(r#"{{{top},"choices":[{choice}]}}"#)), "{name}");
    }
}

#[test]
fn usage_is_that_of_the_last_chunk_that_has_any() {
    for (name, usage) in [
        ("chat-usage-every-chunk", r#""usage":{"prompt_tokens":7,"total_tokens":9,"completion_tokens":2}}"#),
        ("chat-reasoning-comments", r#""completion_tokens_details":{"reasoning_tokens":31}}}"#),
    ] {
        let document = folded(CHAT, std::str::from_utf8(&recorded(name)).unwrap()).unwrap();
        assert!(document.ends_with(usage), "{document}");
        assert_eq!(document.matches("\"usage\"").count(), 1);
    }
}

#[test]
fn a_document_becomes_these_chunks() {
    let message = r#"{"role":"assistant","content":"Hi","refusal":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"b","type":"custom","custom":{"name":"g","input":"x"}}]}"#;
    let stream = told(CHAT, &chat(message, "tool_calls"), STREAM_WITH_USAGE).unwrap();
    let head = r#"{"id":"c","object":"chat.completion.chunk","created":1e0,"model":"m","service_tier":"default","choices":"#;
    let chunk = |delta: &str, end: &str| {
        format!(
            r#"{head}[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{end}}}],"usage":null}}"#
        )
    };
    let want = [
        chunk(r#"{"role":"assistant","content":"","refusal":null}"#, "null"),
        chunk(r#"{"content":"Hi"}"#, "null"),
        chunk(
            r#"{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]}"#,
            "null",
        ),
        chunk(
            r#"{"tool_calls":[{"index":1,"id":"b","type":"custom","custom":{"name":"g","input":"x"}}]}"#,
            "null",
        ),
        chunk("{}", r#""tool_calls""#),
        format!(r#"{head}[],"usage":{{"prompt_tokens":1,"completion_tokens":2,"x":1.50}}}}"#),
        "[DONE]".to_owned(),
    ];
    assert_eq!(data(&stream), want);
    let bare = told(CHAT, &chat(message, "tool_calls"), STREAM).unwrap();
    let bare_want =
        want.iter().filter(|chunk| !chunk.contains("[],")).map(|chunk| chunk.replace(r#","usage":null"#, ""));
    assert_eq!(data(&bare), bare_want.collect::<Vec<_>>());
}

#[test]
fn every_member_of_a_message_survives() {
    for message in [
        r#"{"role":"assistant","content":"Hi \ud83d\ude80 \u0000 \"q\" \\ / \u2028","refusal":null,"annotations":[]}"#,
        r#"{"role":"assistant","content":null,"refusal":"No."}"#,
        r#"{"role":"assistant","content":"","tool_calls":[]}"#,
        r#"{"role":"assistant","content":null,"tool_calls":null,"function_call":{"name":"f","arguments":"{\"a\":1}"}}"#,
        r#"{"role":"assistant","content":"x","reasoning":"r","reasoning_content":"s","x":{"a":[1.0,{"b":1e999}]},"y":0,"z":false}"#,
        r#"{"role":"assistant","content":"x","reasoning_details":[{"type":"reasoning.text","text":"t","index":0},{"type":"reasoning.encrypted","data":"d","index":1}]}"#,
        r#"{"role":"assistant","content":null,"audio":{"id":"a","data":"QUJD","expires_at":17,"transcript":"t"}}"#,
        r#"{"role":"assistant","content":"x","annotations":[{"type":"url_citation","url_citation":{"start_index":0,"end_index":1}}]}"#,
        r#"{"role":"tool","content":[{"type":"text","text":"a part"}]}"#,
        r#"{"role":"assistant","content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":""}},{"id":"b","type":"function","function":{"name":"f","arguments":"[]"},"extra_content":{"google":{"thought_signature":"s"}}}]}"#,
    ] {
        survives(CHAT, &chat(message, "stop"));
    }
}

#[test]
fn every_choice_survives_with_its_logprobs() {
    let logprobs = r#"{"content":[{"token":"a","logprob":-0.10000000000000001,"bytes":[97],"top_logprobs":[{"token":"index","logprob":-1.5E-3,"bytes":null}]},{"token":"b","logprob":0,"bytes":null,"top_logprobs":[]}],"refusal":null}"#;
    let choice = |index: usize| {
        format!(
            r#"{{"index":{index},"message":{{"role":"assistant","content":"c{index}"}},"logprobs":{logprobs},"finish_reason":"stop","stop_reason":{index},"token_ids":[1,2]}}"#
        )
    };
    let choices: Vec<_> = (0..130).map(choice).collect();
    let document = format!(
        r#"{{"id":"c","object":"chat.completion","created":1,"model":"m","prompt_filter_results":[{{"index":0}}],"choices":[{}],"usage":{{"prompt_tokens":1,"completion_tokens":1}}}}"#,
        choices.join(",")
    );
    survives(CHAT, &document);
    survives(CHAT, &document.replace(r#""logprobs":{"content""#, "\"logprobs\" : { \n\t\"content\""));
    let stream = String::from_utf8(told(CHAT, &document, STREAM).unwrap()).unwrap();
    assert_eq!(stream.matches("prompt_filter_results").count(), 1);
}

#[test]
fn a_text_completion_survives() {
    let choice = |index: u8| {
        format!(
            r#"{{"text":"ab","index":{index},"logprobs":{{"tokens":["a","b"],"token_logprobs":[null,-0.50],"top_logprobs":[{{"index":0}},{{"b":-1}}],"text_offset":[0,1]}},"finish_reason":"stop"}}"#
        )
    };
    let document = format!(
        r#"{{"id":"t","object":"text_completion","created":1,"model":"m","choices":[{},{}],"usage":{{"prompt_tokens":1,"completion_tokens":2}}}}"#,
        choice(0),
        choice(1)
    );
    survives(Operation::TextCompletion, &document);
    let stream = recorded("text-completion");
    let document = folded(Operation::TextCompletion, std::str::from_utf8(&stream).unwrap()).unwrap();
    assert!(document.contains(r#"{"index":0,"text":"This is","logprobs":null,"finish_reason":"length"}"#));
}

#[test]
fn deltas_fold_as_in_openais_client() {
    for (deltas, want) in [
        (vec![r#"{"content":"a"}"#, r#"{"content":null}"#, r#"{"content":"b"}"#], Some(r#""content":"ab""#)),
        (vec![r#"{"content":"\ud83d"}"#, r#"{"content":"\ude80"}"#], Some(r#""content":"\ud83d\ude80""#)),
        (vec![r#"{"role":"assistant"}"#, r#"{"role":"assistant"}"#], Some(r#"{"role":"assistant","#)),
        (vec![r#"{"x":{"a":"b"}}"#, r#"{"x":{"a":"c","d":1}}"#], Some(r#""x":{"a":"bc","d":1}"#)),
        (vec![r#"{"x":1.0}"#, r#"{"x":1.0}"#], Some(r#""x":1.0"#)),
        (vec![r#"{"x":1.0}"#, r#"{"x":1}"#], None),
        (vec![r#"{"x":"a"}"#, r#"{"x":{"b":1}}"#], None),
        (vec![r#"{"x":["a"]}"#, r#"{"x":["b",2]}"#], Some(r#""x":["a","b",2]"#)),
        (vec![r#"{"x":[{"index":0}]}"#, r#"{"x":["b"]}"#], None),
        (
            vec![
                r#"{"x":[{"index":1,"t":"a"},{"index":0,"t":"b"},{"index":1,"t":"c"}]}"#,
                r#"{"x":[{"index":0,"t":"d"}]}"#,
            ],
            Some(r#""x":[{"index":0,"t":"bd"},{"index":1,"t":"ac"}]"#),
        ),
        (vec!["null", r#"{"content":"a"}"#], Some(r#""content":"a""#)),
        (vec![r#"{"content":"a","content":"b"}"#], None),
        (vec![r#"{"cont\u0065nt":"a"}"#], None),
        (vec!["[]"], None),
    ] {
        let got = message(&deltas);
        assert_eq!(got.is_some(), want.is_some(), "{deltas:?} {got:?}");
        assert!(want.is_none_or(|want| got.as_ref().unwrap().contains(want)), "{deltas:?} {got:?}");
    }
}

#[test]
fn tool_calls_come_in_parts_repeated_or_whole() {
    let call = |rest: &str| format!(r#"{{"tool_calls":[{{{rest}}}]}}"#);
    let whole = r#""tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}}]"#;
    for (parts, want) in [
        (
            vec![
                r#""index":0,"id":"a","function":{"name":"f","arguments":"{"}"#,
                r#""index":0,"function":{"arguments":"}"}"#,
            ],
            Some(whole),
        ),
        (
            vec![
                r#""index":0,"id":"a","function":{"name":"f","arguments":"{"}"#,
                r#""index":0,"id":"a","function":{"name":"","arguments":"}"}"#,
            ],
            Some(whole),
        ),
        (
            vec![
                r#""index":0,"id":"a","function":{"name":"f","arguments":"{"}"#,
                r#""index":0,"id":"","function":{"name":null,"arguments":"}"}"#,
            ],
            Some(whole),
        ),
        (
            vec![
                r#""index":0,"id":"a","function":{"name":"f"}"#,
                r#""index":0,"id":"b","function":{"name":"f"}"#,
            ],
            None,
        ),
        (vec![r#""index":0,"id":"a","function":{"name":"f"}"#, r#""index":0,"function":{"name":"f"}"#], None),
        (vec![r#""id":"a","function":{"name":"f","arguments":"{}"}"#], Some(whole)),
        (vec![r#""id":"a","function":{"name":"f"}"#, r#""function":{"arguments":"{}"}"#], None),
    ] {
        let deltas: Vec<_> = parts.iter().map(|rest| call(rest)).collect();
        let got = message(&deltas.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(got.is_some(), want.is_some(), "{parts:?} {got:?}");
        assert!(want.is_none_or(|want| got.as_ref().unwrap().contains(want)), "{parts:?} {got:?}");
    }
}

#[test]
fn members_of_the_first_chunk_that_says_them_hold() {
    let azure = r#"{"id":"","object":"","created":0,"model":"","choices":[],"prompt_filter_results":[{"prompt_index":0}]}"#;
    let first = r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","obfuscation":"xx","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null,"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}}}]}"#;
    let last = r#"{"id":"d","object":"chat.completion.chunk","created":2,"model":"m","obfuscation":"yy","system_fingerprint":"fp","choices":[{"index":0,"delta":{},"finish_reason":"stop","content_filter_results":{}}]}"#;
    let want = r#"{"id":"c","object":"chat.completion","created":1,"model":"m","prompt_filter_results":[{"prompt_index":0}],"system_fingerprint":"fp","choices":[{"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"stop","content_filter_results":{"hate":{"filtered":false,"severity":"safe"}}}]}"#;
    assert_eq!(folded(CHAT, &sse(&[azure, first, last, "[DONE]"])).as_deref(), Some(want));
}

#[test]
fn documents_that_no_stream_can_tell_are_not_converted() {
    let message = r#"{"role":"assistant","content":"x"}"#;
    let fine = chat(message, "stop");
    assert!(told(CHAT, &fine, STREAM).is_some());
    for (from, to) in [
        (r#""usage""#, r#""other""#),                           // usage is wanted
        (r#""content":"x""#, r#""content":"x","content":"y""#), // which one?
        (r#""content":"x""#, r#""x":[{"index":0,"t":"a"},{"index":0,"t":"b"}]"#), // a client would merge them
        (r#""content":"x""#, "\"content\":\"x\u{1}\""),
        (r#""finish_reason":"stop""#, r#""finish_reason":null"#),
        (r#"{"index":0,"message""#, r#"{"index":"0","message""#),
        (r#"{"index":0,"message""#, r#"{"index":0,"delta":{},"message""#),
        (r#"{"role""#, r#"[{"role""#),
    ] {
        assert_eq!(told(CHAT, &fine.replace(from, to), STREAM_WITH_USAGE), None, "{from} {to}");
    }
}

/// JSON values with all that can be told apart in them.
fn value() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
        any::<String>().prop_map(|text| String::from_utf8(quote(text.as_bytes())).unwrap()),
    ];
    scalar.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::btree_map("[a-z]{1,6}", inner, 0..4).prop_map(|members| {
                let members = members.iter().map(|(name, value)| format!("\"{name}\":{value}"));
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

/// Cuts the characters of `text`, escaped, into parts of one to three.
fn parts(text: &str) -> Vec<String> {
    let mut units: Vec<String> = Vec::new();
    for (at, char) in text.chars().enumerate() {
        let escaped =
            char.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect::<Vec<_>>();
        let plain = String::from_utf8(quote(char.to_string().as_bytes())).unwrap();
        if at % 3 == 0 {
            units.extend(escaped)
        } else {
            units.push(plain.trim_matches('"').to_owned())
        }
        if matches!(char, '"') && at % 3 != 0 {
            *units.last_mut().unwrap() = "\\\"".to_owned();
        }
    }
    units.chunks(2).map(<[String]>::concat).collect()
}

proptest! {
    #[test]
    fn a_document_of_anything_survives(
        members in prop::collection::btree_map("x_[a-z]{1,8}", value(), 0..5),
        content in any::<String>(),
        arguments in prop::collection::vec(any::<String>(), 0..3),
    ) {
        let quoted = |text: &str| String::from_utf8(quote(text.as_bytes())).unwrap();
        let mut message = format!(r#""role":"assistant","content":{}"#, quoted(&content));
        for (name, value) in &members {
            message += &format!(r#","{name}":{value}"#);
        }
        let calls = arguments.iter().enumerate().map(|(at, arguments)| {
            format!(r#"{{"id":"i{at}","type":"function","function":{{"name":"f","arguments":{}}}}}"#, quoted(arguments))
        });
        message += &format!(r#","tool_calls":[{}]"#, calls.collect::<Vec<_>>().join(","));
        survives(CHAT, &chat(&format!("{{{message}}}"), "stop"));
    }

    #[test]
    fn strings_may_be_split_between_any_two_units(text in any::<String>(), reasoning in any::<String>()) {
        let mut deltas = vec![r#"{"role":"assistant","content":""}"#.to_owned()];
        deltas.extend(parts(&reasoning).iter().map(|part| format!(r#"{{"reasoning":"{part}"}}"#)));
        deltas.extend(parts(&text).iter().map(|part| format!(r#"{{"content":"{part}"}}"#)));
        let message = message(&deltas.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        let members = members(message.as_bytes()).unwrap();
        prop_assert_eq!(decode(super::super::raw::get(&members, b"content").unwrap()).unwrap(), text);
        if !reasoning.is_empty() {
            prop_assert_eq!(decode(super::super::raw::get(&members, b"reasoning").unwrap()).unwrap(), reasoning);
        }
    }
}
