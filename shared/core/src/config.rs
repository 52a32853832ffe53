//! Plugin configuration: one JSON object, plus per-route overrides.
//!
//! ```json
//! { "hold": { "max_ms": 15000 }, "routes": { "batch": { "hold": { "max_ms": 60000 } } } }
//! ```
//!
//! Each value of `routes` is an RFC 7396 merge patch over the rest of the object. Every merged result is checked
//! when the configuration is loaded, so a bad override refuses the whole configuration instead of failing a
//! request. Envoy offers no route-level configuration to Wasm filters; this takes its place.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

/// Looks up an environment variable of the proxy.
pub type Env<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Checked configurations, by Envoy route name.
#[derive(Debug)]
pub struct RouteConfigs<C> {
    default: Rc<C>,
    routes: BTreeMap<String, Rc<C>>,
}

/// Why a configuration was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not a JSON object.
    #[error("configuration is not a JSON object: {0}")]
    Syntax(String),
    /// The configuration breaks a rule of the plugin.
    #[error("{0}")]
    Default(String),
    /// An override breaks a rule of the plugin.
    #[error("route {route:?}: {reason}")]
    Route {
        /// Key under `routes`.
        route: String,
        /// The rule, with its path.
        reason: String,
    },
}

impl<C> RouteConfigs<C> {
    /// Parses and checks the default and every override with `check`.
    ///
    /// # Errors
    /// The first part that does not hold, named by its route.
    pub fn parse<R: DeserializeOwned>(
        bytes: &[u8],
        check: impl Fn(R) -> Result<C, String>,
    ) -> Result<Self, ConfigError> {
        let bytes = if bytes.is_empty() { b"{}" } else { bytes };
        let syntax = |error: serde_json::Error| ConfigError::Syntax(error.to_string());
        let mut base: Map<String, Value> = serde_json::from_slice(bytes).map_err(syntax)?;
        let overrides = base.remove("routes").unwrap_or_else(|| Value::Object(Map::new()));
        let patches: BTreeMap<String, Value> = serde_json::from_value(overrides)
            .map_err(|error| ConfigError::Default(format!("routes: {error}")))?;
        let base = Value::Object(base);
        let build = |value: Value| -> Result<Rc<C>, String> {
            let raw = serde_path_to_error::deserialize(value).map_err(|error| error.to_string())?;
            check(raw).map(Rc::new)
        };
        let default = build(base.clone()).map_err(ConfigError::Default)?;
        let mut routes = BTreeMap::new();
        for (route, patch) in patches {
            let mut merged = base.clone();
            merge(&mut merged, patch);
            match build(merged) {
                Ok(config) => routes.insert(route, config),
                Err(reason) => return Err(ConfigError::Route { route, reason }),
            };
        }
        Ok(Self { default, routes })
    }

    /// Whether any route has a configuration of its own.
    #[must_use]
    pub fn has_overrides(&self) -> bool {
        !self.routes.is_empty()
    }

    /// The configuration in force on `route`; the default for an unknown route.
    #[must_use]
    pub fn get(&self, route: &str) -> Rc<C> {
        Rc::clone(self.routes.get(route).unwrap_or(&self.default))
    }
}

/// RFC 7396 section 2, `MergePatch`.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(target) = target.as_object_mut() else {
        return;
    };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(&key);
        } else {
            merge(target.entry(key).or_insert(Value::Null), value);
        }
    }
}

/// A secret as written in a plugin's JSON: `{"env": "NAME"}` or `{"value": "…"}`.
#[derive(Clone, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SecretSource {
    /// Name of an environment variable of the proxy.
    Env(String),
    /// The secret itself.
    Value(String),
}

impl SecretSource {
    /// Reads the secret.
    ///
    /// # Errors
    /// The environment variable is not set, or the secret is empty or no valid header value.
    pub fn read(&self, env: &Env<'_>) -> Result<Secret, String> {
        let (secret, name) = match self {
            Self::Env(name) => {
                let value = env(name).ok_or_else(|| format!("environment variable {name} is not set"))?;
                (value, format!("environment variable {name}"))
            }
            Self::Value(value) => (value.clone(), "secret".to_owned()),
        };
        if secret.is_empty() {
            return Err(format!("{name} is empty"));
        }
        if secret.bytes().any(|b| b < 0x20 || b == 0x7f) {
            return Err(format!("{name} holds a control character"));
        }
        Ok(Secret(secret))
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::Value(_) => f.write_str("***"),
        }
    }
}

/// A secret in use. Prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret itself, to be put into one header and nowhere else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// First 8 hex digits of its SHA-256: names the secret in logs without telling it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        use sha2::{Digest as _, Sha256};
        use std::fmt::Write as _;
        Sha256::digest(self.0.as_bytes()).iter().take(4).fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Raw {
        models: Vec<String>,
    }

    fn parse(json: &str) -> Result<RouteConfigs<Vec<String>>, ConfigError> {
        RouteConfigs::parse(json.as_bytes(), |raw: Raw| match raw.models.len() {
            0 => Err("models: must name at least one model".to_owned()),
            _ => Ok(raw.models),
        })
    }

    #[test]
    fn an_override_replaces_what_it_names() {
        let configs = parse(r#"{"models":["a"],"routes":{"vip":{"models":["b"]}}}"#).unwrap();
        assert_eq!(*configs.get("vip"), ["b"]);
        assert_eq!(*configs.get("other"), ["a"]);
    }

    #[test]
    fn a_bad_override_refuses_the_whole_configuration() {
        let refused = parse(r#"{"models":["a"],"routes":{"vip":{"models":[]}}}"#).unwrap_err();
        assert_eq!(refused.to_string(), r#"route "vip": models: must name at least one model"#);
    }

    #[test]
    fn an_unknown_field_is_refused() {
        let refused = parse(r#"{"models":["a"],"modles":[]}"#).unwrap_err();
        assert!(refused.to_string().contains("modles"), "{refused}");
        let refused = parse(r#"{"models":["a",1]}"#).unwrap_err();
        assert!(refused.to_string().starts_with("models[1]: invalid type"), "{refused}");
    }

    #[test]
    fn a_secret_never_prints() {
        let secret = SecretSource::Value("sk-canary".into());
        let read = secret.read(&|_| None).unwrap();
        assert_eq!(format!("{secret:?} {read:?}"), "*** ***");
        assert_eq!(read.fingerprint().len(), 8);
    }

    #[test]
    fn a_secret_that_cannot_be_a_header_is_refused() {
        for (source, want) in [
            (SecretSource::Env("X".into()), "environment variable X is not set"),
            (SecretSource::Value(String::new()), "secret is empty"),
            (SecretSource::Value("a\nb".into()), "secret holds a control character"),
        ] {
            assert_eq!(source.read(&|_| None).unwrap_err(), want);
        }
    }
}
