//! The gauge of held bytes: exact while bodies are held, and 0 when nothing is in flight, however it ended.

use serde_json::{Value, json};
use sluice_e2e::client::{self, Connection};
use sluice_e2e::wait;

use crate::bed::Bed;

const HELD: &str = "sluice_held_bytes";

/// How long a probe holds what it is to hold, in milliseconds: long enough to look at it.
const HOLD_MS: u32 = 1_500;

/// Holds whatever comes of the request until a callout ends, then does `end`.
fn until_callout(ask: &Value, end: &Value) -> Value {
    json!({"request": ask, "on": {
        "request_headers": [{"callout": ["slow", HOLD_MS]}], "request_end": [{"next": ask}], "callout": [end]}})
}

/// Starts a request whose body of `length` bytes comes by and by.
#[track_caller]
fn begin(bed: &Bed, path: &str, length: usize) -> Connection {
    let mut client = bed.connect();
    let head = format!("POST {path} HTTP/1.1\r\nhost: g\r\ncontent-length: {length}\r\n\r\n");
    client.write(head.as_bytes()).expect("a request");
    client
}

#[track_caller]
fn add(client: &mut Connection, bytes: usize) {
    client.write(&vec![b'x'; bytes]).expect("a part of the body");
}

#[test]
fn what_is_held_of_a_request_is_counted_as_it_grows() {
    let bed = Bed::start(1);
    for (name, ask) in
        [("hold", json!("hold")), ("whole", json!({"whole": 100_000})), ("wait", json!("wait"))]
    {
        for probe in ["outer", "inner"] {
            let script = match name {
                "wait" => until_callout(&ask, &json!({"next": "pass"})),
                _ => json!({"request": ask}),
            };
            let path = Bed::path("plain", &json!({probe: script}));
            let mut client = begin(&bed, &path, 50_000);
            add(&mut client, 10_000);
            bed.wait_count(HELD, 10_000);
            add(&mut client, 20_000);
            bed.wait_count(HELD, 30_000);
            add(&mut client, 20_000);
            assert_eq!(client.read().expect("an answer").status, 200, "{name} {probe}");
            bed.wait_count(HELD, 0);
            assert_eq!(bed.seen(&path)[0].body.len(), 50_000, "{name} {probe}");
        }
    }
}

#[test]
fn bytes_that_several_filters_hold_in_turn_are_counted_once() {
    let bed = Bed::start(1);
    let whole = json!({"whole": 100_000});
    let inner = until_callout(&json!("hold"), &json!({"next": "pass"}));
    let path = Bed::path("plain", &json!({"outer": {"request": whole}, "inner": inner}));
    let mut client = begin(&bed, &path, 30_000);
    add(&mut client, 10_000);
    bed.wait_count(HELD, 10_000);
    add(&mut client, 20_000);
    bed.wait_count(HELD, 30_000);
    assert_eq!(client.read().expect("an answer").status, 200);
    bed.wait_count(HELD, 0);
}

#[test]
fn a_body_that_a_filter_changes_counts_as_it_is_then() {
    let bed = Bed::start(1);
    let script = json!({"request": "hold", "on": {
        "request_headers": [{"callout": ["slow", HOLD_MS]}],
        "request_end": [{"set_body": "1234567"}, {"append_body": "89"}, {"next": "hold"}],
        "callout": [{"next": "pass"}]}});
    let path = Bed::path("plain", &json!({"inner": script}));
    let mut client = begin(&bed, &path, 20_000);
    add(&mut client, 20_000);
    bed.wait_count(HELD, 9);
    assert_eq!(client.read().expect("an answer").status, 200);
    bed.wait_count(HELD, 0);
}

#[test]
fn nothing_is_held_of_a_request_that_was_answered_or_broken_off() {
    let bed = Bed::start(1);
    for ask in [json!("hold"), json!("wait")] {
        for end in [json!({"reply": "no"}), json!("break")] {
            for probe in ["inner", "first"] {
                let path = Bed::path("plain", &json!({probe: until_callout(&ask, &end)}));
                let mut client = begin(&bed, &path, 20_000);
                add(&mut client, 10_000);
                bed.wait_count(HELD, 10_000);
                let answer = client.read().map(|reply| reply.status).ok();
                assert_eq!(answer == Some(400), end.is_object(), "{ask} {end} {probe}: {answer:?}");
                bed.wait_count(HELD, 0);
            }
        }
    }
}

#[test]
fn nothing_is_held_of_a_request_that_was_too_large() {
    let bed = Bed::start(1);
    let path = Bed::path("plain", &json!({"inner": {"request": {"whole": 1_000}}}));
    let mut client = bed.connect();
    let head = format!("POST {path} HTTP/1.1\r\nhost: g\r\ntransfer-encoding: chunked\r\n\r\n");
    client.write(format!("{head}384\r\n{}\r\n", "x".repeat(900)).as_bytes()).expect("a request");
    bed.wait_count(HELD, 900);
    client.write(format!("384\r\n{}\r\n", "x".repeat(900)).as_bytes()).expect("more of it");
    assert_eq!(client.read().expect("an answer").status, 413);
    bed.wait_count(HELD, 0);
}

#[test]
fn nothing_is_held_for_a_client_that_has_left() {
    let bed = Bed::start(1);
    for ask in [json!("hold"), json!({"whole": 100_000}), json!("wait")] {
        for probe in ["outer", "inner", "first", "last"] {
            let path = Bed::path("plain", &json!({probe: {"request": ask}}));
            let mut client = begin(&bed, &path, 20_000);
            add(&mut client, 10_000);
            bed.wait_count(HELD, 10_000);
            client.abort();
            bed.wait_count(HELD, 0);
        }
    }
}

/// The gauge, once it is above 0.
#[track_caller]
fn wait_for_some(bed: &Bed) {
    wait::until("held bytes", || {
        bed.stat(&format!("wasmcustom.{HELD}")).filter(|held| held.parse().is_ok_and(|held: i64| held > 0))
    });
}

#[test]
fn what_is_held_of_a_response_is_counted_until_its_stream_ends() {
    let bed = Bed::start(1);
    for ask in [json!("hold"), json!({"whole": 100_000})] {
        for probe in ["inner", "last"] {
            for failure in [json!({"hang_after": 2}), json!({"gap_ms": 200, "cut_after": 3})] {
                let path = Bed::path("plain", &json!({probe: {"response": ask}}));
                let body = json!({"stream": true, "x_mock": {"*": failure}}).to_string();
                let mut client = bed.connect();
                client.write(&client::request("POST", &path, &[], body.as_bytes())).expect("a request");
                wait_for_some(&bed);
                if failure["hang_after"].is_null() {
                    let _ = client.read();
                } else {
                    client.abort();
                }
                bed.wait_count(HELD, 0);
            }
        }
    }
}

#[test]
fn nothing_is_held_after_an_answer_that_was_shown_whole() {
    let bed = Bed::start(2);
    let script = json!({"request": {"whole": 100_000}, "response": {"whole": 1_000_000}});
    let path =
        Bed::path("plain", &json!({"outer": script, "inner": script, "first": script, "last": script}));
    for body in [json!({}), json!({"stream": true, "x_mock": {"*": {"gap_ms": 5}}})] {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    (0..10).for_each(|_| assert_eq!(bed.post(&path, &body.to_string()).status, 200));
                });
            }
        });
        bed.wait_count(HELD, 0);
    }
}
