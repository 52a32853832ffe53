//! Any JSON as any plugin's configuration: it is taken or refused in words that repeat no secret, and what is taken
//! works.

use std::rc::Rc;

use ai_log::AiLog;
use consumer_auth::ConsumerAuth;
use content_guard::ContentGuard;
use fallback::Fallback;
use key_rotation::KeyRotation;
use model_router::ModelRouter;
use provider_adapter::ProviderAdapter;
use redis_bridge::RedisBridge;
use response_cache::ResponseCache;
use serde_json::Value;
use sluice_core::config::{ConfigError, Env, RouteConfigs};
use sluice_core::filter::{Filter, Side};
use sluice_core::network::NetworkFilter;
use sluice_core::testing::FakeHost;
use token_limit::TokenLimit;

use crate::exchange::pass;
use crate::parts::first;

/// Texts longer than this may be secrets.
const SECRET_CHARS: usize = 40;

/// What the environment holds as `KEY`.
const SECRET: &str = "sk-from-the-environment";

fn env(name: &str) -> Option<String> {
    (name == "KEY").then(|| SECRET.to_owned())
}

/// An environment that holds another.
fn other(name: &str) -> Option<String> {
    (name == "KEY").then(|| "sk-of-other-surroundings".to_owned())
}

/// `again` reads the configuration in an environment and tells why it is refused, if it is: what it has from itself,
/// not from the environment, it says in any.
fn refused(error: &ConfigError, json: &[u8], again: impl Fn(&Env<'_>) -> Option<ConfigError>) {
    let said = error.to_string();
    let is_own = || again(&other).is_some_and(|error| error.to_string() == said);
    assert!(!said.is_empty() && (!said.contains(SECRET) || is_own()), "{said}");
    if let Ok(json) = serde_json::from_slice::<Value>(json) {
        quiet(&json, &said);
    }
}

/// No long text of the configuration stands in the message.
fn quiet(json: &Value, said: &str) {
    match json {
        Value::String(text) => {
            assert!(text.chars().count() <= SECRET_CHARS || !said.contains(text.as_str()), "{said}");
        }
        Value::Array(list) => list.iter().for_each(|item| quiet(item, said)),
        Value::Object(members) => members.values().for_each(|member| quiet(member, said)),
        _ => {}
    }
}

/// A filter with a configuration that it took passes an exchange without a trap.
fn filter<F: Filter>(json: &[u8]) {
    let read = |env: &Env<'_>| RouteConfigs::parse(json, |raw| F::check(raw, env));
    let configs = match read(&env) {
        Ok(configs) => configs,
        Err(error) => return refused(&error, json, |env| read(env).err()),
    };
    let mut host = FakeHost::with_request(&[(":method", "POST"), (":path", "/v1/chat/completions")]);
    let mut filter = F::new(Rc::clone(&configs.get("")));
    let asked = br#"{"model":"m","messages":[{"role":"user","content":"kA1 ann@example.org"}]}"#;
    pass(&mut filter, &mut host, Side::Request, asked, 16);
    host.respond(&[(":status", "200"), ("content-type", "application/json")]);
    let answer =
        br#"{"choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}"#;
    pass(&mut filter, &mut host, Side::Response, answer, 16);
    filter.on_done(&mut host);
}

fn bridge(json: &[u8]) {
    let read = |env: &Env<'_>| RouteConfigs::parse(json, |raw| RedisBridge::check(raw, env)).err();
    if let Some(error) = read(&env) {
        refused(&error, json, read);
    }
}

/// The plugins by number.
const PLUGINS: [fn(&[u8]); 10] = [
    filter::<AiLog>,
    filter::<ConsumerAuth>,
    filter::<ContentGuard>,
    filter::<Fallback>,
    filter::<KeyRotation>,
    filter::<ModelRouter>,
    filter::<ProviderAdapter>,
    filter::<ResponseCache>,
    filter::<TokenLimit>,
    bridge,
];

/// First byte: the plugin, a digit; the rest: its configuration.
pub fn check(input: &[u8]) {
    let (number, json) = first(input);
    PLUGINS[number % PLUGINS.len()](json);
}
