//! Any body: what reads the same to a JSON reader has the same key and gist, what reads otherwise others.

use response_cache::fingerprint::{Asked, Circumstances, Scope, read};
use serde_json::Value;

use crate::parts::pair;

fn asked(body: &[u8]) -> Option<Asked> {
    let circumstances = Circumstances {
        scope: Scope::Consumer,
        scope_value: "ann",
        path: "/v1/chat/completions",
        rule: None,
        target: None,
        base_model: None,
        cluster: None,
        headers: Vec::new(),
    };
    read(&circumstances, body).ok()
}

/// One body, NUL, another.
pub(crate) fn check(input: &[u8]) {
    let (one, other) = pair(input);
    let (Some(asked_by_one), Some(asked_by_other)) = (asked(one), asked(other)) else { return };
    let parsed = |body| serde_json::from_slice::<Value>(body).ok();
    let (Some(mut one), Some(mut other)) = (parsed(one), parsed(other)) else { return };
    for body in [&mut one, &mut other] {
        if let Some(members) = body.as_object_mut() {
            members.remove("stream");
            members.remove("stream_options");
        }
    }
    let (gists, keys) = ((asked_by_one.gist, asked_by_other.gist), (asked_by_one.key, asked_by_other.key));
    assert!(one == other || (gists.0 != gists.1 && keys.0 != keys.1), "{one} {other}");
}
