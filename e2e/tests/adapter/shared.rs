//! What streams share: numbers, counters, facts.

use std::thread;

use serde_json::{Value, json};

use crate::bed::{Bed, bed};

/// The sum of `count` numbers in shared data, whose names begin with `name`.
fn sum(bed: &Bed, name: &str, count: u32) -> u64 {
    let path =
        Bed::path("plain", &json!({"inner": {"on": {"request_headers": [{"note_sum": [name, count]}]}}}));
    assert_eq!(bed.post(&path, "{}").status, 200);
    let notes = bed.line(&path).notes("inner");
    notes[0].1.strip_prefix(&format!("{name}=")).and_then(|sum| sum.parse().ok()).expect("a sum")
}

#[test]
fn no_increment_is_lost_between_workers() {
    let bed = Bed::start(2);
    let acts: Vec<Value> = (0..50).map(|_| json!({"increment_all": ["one", 1]})).collect();
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
    assert_eq!(sum(&bed, "one", 1), 4_000);
}

#[test]
fn no_first_increment_is_lost_between_workers() {
    const KEYS: u32 = 2_000;
    let bed = Bed::start(2);
    for round in 0..5 {
        let name = format!("round_{round}_");
        thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    let acts = json!([{"increment_all": [name, KEYS]}]);
                    let path = Bed::path("plain", &json!({"inner": {"on": {"request_headers": acts}}}));
                    assert_eq!(bed.post(&path, "{}").status, 200);
                });
            }
        });
        assert_eq!(sum(&bed, &name, KEYS), u64::from(6 * KEYS), "round {round}");
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
