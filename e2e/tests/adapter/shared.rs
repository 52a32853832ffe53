//! What streams share: numbers, counters, facts.

use std::thread;

use serde_json::{Value, json};

use crate::bed::{Bed, bed};

/// The number under `key` in shared data.
fn number(bed: &Bed, key: &str) -> String {
    let path = Bed::path("plain", &json!({"inner": {"on": {"request_headers": [{"note_shared": key}]}}}));
    assert_eq!(bed.post(&path, "{}").status, 200);
    let notes = bed.line(&path).notes("inner");
    notes[0].1.strip_prefix(&format!("{key}=")).expect("a number").to_owned()
}

#[test]
fn no_increment_is_lost_between_workers() {
    let bed = Bed::start(2);
    let acts: Vec<Value> = (0..50).map(|_| json!({"increment": "one"})).collect();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let path = Bed::path("plain", &json!({"inner": {"on": {"request_headers": acts}}}));
                    assert_eq!(bed.post(&path, "{}").status, 200);
                }
            });
        }
    });
    assert_eq!(number(&bed, "one"), "4000");
}

#[test]
fn no_first_increment_is_lost_between_workers() {
    let bed = Bed::start(2);
    for round in 0..10 {
        let keys: Vec<String> = (0..200).map(|key| format!("new_{round}_{key}")).collect();
        let acts: Vec<Value> = keys.iter().map(|key| json!({"increment": key})).collect();
        let body = json!({"inner": {"on": {"request_end": acts}, "request": "end"}}).to_string();
        let hex: String = body.bytes().map(|byte| format!("{byte:02x}")).collect();
        thread::scope(|scope| {
            for client in 0..6 {
                let (bed, path) = (&bed, format!("/plain/first_{round}_{client}/{hex}"));
                scope.spawn(move || assert_eq!(bed.post(&path, "{}").status, 200));
            }
        });
        let lost: Vec<&String> = keys.iter().step_by(10).filter(|key| number(&bed, key) != "6").collect();
        assert!(lost.is_empty(), "round {round}: {lost:?}");
    }
}

#[test]
fn counters_and_histograms_are_envoys_own() {
    let bed = bed();
    for _ in 0..3 {
        let acts = json!([{"count": "things_total"}, {"observe": ["thing_ms", 42]}]);
        let path = Bed::path("plain", &json!({"inner": {"on": {"request_headers": acts}}}));
        assert_eq!(bed.post(&path, "{}").status, 200);
    }
    bed.wait_count("things_total", 3);
    sluice_e2e::wait::until("a histogram", || {
        bed.stat("wasmcustom.thing_ms").filter(|buckets| buckets.contains("P50(") && buckets.contains("42."))
    });
}

#[test]
fn facts_pass_between_filters_of_both_stages() {
    let bed = bed();
    let note = json!([{"note_fact": "no.such.fact"}, {"note_fact": "ai.error"}]);
    let path = Bed::path(
        "plain",
        &json!({
            "last": {"on": {"request_headers": [{"reply": "because"}]}},
            "outer": {"on": {"request_headers": note, "response_headers": note}},
        }),
    );
    assert_eq!(bed.post(&path, "{}").status, 400);
    let notes: Vec<String> = bed.line(&path).notes("outer").into_iter().map(|(_, note)| note).collect();
    assert_eq!(
        notes,
        ["no.such.fact=absent", "ai.error=absent", "no.such.fact=absent", "ai.error=invalid_json"]
    );
}
