//! Plugin configuration: one JSON object, plus per-route overrides.
//!
//! ```json
//! { "hold": { "max_ms": 15000 }, "routes": { "batch": { "hold": { "max_ms": 60000 } } } }
//! ```
//!
//! Each value of `routes` is an RFC 7396 merge patch over the rest of the object. Every merged result is checked
//! when the configuration is loaded, so a bad override refuses the whole configuration instead of failing a
//! request. Envoy offers no route-level configuration to Wasm filters; this takes its place.

mod quiet;
mod source;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use self::quiet::Members;

/// Looks up an environment variable of the proxy.
pub type Env<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Checked configurations, by Envoy route name.
#[derive(Debug)]
pub struct RouteConfigs<C> {
    default: Rc<C>,
    routes: Vec<(String, Rc<C>)>, // by name
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
    /// The first part that does not hold, named by its route. No string of the configuration is repeated, for it
    /// may be a secret in the wrong place.
    pub fn parse<R: DeserializeOwned>(
        bytes: &[u8],
        check: impl Fn(R) -> Result<C, String>,
    ) -> Result<Self, ConfigError> {
        let plan = Plan::of(bytes)?;
        // The one part that is there once for each filter of a module: all else is kept out of it.
        let build = |text: &str| check(quiet::read(members(text).map_err(|error| error.to_string())?)?);
        let default = build(&plan.default).map_err(|reason| plan.refused(reason))?;
        let mut routes = Vec::with_capacity(plan.routes.len());
        for (route, text) in &plan.routes {
            let config = build(text).map_err(|reason| refused_route(route, reason))?;
            routes.push((route.clone(), Rc::new(config)));
        }
        Ok(Self { default: Rc::new(default), routes })
    }

    /// Whether any route has a configuration of its own.
    #[must_use]
    pub fn has_overrides(&self) -> bool {
        !self.routes.is_empty()
    }

    /// The configuration in force on `route`; the default for an unknown route.
    #[must_use]
    pub fn get(&self, route: &str) -> Rc<C> {
        let found = self.routes.binary_search_by(|(name, _)| name.as_str().cmp(route)).ok();
        Rc::clone(found.and_then(|at| self.routes.get(at)).map_or(&self.default, |(_, config)| config))
    }
}

/// What has to be read: JSON of the default, and of each override merged into it, in the order of their names.
struct Plan<'a> {
    default: Cow<'a, str>,
    routes: Vec<(String, String)>,
}

impl<'a> Plan<'a> {
    fn of(bytes: &'a [u8]) -> Result<Self, ConfigError> {
        let text =
            std::str::from_utf8(bytes).map_err(|_| ConfigError::Syntax("it is not UTF-8".to_owned()))?;
        let text = if text.is_empty() { "{}" } else { text };
        if !members(text)?.0.iter().any(|(name, _)| name.0 == "routes") {
            return Ok(Self { default: Cow::Borrowed(text), routes: Vec::new() });
        }
        let mut base: Value = serde_json::from_str(text).map_err(syntax)?;
        let Some(Value::Object(patches)) = base.as_object_mut().and_then(|base| base.remove("routes")) else {
            return Err(ConfigError::Default("routes: must be an object".to_owned()));
        };
        let merged = |(route, patch)| {
            let mut merged = base.clone();
            merge(&mut merged, patch);
            (route, merged.to_string())
        };
        // Filled in the order of names, whatever order the map has.
        let routes: BTreeMap<String, Value> = patches.into_iter().collect();
        let routes = routes.into_iter().map(merged).collect();
        Ok(Self { default: Cow::Owned(base.to_string()), routes })
    }

    /// Why the default is refused.
    fn refused(&self, reason: String) -> ConfigError {
        mistake(&self.default).unwrap_or(ConfigError::Default(reason))
    }
}

fn refused_route(route: &str, reason: String) -> ConfigError {
    ConfigError::Route { route: shown(route).to_owned(), reason }
}

fn syntax(error: serde_json::Error) -> ConfigError {
    ConfigError::Syntax(error.to_string())
}

/// The members of the object, unread: a big configuration without overrides never stands in memory as a tree.
fn members(text: &str) -> Result<Members<'_>, ConfigError> {
    serde_json::from_str(text).map_err(|error| match error.is_data() {
        true => ConfigError::Syntax("it is another kind of value".to_owned()),
        false => syntax(error),
    })
}

/// The mistake in the text, where it is one that shows only when all of it is read.
fn mistake(text: &str) -> Option<ConfigError> {
    serde_json::from_str::<Value>(text).err().map(syntax)
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

/// `text` for a message, or `***` where it looks like a secret that stands in the wrong place.
#[must_use]
pub fn shown(text: &str) -> &str {
    /// Longer than the names of things; keys of API providers are longer.
    const MAX_CHARS: usize = 40;
    let is_word = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let is_key = text.split(|c| !is_word(c)).any(|word| word.starts_with("sk-"));
    if is_key || text.chars().count() > MAX_CHARS { "***" } else { text }
}

/// A secret as written in a plugin's JSON: `{"env": "NAME"}` or `{"value": "…"}`.
#[derive(Clone, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum SecretSource {
    /// Name of an environment variable of the proxy.
    Env(String),
    /// The secret itself.
    Value(String),
}

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let shape = r#"must be {"env": NAME} or {"value": SECRET}"#;
        match deserializer.deserialize_any(source::Reader { shape, is_text: false })? {
            HeaderValue::Secret(source) => Ok(source),
            HeaderValue::Text(_) => Err(D::Error::custom(shape)),
        }
    }
}

/// A header's value as written in a plugin's JSON: text, or a secret.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum HeaderValue {
    /// As it stands.
    Text(String),
    /// Read from where it stands.
    Secret(SecretSource),
}

impl<'de> Deserialize<'de> for HeaderValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let shape = r#"must be text, or {"env": NAME} or {"value": SECRET}"#;
        deserializer.deserialize_any(source::Reader { shape, is_text: true })
    }
}

impl SecretSource {
    /// Reads the secret.
    ///
    /// # Errors
    /// The environment variable is not set, or the secret is empty or no valid header value.
    pub fn read(&self, env: &Env<'_>) -> Result<Secret, String> {
        let (secret, name) = match self {
            Self::Env(name) => {
                let label = format!("environment variable {}", shown(name));
                (env(name).ok_or_else(|| format!("{label} is not set"))?, label)
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
mod tests;
