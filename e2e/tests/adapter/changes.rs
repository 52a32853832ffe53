//! Bodies that a filter replaces or adds to.

use serde_json::json;
use sluice_e2e::client::{self, End};

use crate::bed::{Bed, Shape, bed};

const BODIES: [&str; 3] = ["", "short", "a body that is longer than the one it replaces"];

#[test]
fn a_replaced_request_has_its_own_length() {
    let bed = bed();
    for probe in ["inner", "last"] {
        for ask in [json!({"whole": 1_000}), json!("hold")] {
            for body in BODIES {
                for shape in Shape::ALL {
                    let case = format!("{probe} {ask} {shape:?} {body:?}");
                    let script = json!({"request": ask, "on": {"request_end": [{"set_body": body}]}});
                    let path = Bed::path("plain", &json!({probe: script}));
                    let reply = bed.send(shape, &path, b"the body of the client");
                    assert_eq!((reply.status, reply.end), (200, End::Clean), "{case}");
                    let seen = bed.seen(&path);
                    assert_eq!(String::from_utf8_lossy(&seen[0].body), body, "{case}");
                    let length = body.len().to_string();
                    assert_eq!(seen[0].header("content-length"), Some(length.as_str()), "{case}");
                }
            }
        }
    }
}

#[test]
fn each_attempt_replaces_the_clients_body_anew() {
    let bed = bed();
    for body in BODIES {
        let script = json!({"request": {"whole": 1_000}, "on": {"request_end": [{"append_body": body}]}});
        let path = Bed::path("retry", &json!({"last": script}));
        let told = [("x-mock", r#"{"status": 503}"#)];
        let reply = client::send(bed.envoy.address(), "POST", &path, &told, b"the client's");
        assert_eq!(reply.status, 503, "{body:?}");
        let seen = bed.seen(&path);
        assert_eq!(seen.len(), 3, "{body:?}");
        for seen in seen {
            assert_eq!(String::from_utf8_lossy(&seen.body), format!("the client's{body}"));
        }
    }
}

#[test]
fn a_replaced_response_has_its_own_length() {
    let bed = bed();
    for probe in ["inner", "last"] {
        for ask in [json!({"whole": 1_000}), json!("hold")] {
            for body in BODIES {
                for (trailers, stream) in [(false, false), (false, true), (true, true)] {
                    let case = format!("{probe} {ask} trailers={trailers} stream={stream} {body:?}");
                    let script = json!({"response": ask, "on": {"response_end": [{"set_body": body}]}});
                    let path = Bed::path("plain", &json!({probe: script}));
                    let told = json!({"body": "said by the provider", "trailers": trailers, "write_size": 3});
                    let asked = json!({"stream": stream, "x_mock": {"*": told}}).to_string();
                    for shape in [Shape::Length, Shape::Http2] {
                        let reply = bed.send(shape, &path, asked.as_bytes());
                        assert_eq!(
                            (reply.status, reply.end, reply.text().as_str()),
                            (200, End::Clean, body),
                            "{case}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn something_can_be_added_to_the_end_of_a_response() {
    let bed = bed();
    for ask in [json!("watch"), json!("end"), json!("hold"), json!({"whole": 1_000})] {
        for stream in [false, true] {
            let script = json!({"response": ask, "on": {"response_end": [{"append_body": "+"}, {"append_body": "!"}]}});
            let path = Bed::path("plain", &json!({"inner": script}));
            // A length that has gone out cannot be corrected any more.
            if !stream && (ask == "watch" || ask == "end") {
                continue;
            }
            let told = json!({"body": "said", "write_size": 1});
            let reply = bed.post(&path, &json!({"stream": stream, "x_mock": {"*": told}}).to_string());
            assert_eq!((reply.end, reply.text().as_str()), (End::Clean, "said+!"), "{ask} {stream}");
        }
    }
}

#[test]
fn passing_chunks_can_be_replaced() {
    let bed = bed();
    for (with, want) in [("x", "x"), ("", ""), ("more than before", "more than before")] {
        let set = json!([{"set_body": with}]);
        let script = json!({"response": "watch", "on": {"response_part": set, "response_end": set}});
        let path = Bed::path("plain", &json!({"inner": script}));
        let reply = bed.post(&path, &json!({"stream": true, "x_mock": {"*": {"gap_ms": 5}}}).to_string());
        assert_eq!((reply.status, reply.end), (200, End::Clean), "{with:?}");
        let line = bed.line(&path);
        let parts = line.only("inner")["response"]["parts"].as_u64().expect("a number");
        let parts = usize::try_from(parts).expect("few");
        assert!(parts > 1, "the answer came in parts");
        assert_eq!(reply.text(), want.repeat(parts), "{with:?}");
    }
}

#[test]
fn passing_chunks_of_a_request_can_be_replaced() {
    let bed = bed();
    for with in ["y", "", "longer"] {
        let set = json!([{"set_body": with}]);
        let script = json!({"request": "watch", "on": {"request_part": set, "request_end": set}});
        let path = Bed::path("plain", &json!({"inner": script}));
        assert_eq!(bed.send(Shape::Chunked, &path, b"0123456789").status, 200, "{with:?}");
        let line = bed.line(&path);
        let parts = line.only("inner")["request"]["parts"].as_u64().and_then(|n| usize::try_from(n).ok());
        assert_eq!(
            String::from_utf8_lossy(&bed.seen(&path)[0].body),
            with.repeat(parts.expect("few")),
            "{with:?}"
        );
    }
}

#[test]
fn a_held_part_replaced_counts_with_what_follows() {
    let bed = bed();
    let on = json!({"response_part": [{"set_body": ""}], "response_end": [{"append_body": "end"}]});
    let path = Bed::path("plain", &json!({"inner": {"response": "hold", "on": on}}));
    let reply = bed.post(&path, &json!({"stream": true, "x_mock": {"*": {"gap_ms": 5}}}).to_string());
    let line = bed.line(&path);
    let seen = &line.only("inner")["response"];
    let text = seen["text"].as_str().expect("a text");
    assert!(text.starts_with("data: ") && text.contains("[DONE]"), "each byte was shown once: {text}");
    assert_eq!((reply.end, seen["late"].as_u64()), (End::Clean, Some(0)));
    assert!(reply.text().ends_with("end"), "{}", reply.text());
}
