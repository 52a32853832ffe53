//! consumer-auth's JSON: keys stand in it by their hash, or by the variable of the environment that holds them.

use serde_json::{Map, Value, json};

use crate::gateway::{Consumer, ConsumerKey, Gateway, Origin};

/// The plugin's JSON; without consumers, everybody may call.
pub(super) fn consumer_auth(gateway: &Gateway) -> Value {
    let mut config = Map::new();
    if !gateway.consumers.is_empty() {
        config.insert("consumers".into(), gateway.consumers.iter().map(consumer).collect());
    }
    if let Some(name) = &gateway.anonymous {
        config.insert("anonymous".into(), name.as_str().into());
    }
    if !gateway.credentials.headers.is_empty() {
        config.insert("key_headers".into(), json!(gateway.credentials.headers));
    }
    if let Some(name) = &gateway.credentials.query {
        config.insert("key_query".into(), name.as_str().into());
    }
    config.into()
}

fn consumer(consumer: &Consumer) -> Value {
    let keys: Value = consumer.keys.iter().map(key).collect();
    let mut rendered =
        Map::from_iter([("name".to_owned(), consumer.name.as_str().into()), ("keys".into(), keys)]);
    let mut add = |name: &str, value: Value| drop(rendered.insert(name.to_owned(), value));
    if let Some(tier) = &consumer.tier {
        add("tier", tier.as_str().into());
    }
    for (name, globs) in [("models", &consumer.models), ("routes", &consumer.routes)] {
        if !globs.is_empty() {
            add(name, json!(globs));
        }
    }
    if !consumer.from.is_empty() {
        add("from", consumer.from.iter().map(ToString::to_string).collect());
    }
    if let Some(expires_s) = consumer.expires_s {
        add("expires_s", expires_s.into());
    }
    if consumer.disabled {
        add("disabled", true.into());
    }
    if !consumer.metadata.is_empty() {
        add("metadata", json!(consumer.metadata));
    }
    rendered.into()
}

fn key(key: &ConsumerKey) -> Value {
    match &key.origin {
        Origin::Env(name) => json!({"env": name}),
        Origin::File | Origin::Literal | Origin::Nowhere => json!({"sha256": key.sha256}),
    }
}

/// Environment variables that hold keys.
pub(super) fn environment(gateway: &Gateway) -> impl Iterator<Item = &String> {
    let keys = gateway.consumers.iter().flat_map(|consumer| &consumer.keys);
    keys.filter_map(|key| match &key.origin {
        Origin::Env(name) => Some(name),
        Origin::File | Origin::Literal | Origin::Nowhere => None,
    })
}

/// Whether the hash of a key that can be guessed stands in the JSON: whoever reads it can find the key by trying.
pub(super) fn has_weak_hashes(gateway: &Gateway) -> bool {
    let mut keys = gateway.consumers.iter().flat_map(|consumer| &consumer.keys);
    keys.any(|key| key.weak && !matches!(key.origin, Origin::Env(_)))
}
