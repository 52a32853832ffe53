//! What an operator writes, and what the filter makes of it.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde::Deserialize;
use sluice_core::config::{Env, SecretSource, shown};

use crate::pool::{Key, Pool, Rotation};

/// Heaviest weight of a key: keeps a cycle of the weighted rotation short.
const MAX_WEIGHT: u32 = 1000;
/// Rest after a 429 that does not say how long: a window of a minute has room again for a few requests.
const COOLDOWN_MS: u64 = 10_000;
/// Longest rest a provider can ask for: a daily limit is tried again every hour.
const MAX_COOLDOWN_MS: u64 = 3_600_000;
/// Rest of a key that is revoked or out of credit: one real request in ten minutes finds out whether it is back.
const QUARANTINE_MS: u64 = 600_000;

/// The configuration as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawConfig {
    #[serde(default)]
    providers: BTreeMap<String, RawProvider>,
    #[serde(default = "cooldown_ms")]
    cooldown_ms: u64,
    #[serde(default = "max_cooldown_ms")]
    max_cooldown_ms: u64,
    #[serde(default = "quarantine_ms")]
    quarantine_ms: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProvider {
    #[serde(default)]
    keys: Vec<RawKey>,
    #[serde(default)]
    rotation: Rotation,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKey {
    key: SecretSource,
    weight: Option<u32>,
}

const fn cooldown_ms() -> u64 {
    COOLDOWN_MS
}

const fn max_cooldown_ms() -> u64 {
    MAX_COOLDOWN_MS
}

const fn quarantine_ms() -> u64 {
    QUARANTINE_MS
}

/// The configuration in use, with the rotation's state of this worker.
#[derive(Debug)]
pub struct Config {
    pub(crate) providers: BTreeMap<String, Rc<Pool>>,
    pub(crate) cooldown_ms: u64,
    pub(crate) max_cooldown_ms: u64,
    pub(crate) quarantine_ms: u64,
}

impl Config {
    /// Checks `raw` and reads the keys.
    ///
    /// # Errors
    /// The first part that does not hold, as `path: what is wrong`; never a key.
    pub(crate) fn check(raw: RawConfig, env: &Env<'_>) -> Result<Self, String> {
        let RawConfig { providers, cooldown_ms, max_cooldown_ms, quarantine_ms } = raw;
        for (name, value) in [("cooldown_ms", cooldown_ms), ("quarantine_ms", quarantine_ms)] {
            if value == 0 {
                return Err(format!("{name}: must be at least 1"));
            }
        }
        if max_cooldown_ms < cooldown_ms {
            return Err(format!("max_cooldown_ms: must be at least cooldown_ms, which is {cooldown_ms}"));
        }
        let pool = |(name, raw): (String, RawProvider)| {
            let keys = keys(&raw, env).map_err(|error| format!("providers.{}.{error}", shown(&name)))?;
            Ok((name, Rc::new(Pool::new(keys, raw.rotation))))
        };
        let providers = providers.into_iter().map(pool).collect::<Result<_, String>>()?;
        Ok(Self { providers, cooldown_ms, max_cooldown_ms, quarantine_ms })
    }
}

fn keys(raw: &RawProvider, env: &Env<'_>) -> Result<Vec<Key>, String> {
    let mut keys: Vec<Key> = Vec::with_capacity(raw.keys.len());
    for (index, entry) in raw.keys.iter().enumerate() {
        let weight = weight(raw.rotation, entry.weight).map_err(|e| format!("keys[{index}].weight: {e}"))?;
        let secret = entry.key.read(env).map_err(|error| format!("keys[{index}].key: {error}"))?;
        let key = Key::new(secret, weight);
        if let Some(first) = keys.iter().position(|other| other.fingerprint == key.fingerprint) {
            return Err(format!("keys[{index}].key: is the same key as keys[{first}]"));
        }
        keys.push(key);
    }
    Ok(keys)
}

fn weight(rotation: Rotation, written: Option<u32>) -> Result<u32, String> {
    match written {
        None => Ok(1),
        Some(_) if rotation != Rotation::Weighted => {
            Err("counts only with \"rotation\": \"weighted\"".to_owned())
        }
        Some(weight) if (1..=MAX_WEIGHT).contains(&weight) => Ok(weight),
        Some(weight) => Err(format!("must be 1 to {MAX_WEIGHT}, not {weight}")),
    }
}
