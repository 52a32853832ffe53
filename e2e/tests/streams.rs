//! Failover before the first content token, and what becomes of a stream that breaks after it.
#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "tests fail by panicking")]

use serde_json::{Value, json};
use sluice_e2e::bed::{self, Answered};
use sluice_e2e::client::{self, End};
use sluice_e2e::gateway::{Gateway, closed_port};
use sluice_e2e::sse;
use sluice_e2e::upstream::Upstream;

/// Credentials, path and model that each provider of the chain must be asked with.
const OWN: [(&str, &str, &str, &str); 3] = [
    ("a", "sk-secret-a", "/v1/chat/completions", ""),
    ("b", "sk-secret-b", "/base-b/v1/chat/completions", "model-b"),
    ("c", "sk-secret-c", "/base-c/v1/chat/completions", "model-c"),
];

/// Every attempt went out with its own provider's key, path and model, and with nobody else's.
fn assert_own_requests(test: &str, answered: &Answered) {
    for (name, seen) in &answered.seen {
        let (_, key, path, model) =
            OWN.into_iter().find(|own| own.0 == name).expect("a provider of the chain");
        let model = if model.is_empty() { bed::model(test) } else { model.to_owned() };
        assert_eq!((seen.key(), seen.path.as_str()), (Some(key), path), "{name}");
        assert_eq!(seen.json()["model"], model, "{name}");
    }
}

fn assert_clean_stream_from(provider: &str, reply: &client::Reply) {
    assert_eq!((reply.status, reply.end), (200, End::Clean), "{}", reply.text());
    let events = reply.events();
    assert!(sse::is_done(&events), "{}", reply.text());
    assert_eq!(sse::text(&events), format!("Hello from {provider}, café 你好 🚰 2 3 4"));
    assert!(sse::errors(&events).is_empty());
    let roles = events.iter().filter(|event| event.json()["choices"][0]["delta"]["role"] == "assistant");
    assert_eq!(roles.count(), 1, "one stream, not the joint of two");
}

fn assert_whole_answer_from(provider: &str, reply: &client::Reply) {
    assert_eq!((reply.status, reply.end), (200, End::Clean), "{}", reply.text());
    let content = &reply.json()["choices"][0]["message"]["content"];
    assert_eq!(*content, format!("Hello from {provider}, café 你好 🚰 2 3 4"));
}

/// `a` fails as told, so `b` answers; the record tells why.
fn fails_over(test: &str, stream: bool, fault: Value, verdict: &str) {
    let bed = bed::shared();
    let answered = bed.ask(test, stream, json!({"a": fault}));
    match stream {
        true => assert_clean_stream_from("b", &answered.reply),
        false => assert_whole_answer_from("b", &answered.reply),
    }
    assert_eq!(answered.asked(), ["a", "b"]);
    assert_own_requests(test, &answered);
    let record = bed.ai_log(test);
    let verdicts = [&record["attempts"][0]["verdict"], &record["attempts"][1]["verdict"]];
    assert_eq!(verdicts, [verdict, "ok"], "{record}");
    assert_eq!(record["provider"], "b");
}

macro_rules! fail_over {
    ($($test:ident: $stream:expr, $fault:tt => $verdict:literal;)*) => {
        $(#[test]
        fn $test() {
            fails_over(stringify!($test), $stream, json!($fault), $verdict);
        })*
    };
}

fail_over! {
    a_stream_fails_over_on_503: true, {"status": 503} => "status_503";
    a_stream_fails_over_on_429: true, {"status": 429, "headers": {"retry-after": "1"}} => "status_429";
    a_stream_fails_over_on_529: true, {"status": 529} => "status_529";
    a_stream_fails_over_on_a_reset: true, {"reset": true} => "reset";
    a_stream_fails_over_on_an_error_event_inside_a_200: true, {"error_first": true} => "error_event";
    a_stream_fails_over_on_an_error_after_the_role_chunk: true, {"error_after": 0} => "error_event";
    a_stream_fails_over_on_an_empty_completion: true, {"empty": true} => "empty";
    a_stream_fails_over_when_it_ends_before_content: true, {"cut_after": 0} => "empty";
    a_stream_fails_over_on_a_reset_after_the_role_chunk: true, {"reset_after": 0} => "reset";
    a_stream_fails_over_on_headers_that_do_not_come: true, {"hang": true} => "timeout";
    a_stream_fails_over_on_a_first_token_that_does_not_come: true, {"hang_first_token": true} => "timeout";
    a_stream_fails_over_on_a_wrong_content_type:
        true, {"content_type": "text/html", "body": "<h1>It works!</h1>"} => "wrong_content_type";
    a_stream_fails_over_on_an_error_event_with_crlf: true, {"error_first": true, "crlf": true} => "error_event";
    a_stream_fails_over_on_an_error_event_in_single_bytes:
        true, {"error_after": 0, "write_size": 1} => "error_event";
    a_stream_fails_over_on_an_error_event_after_comments:
        true, {"error_first": true, "comments": true} => "error_event";
    a_whole_answer_fails_over_on_503: false, {"status": 503} => "status_503";
    a_whole_answer_fails_over_on_429: false, {"status": 429, "headers": {"retry-after": "1"}} => "status_429";
    a_whole_answer_fails_over_on_a_reset: false, {"reset": true} => "reset";
    a_whole_answer_fails_over_on_an_error_inside_a_200: false, {"error_first": true} => "error_event";
    a_whole_answer_fails_over_on_an_empty_completion: false, {"empty": true} => "empty";
    a_whole_answer_fails_over_on_a_wrong_content_type:
        false, {"content_type": "text/html", "body": "<h1>It works!</h1>"} => "wrong_content_type";
    a_whole_answer_fails_over_on_a_body_that_is_no_json: false, {"body": "{\"choices\": [tru"} => "invalid";
    a_whole_answer_fails_over_on_a_body_that_breaks_off: false, {"truncate": 40} => "reset";
}

#[test]
fn a_refused_connection_fails_over() {
    let (nobody, healthy) = (closed_port(), Upstream::start("b"));
    let gateway = Gateway::start(&format!(
        "providers: {{a: {{url: \"http://127.0.0.1:{}/v1\"}}, b: {{url: \"{}\"}}}}
models: [{{match: \"gpt-*\", targets: [{{provider: a}}], fallback: [{{provider: b}}]}}]
retry: {{per_target: 1, backoff: 1ms}}
",
        nobody.number(),
        healthy.url()
    ));
    for (test, stream) in [("refused-stream", true), ("refused-whole", false)] {
        let mut body = bed::chat_body(test);
        body["stream"] = json!(stream);
        let reply = gateway.chat(&body);
        match stream {
            true => assert_clean_stream_from("b", &reply),
            false => assert_whole_answer_from("b", &reply),
        }
        let record = gateway.ai_log(&bed::model(test));
        assert_eq!(record["attempts"][0]["verdict"], "connect_failure", "{record}");
    }
}

#[test]
fn two_failing_providers_leave_the_third() {
    let bed = bed::shared();
    let faults = json!({"a": {"status": 500}, "b": {"error_first": true}});
    for (test, stream) in [("third-stream", true), ("third-whole", false)] {
        let answered = bed.ask(test, stream, faults.clone());
        match stream {
            true => assert_clean_stream_from("c", &answered.reply),
            false => assert_whole_answer_from("c", &answered.reply),
        }
        assert_eq!(answered.asked(), ["a", "b", "c"]);
        assert_own_requests(test, &answered);
    }
}

#[test]
fn a_clients_own_mistake_is_never_retried() {
    let bed = bed::shared();
    for (status, stream) in [(400, true), (400, false), (404, false), (422, true)] {
        let test = format!("mistake-{status}-{stream}");
        let answered = bed.ask(&test, stream, json!({"*": {"status": status}}));
        assert_eq!(answered.reply.status, status, "{}", answered.reply.text());
        assert_eq!(answered.asked(), ["a"], "{status}");
        let message = answered.reply.json()["error"]["message"].clone();
        assert_eq!(message, "a is scripted to fail", "the provider's own words");
        assert_eq!(answered.reply.header("x-sluice-error"), None, "it is the provider's error");
    }
}

#[test]
fn a_target_is_tried_as_often_as_configured() {
    let bed = bed::Bed::start(&Default::default(), "retry: {per_target: 2, backoff: 1ms}\n");
    let answered = bed.ask("per-target", true, json!({"a": {"status": 503}, "b": {"status": 503}}));
    assert_clean_stream_from("c", &answered.reply);
    assert_eq!(answered.asked(), ["a", "a", "b", "b", "c"]);
}

#[test]
fn attempts_in_all_are_bounded() {
    let bed = bed::Bed::start(&Default::default(), "retry: {per_target: 1, attempts: 2, backoff: 1ms}\n");
    let answered = bed.ask("bounded", true, json!({"*": {"status": 503}}));
    assert!(answered.reply.status >= 500);
    assert_eq!(answered.asked(), ["a", "b"]);
}

#[test]
fn statuses_that_are_not_listed_are_not_retried() {
    let bed = bed::Bed::start(&Default::default(), "retry: {per_target: 1, on: [503], backoff: 1ms}\n");
    let answered = bed.ask("unlisted", false, json!({"a": {"status": 500}}));
    assert_eq!((answered.reply.status, answered.asked()), (500, vec!["a"]));
    let answered = bed.ask("listed", false, json!({"a": {"status": 503}}));
    assert_eq!((answered.reply.status, answered.asked()), (200, vec!["a", "b"]));
}

#[test]
fn a_stream_without_its_terminator_ends_in_one_error_event() {
    let bed = bed::shared();
    for (test, cut) in [("cut-early", 2), ("cut-late", 5)] {
        let answered = bed.ask(test, true, json!({"a": {"cut_after": cut}}));
        let events = answered.reply.events();
        assert_eq!((answered.reply.status, answered.reply.end), (200, End::Clean));
        assert!(sse::text(&events).starts_with("Hello from a, café 你好 🚰"), "{}", answered.reply.text());
        assert_eq!(sse::errors(&events).len(), 1, "{}", answered.reply.text());
        assert!(
            !sse::errors(&[events.last().expect("an event").clone()]).is_empty(),
            "the error is the last event"
        );
        assert!(!answered.reply.text().contains("[DONE]"));
        assert_eq!(answered.asked(), ["a"], "content has gone out: too late for another provider");
        let record = bed.ai_log(test);
        assert_eq!(record["attempts"][0]["verdict"], "unterminated", "{record}");
    }
}

#[test]
fn a_stream_that_the_provider_resets_is_never_ended_cleanly() {
    let bed = bed::shared();
    let answered = bed.ask("reset-late", true, json!({"a": {"reset_after": 2, "gap_ms": 50}}));
    assert_eq!(answered.reply.end, End::Broken, "{}", answered.reply.text());
    assert!(!answered.reply.text().contains("[DONE]"));
    assert!(sse::text(&answered.reply.events()).starts_with("Hello from a"));
    assert_eq!(answered.asked(), ["a"]);
    let record = bed.ai_log("reset-late");
    assert_eq!(record["attempts"][0]["verdict"], "cut", "{record}");
}

#[test]
fn a_stream_that_goes_silent_after_content_is_broken_off() {
    let bed = bed::shared();
    let answered = bed.ask("silent", true, json!({"a": {"hang_after": 2}}));
    assert_ne!((answered.reply.end, sse::is_done(&answered.reply.events())), (End::Clean, true));
    assert!(answered.reply.took.as_secs() < 10, "idle is 2 s");
    assert!(sse::text(&answered.reply.events()).starts_with("Hello from a"));
}

#[test]
fn an_error_event_after_content_reaches_the_client_once() {
    let bed = bed::shared();
    let answered = bed.ask("late-error", true, json!({"a": {"error_after": 2}}));
    let events = answered.reply.events();
    assert_eq!(sse::errors(&events).len(), 1, "{}", answered.reply.text());
    assert_eq!(sse::errors(&events)[0]["message"], "a is scripted to fail");
    assert!(!answered.reply.text().contains("[DONE]"));
    assert_eq!(bed.ai_log("late-error")["attempts"][0]["verdict"], "error_event");
}

#[test]
fn odd_but_healthy_streams_arrive_whole() {
    let bed = bed::shared();
    for (test, script) in [
        ("odd-bytes", json!({"write_size": 1})),
        ("odd-sevens", json!({"write_size": 7, "crlf": true})),
        ("odd-crlf", json!({"crlf": true})),
        ("odd-comments", json!({"comments": true})),
        ("odd-trailers", json!({"trailers": true})),
        ("odd-slow", json!({"delay_ms": 300, "first_token_ms": 300, "gap_ms": 30})),
        ("odd-reasoning", json!({"reasoning": true, "gap_ms": 300})),
    ] {
        let answered = bed.ask(test, true, json!({"a": script}));
        assert_eq!((answered.reply.status, answered.reply.end), (200, End::Clean), "{test}");
        assert!(sse::is_done(&answered.reply.events()), "{test}: {}", answered.reply.text());
        assert!(sse::text(&answered.reply.events()).ends_with(" 2 3 4"), "{test}");
        assert_eq!(answered.asked(), ["a"], "{test}");
        assert_eq!(bed.ai_log(test)["attempts"][0]["verdict"], "ok", "{test}");
    }
}

#[test]
fn a_stream_of_nothing_but_a_tool_call_is_not_empty() {
    let bed = bed::shared();
    for (test, stream) in [("tool-stream", true), ("tool-whole", false)] {
        let answered = bed.ask(test, stream, json!({"a": {"tools": true}}));
        assert_eq!((answered.reply.status, answered.asked()), (200, vec!["a"]), "{}", answered.reply.text());
        assert!(answered.reply.text().contains("get_weather"));
    }
}

#[test]
fn a_stream_is_shown_as_it_comes() {
    let bed = bed::shared();
    let mut body = bed::chat_body("live-stream");
    body["stream"] = json!(true);
    body["x_mock"] = json!({"a": {"hang_after": 3}});
    let mut client = client::Connection::open(bed.gateway.address()).expect("the gateway listens");
    let text = body.to_string();
    let headers = [("content-type", "application/json")];
    client
        .write(&client::request("POST", "/v1/chat/completions", &headers, text.as_bytes()))
        .expect("a request");
    let mut framing = client.read_head().expect("a head").framing(true);
    let mut got = Vec::new();
    while !String::from_utf8_lossy(&got).contains("café") {
        got.extend(client.read_piece(&mut framing).expect("a chunk").expect("no end yet"));
    }
}

#[test]
fn a_compressed_answer_is_readable_or_comes_from_another() {
    let bed = bed::shared();
    for (test, stream) in [("gzip-stream", true), ("gzip-whole", false)] {
        let answered = bed.ask(test, stream, json!({"a": {"gzip": true}}));
        assert_eq!((answered.reply.status, answered.reply.end), (200, End::Clean), "{test}");
        let text = match answered.reply.header("content-encoding") {
            Some("gzip") => gunzip(&answered.reply.body),
            _ => answered.reply.text(),
        };
        assert!(text.contains("Hello from"), "{test}: {text}");
    }
}

fn gunzip(body: &[u8]) -> String {
    std::io::read_to_string(flate2::read::GzDecoder::new(body)).expect("gzip")
}
