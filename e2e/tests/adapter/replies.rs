//! Replies that a filter makes, and exchanges that it breaks off, wherever it stands.

use serde_json::{Value, json};
use sluice_e2e::client::{self, End, Reply};

use crate::bed::{Bed, Shape, bed};

/// A script that does `act` in callback `when`, with the side in question held until then.
fn script(when: &str, act: &Value) -> Value {
    let acts = json!([act]);
    match when {
        "request_headers" | "response_headers" => json!({"on": {when: acts}}),
        "request_part" | "request_end" => json!({"request": "hold", "on": {when: acts}}),
        "response_part" | "response_end" => json!({"response": "hold", "on": {when: acts}}),
        "callout" => json!({"request": "hold", "on": {
            "request_headers": [{"callout": ["upstream", 5_000]}], "request_end": [{"next": "hold"}], when: acts}}),
        "wake" => json!({"request": "hold", "on": {
            "request_headers": [{"wake_after": 20}], "request_end": [{"next": "hold"}], when: acts}}),
        "wake in response" => json!({"response": "hold", "on": {
            "response_headers": [{"wake_after": 20}], "response_end": [{"next": "hold"}], "wake": acts}}),
        _ => panic!("no such callback: {when}"),
    }
}

const CALLBACKS: [&str; 9] = [
    "request_headers",
    "request_part",
    "request_end",
    "response_headers",
    "response_part",
    "response_end",
    "callout",
    "wake",
    "wake in response",
];

/// Posts a body that asks for a stream, in parts as `when` needs it.
fn ask(bed: &Bed, when: &str, shape: Shape, path: &str) -> Reply {
    let body = json!({"stream": true, "x_mock": {"*": {"gap_ms": 5}}}).to_string();
    if when != "request_part" {
        return bed.send(shape, path, body.as_bytes());
    }
    // The first part is told from the last only if something is missing.
    let mut client = bed.connect();
    let head = format!("POST {path} HTTP/1.1\r\nhost: g\r\ncontent-length: {}\r\n\r\n", body.len() + 1);
    client.write(format!("{head}{body}").as_bytes()).expect("a request");
    client.read().expect("an answer")
}

#[test]
fn a_filter_can_reply_wherever_headers_are_held() {
    let bed = bed();
    for when in CALLBACKS {
        for (shape, probe) in [(Shape::Length, "inner"), (Shape::Http2, "inner"), (Shape::Length, "first")] {
            // Trailers may split the body of an attempt differently; the gateway stage tells parts from ends.
            let case = format!("{when} {shape:?} {probe}");
            let path = Bed::path("plain", &json!({probe: script(when, &json!({"reply": "because"}))}));
            let reply = ask(&bed, when, shape, &path);
            assert_eq!((reply.status, reply.end), (400, End::Clean), "{case}");
            assert_eq!(reply.json()["error"]["message"], "because", "{case}");
            assert_eq!(reply.header("x-sluice-error"), Some("invalid_json"), "{case}");
            assert_eq!(reply.header("content-type"), Some("application/json"), "{case}");
            assert_eq!(reply.header("x-should-retry"), Some("false"), "{case}");
            let line = bed.line(&path);
            assert_eq!((line.status.as_str(), line.error.as_str()), ("400", "invalid_json"), "{case}");
            assert!(line.details.contains("invalid_json"), "{case}: {}", line.details);
            let is_response = when.contains("response");
            assert_eq!(bed.seen(&path).len(), usize::from(is_response), "{case}");
        }
    }
}

#[test]
fn a_filter_outside_sees_the_reply_of_one_inside() {
    let bed = bed();
    let inner = script("request_headers", &json!({"reply": "because"}));
    let path = Bed::path("plain", &json!({"inner": inner, "outer": {"response": {"whole": 1_000}}}));
    let reply = bed.post(&path, "{}");
    let line = bed.line(&path);
    let seen = &line.only("outer")["response"];
    assert_eq!((&seen["headers"], &seen["ends"]), (&json!(1), &json!(1)), "{seen}");
    assert_eq!(seen["text"], reply.text(), "{seen}");
}

/// Once with the reply's headers held and nothing of its body, once with both.
#[test]
fn a_filter_outside_can_hold_the_reply_of_one_inside_and_change_it() {
    let bed = bed();
    let (stamp, wake) = (json!({"set_header": ["x-outer", "told"]}), json!({"wake_after": 50}));
    let at_headers = json!({"response": "wait", "on": {
        "response_headers": [stamp, wake], "wake": [{"set_header": ["x-late", "yes"]}, {"next": "pass"}]}});
    let at_end = json!({"response": "hold", "on": {
        "response_headers": [stamp], "response_end": [{"set_body": "changed"}, wake, {"next": "hold"}],
        "wake": [{"next": "pass"}]}});
    for (outer, body) in [(at_headers, None), (at_end, Some("changed"))] {
        for when in ["request_headers", "request_end", "callout", "wake"] {
            for shape in Shape::ALL {
                let inner = script(when, &json!({"reply": "because"}));
                let path = Bed::path("plain", &json!({"inner": inner, "outer": outer}));
                let reply = bed.send(shape, &path, b"{}");
                let case = format!("{when} {shape:?} {outer}");
                assert_eq!((reply.status, reply.header("x-outer")), (400, Some("told")), "{case}");
                match body {
                    Some(body) => assert_eq!(reply.text(), body, "{case}"),
                    None => assert_eq!(reply.json()["error"]["message"], "because", "{case}"),
                }
                assert_eq!(bed.seen(&path).len(), 0, "{case}");
                assert!(bed.line(&path).notes("outer")[0].0 >= 50, "{case}");
            }
        }
    }
}

#[test]
fn a_filter_outside_can_reply_in_place_of_one_inside() {
    let bed = bed();
    for when in ["response_headers", "response_end", "wake in response"] {
        let inner = script("request_headers", &json!({"reply": "inside"}));
        let path =
            Bed::path("plain", &json!({"inner": inner, "outer": script(when, &json!({"reply": "outside"}))}));
        let reply = bed.post(&path, "{}");
        assert_eq!((reply.status, reply.end), (400, End::Clean), "{when}");
        assert_eq!(reply.json()["error"]["message"], "outside", "{when}");
    }
}

#[test]
fn a_client_can_leave_while_a_reply_is_held() {
    let bed = Bed::start(1);
    let inner = script("request_headers", &json!({"reply": "because"}));
    let outer = json!({"response": "wait", "on": {
        "response_headers": [{"count": "will_leave"}, {"wake_after": 200}], "wake": [{"count": "woken_though_gone"}, {"next": "pass"}]}});
    let path = Bed::path("plain", &json!({"inner": inner, "outer": outer}));
    let mut client = bed.connect();
    client
        .write(format!("POST {path} HTTP/1.1\r\nhost: g\r\ncontent-length: 2\r\n\r\n{{}}").as_bytes())
        .expect("a request");
    bed.wait_count("will_leave", 1);
    client.abort();
    assert_eq!(bed.line(&path).only("outer")["notes"], json!([]));
}

#[test]
fn a_reply_to_head_has_no_body() {
    let bed = bed();
    let path = Bed::path("plain", &json!({"inner": script("request_headers", &json!({"reply": "because"}))}));
    let reply = client::send(bed.envoy.address(), "HEAD", &path, &[], b"");
    assert_eq!((reply.status, reply.text().as_str()), (400, ""));
    assert_eq!(reply.header("x-sluice-error"), Some("invalid_json"));
}

#[test]
fn a_filter_can_break_an_exchange_off_wherever_it_stands() {
    let bed = bed();
    for when in CALLBACKS {
        let path = Bed::path("plain", &json!({"inner": script(when, &json!("break"))}));
        let mut client = bed.connect();
        let body = json!({"stream": true, "x_mock": {"*": {"gap_ms": 5}}}).to_string();
        let head = format!("POST {path} HTTP/1.1\r\nhost: g\r\ncontent-length: {}\r\n\r\n", body.len());
        let (first, rest) = body.split_at(if when == "request_part" { 10 } else { body.len() });
        client.write(format!("{head}{first}").as_bytes()).expect("a request");
        let _ = if when == "request_part" { Ok(()) } else { client.write(rest.as_bytes()) };
        assert!(client.read().is_err(), "{when}: no answer, not even a broken one");
        assert_eq!(bed.line(&path).only("inner")["request"]["headers"], 1, "{when}");
    }
}

#[test]
fn a_stream_broken_off_is_never_ended_cleanly() {
    let bed = bed();
    for shape in [Shape::Length, Shape::Http2] {
        // Broken off from a wake-up, so that the headers have reached the client before.
        let on = json!({"response_headers": [{"wake_after": 300}], "wake": ["break"]});
        let path = Bed::path("plain", &json!({"inner": {"response": "watch", "on": on}}));
        let body = json!({"stream": true, "x_mock": {"*": {"hang_after": 2}}}).to_string();
        let reply = bed.send(shape, &path, body.as_bytes());
        assert_eq!((reply.status, reply.end), (200, End::Broken), "{shape:?}");
        assert!(!reply.text().contains("[DONE]"), "{shape:?}: {}", reply.text());
        assert_eq!(bed.line(&path).only("inner")["response"]["ends"], 0, "{shape:?}");
    }
}

#[test]
fn a_reply_that_comes_too_late_breaks_the_stream() {
    let bed = bed();
    let script = json!({"response": "watch", "on": {"response_end": [{"reply": "too late"}]}});
    let path = Bed::path("plain", &json!({"inner": script}));
    let body = json!({"stream": true, "x_mock": {"*": {"gap_ms": 20}}}).to_string();
    let reply = bed.post(&path, &body);
    assert_eq!((reply.status, reply.end), (200, End::Broken), "{}", reply.text());
    assert!(!reply.text().contains("too late"), "{}", reply.text());
}
