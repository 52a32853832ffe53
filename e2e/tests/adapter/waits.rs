//! The fact of waits: who held a request for something else, and for how long.

use serde_json::{Value, json};

use crate::bed::{Bed, Shape, bed};

/// Waits until it is woken, then does `end`.
fn waiting(ms: u64, end: &Value) -> Value {
    json!({"request": "wait", "on": {"request_headers": [{"wake_after": ms}], "wake": [end]}})
}

/// Notes the waits when the response comes.
fn noting(mut script: Value) -> Value {
    script["on"]["response_headers"] = json!([{"note_fact": "ai.waits"}]);
    script
}

/// The fact that the outer probe has noted, as plugins and milliseconds.
#[track_caller]
fn noted(bed: &Bed, path: &str) -> Vec<(String, u64)> {
    let notes = bed.line(path).notes("outer");
    let fact = notes.iter().find_map(|(_, note)| note.strip_prefix("ai.waits=")).expect("a note");
    let wait = |wait: &str| {
        let (plugin, ms) = wait.split_once(':').expect("plugin:ms");
        (plugin.to_owned(), ms.parse().expect("milliseconds"))
    };
    if fact == "absent" { Vec::new() } else { fact.split(',').map(wait).collect() }
}

#[test]
fn each_wait_of_a_request_is_listed_with_its_time() {
    let bed = bed();
    let pass = json!({"next": "pass"});
    for (name, outer, inner, want) in [
        ("none", json!({}), json!({"request": "hold"}), &[][..]),
        ("one", json!({}), waiting(30, &pass), &[("probe", 30)]),
        ("two", waiting(40, &pass), waiting(20, &pass), &[("twin", 40), ("probe", 20)]),
        ("one that ends in a reply", json!({}), waiting(30, &json!({"reply": "no"})), &[("probe", 30)]),
        ("one, then watched", json!({}), waiting(30, &json!({"next": "watch"})), &[("probe", 30)]),
    ] {
        for shape in [Shape::Length, Shape::Bytes, Shape::Http2Trailers] {
            let path = Bed::path("plain", &json!({"outer": noting(outer.clone()), "inner": inner}));
            bed.send(shape, &path, b"a body");
            let waits = noted(&bed, &path);
            let case = format!("{name} {shape:?}: {waits:?}");
            assert_eq!(waits.len(), want.len(), "{case}");
            for ((plugin, ms), (waited, at_least)) in waits.iter().zip(want) {
                assert!(plugin == waited && ms >= at_least, "{case}");
            }
        }
    }
}

#[test]
fn the_wait_of_a_response_is_not_listed() {
    let bed = bed();
    let inner = json!({"response": "wait", "on": {
        "response_headers": [{"wake_after": 20}], "wake": [{"next": "pass"}]}});
    let path = Bed::path("plain", &json!({"outer": noting(json!({})), "inner": inner}));
    assert_eq!(bed.post(&path, "{}").status, 200);
    assert_eq!(noted(&bed, &path), []);
}
