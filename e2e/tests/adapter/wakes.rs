//! Wake-ups: once, in time, of the right stream, and none for one that is gone.

use std::thread;

use serde_json::{Value, json};
use sluice_e2e::gateway::filters_are;
use sluice_e2e::{client, wait};

use crate::bed::{Bed, bed};

/// How late a wake-up may be on a machine under load, in milliseconds.
const LATE_MS: u64 = 5_000;

/// Holds the request until it is woken, after the last of these times.
fn script(after_ms: &[u64]) -> Value {
    let acts: Vec<Value> = after_ms.iter().map(|ms| json!({"wake_after": ms})).collect();
    json!({"request": "hold", "on": {
        "request_headers": acts, "request_end": [{"next": "hold"}], "wake": [{"next": "pass"}]}})
}

#[track_caller]
fn assert_woken_once(notes: &[(u64, String)], after_ms: u64) {
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!((after_ms..after_ms + LATE_MS).contains(&notes[0].0) && notes[0].1 == "woken", "{notes:?}");
}

#[test]
fn a_stream_is_woken_once_and_not_before_its_time() {
    let bed = bed();
    for (after_ms, want) in [(&[0][..], 0), (&[100], 100), (&[30, 200], 200), (&[5_000, 100], 100)] {
        let path = Bed::path("plain", &json!({"inner": script(after_ms)}));
        assert_eq!(bed.post(&path, "{}").status, 200);
        assert_woken_once(&bed.line(&path).notes("inner"), want);
    }
}

#[test]
fn a_stream_can_ask_again_when_woken() {
    let bed = bed();
    let on = json!({"response_headers": [{"wake_after": 20}], "wake": [{"wake_after": 20}]});
    let path = Bed::path("plain", &json!({"inner": {"response": "watch", "on": on}}));
    let body = json!({"stream": true, "x_mock": {"*": {"gap_ms": 100}}}).to_string();
    assert_eq!(bed.post(&path, &body).status, 200);
    let notes = bed.line(&path).notes("inner");
    assert!(notes.len() > 2, "{notes:?}");
    assert!(notes.windows(2).all(|pair| pair[1].0 >= pair[0].0 + 20), "{notes:?}");
}

#[test]
fn every_stream_is_woken_at_its_own_time() {
    let bed = bed();
    let bed = &*bed;
    thread::scope(|scope| {
        for (probe, after_ms) in
            [("inner", 50), ("inner", 150), ("outer", 100), ("inner", 250), ("outer", 50)]
        {
            scope.spawn(move || {
                let path = Bed::path("plain", &json!({probe: script(&[after_ms])}));
                assert_eq!(bed.post(&path, "{}").status, 200);
                assert_woken_once(&bed.line(&path).notes(probe), after_ms);
            });
        }
    });
}

#[test]
fn a_stream_that_is_gone_is_not_woken() {
    let bed = bed();
    let mut told = script(&[200]);
    told["on"]["request_end"] = json!([{"count": "will_leave"}, {"next": "hold"}]);
    told["on"]["wake"] = json!([{"count": "woken_though_gone"}]);
    let path = Bed::path("plain", &json!({"inner": told}));
    let mut client = bed.connect();
    client.write(&client::request("GET", &path, &[], b"")).expect("a request");
    bed.wait_count("will_leave", 1);
    client.abort();
    assert_eq!(bed.line(&path).notes("inner"), []);
    let path = Bed::path("plain", &json!({"inner": script(&[400])}));
    assert_eq!(bed.post(&path, "{}").status, 200);
    assert!(bed.stat("wasmcustom.woken_though_gone").is_none_or(|count| count == "0"));
}

#[test]
fn the_timer_stops_when_nobody_waits() {
    if filters_are("native") {
        return; // native filters have alarms, each for one, and no tick
    }
    let bed = Bed::start(1);
    let logging = client::send(bed.envoy.admin(), "POST", "/logging?wasm=trace", &[], b"");
    assert_eq!(logging.status, 200);
    let path = Bed::path("plain", &json!({"inner": script(&[50])}));
    assert_eq!(bed.post(&path, "{}").status, 200);
    let stops = |log: &str| log.matches("proxy_set_tick_period_milliseconds(0)").count();
    wait::until("the timer stops", || (stops(&bed.envoy.log()) == 1).then_some(()));
    let log = bed.envoy.log();
    let (before, after) = log.split_once("proxy_set_tick_period_milliseconds(0)").expect("it stops");
    assert!(before.contains("proxy_on_tick"), "the log shows ticks");
    assert_eq!(after.matches("host->vm] proxy_on_tick").count(), 0);
}
