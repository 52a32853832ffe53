//! Consumers under construction.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use sluice_core::config::{Env, SecretSource, shown};

use super::{Consumers, Entry};
use crate::bounds::{Policy, RawPolicy};
use crate::config::{KeySource, RawConsumer};
use crate::digest::Digest;
use crate::texts::Collector;

/// Longest name of a consumer or tier, in bytes: it is in every record, and may be in the name of a metric.
const MAX_NAME_BYTES: usize = 128;

/// Longest metadata of a consumer as JSON, in bytes: it is in every record.
const MAX_METADATA_BYTES: usize = 2048;

/// Consumers that were read so far. What they share is found by value, which the finished table does not need.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    table: Consumers,
    names: Collector,
    metadata: Collector,
    policies: HashMap<RawPolicy, usize>,
    from_environment: Vec<(usize, usize, SecretSource)>, // consumer, place among its keys, key
    mistake: Option<String>,                             // the first; nothing is read after it
}

impl<'de> Deserialize<'de> for Draft {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Draft;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a sequence")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut consumers: A) -> Result<Draft, A::Error> {
                let mut draft = Draft::default();
                while let Some(consumer) = consumers.next_element()? {
                    draft.add(consumer);
                }
                Ok(draft)
            }
        }

        from.deserialize_seq(Reader)
    }
}

impl Draft {
    fn add(&mut self, raw: RawConsumer) {
        if self.mistake.is_none() {
            let number = self.table.entries.len();
            let added = self.try_add(raw, number);
            self.mistake = added.err().map(|why| format!("consumers[{number}].{why}"));
        }
    }

    fn try_add(&mut self, raw: RawConsumer, number: usize) -> Result<(), String> {
        check_name(&raw.name).map_err(|why| format!("name: {why}"))?;
        self.names.insert(&raw.name).map_err(|other| {
            format!("name: {:?} is also the name of consumers[{other}]", shown(&raw.name))
        })?;
        if let Some(tier) = &raw.tier {
            check_name(tier).map_err(|why| format!("tier: {why}"))?;
        }
        for (place, key) in raw.keys.into_iter().enumerate() {
            self.add_key(key, number, place).map_err(|why| format!("keys[{place}]: {why}"))?;
        }
        let metadata = self.metadata(&raw.metadata).map_err(|why| format!("metadata: {why}"))?;
        let policy = self.policy(RawPolicy {
            tier: raw.tier,
            models: raw.models,
            routes: raw.routes,
            from: raw.from,
            disabled: raw.disabled,
        })?;
        // Second 0 and second 1 have both been.
        let expires_s = raw.expires_s.map(|expires_s| NonZeroU64::new(expires_s).unwrap_or(NonZeroU64::MIN));
        self.table.entries.push(Entry { policy, metadata, expires_s });
        Ok(())
    }

    fn add_key(&mut self, key: KeySource, number: usize, place: usize) -> Result<(), String> {
        let digest = match key {
            KeySource::Sha256(digest) => digest,
            KeySource::Secret(value @ SecretSource::Value(_)) => read(&value, &|_| None)?,
            KeySource::Secret(env) => {
                self.from_environment.push((number, place, env));
                return Ok(());
            }
        };
        self.insert(digest, number)
    }

    fn insert(&mut self, digest: Digest, number: usize) -> Result<(), String> {
        self.table.keys.insert(digest, number).map_err(|owner| {
            if owner == number {
                "is the same key as another of this consumer".to_owned()
            } else {
                format!("is also a key of consumers[{owner}]")
            }
        })
    }

    fn metadata(&mut self, metadata: &BTreeMap<String, String>) -> Result<Option<NonZeroU32>, String> {
        if metadata.is_empty() {
            return Ok(None);
        }
        let json = serde_json::to_string(metadata).map_err(|_| "is no JSON".to_owned())?;
        if json.len() > MAX_METADATA_BYTES {
            return Err(format!("must not be longer than {MAX_METADATA_BYTES} bytes as JSON"));
        }
        let (Ok(number) | Err(number)) = self.metadata.insert(&json);
        Ok(u32::try_from(number.saturating_add(1)).ok().and_then(NonZeroU32::new))
    }

    fn policy(&mut self, raw: RawPolicy) -> Result<usize, String> {
        if let Some(number) = self.policies.get(&raw) {
            return Ok(*number);
        }
        let number = self.table.policies.len();
        self.table.policies.push(Policy::try_from(raw.clone())?);
        self.policies.insert(raw, number);
        Ok(number)
    }

    /// The finished table, with the keys that stand in the environment.
    ///
    /// # Errors
    /// The first mistake, with its path.
    pub(crate) fn finish(mut self, env: &Env<'_>) -> Result<Consumers, String> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        for (number, place, key) in std::mem::take(&mut self.from_environment) {
            let inserted = read(&key, env).and_then(|digest| self.insert(digest, number));
            inserted.map_err(|why| format!("consumers[{number}].keys[{place}]: {why}"))?;
        }
        let mut table = self.table;
        table.names = self.names.finish();
        table.metadata = self.metadata.finish();
        table.entries.shrink_to_fit();
        table.policies.shrink_to_fit();
        table.keys.shrink();
        Ok(table)
    }
}

fn read(key: &SecretSource, env: &Env<'_>) -> Result<Digest, String> {
    let secret = key.read(env)?;
    let text = secret.expose();
    if text.trim_ascii() != text {
        return Err("must not begin or end with a space: no request could hold it so".to_owned());
    }
    Ok(Digest::of(text.as_bytes()))
}

/// Whether it can be the value of a header and stand in a log.
fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("must not be empty".to_owned());
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(format!("must not be longer than {MAX_NAME_BYTES} bytes"));
    }
    if name.chars().any(char::is_control) {
        return Err("must not hold a control character".to_owned());
    }
    if name.trim() != name {
        return Err("must not begin or end with a space".to_owned());
    }
    Ok(())
}
