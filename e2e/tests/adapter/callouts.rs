//! Callouts: answered, unanswered, unsendable, and left behind.

use std::time::Duration;

use serde_json::{Value, json};
use sluice_e2e::client;

use crate::bed::{Bed, Shape, bed};

/// Holds the request until a callout to `cluster` has ended.
fn script(cluster: &str, timeout_ms: u32) -> Value {
    json!({"request": "hold", "on": {
        "request_headers": [{"callout": [cluster, timeout_ms]}],
        "request_end": [{"next": "hold"}],
        "callout": [{"next": "pass"}],
    }})
}

#[test]
fn a_callout_is_answered_while_the_request_is_held() {
    let bed = bed();
    for probe in ["inner", "first"] {
        for body in ["", "a body"] {
            let path = Bed::path("plain", &json!({probe: script("upstream", 5_000)}));
            assert_eq!(bed.post(&path, body).status, 200);
            assert_eq!(bed.seen(&path)[0].body, body.as_bytes(), "held, then sent once");
            if probe == "inner" {
                let notes = bed.line(&path).notes(probe);
                assert!(notes.len() == 1 && notes[0].1.starts_with("callout 200 {"), "{notes:?}");
            }
        }
    }
}

#[test]
fn several_callouts_of_one_stream_all_end() {
    let bed = bed();
    let mut script = script("upstream", 5_000);
    script["on"]["request_headers"] = json!([{"callout": ["upstream", 5_000]}, {"callout": ["dead", 5_000]}, {"callout": ["upstream", 5_000]}]);
    script["on"]["callout"] = json!([]);
    script["on"]["request_headers"].as_array_mut().expect("acts").push(json!({"wake_after": 1_000}));
    script["on"]["wake"] = json!([{"next": "pass"}]);
    let path = Bed::path("plain", &json!({"inner": script}));
    assert_eq!(bed.post(&path, "{}").status, 200);
    let notes = bed.line(&path).notes("inner");
    assert_eq!(notes.iter().filter(|(_, note)| note.starts_with("callout")).count(), 3, "{notes:?}");
}

#[test]
fn a_callout_that_cannot_be_sent_says_so_at_once() {
    let bed = bed();
    for cluster in ["absent", "empty"] {
        let mut script = script(cluster, 5_000);
        script["on"]["request_end"] = json!([]);
        let path = Bed::path("plain", &json!({"inner": script}));
        assert_eq!(bed.post(&path, "{}").status, 200);
        let notes = bed.line(&path).notes("inner");
        assert!(notes.len() == 1 && notes[0].1 == "callout NotSent", "{cluster}: {notes:?}");
    }
}

#[test]
fn a_callout_is_over_by_its_deadline() {
    let bed = bed();
    // Envoy counts from when its event loop last looked at the clock, some milliseconds ago.
    for (cluster, earliest) in [("slow", 150), ("dead", 0)] {
        let path = Bed::path("plain", &json!({"inner": script(cluster, 200)}));
        let reply = bed.post(&path, "{}");
        assert_eq!(reply.status, 200, "{cluster}");
        assert!(reply.took < Duration::from_secs(5), "{cluster}: {:?}", reply.took);
        let notes = bed.line(&path).notes("inner");
        assert_eq!((notes.len(), notes[0].1.as_str()), (1, "callout NotAnswered"), "{cluster}: {notes:?}");
        assert!(notes[0].0 >= earliest, "{cluster}: {notes:?}");
    }
}

#[test]
fn a_client_that_leaves_during_a_callout_harms_nobody() {
    let bed = bed();
    let mut script = script("slow", 300);
    script["on"]["request_headers"].as_array_mut().expect("acts").push(json!({"count": "left_in_callout"}));
    let path = Bed::path("plain", &json!({"inner": script}));
    let mut client = bed.connect();
    client.write(&client::request("GET", &path, &[], b"")).expect("a request");
    bed.wait_count("left_in_callout", 1);
    client.abort();
    assert_eq!(bed.line(&path).notes("inner"), []);
    // A stream that lives on past the deadline of the one that left.
    let path = Bed::path("plain", &json!({"inner": self::script("slow", 600)}));
    assert_eq!(bed.post(&path, "{}").status, 200);
}

#[test]
fn a_filter_can_wait_without_seeing_what_is_held() {
    let bed = bed();
    for shape in Shape::ALL {
        let mut script = script("upstream", 5_000);
        script["request"] = json!("wait");
        let path = Bed::path("plain", &json!({"inner": script}));
        let body = "x".repeat(200_000);
        assert_eq!(bed.send(shape, &path, body.as_bytes()).status, 200, "{shape:?}");
        assert_eq!(bed.seen(&path)[0].body, body.as_bytes(), "{shape:?}: held, then sent once");
        let line = bed.line(&path);
        assert_eq!(line.only("inner")["request"]["parts"], 0, "{shape:?}");
        assert_eq!(line.notes("inner").len(), 1, "{shape:?}");
    }
}

#[test]
fn a_filter_that_waits_can_refuse() {
    let bed = bed();
    let script = json!({"request": "wait", "on": {
        "request_headers": [{"callout": ["dead", 5_000]}], "callout": [{"reply": "no"}]}});
    for body in ["", "a body"] {
        let path = Bed::path("plain", &json!({"inner": script}));
        assert_eq!(bed.post(&path, body).status, 400);
        assert_eq!(bed.seen(&path).len(), 0);
    }
}

/// Sent when the exchange is done, when a callout of the stream's own would be cancelled.
#[test]
fn a_detached_callout_outlives_its_stream() {
    let bed = Bed::start(1);
    let script = json!({"on": {"done": [
        {"callout_detached": ["upstream", 5_000]}, {"callout_detached": ["slow", 100]}, {"wake_detached_after": 50}]}});
    for probe in ["inner", "first"] {
        let path = Bed::path("plain", &json!({probe: script}));
        assert_eq!(bed.post(&path, "{}").status, 200);
    }
    for counter in ["detached_200", "detached_unanswered", "detached_wake"] {
        bed.wait_count(counter, 2);
    }
}

#[test]
fn detached_callouts_of_many_streams_all_end() {
    let bed = Bed::start(2);
    let script = json!({"request": "wait", "on": {
        "request_headers": [{"callout": ["upstream", 5_000]}, {"callout_detached": ["upstream", 5_000]}],
        "callout": [{"next": "pass"}], "done": [{"callout_detached": ["upstream", 5_000]}]}});
    let path = Bed::path("plain", &json!({"inner": script}));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..25).for_each(|_| assert_eq!(bed.post(&path, "{}").status, 200)));
        }
    });
    bed.wait_count("detached_200", 400);
}
