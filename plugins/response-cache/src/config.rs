//! The plugin's JSON, as written ([`RawConfig`]) and as checked ([`Config`]).

use std::cell::RefCell;
use std::ops::RangeInclusive;

use serde::Deserialize;
use sluice_core::glob::GlobSet;

use crate::fingerprint::Scope;
use crate::flight::Flights;
use crate::store::memory::Memory;
use crate::worker::Worker;

/// Default of `ttl_ms`: an hour.
pub const TTL_MS: u64 = 3_600_000;
/// Default of `max_entry_bytes`: longer than any answer that a person reads.
pub const MAX_ENTRY_BYTES: u64 = 1 << 20;
/// Default of `memory_bytes`.
pub const MEMORY_BYTES: u64 = 64 << 20;
/// Default of `max_wait_ms`: most whole answers take less.
pub const MAX_WAIT_MS: u64 = 30_000;
/// Default of `max_body_bytes`, as model-router's.
pub const MAX_BODY_BYTES: usize = 32 << 20;

/// The configuration as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    /// How long an answer is given again, in milliseconds; from a second to a leap year.
    pub ttl_ms: u64,
    /// Among whom answers are shared.
    pub scope: Scope,
    /// Globs on the model as asked, with or without the prefix that its rule takes off.
    pub models: Vec<String>,
    /// Request headers that change an answer besides those known to: whatever provider-adapter is told to pass, and what
    /// a route goes by that no router of ours has picked (`:authority`).
    pub headers: Vec<String>,
    /// Largest answer that is kept, in bytes; from 1 KiB to 64 MiB.
    pub max_entry_bytes: u64,
    /// Most that the store in this Envoy's memory takes, in bytes; from 1 MiB to 16 GiB.
    pub memory_bytes: u64,
    /// Identical streams wait for the first one's end instead of asking the provider.
    pub coalesce_streams: bool,
    /// How long a request waits for another's answer, in milliseconds; up to ten minutes.
    pub max_wait_ms: u64,
    /// Largest request body that is read, in bytes.
    pub max_body_bytes: usize,
    /// Where answers are kept; left out: in the memory of this Envoy.
    pub redis: Option<RawRedis>,
    /// This is the filter of the operators' listener: it answers `GET` and `DELETE /cache`, and nothing else.
    pub operator: bool,
}

impl Default for RawConfig {
    fn default() -> Self {
        Self {
            ttl_ms: TTL_MS,
            scope: Scope::default(),
            models: vec!["*".to_owned()],
            headers: Vec::new(),
            max_entry_bytes: MAX_ENTRY_BYTES,
            memory_bytes: MEMORY_BYTES,
            coalesce_streams: false,
            max_wait_ms: MAX_WAIT_MS,
            max_body_bytes: MAX_BODY_BYTES,
            redis: None,
            operator: false,
        }
    }
}

/// The Redis store as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawRedis {
    /// Envoy cluster of the redis-bridge.
    pub cluster: String,
    /// Deadline of a lookup, in milliseconds.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u32,
}

fn timeout_ms() -> u32 {
    50
}

/// The configuration in use, with what this worker has under way.
#[derive(Debug)]
pub struct Config {
    /// How long an answer is given again, in milliseconds.
    pub ttl_ms: u64,
    /// Among whom answers are shared.
    pub scope: Scope,
    /// Globs on the model as asked; `None`: every model.
    pub models: Option<GlobSet>,
    /// Further request headers that change an answer, in lower case.
    pub headers: Vec<String>,
    /// Largest body of an answer that is recorded, in bytes.
    pub max_entry_bytes: usize,
    /// Identical streams wait for the first one's end.
    pub coalesce_streams: bool,
    /// How long a request waits for another's answer, in milliseconds.
    pub max_wait_ms: u64,
    /// Largest request body that is read, in bytes.
    pub max_body_bytes: usize,
    /// This is the filter of the operators' listener.
    pub operator: bool,
    /// Where answers are kept.
    pub store: Store,
    /// Who of this worker asks for what.
    pub flights: RefCell<Flights>,
}

/// Where answers are kept.
#[derive(Debug)]
pub enum Store {
    /// In this Envoy's memory.
    Memory(Memory),
    /// In Redis.
    Redis(Worker),
}

impl TryFrom<RawConfig> for Config {
    type Error = String;

    fn try_from(raw: RawConfig) -> Result<Self, String> {
        within("ttl_ms", raw.ttl_ms, 1_000..=366 * 86_400_000)?;
        within("max_entry_bytes", raw.max_entry_bytes, 1 << 10..=64 << 20)?;
        within("memory_bytes", raw.memory_bytes, 1 << 20..=16 << 30)?;
        within("max_wait_ms", raw.max_wait_ms, 1..=600_000)?;
        if raw.max_body_bytes == 0 {
            return Err("max_body_bytes: must be at least 1".to_owned());
        }
        let store = match raw.redis {
            Some(redis) => Store::Redis(Worker::check(redis).map_err(|error| format!("redis.{error}"))?),
            None => Store::Memory(Memory::new(raw.memory_bytes, raw.max_entry_bytes, raw.ttl_ms)),
        };
        let max_entry_bytes = match &store {
            Store::Memory(memory) => memory.max_entry_bytes(),
            Store::Redis(_) => raw.max_entry_bytes,
        };
        Ok(Self {
            ttl_ms: raw.ttl_ms,
            scope: raw.scope,
            models: check_models(&raw.models)?,
            headers: check_headers(raw.headers)?,
            max_entry_bytes: usize::try_from(max_entry_bytes).unwrap_or(usize::MAX),
            coalesce_streams: raw.coalesce_streams,
            max_wait_ms: raw.max_wait_ms,
            max_body_bytes: raw.max_body_bytes,
            operator: raw.operator,
            store,
            flights: RefCell::default(),
        })
    }
}

fn within(name: &str, value: u64, range: RangeInclusive<u64>) -> Result<(), String> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(format!("{name}: must be from {} to {}", range.start(), range.end()))
}

fn check_models(globs: &[String]) -> Result<Option<GlobSet>, String> {
    if globs.is_empty() {
        return Err("models: must hold at least one glob".to_owned());
    }
    if globs.iter().any(|glob| glob == "*") {
        return Ok(None);
    }
    GlobSet::parse(globs).map(Some).map_err(|(index, error)| format!("models[{index}]: {error}"))
}

fn check_headers(names: Vec<String>) -> Result<Vec<String>, String> {
    let is_name = |name: &String| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
    if let Some(index) = names.iter().position(|name| !is_name(name)) {
        return Err(format!("headers[{index}]: is no header name"));
    }
    Ok(names.into_iter().map(|name| name.to_ascii_lowercase()).collect())
}

impl Config {
    /// The road to Redis, if answers are kept there.
    pub(crate) const fn redis(&self) -> Option<&Worker> {
        match &self.store {
            Store::Redis(worker) => Some(worker),
            Store::Memory(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
