use serde_json::{Value, json};

use super::*;

fn check(raw: Value) -> Result<Config, String> {
    serde_json::from_value::<RawConfig>(raw).map_err(|error| error.to_string())?.try_into()
}

#[test]
fn left_out_members_have_defaults() {
    let config = check(json!({})).unwrap();
    assert_eq!((config.ttl_ms, config.scope, config.models.is_none()), (TTL_MS, Scope::Consumer, true));
    assert_eq!((config.max_wait_ms, config.max_body_bytes), (MAX_WAIT_MS, MAX_BODY_BYTES));
    assert!(!config.coalesce_streams && !config.operator && config.redis().is_none());
    assert_eq!(config.max_entry_bytes, 1 << 20);
}

#[test]
fn a_bad_configuration_is_refused_in_words() {
    for (raw, word) in [
        (json!({"ttl": 1}), "ttl"),
        (json!({"ttl_ms": 999}), "ttl_ms: must be from 1000 to 31622400000"),
        (json!({"scope": "team"}), "team"),
        (json!({"models": []}), "models: must hold at least one glob"),
        (json!({"models": ["a", "a["]}), "models[1]"),
        (json!({"headers": ["x-a", ""]}), "headers[1]: is no header name"),
        (json!({"headers": ["x a"]}), "headers[0]"),
        (json!({"max_entry_bytes": 1}), "max_entry_bytes"),
        (json!({"memory_bytes": 1}), "memory_bytes"),
        (json!({"max_wait_ms": 0}), "max_wait_ms"),
        (json!({"max_body_bytes": 0}), "max_body_bytes"),
        (json!({"redis": {"cluster": ""}}), "redis.cluster"),
        (json!({"redis": {"cluster": "r", "timeout_ms": 0}}), "redis.timeout_ms"),
        (json!({"redis": {"cluster": "r", "on_error": "deny"}}), "on_error"),
    ] {
        let told = check(raw.clone()).err().unwrap_or_default();
        assert!(told.contains(word), "{raw}: {told}");
        assert!(word.is_empty() || !told.is_empty(), "{raw}");
    }
}
