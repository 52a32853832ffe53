//! Answers of the Responses API, there and back.

use super::*;

const RESPONSES: Operation = Operation::Responses;

fn response(output: &str) -> String {
    format!(
        r#"{{"id":"r","object":"response","created_at":1.0,"completed_at":2,"status":"completed","error":null,"model":"m","output":[{output}],"usage":{{"input_tokens":1,"output_tokens":1}},"x":1e2}}"#
    )
}

/// The `type` of each event, `response.` left out.
fn kinds(stream: &[u8]) -> Vec<String> {
    let stream = std::str::from_utf8(stream).unwrap();
    stream.lines().filter_map(|line| line.strip_prefix("event: response.")).map(str::to_owned).collect()
}

#[test]
fn a_stream_is_given_as_recorded() {
    let stream = recorded("responses");
    assert_eq!(replay(RESPONSES, Form::Stream, &stream, STREAM), Some(stream));
}

#[test]
fn a_streams_document_is_the_last_events_byte_for_byte() {
    let document = " {\"id\" : \"r\", \"output\":[ {\"n\":1.50} ]\t} ";
    let stream = format!(
        "event: response.completed\ndata: {{\"type\":\"response.completed\",\"response\":{document}}}\n\n"
    );
    assert_eq!(folded(RESPONSES, &stream).as_deref(), Some(document.trim()));
    let recorded = String::from_utf8(recorded("responses")).unwrap();
    let document = folded(RESPONSES, &recorded).unwrap();
    assert!(recorded.contains(&format!(r#""response":{document}}}"#)) && document.contains("Hi there"));
}

#[test]
fn a_stream_whose_items_are_not_in_its_end_is_not_converted() {
    let stream = String::from_utf8(recorded("responses")).unwrap();
    let (before, last) = stream.split_once("event: response.completed").unwrap();
    let start = last.find(r#""output":["#).unwrap();
    let end = last.find(r#","usage""#).unwrap();
    let empty = format!("{before}event: response.completed{}\"output\":[]{}", &last[..start], &last[end..]);
    assert_eq!(folded(RESPONSES, &empty), None);
}

#[test]
fn a_document_becomes_these_events() {
    let part =
        r#"{"type":"output_text","text":"Hi","annotations":[{"type":"file_path","index":0}],"logprobs":[]}"#;
    let item = format!(
        r#"{{"id":"i","type":"message","role":"assistant","status":"completed","content":[{part}]}}"#
    );
    let document = response(&item);
    let created = document
        .replace(r#""status":"completed","error""#, r#""status":"in_progress","error""#)
        .replace(&format!("[{item}]"), "[]")
        .replace(r#""completed_at":2"#, r#""completed_at":null"#)
        .replace(r#"{"input_tokens":1,"output_tokens":1}"#, "null");
    let at = r#""item_id":"i","output_index":0,"content_index":0"#;
    let want = [
        format!(r#"response.created","sequence_number":0,"response":{created}}}"#),
        format!(r#"response.in_progress","sequence_number":1,"response":{created}}}"#),
        r#"response.output_item.added","sequence_number":2,"output_index":0,"item":{"id":"i","type":"message","role":"assistant","status":"in_progress","content":[]}}"#.to_owned(),
        format!(r#"response.content_part.added","sequence_number":3,{at},"part":{{"type":"output_text","text":"","annotations":[],"logprobs":[]}}}}"#),
        format!(r#"response.output_text.delta","sequence_number":4,{at},"logprobs":[],"delta":"Hi"}}"#),
        format!(r#"response.output_text.annotation.added","sequence_number":5,{at},"annotation_index":0,"annotation":{{"type":"file_path","index":0}}}}"#),
        format!(r#"response.output_text.done","sequence_number":6,{at},"logprobs":[],"text":"Hi"}}"#),
        format!(r#"response.content_part.done","sequence_number":7,{at},"part":{part}}}"#),
        format!(r#"response.output_item.done","sequence_number":8,"output_index":0,"item":{item}}}"#),
        format!(r#"response.completed","sequence_number":9,"response":{document}}}"#),
    ];
    let want: Vec<_> = want.iter().map(|event| format!(r#"{{"type":"{event}"#)).collect();
    assert_eq!(data(&told(RESPONSES, &document, STREAM).unwrap()), want);
}

#[test]
fn every_item_has_its_own_events() {
    let text = ["part.added", "text.delta", "text.done", "part.done"];
    for (item, events) in [
        (
            r#""type":"reasoning","summary":[{"type":"summary_text","text":"s"}],"encrypted_content":"e""#,
            text.map(|event| format!("reasoning_summary_{event}")).to_vec(),
        ),
        (
            r#""type":"function_call","call_id":"c","name":"f","arguments":"{}""#,
            vec!["function_call_arguments.delta".to_owned(), "function_call_arguments.done".to_owned()],
        ),
        (
            r#""type":"message","content":[{"type":"refusal","refusal":"no"}]"#,
            ["content_part.added", "refusal.delta", "refusal.done", "content_part.done"]
                .map(str::to_owned)
                .to_vec(),
        ),
        (
            r#""type":"web_search_call","status":"completed","action":{"type":"search"}"#,
            ["in_progress", "searching", "completed"].map(|step| format!("web_search_call.{step}")).to_vec(),
        ),
        (
            r#""type":"web_search_call","status":"failed","action":{"type":"search"}"#,
            ["in_progress", "searching"].map(|step| format!("web_search_call.{step}")).to_vec(),
        ),
        (
            r#""type":"function_call","call_id":"c","arguments":"""#,
            vec!["function_call_arguments.done".to_owned()],
        ),
        (r#""type":"not_known_yet","content":[1],"arguments":"x""#, vec![]),
    ] {
        let document = response(&format!(r#"{{"id":"i",{item}}}"#));
        let stream = told(RESPONSES, &document, STREAM).unwrap();
        let kinds = kinds(&stream);
        assert_eq!(kinds[..3], ["created", "in_progress", "output_item.added"]);
        assert_eq!(kinds[3..kinds.len() - 2], events);
        assert_eq!(kinds[kinds.len() - 2..], ["output_item.done", "completed"]);
        survives(RESPONSES, &document);
    }
}

#[test]
fn documents_that_no_stream_can_tell_are_not_converted() {
    for item in [
        r#"{"type":"message","content":[]}"#, // no id to tell it by
        r#"{"id":"i","type":"message","content":[{"type":"output_audio"}]}"#, // no known way to say it
        r#"{"id":"i","type":"message","content":[{"type":"output_text"}]}"#,
        r#"{"id":"i","type":"function_call","arguments":{}}"#,
        r#"{"id":"i"}"#,
        "1",
    ] {
        assert_eq!(told(RESPONSES, &response(item), STREAM), None, "{item}");
    }
}

#[test]
fn an_id_that_would_fill_the_memory_is_refused() {
    let id = "i".repeat(100_000);
    let parts = vec![r#"{"type":"refusal","refusal":"no"}"#; 1000].join(",");
    let item = format!(r#"{{"id":"{id}","type":"message","content":[{parts}]}}"#);
    assert_eq!(told(RESPONSES, &response(&item), STREAM), None);
    let choices: Vec<_> = (0..1000)
        .map(|index| format!(r#"{{"index":{index},"message":{{}},"finish_reason":"stop"}}"#))
        .collect();
    let document = format!(r#"{{"id":"{id}","choices":[{}]}}"#, choices.join(","));
    assert_eq!(told(Operation::Chat, &document, STREAM), None);
}
