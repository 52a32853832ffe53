//! The plugin's JSON, as written ([`RawConfig`], [`RawConsumer`]) and as checked ([`Config`]).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::json;
use sluice_core::config::{Env, SecretSource, shown};

use crate::consumers::{Consumers, Draft};
use crate::digest::Digest;
use crate::places::Places;

/// The configuration as read; consumers are in their compact form already.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawConfig {
    #[serde(default)]
    consumers: Draft,
    anonymous: Option<String>,
    #[serde(default)]
    key_headers: Vec<String>,
    key_query: Option<String>,
}

/// One consumer as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RawConsumer {
    /// Its name, unique; at most 128 bytes.
    pub name: String,
    /// Its keys; none are needed for who is only ever `anonymous`.
    #[serde(default)]
    pub keys: Vec<KeySource>,
    /// Its tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// Globs of the models it may use; left out: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// Globs of paths (with a leading `/`) or Envoy routes that it may call; left out: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<String>>,
    /// Networks it may call from; left out: anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Vec<String>>,
    /// When its keys cease to be good, in seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_s: Option<u64>,
    /// Whether it is shut out.
    #[serde(default)]
    pub disabled: bool,
    /// Free texts for the log.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// A key as written: `{"sha256": "<64 hex digits>"}`, `{"env": "NAME"}` or `{"value": "…"}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// The key's SHA-256.
    Sha256(Digest),
    /// The key itself, or where it stands.
    Secret(SecretSource),
}

/// What a key must look like.
const KEY_SHAPE: &str = r#"must be {"sha256": 64 HEX DIGITS}, {"env": NAME} or {"value": KEY}"#;

/// By hand, as derived errors repeat what they find.
impl<'de> Deserialize<'de> for KeySource {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = KeySource;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_str<E: de::Error>(self, _: &str) -> Result<KeySource, E> {
                Err(E::custom(KEY_SHAPE))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<KeySource, A::Error> {
                let wrong = || de::Error::custom(KEY_SHAPE);
                let name: Text<'_> = members.next_key()?.ok_or_else(wrong)?;
                if !["sha256", "env", "value"].contains(&&*name.0) {
                    return Err(wrong());
                }
                let Text(text) = members.next_value()?;
                if members.next_key::<IgnoredAny>()?.is_some() {
                    return Err(wrong());
                }
                match &*name.0 {
                    "sha256" => Digest::from_hex(&text).map(KeySource::Sha256).ok_or_else(wrong),
                    "env" => Ok(KeySource::Secret(SecretSource::Env(text.into_owned()))),
                    _ => Ok(KeySource::Secret(SecretSource::Value(text.into_owned()))),
                }
            }
        }

        from.deserialize_any(Reader)
    }
}

/// A text that is copied only where it holds escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Serialize for KeySource {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Sha256(digest) => json!({"sha256": digest.to_hex()}).serialize(to),
            Self::Secret(source) => source.serialize(to),
        }
    }
}

/// The configuration in use.
#[derive(Debug)]
pub struct Config {
    /// Where keys are looked for.
    pub places: Places,
    pub(crate) consumers: Consumers,
    pub(crate) anonymous: Option<usize>,
}

impl Config {
    /// Checks `raw` and reads the keys of the environment.
    ///
    /// # Errors
    /// The first part that does not hold, as `path: what is wrong`; never a key.
    pub fn check(raw: RawConfig, env: &Env<'_>) -> Result<Self, String> {
        let consumers = raw.consumers.finish(env)?;
        let number = |name: &String| {
            let unknown = || format!("anonymous: no consumer is named {:?}", shown(name));
            consumers.named(name).ok_or_else(unknown)
        };
        let anonymous = raw.anonymous.as_ref().map(number).transpose()?;
        let places = Places::new(raw.key_headers, raw.key_query)?;
        Ok(Self { places, consumers, anonymous })
    }

    /// Whether there are no consumers: then everybody may call.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.consumers.is_empty()
    }
}

#[cfg(test)]
mod tests;
