//! What token-limit is told: limits, prices, and where to count.

use serde_json::{Map, Value, json};

use super::when::when;
use super::{millis, redis};
use crate::file::Decimal;
use crate::gateway::{Amount, Gateway, Limit, Price};

/// The plugin's own JSON; `null` without limits.
pub(super) fn token_limit(gateway: &Gateway) -> Value {
    if gateway.limits.is_empty() {
        return Value::Null;
    }
    let mut config = json!({"limits": gateway.limits.iter().map(limit).collect::<Vec<_>>()});
    if let Value::Object(config) = &mut config {
        if gateway.limits.iter().any(Limit::is_cost) {
            config.insert("prices".into(), gateway.prices.iter().map(price).collect());
        }
        if let Some(store) = &gateway.redis {
            let store = json!({
                "cluster": redis::CLUSTER,
                "timeout_ms": millis(store.timeout),
                "on_error": store.on_error.as_str(),
            });
            config.insert("redis".into(), store);
        }
    }
    config
}

fn limit(limit: &Limit) -> Value {
    let by: Vec<String> = limit.by.iter().map(ToString::to_string).collect();
    let mut rendered = Map::new();
    let mut add = |name: &str, value: Value| drop(rendered.insert(name.into(), value));
    add("name", limit.name.as_str().into());
    add("by", by.into());
    if !limit.models.is_empty() {
        add("models", json!(limit.models));
    }
    if !limit.when.is_empty() {
        add("when", when(&limit.when));
    }
    add(limit.amount.name(), amount(&limit.amount));
    if let Amount::Weighted(_, weights) = &limit.amount {
        let cached = weights.cached.unwrap_or(weights.input);
        let weights = [("input", weights.input), ("cached", cached), ("output", weights.output)];
        add(
            "weighted",
            weights.map(|(name, weight)| (name.to_owned(), number(weight))).into_iter().collect(),
        );
    }
    if let Some(per) = limit.per {
        add("per_ms", millis(per).into());
    }
    if limit.terminal {
        add("terminal", true.into());
    }
    if let Some(message) = &limit.message {
        add("message", message.as_str().into());
    }
    Value::Object(rendered)
}

fn amount(amount: &Amount) -> Value {
    match amount {
        Amount::InputTokens(most)
        | Amount::OutputTokens(most)
        | Amount::TotalTokens(most)
        | Amount::Weighted(most, _)
        | Amount::Requests(most)
        | Amount::InFlight(most) => (*most).into(),
        Amount::CostUsd(most) => number(*most),
    }
}

/// A price as every plugin reads it.
pub(super) fn price(price: &Price) -> Value {
    let cached = price.cached.unwrap_or(price.input);
    json!({
        "match": price.models,
        "input": number(price.input), "cached": number(cached), "output": number(price.output),
    })
}

/// As JSON writes the number. All that gateway.yaml takes have at most 16 digits, which a double keeps to the last
/// place that is counted.
fn number(decimal: Decimal) -> Value {
    decimal.to_string().parse::<serde_json::Number>().map_or(Value::Null, Value::Number)
}
