//! Anthropic messages, there and back.

use proptest::prelude::*;

use super::super::raw::quote;
use super::*;

const MESSAGES: Operation = Operation::Messages;

fn message(content: &str) -> String {
    let head = r#""id":"msg","type":"message","role":"assistant","model":"claude""#;
    let usage = r#"{"input_tokens":10,"cache_read_input_tokens":4,"output_tokens":15,"server_tool_use":{"web_search_requests":1},"service_tier":null}"#;
    format!(
        r#"{{{head},"content":[{content}],"stop_reason":"tool_use","stop_sequence":null,"container":{{"id":"c"}},"usage":{usage}}}"#
    )
}

#[test]
fn a_stream_is_given_as_recorded() {
    let stream = recorded("messages");
    assert_eq!(replay(MESSAGES, Form::Stream, &stream, STREAM), Some(stream.clone()));
    assert_eq!(replay(MESSAGES, Form::Stream, &stream, STREAM_WITH_USAGE), Some(stream));
}

#[test]
fn the_recorded_stream_becomes_this_document() {
    let want = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude-3-7-sonnet-20250219","content":[{"type":"text","text":"Hello!"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":25,"cache_read_input_tokens":6,"output_tokens":15}}"#;
    assert_eq!(folded(MESSAGES, std::str::from_utf8(&recorded("messages")).unwrap()).as_deref(), Some(want));
}

#[test]
fn a_document_becomes_these_events() {
    let content =
        r#"{"type":"text","text":"Hi"},{"type":"tool_use","id":"t","name":"n","input":{"a":[1.50,"é\""]}}"#;
    let stream = String::from_utf8(told(MESSAGES, &message(content), STREAM).unwrap()).unwrap();
    let want = [
        r#"{"type":"message_start","message":{"id":"msg","type":"message","role":"assistant","model":"claude","content":[],"stop_reason":null,"stop_sequence":null,"container":{"id":"c"},"usage":{"input_tokens":10,"cache_read_input_tokens":4,"output_tokens":0,"server_tool_use":{"web_search_requests":1},"service_tier":null}}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"n","input":{}}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":[1.50,\"é\\\"\"]}"}}"#,
        r#"{"type":"content_block_stop","index":1}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"input_tokens":10,"cache_read_input_tokens":4,"output_tokens":15,"server_tool_use":{"web_search_requests":1},"service_tier":null}}"#,
        r#"{"type":"message_stop"}"#,
    ];
    assert_eq!(data(stream.as_bytes()), want);
    for (name, data) in stream.lines().filter(|line| line.starts_with("event: ")).zip(want) {
        assert!(data.contains(&format!(r#"{{"type":"{}""#, name.trim_start_matches("event: "))));
    }
}

#[test]
fn every_block_survives() {
    for block in [
        r#"{"type":"text","text":""}"#,
        r#"{"type":"text","text":"a \ud83d\ude80","citations":null}"#,
        r#"{"citations":[{"type":"x","n":1.0},{"type":"y"}],"type":"text","text":"a"}"#,
        r#"{"type":"text","text":"a","citations":[]}"#,
        r#"{"type":"thinking","thinking":"hm\n","signature":"sig=="}"#,
        r#"{"type":"thinking","thinking":"","signature":""}"#,
        r#"{"type":"redacted_thinking","data":"zz"}"#,
        r#"{"type":"tool_use","id":"t","name":"n","input":{}}"#,
        r#"{"type":"tool_use","id":"t","name":"n","input":{"n":1e3,"s":"\u00e9\\","d":{"e":[null]}}}"#,
        r#"{"type":"server_tool_use","id":"s","name":"web_search","input":{"query":"q"},"caller":{"type":"direct"}}"#,
        r#"{"type":"web_search_tool_result","tool_use_id":"s","content":[{"type":"web_search_result","url":"u"}]}"#,
        r#"{"type":"not_known_yet","text":"x","input":[1]}"#,
    ] {
        survives(MESSAGES, &message(block));
        survives(MESSAGES, &message(&format!("{block},{block}")));
    }
}

#[test]
fn late_news_of_a_message_are_kept() {
    let stream = String::from_utf8(recorded("messages")).unwrap();
    let delta = r#""stop_details":{"a":1},"container":{"id":"c"}},"context_management":{"applied_edits":[]},"usage":{"input_tokens":26,"cache_read_input_tokens":null,"#;
    let stream = stream.replace(
        r#""stop_sequence":null},"usage":{"output_tokens""#,
        &format!(r#""stop_sequence":null,{delta}"output_tokens""#),
    );
    let document = folded(MESSAGES, &stream).unwrap();
    for part in [
        r#""stop_details":{"a":1}"#,
        r#""container":{"id":"c"}"#,
        r#""context_management":{"applied_edits":[]}"#,
        r#""usage":{"input_tokens":26,"cache_read_input_tokens":6,"output_tokens":15}"#,
    ] {
        assert!(document.contains(part), "{document}");
    }
}

#[test]
fn what_is_odd_in_a_stream_is_not_folded() {
    let stream = String::from_utf8(recorded("messages")).unwrap();
    for (from, to) in [
        (r#"{"type":"ping"}"#, r#"{"type":"news"}"#),
        (r#""content":[]"#, r#""content":[{}]"#),
        (r#""type":"text_delta""#, r#""type":"other_delta""#),
        (r#""type":"text_delta","text":"!""#, r#""type":"thinking_delta","thinking":"!""#),
        (r#""type":"text_delta","text":"!""#, r#""type":"input_json_delta","partial_json":"{""#),
        (r#""type":"text_delta","text":"!""#, r#""type":"input_json_delta","partial_json":"[]""#),
        (r#""type":"content_block_delta","index":0"#, r#""type":"content_block_delta","index":1"#),
        (r#""type":"content_block_start","index":0"#, r#""type":"content_block_start","index":1"#),
        (r#""text":"Hello""#, r#""text":1"#),
    ] {
        assert!(stream.contains(from));
        assert_eq!(folded(MESSAGES, &stream.replace(from, to)), None, "{from} {to}");
    }
}

proptest! {
    #[test]
    fn the_json_of_a_tool_may_be_split_anywhere(text in any::<String>(), cuts in prop::collection::vec(0_usize..64, 0..6)) {
        let json = format!(r#"{{"text":{},"n":[1.50,-0]}}"#, String::from_utf8(quote(text.as_bytes())).unwrap());
        let mut cuts: Vec<_> = cuts.into_iter().map(|at| json.floor_char_boundary(at)).collect();
        cuts.extend([0, json.len()]);
        cuts.sort_unstable();
        let start = r#"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"n","input":{}}}"#;
        let mut events = vec![r#"{"type":"message_start","message":{"content":[]}}"#.to_owned(), start.to_owned()];
        for pair in cuts.windows(2) {
            let part = String::from_utf8(quote(&json.as_bytes()[pair[0]..pair[1]])).unwrap();
            events.push(format!(r#"{{"type":"content_block_delta","index":0,"delta":{{"type":"input_json_delta","partial_json":{part}}}}}"#));
        }
        let document = folded(MESSAGES, &sse(&events.iter().map(String::as_str).collect::<Vec<_>>())).unwrap();
        prop_assert_eq!(document, format!(r#"{{"content":[{{"type":"tool_use","id":"t","name":"n","input":{json}}}]}}"#));
    }
}
