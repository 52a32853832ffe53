//! Each byte of a body is shown once and goes on once, and every body ends once.

use serde_json::{Value, json};
use sluice_e2e::client::{self, End};
use sluice_e2e::http2;

use crate::bed::{Bed, Line, Shape, bed};

const BODY: &str = "0123456789 GREETINGS abcdefghijklmnopqrstuvwxyz";

/// Everything that can be asked for.
fn asks() -> [Value; 5] {
    [json!("pass"), json!("watch"), json!("end"), json!("hold"), json!({"whole": 10_000})]
}

/// Checks what a probe that asked for `ask` was shown of a side whose body was `body`.
#[track_caller]
fn assert_shown(line: &Line, probe: &str, side: &str, ask: &Value, body: &str, case: &str) {
    let seen = &line.only(probe)[side];
    let is_shown = ask != "pass" && ask != "end";
    assert_eq!(seen["headers"], 1, "{case}: {seen}");
    assert_eq!(seen["text"], if is_shown { body } else { "" }, "{case}: {seen}");
    assert_eq!(
        (&seen["ends"], &seen["late"]),
        (&json!(u8::from(ask != "pass")), &json!(0)),
        "{case}: {seen}"
    );
    if !is_shown || ask.is_object() {
        assert_eq!(seen["parts"], seen["ends"], "{case}: {seen}");
    }
}

#[test]
fn every_byte_of_a_request_is_shown_and_sent_once() {
    let bed = bed();
    for ask in asks() {
        for shape in Shape::ALL {
            for (route, probe) in [("plain", "inner"), ("plain", "last"), ("h2", "inner")] {
                let case = format!("{ask} {shape:?} {route} {probe}");
                let path = Bed::path(route, &json!({probe: {"request": ask}}));
                let reply = bed.send(shape, &path, BODY.as_bytes());
                assert_eq!((reply.status, reply.end), (200, End::Clean), "{case}");
                let seen = bed.seen(&path);
                assert_eq!(seen.len(), 1, "{case}");
                assert_eq!(String::from_utf8_lossy(&seen[0].body), BODY, "{case}");
                let has_trailers = matches!(shape, Shape::Trailers | Shape::Http2Trailers);
                assert_eq!(!seen[0].trailers.is_empty(), has_trailers, "{case}");
                if probe == "inner" {
                    assert_shown(&bed.line(&path), probe, "request", &ask, BODY, &case);
                }
            }
        }
    }
}

#[test]
fn a_request_without_a_body_ends_once() {
    let bed = bed();
    for ask in asks() {
        for (case, get) in [("http/1 get", true), ("http/1 empty", false), ("http/2", false)] {
            let case = format!("{ask} {case}");
            let path = Bed::path("plain", &json!({"inner": {"request": ask}}));
            let reply = match get {
                true => client::get(bed.envoy.address(), &path),
                false if case.ends_with('2') => http2::post(bed.envoy.address(), &path, &[], &[]),
                false => bed.post(&path, ""),
            };
            assert_eq!(reply.status, 200, "{case}");
            assert_shown(&bed.line(&path), "inner", "request", &ask, "", &case);
            assert_eq!(bed.seen(&path).len(), 1, "{case}");
        }
    }
}

#[test]
fn parts_of_a_held_request_are_shown_as_they_come() {
    let bed = bed();
    for ask in ["hold", "watch"] {
        let name = format!("part_{ask}");
        let path = Bed::path(
            "plain",
            &json!({"inner": {"request": ask, "on": {"request_part": [{"count": name}]}}}),
        );
        let mut client = bed.connect();
        let head = format!("POST {path} HTTP/1.1\r\nhost: g\r\ncontent-length: 5\r\n\r\n");
        client.write(head.as_bytes()).expect("a head");
        for (index, byte) in b"abcd".iter().enumerate() {
            client.write(&[*byte]).expect("a byte");
            bed.wait_count(&name, index + 1);
        }
        client.write(b"e").expect("the last byte");
        assert_eq!(client.read().expect("an answer").status, 200, "{ask}");
        let line = bed.line(&path);
        // The last byte and the end may come together or one after the other.
        assert!(line.only("inner")["request"]["parts"].as_u64() >= Some(5), "{ask}");
        assert_shown(&line, "inner", "request", &json!(ask), "abcde", ask);
        assert_eq!(bed.seen(&path)[0].body, b"abcde", "{ask}");
    }
}

/// What a provider is told so that its answer has each possible form.
fn answers() -> [(&'static str, Value, bool); 7] {
    let say = |more: Value| {
        let mut script = json!({"body": BODY});
        script.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        script
    };
    [
        ("content-length", say(json!({})), false),
        ("empty", json!({"body": ""}), false),
        ("chunked", say(json!({"write_size": 10})), true),
        ("bytes", say(json!({"write_size": 1})), true),
        ("trailers", say(json!({"write_size": 5, "trailers": true})), true),
        ("events", json!({"gap_ms": 5}), true),
        ("error", say(json!({"status": 404})), false),
    ]
}

#[test]
fn every_byte_of_a_response_is_shown_and_sent_once() {
    let bed = bed();
    for ask in asks() {
        for (name, told, stream) in answers() {
            for (route, shape, probe) in [
                ("plain", Shape::Length, "inner"),
                ("h2", Shape::Http2, "inner"),
                ("plain", Shape::Http2, "last"),
            ] {
                let case = format!("{ask} {name} {route} {shape:?} {probe}");
                let path = Bed::path(route, &json!({probe: {"response": ask}}));
                let body = json!({"stream": stream, "x_mock": {"*": told}}).to_string();
                let reply = bed.send(shape, &path, body.as_bytes());
                assert_eq!(reply.end, End::Clean, "{case}");
                if let Some(text) = told["body"].as_str() {
                    assert_eq!(reply.text(), text, "{case}");
                }
                assert_eq!(!reply.trailers.is_empty(), name == "trailers", "{case}");
                if probe == "inner" {
                    assert_shown(&bed.line(&path), probe, "response", &ask, &reply.text(), &case);
                }
            }
        }
    }
}

#[test]
fn a_response_without_a_body_ends_once() {
    let bed = bed();
    for ask in asks() {
        let path = Bed::path("plain", &json!({"inner": {"response": ask}}));
        let body = json!({"x_mock": {"*": {"status": 204, "body": ""}}}).to_string();
        let mut client = bed.connect();
        client.write(&client::request("POST", &path, &[], body.as_bytes())).expect("a request");
        assert!(client.read_head().expect("a head").start.contains(" 204 "), "{ask}");
        assert_shown(&bed.line(&path), "inner", "response", &ask, "", &ask.to_string());
    }
}

#[test]
fn a_request_over_the_bound_is_refused_at_once_by_its_length() {
    let bed = bed();
    let path = Bed::path("plain", &json!({"inner": {"request": {"whole": 10}}}));
    let mut client = bed.connect();
    client
        .write(format!("POST {path} HTTP/1.1\r\nhost: g\r\ncontent-length: 11\r\n\r\n").as_bytes())
        .expect("a head");
    let reply = client.read().expect("an answer though no body was sent");
    assert_eq!((reply.status, reply.code().as_str()), (413, "request_too_large"));
    let line = bed.line(&path);
    assert_eq!(
        (line.error.as_str(), line.only("inner")["request"]["parts"].as_u64()),
        ("request_too_large", Some(0))
    );
    assert_eq!(
        bed.post(&Bed::path("plain", &json!({"inner": {"request": {"whole": 10}}})), "0123456789").status,
        200
    );
}

#[test]
fn a_request_over_the_bound_is_refused_while_counting() {
    let bed = bed();
    for shape in Shape::ALL {
        for (size, want) in [(10, 200), (11, 413)] {
            let path = Bed::path("plain", &json!({"inner": {"request": {"whole": 10}}}));
            let reply = bed.send(shape, &path, &vec![b'x'; size]);
            assert_eq!(reply.status, want, "{shape:?} {size}: {}", reply.text());
            assert_eq!(bed.seen(&path).len(), usize::from(want == 200), "{shape:?} {size}");
            assert_eq!(
                reply.header("x-sluice-error"),
                (want == 413).then_some("request_too_large"),
                "{shape:?}"
            );
        }
    }
}

#[test]
fn of_a_response_over_the_bound_the_first_part_is_shown() {
    let bed = bed();
    for then in ["pass", "watch", "hold"] {
        let on = json!({"response_part": [{"next": then}]});
        let path = Bed::path("plain", &json!({"inner": {"response": {"whole": 100}, "on": on}}));
        let body = json!({"stream": true, "x_mock": {"*": {"gap_ms": 5}}}).to_string();
        let reply = bed.post(&path, &body);
        assert_eq!((reply.status, reply.end), (200, End::Clean), "{then}");
        let line = bed.line(&path);
        let seen = &line.only("inner")["response"];
        let text = seen["text"].as_str().expect("a text");
        if then == "pass" {
            assert_eq!((&seen["parts"], &seen["ends"]), (&json!(1), &json!(0)), "{seen}");
            assert!(text.len() > 100 && reply.text().starts_with(text), "{text}");
        } else {
            assert_eq!(
                (&seen["ends"], &seen["late"], text),
                (&json!(1), &json!(0), reply.text().as_str()),
                "{then}"
            );
        }
    }
}
