//! Filters: what each plugin's own JSON says, and how Envoy loads it.

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
use sluice_core::context;
use sluice_core::filter::Filter;
use token_limit::TokenLimit;

use super::clusters::{Cluster, label};
use super::when::when;
use super::{Rendering, cache, consumers, guard, limits, millis, record, text};
use crate::gateway::{Filters, Gateway, HoldUntil, Key, Provider, Rotation, Rule, Sticky};

/// The type of a plugin in the chain.
pub(super) const WASM_FILTER: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
/// A filter that does nothing when nothing is configured.
pub(super) const NO_FILTER: &str = "type.googleapis.com/envoy.extensions.filters.http.set_metadata.v3.Config";

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

/// Names of the filters of Envoy that hold a whole stage.
const CHAINS: [(&str, Stage); 2] = [("gateway", Stage::Gateway), ("provider", Stage::Provider)];

/// Names and stages of the filters that Envoy loads for `plugins`.
pub(super) fn places(plugins: &[Plugin], how: Filters) -> Vec<(&'static str, Stage)> {
    match how {
        Filters::Together => CHAINS.to_vec(),
        Filters::Separate => plugins.iter().map(|plugin| (plugin.name, plugin.stage)).collect(),
    }
}

/// The filters that Envoy loads for `plugins`. In a chain, a plugin that the gateway has no use for has no place; facts
/// are published as far as `read`, the rest of the rendering, reads them.
pub(super) fn loaded(plugins: &[Plugin], how: Filters, read: &str) -> Vec<Plugin> {
    if how == Filters::Separate {
        return plugins.to_vec();
    }
    let publish: Vec<&str> = context::ALL
        .iter()
        .map(|fact| fact.0)
        .filter(|name| read.contains(&format!("wasm.{name}")))
        .collect();
    let chain = |(name, stage)| {
        let of_stage =
            || plugins.iter().filter(move |plugin| plugin.stage == stage && !plugin.config.is_null());
        let filters: Vec<Value> =
            of_stage().map(|plugin| json!({"name": plugin.name, "config": plugin.config})).collect();
        let mut config = json!({"filters": filters, "publish": publish});
        if let (Stage::Provider, Value::Object(config)) = (stage, &mut config) {
            config.insert("joins".into(), true.into());
        }
        Plugin { name, stage, config, secret: of_stage().any(|plugin| plugin.secret) }
    };
    CHAINS.into_iter().map(chain).collect()
}

/// Which of the module's filters a plugin is.
fn root_id(plugin: &Plugin) -> &'static str {
    if CHAINS.iter().any(|(name, _)| *name == plugin.name) {
        sluice_core::chain::ROOT_ID
    } else {
        plugin.name
    }
}

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

/// The filter as Envoy loads it.
pub(super) fn filter(plugin: &Plugin, rendering: &Rendering<'_>, environment: &[String]) -> Value {
    if plugin.config.is_null() {
        return json!({"@type": NO_FILTER, "#": "Keeps a place in the chain, so that the filter can be added under open connections."});
    }
    let mut config = plugin_config(plugin, rendering, environment);
    if let Value::Object(config) = &mut config {
        config.insert(
            "#1".into(),
            "Hold the headers, but go on reading the body: what it says decides where they go.".into(),
        );
        config.insert("allow_on_headers_stop_iteration".into(), true.into());
    }
    json!({"@type": WASM_FILTER, "config": config})
}

/// How Envoy loads a plugin. All share one `vm_id`, so one VM per worker.
pub(super) fn plugin_config(plugin: &Plugin, rendering: &Rendering<'_>, environment: &[String]) -> Value {
    let mut vm = json!({
        "vm_id": "sluice",
        "runtime": "envoy.wasm.runtime.v8",
        "code": {"local": {"filename": rendering.module}},
    });
    if let (false, Value::Object(vm)) = (environment.is_empty(), &mut vm) {
        vm.insert("environment_variables".into(), json!({"host_env_keys": environment}));
    }
    let config = text::json(&plugin.config);
    json!({
        "name": plugin.name,
        "root_id": root_id(plugin),
        "#": "A trap costs its own request a 503; the next is served by a new VM.",
        "failure_policy": "FAIL_RELOAD",
        "reload_config": {"backoff": {"base_interval": "0.1s"}},
        "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": config + "\n"},
        "vm_config": vm,
    })
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
