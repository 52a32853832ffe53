//! What content-guard is told, and the clusters of the services that it asks.

use std::time::Duration;

use serde_json::{Map, Value, json};
use sluice_core::config::SecretSource;

use super::clusters::{self, Cluster};
use super::filters::header;
use super::names::digest;
use super::when::when;
use super::{Rendering, millis};
use crate::gateway::{Check, Finder, Gateway, Guard, Service};

/// The plugin's own JSON; `null` without a guard. `clusters` are those of [`clusters()`].
pub(super) fn content_guard(gateway: &Gateway, clusters: &[Cluster]) -> Value {
    let Some(guard) = &gateway.guard else {
        return Value::Null;
    };
    let mut names = clusters.iter().map(|cluster| cluster.name.as_str());
    let checks: Vec<Value> = guard
        .checks
        .iter()
        .map(|check| {
            let cluster = matches!(check.finder, Finder::Service(_)).then(|| names.next()).flatten();
            rendered(check, cluster.unwrap_or_default())
        })
        .collect();
    json!({
        "on_error": guard.on_error.as_str(),
        "max_body_bytes": gateway.max_request_body,
        "max_hold_ms": millis(guard.max_hold),
        "checks": checks,
        "refusal": {"as": guard.refusal.form.as_str(), "message": guard.refusal.message},
    })
}

fn rendered(check: &Check, cluster: &str) -> Value {
    let on = [("request", check.requests), ("response", check.responses)];
    let on: Vec<&str> = on.iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect();
    let mut rendered = Map::new();
    let mut add = |name: &str, value: Value| drop(rendered.insert(name.into(), value));
    add("name", check.name.as_str().into());
    add("on", on.into());
    if !check.models.is_empty() {
        add("models", json!(check.models));
    }
    if !check.when.is_empty() {
        add("when", when(&check.when));
    }
    match &check.finder {
        Finder::Keywords { words, whole_words } => {
            add("keywords", json!(words));
            if *whole_words {
                add("whole_words", true.into());
            }
        }
        Finder::Regex(expressions) => add("regex", json!(expressions)),
        Finder::Detect(detectors) => add("detect", json!(detectors)),
        Finder::Service(asked) => {
            add("service", service(asked, cluster));
            if let Some(risk) = asked.min_risk {
                add("min_risk", risk.as_str().into());
            }
        }
    }
    add("action", check.action.as_str().into());
    Value::Object(rendered)
}

fn service(service: &Service, cluster: &str) -> Value {
    let mut rendered = json!({
        "cluster": cluster,
        "authority": service.endpoint.authority(service.scheme),
        "path": service.path,
        "protocol": service.protocol.as_str(),
        "timeout_ms": millis(service.timeout),
    });
    if let Value::Object(rendered) = &mut rendered {
        if let Some(key) = &service.key {
            rendered.insert("key".into(), json!(key.source()));
        }
        if !service.headers.is_empty() {
            let headers: Map<String, Value> =
                service.headers.iter().map(|(name, value)| (name.clone(), header(value.source()))).collect();
            rendered.insert("headers".into(), headers.into());
        }
        if let Some(model) = &service.model {
            rendered.insert("model".into(), model.as_str().into());
        }
    }
    rendered
}

/// The cluster of each service, in the order of the file.
pub(super) fn clusters(gateway: &Gateway, rendering: &Rendering<'_>) -> Vec<Cluster> {
    let services = gateway.guard.iter().flat_map(Guard::services);
    services.map(|(check, service)| cluster(check, service, gateway.timeouts.connect, rendering)).collect()
}

/// Another content, another name: a live change cuts no call off.
fn cluster(check: &str, asked: &Service, connect: Duration, rendering: &Rendering<'_>) -> Cluster {
    let body = clusters::service(
        asked.scheme,
        &asked.endpoint,
        asked.timeout.min(connect),
        clusters::UNBOUNDED,
        rendering,
    );
    let name = format!("guard.{check}.{}", digest(&body.to_string()));
    clusters::named(name, &format!("Where check {check:?} asks."), body)
}

/// Environment variables that hold secrets of services.
pub(super) fn environment(gateway: &Gateway) -> impl Iterator<Item = &String> {
    sources(gateway).filter_map(|source| match source {
        SecretSource::Env(name) => Some(name),
        SecretSource::Value(_) => None,
    })
}

/// Whether the JSON holds a secret; a header's value is taken for one.
pub(super) fn has_secrets_in_it(gateway: &Gateway) -> bool {
    sources(gateway).any(|source| matches!(source, SecretSource::Value(_)))
}

fn sources(gateway: &Gateway) -> impl Iterator<Item = &SecretSource> {
    let services = gateway.guard.iter().flat_map(Guard::services);
    services.flat_map(|(_, service)| service.secrets()).map(|secret| secret.source())
}
