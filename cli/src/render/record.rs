//! What ai-log is told: how much the record holds, what tokens cost, and how many series clients can make.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sluice_core::glob::Glob;

use super::limits;
use crate::gateway::{Dimension, Gateway, Prompts, Sticky, When};

/// Most headers that ai-log records.
const MAX_HEADERS: usize = 32;

/// The plugin's own JSON.
pub(super) fn ai_log(gateway: &Gateway) -> Value {
    let mut config = match gateway.log.prompts {
        Prompts::Off => json!({}),
        prompts @ Prompts::Truncated => {
            json!({"prompts": prompts.as_str(), "max_chars": gateway.log.max_chars})
        }
        prompts @ Prompts::Full => json!({"prompts": prompts.as_str()}),
    };
    let prices: Vec<Value> = gateway.prices.iter().map(limits::price).collect();
    let lists =
        [("headers", json!(headers(gateway))), ("prices", json!(prices)), ("models", json!(models(gateway)))];
    if let Value::Object(config) = &mut config {
        let not_empty = |(_, list): &(&str, Value)| list.as_array().is_some_and(|list| !list.is_empty());
        config.extend(lists.into_iter().filter(not_empty).map(|(name, list)| (name.to_owned(), list)));
        let bounds = &gateway.metrics;
        config.insert(
            "metrics".into(),
            json!({"max_models": bounds.max_models, "max_label_sets": bounds.max_label_sets}),
        );
    }
    config
}

/// Headers that decide something, each once, sorted; none that carries a key. Of more than are recorded, the first.
fn headers(gateway: &Gateway) -> Vec<&str> {
    let rules = gateway.models.iter();
    let sticky = rules.clone().filter_map(|rule| match &rule.sticky {
        Sticky::Header(name) => Some(name.as_str()),
        Sticky::Consumer | Sticky::Request => None,
    });
    let by = gateway.limits.iter().flat_map(|limit| &limit.by).filter_map(|by| match by {
        Dimension::Header(name) => Some(name.as_str()),
        _ => None,
    });
    let checks = gateway.guard.iter().flat_map(|guard| &guard.checks);
    let conditions = rules
        .map(|rule| &rule.when)
        .chain(gateway.limits.iter().map(|limit| &limit.when))
        .chain(checks.map(|check| &check.when));
    let named: BTreeSet<&str> = sticky.chain(by).chain(conditions.flat_map(header_names)).collect();
    let key = |name: &str| {
        ai_log::carries_credential(name) || gateway.credentials.headers.iter().any(|header| header == name)
    };
    named.into_iter().filter(|name| !key(name)).take(MAX_HEADERS).collect()
}

fn header_names(when: &When) -> impl Iterator<Item = &str> {
    when.headers.keys().map(String::as_str)
}

/// Models that rules name literally, each once, sorted.
fn models(gateway: &Gateway) -> BTreeSet<String> {
    let globs = gateway.models.iter().flat_map(|rule| &rule.matches);
    let literals = globs.filter_map(|glob| glob.parse::<Glob>().ok()?.literals());
    literals.flatten().collect()
}
