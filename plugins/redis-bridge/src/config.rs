//! The configuration.

use serde::Deserialize;

/// Counters, scripts and their replies have some bytes, cached answers some thousand.
const DEFAULT_MAX_BYTES: usize = 1_048_576;

/// What is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Bound for the commands of one request together, in bytes.
    pub max_request_bytes: usize,
    /// Bound for all replies to one request together, in bytes.
    pub max_reply_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_request_bytes: DEFAULT_MAX_BYTES, max_reply_bytes: DEFAULT_MAX_BYTES }
    }
}

impl Config {
    pub(crate) fn checked(self) -> Result<Self, String> {
        let bounds =
            [("max_request_bytes", self.max_request_bytes), ("max_reply_bytes", self.max_reply_bytes)];
        match bounds.iter().find(|(_, bound)| *bound == 0) {
            Some((name, _)) => Err(format!("{name}: must be at least 1")),
            None => Ok(self),
        }
    }
}
