//! However an exchange ends, each filter is told once.

use serde_json::json;
use sluice_e2e::client::{self, End};
use sluice_e2e::script::Script;
use sluice_e2e::wait;

use crate::bed::{Bed, bed};

#[test]
fn a_filter_is_done_once_before_the_access_log() {
    let bed = bed();
    for (case, scripts, told) in [
        ("good", json!({}), json!({})),
        ("stream", json!({}), json!({"gap_ms": 1})),
        ("upstream reset", json!({}), json!({"reset": true})),
        ("upstream reset in mid-stream", json!({}), json!({"reset_after": 2})),
        ("replied", json!({"inner": {"on": {"request_headers": [{"reply": "no"}]}}}), json!({})),
        ("broken off", json!({"inner": {"on": {"response_headers": ["break"]}}}), json!({})),
        ("replied inside", json!({"first": {"on": {"response_headers": [{"reply": "no"}]}}}), json!({})),
    ] {
        let path = Bed::path("plain", &scripts);
        let body = json!({"stream": true, "x_mock": {"*": told}}).to_string();
        let mut client = bed.connect();
        client.write(&client::request("POST", &path, &[], body.as_bytes())).expect("a request");
        let _ = client.read();
        let line = bed.line(&path);
        for probe in ["outer", "inner"] {
            assert_eq!(line.only(probe)["request"]["headers"], 1, "{case} {probe}");
        }
    }
}

#[test]
fn a_client_that_leaves_ends_every_filter_once() {
    let bed = bed();
    let counted = json!({"request": "watch", "response": "watch", "on": {"done": [{"count": "left_done"}]}});
    let probes = json!({"outer": counted, "inner": counted, "first": counted, "last": counted});
    let path = Bed::path("plain", &probes);
    let mut client = bed.connect();
    let body = json!({"stream": true, "x_mock": {"*": {"hang_after": 2}}}).to_string();
    client.write(&client::request("POST", &path, &[], body.as_bytes())).expect("a request");
    client.read_head().expect("an answer that has begun");
    client.abort();
    let line = bed.line(&path);
    for probe in ["outer", "inner"] {
        assert_eq!(
            (line.only(probe)["response"]["ends"].as_u64(), line.only(probe)["request"]["ends"].as_u64()),
            (Some(0), Some(1))
        );
    }
    bed.wait_count("left_done", 4);
}

#[test]
fn an_attempt_is_done_before_the_next_begins() {
    let bed = Bed::start(1);
    let probe = json!({"request": "watch", "response": "watch", "on": {
        "request_headers": [{"note_fact": "last"}], "done": [{"count": "attempts_done"}]}});
    for failure in [json!({"status": 503}), json!({"reset": true})] {
        bed.upstream.once(Script::json(failure.clone()));
        bed.upstream.once(Script::json(failure.clone()));
        let path = Bed::path("retry", &json!({"last": probe}));
        let reply = client::get(bed.envoy.address(), &path);
        assert_eq!((reply.status, reply.end, bed.seen(&path).len()), (200, End::Clean, 3), "{failure}");
        let line = bed.line(&path);
        let attempts = &line.probes["last"];
        assert!(attempts.len() >= 2, "{failure}: {attempts:?}");
        let found = |attempt: usize| attempts[attempt]["notes"][0].as_str().unwrap_or_default().to_owned();
        assert!(found(0).ends_with("last=absent"), "{failure}: {}", found(0));
        assert_eq!(found(1).matches("\"request\"").count(), 1, "{failure}: {}", found(1));
    }
    bed.wait_count("attempts_done", 6);
}

#[test]
fn a_request_that_the_connection_manager_refuses_harms_nobody() {
    let bed = bed();
    for request in ["GET /plain/x HTTP/1.1\r\n\r\n", "GET /nowhere HTTP/1.1\r\nhost: g\r\n\r\n"] {
        let mut client = bed.connect();
        client.write(request.as_bytes()).expect("a request");
        assert!((400..500).contains(&client.read().expect("an answer").status), "{request:?}");
    }
}

#[test]
fn a_response_before_any_request_harms_nobody() {
    let bed = bed();
    let outer = json!({"request": "hold", "on": {"request_end": [{"reply": "no"}]}});
    let inner = json!({"request": {"whole": 10}, "response": {"whole": 1_000}});
    let path = Bed::path("plain", &json!({"outer": outer, "inner": inner}));
    assert_eq!(bed.post(&path, "{}").status, 400);
    let line = bed.line(&path);
    assert_eq!(line.only("outer")["request"]["headers"], 1);
    wait::until("no more than one", || (line.probes["inner"].len() <= 1).then_some(()));
}
