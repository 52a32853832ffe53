//! The whole check of a gateway.yaml: the file itself, then what each plugin says to the JSON that it becomes.
//!
//! The plugins' own [`Filter::check`] runs here as it does in Envoy, so what this check takes Envoy takes, too.

use std::path::Path;

use ai_log::AiLog;
use consumer_auth::ConsumerAuth;
use content_guard::ContentGuard;
use fallback::Fallback;
use key_rotation::KeyRotation;
use model_router::ModelRouter;
use provider_adapter::ProviderAdapter;
use redis_bridge::RedisBridge;
use response_cache::ResponseCache;
use sluice_core::config::{ConfigError, Env, RouteConfigs};
use sluice_core::filter::Filter;
use sluice_core::network::NetworkFilter;
use token_limit::TokenLimit;

use crate::file::{Place, Report};
use crate::gateway::{self, CheckOptions, Gateway, Loaded};
use crate::render::{Plugin, Rendering, render};

/// A plugin's check of its JSON.
type PluginCheck = fn(&[u8], &Env<'_>) -> Result<(), ConfigError>;

/// Every plugin by name.
const PLUGINS: [(&str, PluginCheck); 10] = [
    (AiLog::NAME, plugin::<AiLog>),
    (ConsumerAuth::NAME, plugin::<ConsumerAuth>),
    (ModelRouter::NAME, plugin::<ModelRouter>),
    (Fallback::NAME, plugin::<Fallback>),
    (KeyRotation::NAME, plugin::<KeyRotation>),
    (ProviderAdapter::NAME, plugin::<ProviderAdapter>),
    (TokenLimit::NAME, plugin::<TokenLimit>),
    (RedisBridge::NAME, network::<RedisBridge>),
    (ContentGuard::NAME, plugin::<ContentGuard>),
    (ResponseCache::NAME, plugin::<ResponseCache>),
];

/// Reads and checks `file`.
#[must_use]
pub fn load(file: &Path, options: &CheckOptions<'_>) -> Loaded {
    with_plugins(gateway::load(file, options), options)
}

/// Checks `bytes` as the content of `file`, whose directory relative paths in it start from.
#[must_use]
pub fn check(file: &Path, bytes: &[u8], options: &CheckOptions<'_>) -> Loaded {
    with_plugins(gateway::check(file, bytes, options), options)
}

fn with_plugins(mut loaded: Loaded, options: &CheckOptions<'_>) -> Loaded {
    if let Some(gateway) = &loaded.gateway {
        ask_plugins(gateway, &loaded.report, options);
    }
    loaded.gateway = loaded.gateway.filter(|_| !loaded.report.has_mistakes());
    loaded
}

/// Adds a mistake for each plugin that refuses its part of the configuration.
fn ask_plugins(gateway: &Gateway, report: &Report, options: &CheckOptions<'_>) {
    let nowhere = Path::new("/");
    let rendering = Rendering { directory: nowhere, module: nowhere, roots: nowhere, access_log: None };
    let rendered = render(gateway, &rendering);
    // Envoy hands a plugin only the variables that are rendered.
    let told = |name: &str| rendered.environment.binary_search_by(|told| told.as_str().cmp(name)).is_ok();
    let env = |name: &str| if told(name) { (options.env)(name) } else { None };
    let others = rendered.bridge.iter().map(|bridge| &bridge.plugin).chain(&rendered.operator);
    for plugin in rendered.plugins.iter().chain(others).filter(|plugin| !plugin.config.is_null()) {
        if let Err(why) = ask(plugin, &env) {
            let path = format!("plugin {}", plugin.name);
            report.mistake(Place::START, &path, format!("{why}; change what it says in this file"));
        }
    }
}

fn ask(plugin: &Plugin, env: &Env<'_>) -> Result<(), String> {
    let check = PLUGINS.iter().find(|(name, _)| *name == plugin.name).map(|(_, check)| check);
    let check = check.ok_or("has no check in this program")?;
    check(plugin.config.to_string().as_bytes(), env).map_err(|refused| refused.to_string())
}

fn plugin<F: Filter>(json: &[u8], env: &Env<'_>) -> Result<(), ConfigError> {
    RouteConfigs::parse(json, |raw| F::check(raw, env)).map(drop)
}

fn network<F: NetworkFilter>(json: &[u8], env: &Env<'_>) -> Result<(), ConfigError> {
    RouteConfigs::parse(json, |raw| F::check(raw, env)).map(drop)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::render::Stage;

    const FILE: &str = "providers: {a: {url: http://a/v1, keys: [env:KEY]}}\n\
                        models: [{match: '*', targets: [{provider: a}]}]\n";

    fn read() -> Loaded {
        check(Path::new("gateway.yaml"), FILE.as_bytes(), &CheckOptions { env: &|_| Some("sk-a".into()) })
    }

    #[test]
    fn what_a_plugin_refuses_is_a_mistake_of_the_file() {
        let loaded = read();
        assert!(loaded.gateway.is_some(), "{}", loaded.report);
        // no gateway.yaml gets as far as this: the variable is gone when the plugin asks
        let options = CheckOptions { env: &|_| None };
        let refused = with_plugins(loaded, &options);
        assert!(refused.gateway.is_none());
        let want = "gateway.yaml:1:1: plugin key-rotation: providers.a.keys[0].key: environment variable KEY is not \
                    set; change what it says in this file\n";
        assert_eq!(refused.report.to_string(), want);
    }

    /// Configurations written by hand, as a plugin that is loaded alone gets them.
    #[test]
    fn no_plugin_repeats_a_key_in_the_wrong_place() {
        for config in [
            json!("sk-canary"),
            json!({"sk-canary": 1}),
            json!({"providers": "sk-canary", "rules": "sk-canary", "retry_on": "sk-canary"}),
            json!({"providers": ["sk-canary"], "rules": ["sk-canary"], "retry_on": ["sk-canary"]}),
            json!({"providers": {"a": "sk-canary"}}),
            json!({"providers": {"sk-canary": {"keys": [{"key": {"env": "NOWHERE"}}]}}}),
            json!({"providers": {"a": {"sk-canary": {}}}}),
            json!({"providers": {"a": {"keys": "sk-canary"}}}),
            json!({"providers": {"a": {"keys": ["sk-canary"]}}}),
            json!({"providers": {"a": {"keys": [{"key": "sk-canary"}]}}}),
            json!({"providers": {"a": {"keys": [{"key": {"sk-canary": ""}}]}}}),
            json!({"providers": {"a": {"keys": [{"key": {"env": "sk-canary"}}]}}}),
            json!({"providers": {"a": {"keys": [{"key": {"env": {"value": "sk-canary"}}}]}}}),
            json!({"providers": {"a": {"keys": [], "rotation": "sk-canary"}}}),
            json!({"providers": {"a": {"headers": {"x-key": ["sk-canary"]}}}}),
            json!({"routes": {"sk-canary": "sk-canary"}}),
        ] {
            for (name, check) in PLUGINS {
                let refused = check(config.to_string().as_bytes(), &|_| None).map_err(|why| why.to_string());
                let refused = refused.err().unwrap_or_default();
                assert!(!refused.contains("canary"), "{name}: {refused}");
            }
        }
    }

    #[test]
    fn a_plugin_without_a_check_is_refused() {
        let plugin = Plugin { name: "other", stage: Stage::Gateway, config: json!({}), secret: false };
        assert!(ask(&plugin, &|_| None).is_err());
    }
}
