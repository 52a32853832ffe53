//! A filter that traps costs one request, and what would make one trap does not.

use serde_json::{Value, json};
use sluice_e2e::client::{self, Connection, End};
use sluice_e2e::script::Script;

use crate::bed::{Bed, Shape, bed};

const PANIC: &str = "the probe was told to trap";

#[test]
fn a_trap_costs_one_request() {
    let mut bed = Bed::start(1);
    bed.envoy.allow_traps();
    let good = Bed::path("plain", &json!({"inner": {"request": "watch"}}));
    assert_eq!(bed.post(&good, "{}").status, 200);
    let path = Bed::path("plain", &json!({"inner": {"on": {"request_headers": ["panic"]}}}));
    assert_eq!(bed.post(&path, "{}").status, 503);
    assert!(bed.envoy.log().contains(PANIC), "the log says why");
    // Envoy reloads the module no sooner than its back-off allows, and counts from the last time it did.
    sluice_e2e::wait::until("the filter is back", || (bed.post(&good, "{}").status == 200).then_some(()));
    let next = Bed::path("plain", &json!({"inner": {"request": "watch"}}));
    assert_eq!(bed.post(&next, "{}").status, 200);
    assert_eq!(bed.line(&next).only("inner")["request"]["text"], "{}", "the filter is back");
}

/// How many connections each worker has taken.
fn taken(bed: &Bed) -> Vec<usize> {
    let stats = client::get(
        bed.envoy.admin(),
        "/stats?filter=worker_._downstream_cx_total|worker_.\\.downstream_cx_total",
    )
    .text();
    let port = bed.envoy.address().port().to_string();
    let lines = stats.lines().filter(|line| line.contains(&port));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect()
}

/// A new connection and the worker that has taken it.
fn connect(bed: &Bed) -> (Connection, usize) {
    let before = taken(bed);
    let client = bed.connect();
    let worker = sluice_e2e::wait::until("a worker takes a connection", || {
        taken(bed).iter().zip(&before).position(|(now, before)| now > before)
    });
    (client, worker)
}

#[test]
fn a_trap_leaves_other_workers_alone() {
    let mut bed = Bed::start(2);
    bed.envoy.allow_traps();
    let (mut running, worker) = connect(&bed);
    let mut trapping =
        std::iter::repeat_with(|| connect(&bed)).find(|(_, other)| *other != worker).expect("a worker").0;
    let path = Bed::path("plain", &json!({"inner": {"response": "watch"}}));
    let body = json!({"stream": true, "x_mock": {"*": {"gap_ms": 200}}}).to_string();
    running.write(&client::request("POST", &path, &[], body.as_bytes())).expect("a request");
    bed.upstream.wait_for(1);
    let trap = Bed::path("plain", &json!({"inner": {"on": {"request_headers": ["panic"]}}}));
    trapping.write(&client::request("GET", &trap, &[], b"")).expect("a request");
    assert_eq!(trapping.read().expect("an answer").status, 503);
    let reply = running.read().expect("an answer");
    assert_eq!((reply.status, reply.end), (200, End::Clean));
    assert!(reply.text().contains("[DONE]"), "{}", reply.text());
}

/// Filters of the provider stage that let a held body go while Envoy, told by its headers, drops the attempt.
fn releasing(last: &Value, first: &Value) -> Value {
    json!({"last": {"response": last}, "first": {"response": first}})
}

#[test]
fn a_held_body_of_an_attempt_that_envoy_drops_harms_nobody() {
    let bed = Bed::start(1);
    let whole = json!({"whole": 10_000});
    for last in [&whole, &json!("hold")] {
        for first in ["pass", "watch", "end", "hold"] {
            for trailers in [false, true] {
                let case = format!("{last} {first} trailers={trailers}");
                let script = json!({"status": 503, "trailers": trailers, "body": "not now"});
                bed.upstream.once(Script::json(script));
                let path = Bed::path("retry", &releasing(last, &json!(first)));
                let reply = bed.send(Shape::Length, &path, b"{}");
                assert_eq!((reply.status, reply.end), (200, End::Clean), "{case}");
                assert_eq!(bed.seen(&path).len(), 2, "{case}");
                sluice_e2e::envoy::assert_no_trap(&bed.envoy.log());
            }
        }
    }
}

#[test]
fn a_header_need_not_be_utf_8() {
    let bed = bed();
    let acts = json!([{"note_header": "x-odd"}]);
    let path = Bed::path("plain", &json!({"inner": {"on": {"request_headers": acts}}}));
    let mut client = bed.connect();
    client.write(format!("GET {path} HTTP/1.1\r\nhost: g\r\nx-odd: ").as_bytes()).expect("a head");
    client.write(b"caf\xe9\r\n\r\n").expect("its end");
    assert_eq!(client.read().expect("an answer").status, 200);
    assert_eq!(bed.line(&path).notes("inner")[0].1, "x-odd=caf\u{fffd}");
}
