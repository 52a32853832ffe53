//! Filters: what each plugin's own JSON says.

use ai_log::AiLog;
use consumer_auth::ConsumerAuth;
use content_guard::ContentGuard;
use fallback::Fallback;
use key_rotation::KeyRotation;
use model_router::ModelRouter;
use provider_adapter::ProviderAdapter;
use response_cache::ResponseCache;
use serde_json::{Map, Value, json};
use sluice_core::config::SecretSource;
use sluice_core::filter::Filter;
use token_limit::TokenLimit;

use super::clusters::{Cluster, label};
use super::when::when;
use super::{cache, consumers, guard, limits, millis, record};
use crate::gateway::{Gateway, HoldUntil, Key, Provider, Rotation, Rule, Sticky};

/// A filter's place in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Once per request, before a provider is chosen.
    Gateway,
    /// Once per attempt, for the endpoint chosen.
    Provider,
    /// Once per connection to Redis, behind callouts of the others.
    Redis,
}

/// One plugin of the chain, or one filter of Envoy that holds those of a stage.
#[derive(Clone, Debug)]
pub struct Plugin {
    /// The plugin; of a chain, the name that Envoy has for it.
    pub name: &'static str,
    /// Where it runs.
    pub stage: Stage,
    /// Its own JSON; `null`: the gateway has no use for it, and only its place in the chain is kept.
    pub config: Value,
    /// Whether `config` holds a secret.
    pub secret: bool,
}

/// Plugins that are there only where the gateway has a use for them; their places in the chain are always kept.
pub(super) const OPTIONAL: [&str; 3] = [TokenLimit::NAME, ContentGuard::NAME, ResponseCache::NAME];

/// The plugins in the order that requests pass them. `clusters` names the cluster of each target of each rule,
/// `services` are those of the guard.
pub(super) fn plugins(gateway: &Gateway, clusters: &[Vec<String>], services: &[Cluster]) -> Vec<Plugin> {
    let plugin = |name, stage, config, secret| Plugin { name, stage, config, secret };
    vec![
        plugin(AiLog::NAME, Stage::Gateway, record::ai_log(gateway), false),
        plugin(
            ConsumerAuth::NAME,
            Stage::Gateway,
            consumers::consumer_auth(gateway),
            consumers::has_weak_hashes(gateway),
        ),
        plugin(ModelRouter::NAME, Stage::Gateway, model_router(gateway, clusters), false),
        plugin(TokenLimit::NAME, Stage::Gateway, limits::token_limit(gateway), false),
        plugin(
            ContentGuard::NAME,
            Stage::Gateway,
            guard::content_guard(gateway, services),
            guard::has_secrets_in_it(gateway),
        ),
        plugin(ResponseCache::NAME, Stage::Gateway, cache::response_cache(gateway), false),
        plugin(Fallback::NAME, Stage::Provider, fallback(gateway), false),
        plugin(KeyRotation::NAME, Stage::Provider, key_rotation(gateway), has_keys_in_it(gateway)),
        plugin(ProviderAdapter::NAME, Stage::Provider, provider_adapter(gateway), has_headers_in_it(gateway)),
    ]
}

/// Environment variables that the plugins read, each once, sorted.
pub(super) fn environment(gateway: &Gateway) -> Vec<String> {
    let mut names: Vec<String> = gateway
        .providers
        .iter()
        .flat_map(|provider| {
            let keys = provider.keys.iter().map(|key| key.secret.source());
            keys.chain(provider.headers.values().map(|value| value.source()))
        })
        .filter_map(|source| match source {
            SecretSource::Env(name) => Some(name.clone()),
            SecretSource::Value(_) => None,
        })
        .chain(consumers::environment(gateway).cloned())
        .chain(guard::environment(gateway).cloned())
        .collect();
    names.sort();
    names.dedup();
    names
}

fn model_router(gateway: &Gateway, clusters: &[Vec<String>]) -> Value {
    let rules: Vec<Value> =
        gateway.models.iter().zip(clusters).map(|(rule, names)| router_rule(gateway, rule, names)).collect();
    let mut config = json!({"max_body_bytes": gateway.max_request_body, "rules": rules});
    if let (false, Value::Object(config)) = (gateway.limits.is_empty(), &mut config) {
        config.insert("limits".into(), true.into());
    }
    config
}

fn router_rule(gateway: &Gateway, rule: &Rule, clusters: &[String]) -> Value {
    let targets: Vec<Value> = rule
        .targets
        .iter()
        .zip(clusters)
        .map(|(target, cluster)| {
            let attempts = gateway.attempts(rule);
            json!({"name": label(&target.hop), "cluster": cluster, "weight": target.weight, "attempts": attempts})
        })
        .collect();
    let mut rendered = json!({"match": rule.matches});
    if let Value::Object(rendered) = &mut rendered {
        if !rule.when.is_empty() {
            rendered.insert("when".into(), when(&rule.when));
        }
        if let Some(prefix) = &rule.strip_prefix {
            rendered.insert("strip_prefix".into(), prefix.as_str().into());
        }
        let sticky = match &rule.sticky {
            Sticky::Consumer if !gateway.consumers.is_empty() => "consumer".to_owned(),
            // without consumers everybody is `anonymous`, who would always get the same target
            Sticky::Consumer | Sticky::Request => "request".to_owned(),
            Sticky::Header(name) => format!("header:{name}"),
        };
        rendered.insert("sticky".into(), sticky.into());
        rendered.insert("targets".into(), targets.into());
    }
    rendered
}

fn fallback(gateway: &Gateway) -> Value {
    let until = match gateway.hold.until {
        HoldUntil::FirstContent => "first_content",
        HoldUntil::Headers => "headers",
    };
    json!({
        "retry_on": gateway.retry.on,
        "hold": {"until": until, "max_ms": millis(gateway.hold.max), "max_bytes": gateway.hold.max_bytes},
        "first_token_ms": millis(gateway.timeouts.first_token),
        "idle_ms": millis(gateway.timeouts.idle),
    })
}

fn key_rotation(gateway: &Gateway) -> Value {
    // All of them, also those without keys: a live change adds only providers that are gone.
    let providers: Map<String, Value> =
        gateway.providers.iter().map(|provider| (provider.name.clone(), provider_keys(provider))).collect();
    json!({"providers": providers})
}

fn provider_keys(provider: &Provider) -> Value {
    let weighted = provider.rotation == Rotation::Weighted;
    let key = |key: &Key| match weighted {
        true => json!({"key": key.secret.source(), "weight": key.weight}),
        false => json!({"key": key.secret.source()}),
    };
    let keys: Vec<Value> = provider.keys.iter().map(key).collect();
    json!({"keys": keys, "rotation": provider.rotation.as_str()})
}

fn provider_adapter(gateway: &Gateway) -> Value {
    let providers: Map<String, Value> = gateway
        .providers
        .iter()
        .map(|provider| {
            let headers: Map<String, Value> =
                provider.headers.iter().map(|(name, value)| (name.clone(), header(value.source()))).collect();
            (provider.name.clone(), json!({"headers": headers}))
        })
        .collect();
    json!({"providers": providers})
}

/// A header's value, which may stand in the environment.
pub(super) fn header(value: &SecretSource) -> Value {
    match value {
        SecretSource::Env(name) => json!({"env": name}),
        SecretSource::Value(value) => json!(value),
    }
}

fn has_keys_in_it(gateway: &Gateway) -> bool {
    let mut keys = gateway.providers.iter().flat_map(|provider| &provider.keys);
    keys.any(|key| matches!(key.secret.source(), SecretSource::Value(_)))
}

/// A header's value is taken for a secret: it may be one.
fn has_headers_in_it(gateway: &Gateway) -> bool {
    let mut headers = gateway.providers.iter().flat_map(|provider| provider.headers.values());
    headers.any(|value| matches!(value.source(), SecretSource::Value(_)))
}
