//! Any body: what reads the same to a JSON reader has the same key, what reads otherwise another.

#![no_main]

use libfuzzer_sys::fuzz_target;
use response_cache::fingerprint::{Circumstances, Key, Scope, read};
use serde_json::Value;

fn key(body: &[u8]) -> Option<Key> {
    let circumstances = Circumstances {
        scope: Scope::Consumer,
        scope_value: "ann",
        path: "/v1/chat/completions",
        rule: None,
        target: None,
        base_model: None,
        headers: Vec::new(),
    };
    read(&circumstances, body).ok().map(|asked| asked.key)
}

fuzz_target!(|bodies: (&[u8], &[u8])| {
    let (one, other) = bodies;
    let (Some(key_of_one), Some(key_of_other)) = (key(one), key(other)) else { return };
    let parsed = |body| serde_json::from_slice::<Value>(body).ok();
    let (Some(mut one), Some(mut other)) = (parsed(one), parsed(other)) else { return };
    for body in [&mut one, &mut other] {
        if let Some(members) = body.as_object_mut() {
            members.remove("stream");
            members.remove("stream_options");
        }
    }
    assert!(one == other || key_of_one != key_of_other, "{one} {other}");
});
