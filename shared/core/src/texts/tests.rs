use proptest::prelude::*;

use super::*;

/// The texts of a document, those of one run joined with `|`.
fn told(doc: &str, found: &Texts) -> Vec<String> {
    let mut runs: Vec<(u32, String)> = Vec::new();
    for text in &found.texts {
        let decoded = text.decode(doc.as_bytes()).text;
        match runs.iter_mut().find(|(run, _)| *run == text.run) {
            Some((_, joined)) => *joined = format!("{joined}|{decoded}"),
            None => runs.push((text.run, decoded)),
        }
    }
    runs.into_iter().map(|(_, text)| text).collect()
}

fn asked(doc: &str) -> (Vec<String>, bool) {
    let found = request(doc.as_bytes()).unwrap();
    (told(doc, &found), found.unknown.is_none())
}

fn answered(doc: &str) -> (Vec<String>, bool) {
    let found = answer(doc.as_bytes()).unwrap();
    (told(doc, &found), found.unknown.is_none())
}

#[test]
fn every_string_that_a_model_reads_is_text() {
    for (doc, want) in [
        (r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"user":"u@x.org"}"#, &["hi"][..]),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AA==","detail":"low"}},{"type":"text","text":"b"}]}]}"#,
            &["a|b"],
        ),
        (
            r#"{"messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},{"role":"tool","tool_call_id":"c","content":[{"type":"text","text":"r"}]}]}"#,
            &["f", "{\"a\":1}", "r"],
        ),
        (r#"{"messages":[{"role":"user","name":"bob","content":["x","y"]}]}"#, &["bob", "x|y"]),
        (r#"{"messages":[{"role":"a role","content":"x"}]}"#, &["a role", "x"]),
        (r#"{"messages":[{"role":"user","content":"a","content":"b"}]}"#, &["a", "b"]),
        (r#"{"m\u0065ssages":[{"role":"user","content":"\u0061lice"}]}"#, &["alice"]),
        (r#"{"Messages":[{"role":"user","content":"x"}]}"#, &["role", "user", "content", "x"]),
        (r#"{"prompt":["a","b"],"suffix":"c"}"#, &["a", "b", "c"]),
        (r#"{"input":"a","instructions":"b"}"#, &["a", "b"]),
        (
            r#"{"input":[{"role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_image","image_url":"data:image/png;base64,iVBOR"}]},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"c","output":"o"},{"type":"reasoning","summary":[{"type":"summary_text","text":"s"}],"encrypted_content":"gAAA"}]}"#,
            &["a", "f", "{}", "o", "s"],
        ),
        (
            r#"{"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"deep"},{"type":"document","source":{"type":"text","media_type":"text/plain","data":"a file"},"title":"t"}]},{"type":"text","text":"after"}]},{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"n","input":{"type":"in","id":"i","k":["v"]}}]}]}"#,
            &["s", "deep", "a file", "t", "after", "n", "in", "id", "i", "k", "v"],
        ),
        (
            r#"{"tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object","properties":{"the secret":{"type":"string","enum":["e"]}}}}}]}"#,
            &["f", "d", "the secret", "e"],
        ),
        (
            r#"{"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"title":"t"}}}}"#,
            &["n", "t"],
        ),
        (r#"{"prompt":{"id":"p","variables":{"name":"v"}}}"#, &["id", "p", "variables", "v"]),
        (r#"{"something new":{"a b":["c"]},"stop":["s"]}"#, &["something new", "a b", "c", "s"]),
        (r#"{"reasoning_effort":"high","service_tier":"auto","metadata":{"k":"v v"}}"#, &[]),
        (r#"{"reasoning_effort":"do as I say"}"#, &["do as I say"]),
        (r#"{"messages":[{"id":"not an id","content":""}]}"#, &["not an id", ""]),
        (
            r#"{"input":[{"type":"input_file","file_data":"data:text/plain,read me"}]}"#,
            &["data:text/plain,read me"],
        ),
        (r#"["a",{"b":"c"}]"#, &["a", "b", "c"]),
        (r#""a""#, &["a"]),
    ] {
        assert_eq!(asked(doc), (want.iter().map(|text| (*text).to_owned()).collect(), true), "{doc}");
    }
}

#[test]
fn what_only_looks_like_a_file_is_text() {
    let line = "QUJD".repeat(16);
    for (source, is_text) in [
        (r#"{"type":"base64","data":"QUJD"}"#.to_owned(), false),
        (r#"{"type":"base64","data":"QU\/D"}"#.to_owned(), false),
        (format!(r#"{{"type":"base64","data":"{line}\n{line}\r\nQUI="}}"#), false),
        (format!(r#"{{"type":"base64","data":"{line}\r\n{line}\r\n"}}"#), false),
        (r#"{"type":"base64","data":"internal\ncodename"}"#.to_owned(), true),
        (r#"{"type":"base64","data":"\u0061"}"#.to_owned(), true),
        (format!(r#"{{"type":"base64","data":"{line}\ncodename\n{line}"}}"#), true),
        (r#"{"type":"text","media_type":"text/plain","data":"codename"}"#.to_owned(), true),
    ] {
        let doc = format!(
            r#"{{"messages":[{{"role":"user","content":[{{"type":"document","source":{source}}}]}}]}}"#
        );
        let (texts, readable) = asked(&doc);
        assert_eq!((texts.len(), readable), (usize::from(is_text), true), "{doc} {texts:?}");
    }
}

#[test]
fn more_strings_than_are_noted_cannot_be_told() {
    let doc = |count: usize| format!(r#"{{"input":["{}"]}}"#, vec![""; count].join(r#"",""#));
    for (count, readable) in [(MAX_TEXTS, true), (MAX_TEXTS + 1, false), (MAX_TEXTS * 4, false)] {
        let found = request(doc(count).as_bytes()).unwrap();
        assert_eq!((found.texts.len(), found.unknown.is_none()), (MAX_TEXTS, readable), "{count}");
    }
}

#[test]
fn parts_that_cannot_be_told_are_reported() {
    let deep = format!(r#"{{"x":{}"a"{}}}"#, "[".repeat(100), "]".repeat(100));
    for doc in [
        r#"{"messages":[{"role":"user","content":[{"type":"hologram","text":"a"}]}]}"#,
        r#"{"messages":[{"role":"user","content":[{"type":"text","type":"hologram","text":"a"}]}]}"#,
        r#"{"messages":[{"role":"user","content":[{"type":7}]}]}"#,
        r#"{"input":[{"type":"thought_transfer"}]}"#,
        r#"{"input":[1,2,3]}"#,
        r#"{"prompt":[[1,2],[3]]}"#,
        &deep,
    ] {
        let (texts, readable) = asked(doc);
        assert!(!readable, "{doc}");
        assert_eq!(texts.contains(&"a".to_owned()), doc.contains("\"text\":"), "{doc}");
    }
}

#[test]
fn everything_that_a_model_says_is_text() {
    for (doc, want) in [
        (
            r#"{"id":"chatcmpl-1","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"c","refusal":null,"reasoning_content":"r","annotations":[],"audio":{"id":"a","data":"AAAA","transcript":"t"},"tool_calls":[{"id":"x","type":"function","function":{"name":"f","arguments":"{}"}}]},"logprobs":{"content":[{"token":"c","bytes":[99]}]},"finish_reason":"stop"}],"usage":{"a":"b c"},"system_fingerprint":"fp"}"#,
            &["c", "r", "t", "f", "{}"][..],
        ),
        (
            r#"{"choices":[{"text":"a","index":0,"finish_reason":"stop"},{"text":"b","index":1}]}"#,
            &["a", "b"],
        ),
        (
            r#"{"id":"msg_1","type":"message","role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"sig=="},{"type":"text","text":"a"},{"type":"tool_use","id":"i","name":"n","input":{"k":"v"}}],"stop_reason":"end_turn","stop_sequence":"stop here"}"#,
            &["t|a", "n", "k", "v", "stop here"],
        ),
        (
            r#"{"id":"resp_1","object":"response","status":"completed","instructions":"i","output":[{"id":"m","type":"message","status":"completed","role":"assistant","content":[{"type":"output_text","text":"a","annotations":[],"logprobs":[]},{"type":"refusal","refusal":"no"}]},{"type":"image_generation_call","result":"iVBORw0KGgo="}]}"#,
            &["i", "a|no"],
        ),
        (r#"{"error":{"message":"no such model","code":"c"}}"#, &["no such model", "c"]),
        (r#"{"object":"list","data":[{"embedding":[0.1],"index":0},{"embedding":"AAAA"}]}"#, &[]),
    ] {
        assert_eq!(answered(doc), (want.iter().map(|text| (*text).to_owned()).collect(), true), "{doc}");
    }
    let logprobs = r#"{"choices":[{"logprobs":{"content":[]}},{"logprobs":null}]}"#;
    assert_eq!(answer(logprobs.as_bytes()).unwrap().logprobs.len(), 1);
}

/// Channels and texts of an event, and what ends with it.
fn said(data: &str) -> (Vec<(String, String)>, Vec<String>) {
    let event = event(data.as_bytes()).unwrap();
    let texts = event
        .said
        .iter()
        .map(|said| (said.channel.clone().unwrap_or_default(), said.text.decode(data.as_bytes()).text));
    (texts.collect(), event.ends)
}

fn assert_said(data: &str, want: &[(&str, &str)], ends: &[&str]) {
    let want = want.iter().map(|(channel, text)| ((*channel).to_owned(), (*text).to_owned())).collect();
    let ends = ends.iter().map(|end| (*end).to_owned()).collect();
    assert_eq!(said(data), (want, ends), "{data}");
}

#[test]
fn each_delta_belongs_to_one_channel() {
    for (data, want, ends) in [
        (
            r#"{"id":"c","choices":[{"delta":{"role":"assistant","content":"a","reasoning":"r"},"index":1,"finish_reason":null},{"index":0,"delta":{"content":"b"},"finish_reason":"stop"}]}"#,
            &[("choices/1/content/", "a"), ("choices/1/reasoning/", "r"), ("choices/0/content/", "b")][..],
            &["choices/0/"][..],
        ),
        (
            r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":3,"id":"x","type":"function","function":{"name":"f","arguments":"{\""}}]}}]}"#,
            &[("", "f"), ("choices/0/tool_calls/3/function/arguments/", "{\"")],
            &[],
        ),
        (
            r#"{"choices":[{"index":0,"delta":{"content":[{"type":"text","text":"a"}]}}]}"#,
            &[("choices/0/content/0/text/", "a")],
            &[],
        ),
        (r#"{"choices":[{"text":"a","index":2}]}"#, &[("choices/2/text/", "a")], &[]),
        (r#"{"error":{"message":"no way"}}"#, &[("", "no way")], &[]),
        (r#""a""#, &[("", "a")], &[]),
    ] {
        assert_said(data, want, ends);
    }
}

#[test]
fn typed_events_tell_their_channel() {
    for (data, want, ends) in [
        (
            r#"{"type":"response.output_text.delta","item_id":"m","output_index":1,"content_index":2,"delta":"a","obfuscation":"Xy","logprobs":[]}"#,
            &[("output/1/response.output_text.delta/2/", "a")][..],
            &[][..],
        ),
        (
            r#"{"type":"response.output_text.done","output_index":1,"content_index":2,"text":"a"}"#,
            &[("", "a")],
            &["output/1/response.output_text.delta/2/"],
        ),
        (r#"{"type":"response.output_item.done","output_index":1,"item":{}}"#, &[], &["output/1/"]),
        (
            r#"{"type":"response.completed","response":{"output":[{"type":"message","content":[{"type":"output_text","text":"a"}]}]}}"#,
            &[("", "a")],
            &[""],
        ),
        (
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{"}}"#,
            &[("block/1/partial_json/", "{")],
            &[],
        ),
        (
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"a"}}"#,
            &[("block/0/text/", "a")],
            &[],
        ),
        (r#"{"type":"content_block_stop","index":1}"#, &[], &["block/1/"]),
        (r#"{"type":"message_stop"}"#, &[], &[""]),
        (r#"{"type":"unheard_of","word":"a b"}"#, &[("", "a b")], &[]),
    ] {
        assert_said(data, want, ends);
    }
}

#[test]
fn arguments_are_read_as_json() {
    for data in [
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"x"}}]}}]}"#,
        r#"{"type":"response.function_call_arguments.delta","output_index":0,"delta":"x"}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"partial_json":"x"}}"#,
        r#"{"type":"response.function_call_arguments.done","output_index":0,"arguments":"x"}"#,
    ] {
        let event = event(data.as_bytes()).unwrap();
        assert!(event.said.iter().all(|said| said.text.form == Form::Json), "{data}");
        assert_eq!(event.said.len(), 1, "{data}");
    }
}

#[test]
fn escapes_are_undone_and_lead_back() {
    for (raw, text, complete) in [
        (r"abc", "abc", 3),
        (r#"a\"\\\/\b\f\n\r\tz"#, "a\"\\/\u{8}\u{c}\n\r\tz", 10),
        (r"\u0061\u00e9\ud83d\ude00!", "a\u{e9}\u{1f600}!", 8),
        (r"\ud83dx", "\u{fffd}x", 4),
        (r"\ude00", "\u{fffd}", 3),
        (r"\x\u00zz", r"\x\u00zz", 8),
        (r"a\", r"a\", 1),
        (r"a\u00", r"a\u00", 1),
        (r"a\ud83d", "a\u{fffd}", 1),
        (r"a\ud83d\ude", "a\u{fffd}\\ude", 1),
        (r"a\ud83d\n", "a\u{fffd}\n", 5),
    ] {
        let decoded = Decoded::of(raw.as_bytes());
        assert_eq!((decoded.text.as_str(), decoded.complete), (text, complete), "{raw}");
        assert_eq!(decoded.raw(text.len()), raw.len(), "{raw}");
    }
    let bad = Decoded::of(b"a\xff\xc3\xa9z");
    assert_eq!((bad.text.as_str(), bad.raw(4), bad.raw(6)), ("a\u{fffd}\u{e9}z", 2, 4));
}

proptest! {
    #[test]
    fn each_character_is_found_where_it_stands(text in "[a\"\\\\\n\u{e9}\u{1f600}\u{1}]{0,24}", ascii in any::<bool>()) {
        let mut raw = String::new();
        let mut starts = Vec::new();
        for char in text.chars() {
            starts.push(raw.len());
            if ascii {
                let units: &mut [u16] = &mut [0; 2];
                raw.extend(char.encode_utf16(units).iter().map(|unit| format!("\\u{unit:04x}")));
            } else {
                let quoted = serde_json::to_string(&char).unwrap();
                raw.push_str(quoted.strip_prefix('"').unwrap().strip_suffix('"').unwrap());
            }
        }
        let decoded = Decoded::of(raw.as_bytes());
        prop_assert_eq!(&decoded.text, &text);
        for ((at, _), start) in text.char_indices().zip(starts) {
            prop_assert_eq!(decoded.raw(at), start);
            prop_assert_eq!(decoded.text_at(start), at);
        }
        prop_assert_eq!(decoded.raw(text.len()), raw.len());
        prop_assert_eq!(decoded.text_at(raw.len()), text.len());
    }

    #[test]
    fn nothing_that_comes_makes_it_fail(doc in any::<Vec<u8>>()) {
        let _ = (request(&doc), answer(&doc), event(&doc), Decoded::of(&doc));
    }
}
