//! Prompts and answers in the record: only where they are asked for, only redacted, only so long.

use super::*;

const ASK: &str =
    r#"{"model":"gpt","messages":[{"role":"user","content":"Mail bob@example.com the canary"}]}"#;

const SAY: &str =
    r#"{"choices":[{"message":{"content":"The canary sings for +49 30 901820"},"finish_reason":"stop"}]}"#;

fn headers<'a>(kind: &'a str, encoding: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![("content-type", kind), ("content-encoding", encoding)]
}

/// A POST to the path, with the first answers of the filter.
fn ask(json: &str, path: &str, more: &[(&str, &str)], body: &[u8]) -> (AiLog, FakeHost, Next) {
    let mut host = FakeHost::with_request(&[&[(":method", "POST"), (":path", path)], more].concat());
    let mut filter = AiLog::new(config(json).unwrap());
    let next = filter.on_request_headers(&mut host, false);
    if next == Next::Watch {
        assert_eq!(filter.on_request_body(&mut host, body, true), Next::Pass, "all is seen");
    }
    (filter, host, next)
}

fn answer(
    filter: &mut AiLog,
    host: &mut FakeHost,
    headers: &[(&str, &str)],
    parts: &[&[u8]],
    end: bool,
) -> Next {
    host.respond(headers);
    let next = filter.on_response_headers(host, false);
    if next == Next::Watch {
        for part in parts {
            assert_eq!(filter.on_response_body(host, part, false), Next::Watch);
        }
        if end {
            filter.on_response_body(host, b"", true);
        }
    }
    envoy_says(host, 200, 0, "via_upstream");
    next
}

/// The whole exchange of [`ASK`] and [`SAY`].
fn exchange(json: &str, more: &[(&str, &str)]) -> (Next, Next, Value) {
    let (mut filter, mut host, asked) = ask(json, "/v1/chat/completions", more, ASK.as_bytes());
    context::METER.set(&mut host, "provider-adapter");
    let headers = [&[(":status", "200"), ("content-type", "application/json")], more].concat();
    let answered = answer(&mut filter, &mut host, &headers, &[SAY.as_bytes()], true);
    let record = parsed(&mut filter, &mut host);
    assert!(host.logs.is_empty());
    assert!(host.counters.keys().chain(host.histograms.keys()).all(|name| !name.contains("canary")));
    assert!(host.facts.iter().all(|(name, value)| {
        name == context::AI_LOG.0 || !String::from_utf8_lossy(value).contains("canary")
    }));
    (asked, answered, record)
}

#[test]
fn off_no_body_is_looked_at() {
    for json in ["", "{}", r#"{"max_chars": 9}"#] {
        let (asked, answered, record) = exchange(json, &[]);
        assert_eq!((asked, answered), (Next::Pass, Next::Pass), "{json}");
        for name in ["prompt", "prompt_chars", "answer", "answer_chars"] {
            assert_eq!(record.get(name), None, "{name}");
        }
        assert!(!record.to_string().contains("canary"));
    }
}

#[test]
fn truncated_and_full_tell_redacted_texts() {
    for (json, prompt, answer) in [
        (
            r#"{"prompts": "truncated"}"#,
            json!(["Mail [EMAIL] the canary", null]),
            json!(["The canary sings for [PHONE]", null]),
        ),
        (
            r#"{"prompts": "truncated", "max_chars": 14}"#,
            json!(["Mail [EMAIL] t", 31]),
            json!(["The canary sin", 34]),
        ),
        (r#"{"prompts": "truncated", "max_chars": 7}"#, json!(["Mail ", 31]), json!(["The can", 34])),
        (
            r#"{"prompts": "full", "max_chars": 7}"#,
            json!(["Mail [EMAIL] the canary", null]),
            json!(["The canary sings for [PHONE]", null]),
        ),
    ] {
        let (asked, answered, record) = exchange(json, &[]);
        assert_eq!((asked, answered), (Next::Watch, Next::Watch));
        let shown = |name: &str| json!([record[name], record[format!("{name}_chars")]]);
        assert_eq!((shown("prompt"), shown("answer")), (prompt, answer), "{json}");
    }
}

#[test]
fn the_texts_are_the_last_members() {
    let (mut filter, mut host, _) =
        ask(r#"{"prompts":"truncated","max_chars":5}"#, "/v1/chat/completions", &[], ASK.as_bytes());
    answer(
        &mut filter,
        &mut host,
        &[(":status", "200"), ("content-type", "application/json")],
        &[SAY.as_bytes()],
        true,
    );
    let record = record(&mut filter, &mut host);
    let want = r#""end":"complete","prompt":"Mail ","prompt_chars":31,"answer":"The c","answer_chars":34}"#;
    assert!(record.ends_with(want), "{record}");
}

#[test]
fn full_has_a_bound_too() {
    let long = "It is so. ".repeat(20_000);
    let body = json!({"messages": [{"role": "user", "content": long}]}).to_string();
    let (mut filter, mut host, _) = ask(r#"{"prompts":"full"}"#, "/v1/messages", &[], body.as_bytes());
    let record = parsed(&mut filter, &mut host);
    assert_eq!(record["prompt"].as_str().map(str::len), Some(64 * 1024));
    assert_eq!(record["prompt_chars"], long.len());
}

#[test]
fn what_cannot_be_read_is_neither_watched_nor_recorded() {
    let on = r#"{"prompts": "full"}"#;
    let form = headers("multipart/form-data; boundary=b", "identity");
    for (name, path, more) in [
        ("a form", "/v1/chat/completions", form),
        ("compressed", "/v1/chat/completions", headers("application/json", "gzip")),
        ("no JSON", "/v1/responses", headers("text/plain", "")),
        ("another operation", "/v1/images/generations", headers("application/json", "")),
        ("rerank", "/v1/rerank", headers("application/json", "")),
        ("too long", "/v1/messages", vec![("content-length", "99000000")]),
    ] {
        let (mut filter, mut host, next) = ask(on, path, &more, ASK.as_bytes());
        assert_eq!(next, Next::Pass, "{name}");
        context::METER.set(&mut host, "provider-adapter");
        let headers = [&[(":status", "200")], more.as_slice()].concat();
        assert_eq!(answer(&mut filter, &mut host, &headers, &[SAY.as_bytes()], true), Next::Pass, "{name}");
        assert!(!record(&mut filter, &mut host).contains("canary"), "{name}");
    }
    let mut host = FakeHost::with_request(&[(":method", "GET"), (":path", "/v1/chat/completions")]);
    assert_eq!(AiLog::new(config(on).unwrap()).on_request_headers(&mut host, true), Next::Pass);
}

#[test]
fn a_request_refused_before_it_was_read_has_no_texts() {
    for path in ["/v1/chat/completions", "/v1/messages"] {
        let mut host = FakeHost::with_request(&[(":method", "POST"), (":path", path)]);
        let mut filter = AiLog::new(config(r#"{"prompts":"full"}"#).unwrap());
        assert_eq!(filter.on_request_headers(&mut host, false), Next::Watch);
        filter.on_request_body(&mut host, &ASK.as_bytes()[..ASK.len() - 1], false);
        set(&mut host, &[(context::ERROR, "missing_api_key")]);
        let headers =
            [(":status", "401"), ("content-type", "application/json"), ("x-sluice-error", "missing_api_key")];
        let own = br#"{"error":{"message":"There is no key, canary."}}"#;
        assert_eq!(
            answer(&mut filter, &mut host, &headers, &[own], true),
            Next::Pass,
            "the gateway's own words"
        );
        let record = parsed(&mut filter, &mut host);
        assert_eq!((record.get("prompt"), record.get("answer")), (None, None), "{record}");
    }
}

#[test]
fn a_stream_that_breaks_off_is_told_as_far_as_it_came_but_for_what_may_be_half_a_secret() {
    let stream = concat!(
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Yes, call +49 30 901820. Or write to bob@exam\"}}]}\n\n",
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"ple.c",
    );
    let (mut filter, mut host, _) = ask(r#"{"prompts":"full"}"#, "/v1/chat/completions", &[], ASK.as_bytes());
    let headers = [(":status", "200"), ("content-type", "text/event-stream")];
    answer(&mut filter, &mut host, &headers, &[stream.as_bytes()], false);
    let record = parsed(&mut filter, &mut host);
    assert_eq!(
        (&record["answer"], &record["answer_chars"]),
        (&json!("Yes, call [PHONE]. Or write to "), &json!(45))
    );
}

#[test]
fn a_reply_that_takes_an_answer_s_place_is_the_one_recorded() {
    let (mut filter, mut host, _) = ask(r#"{"prompts":"full"}"#, "/v1/chat/completions", &[], ASK.as_bytes());
    let json = [(":status", "200"), ("content-type", "application/json")];
    answer(&mut filter, &mut host, &json, &[SAY.as_bytes()], false);
    let other = br#"{"choices":[{"message":{"content":"This cannot be answered."}}]}"#;
    answer(&mut filter, &mut host, &json, &[other], true);
    assert_eq!(parsed(&mut filter, &mut host)["answer"], "This cannot be answered.");
}

#[test]
fn what_ends_a_line_or_steers_a_terminal_is_escaped() {
    let body = json!({"messages": [{"content": "a\r\n\u{1b}[2J\u{85}\u{9b}\u{2028}\u{2029}\u{7f}\"\\b"}]})
        .to_string();
    let (mut filter, mut host, _) = ask(r#"{"prompts":"full"}"#, "/v1/messages", &[], body.as_bytes());
    let record = record(&mut filter, &mut host);
    let want = r#""prompt":"a\r\n\u001b[2J\u0085\u009b\u2028\u2029\u007f\"\\b"}"#;
    assert!(record.ends_with(want), "{record}");
    let read: Value = serde_json::from_str(&record).unwrap();
    assert_eq!(read["prompt"], "a\r\n\u{1b}[2J\u{85}\u{9b}\u{2028}\u{2029}\u{7f}\"\\b");
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused() {
    for (json, want) in [
        (r#"{"prompts": "off"}"#, "unknown variant `off`"),
        (r#"{"prompts": true}"#, "prompts"),
        (r#"{"prompts": "truncated", "max_chars": 0}"#, "max_chars: must be 1 to 1000000"),
        (r#"{"prompts": "truncated", "max_chars": 1000001}"#, "max_chars: must be 1 to 1000000"),
        (r#"{"answers": "full"}"#, "unknown field `answers`"),
    ] {
        let refused = config(json).unwrap_err();
        assert!(refused.contains(want), "{json}: {refused}");
    }
    assert!(config(r#"{"prompts": "truncated", "max_chars": 1000000}"#).is_ok());
}

/// Bodies that could be read, almost could, and could not.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(ASK.as_bytes().to_vec()),
        Just(SAY.as_bytes().to_vec()),
        Just(STREAM.as_bytes().to_vec()),
        "[\\[\\]{}\",:\\\\\r\n 0-9a-z\u{2028}\0@.]{0,40}".prop_map(String::into_bytes),
        "(data: |\\{\"choices\":\\[\\{\"delta\":\\{\"content\":\"|\"\\}\\}\\]\\}|\\\\ud8|\n\n)"
            .prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    prop::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn whatever_the_bodies_are_the_record_is_json_on_one_line_without_an_address(
        asked in body(),
        said in body(),
        stream: bool,
        full: bool,
        path in "/v1/(chat/completions|completions|embeddings|responses|messages|other)",
        cut in 0_usize..80,
    ) {
        let json = if full { r#"{"prompts":"full"}"# } else { r#"{"prompts":"truncated","max_chars":20}"# };
        let (mut filter, mut host, _) = ask(json, &path, &[], &asked);
        let kind = if stream { "text/event-stream" } else { "application/json" };
        let (one, two) = said.split_at(cut.min(said.len()));
        answer(&mut filter, &mut host, &[(":status", "200"), ("content-type", kind)], &[one, two], cut % 2 == 0);
        let record = parsed(&mut filter, &mut host).to_string();
        prop_assert!(!record.contains("bob@"), "{}", record);
    }
}
