//! Configuration of `fallback`, as written and as used.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Statuses that fail an attempt unless configured otherwise: time-outs, rate limits and a provider's own trouble
/// (529 is Anthropic's "overloaded").
pub const RETRY_ON: [u16; 7] = [408, 429, 500, 502, 503, 504, 529];
/// Longest wait for the first content once headers have come. As long as a first token may take.
pub const HOLD_MAX_MS: u64 = 15_000;
/// Most bytes held back. A whole answer larger than this surely is one.
pub const HOLD_MAX_BYTES: usize = 256 * 1024;

/// As written.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    /// Statuses that fail an attempt.
    pub retry_on: Vec<u16>,
    /// The commit gate.
    pub hold: Hold,
    /// Envoy's limit on a stream's first token, told here to name a time-out in the record. Milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_token_ms: Option<u64>,
    /// Longest pause between two chunks of a stream that has begun, in milliseconds; absent: none is too long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_ms: Option<u64>,
}

/// The commit gate: how long an answer is held back.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hold {
    /// What lets an answer go.
    pub until: Until,
    /// After so many milliseconds it goes regardless.
    pub max_ms: u64,
    /// After so many bytes it goes regardless.
    pub max_bytes: usize,
}

/// What lets an answer go to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// The first content token; of a whole body, its end.
    FirstContent,
    /// Its headers: only the status is judged.
    Headers,
}

impl Default for RawConfig {
    fn default() -> Self {
        Self { retry_on: RETRY_ON.to_vec(), hold: Hold::default(), first_token_ms: None, idle_ms: None }
    }
}

impl Default for Hold {
    fn default() -> Self {
        Self { until: Until::FirstContent, max_ms: HOLD_MAX_MS, max_bytes: HOLD_MAX_BYTES }
    }
}

/// As used.
#[derive(Debug, Clone)]
pub struct Config {
    retry_on: BTreeSet<u16>,
    /// The commit gate.
    pub hold: Hold,
    /// See [`RawConfig::first_token_ms`].
    pub first_token_ms: Option<u64>,
    /// See [`RawConfig::idle_ms`].
    pub idle_ms: Option<u64>,
}

impl Config {
    /// Whether an answer with `status` fails its attempt.
    ///
    /// 401, 402 and 403 always do: the credential is the gateway's, so the client neither caused that nor may
    /// read about it.
    #[must_use]
    pub fn fails(&self, status: u16) -> bool {
        matches!(status, 401..=403) || self.retry_on.contains(&status)
    }
}

impl TryFrom<RawConfig> for Config {
    type Error = String;

    fn try_from(raw: RawConfig) -> Result<Self, String> {
        if let Some((i, status)) = raw.retry_on.iter().enumerate().find(|(_, s)| !(300..=599).contains(*s)) {
            return Err(format!(
                "retry_on[{i}]: {status} is no status of a failure; write one of 300 to 599"
            ));
        }
        if raw.hold.max_ms == 0 || raw.hold.max_bytes == 0 {
            return Err(
                "hold: max_ms and max_bytes must be at least 1; to hold nothing write until: headers".into(),
            );
        }
        if raw.idle_ms == Some(0) {
            return Err("idle_ms: must be at least 1; leave it out to allow any pause".into());
        }
        let retry_on = raw.retry_on.into_iter().collect();
        Ok(Self { retry_on, hold: raw.hold, first_token_ms: raw.first_token_ms, idle_ms: raw.idle_ms })
    }
}
