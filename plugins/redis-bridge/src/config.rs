//! The configuration.

use serde::Deserialize;

/// Counters and scripts' replies have some bytes, cached answers some thousand.
const DEFAULT_MAX_REPLY_BYTES: usize = 1_048_576;

/// What is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Bound for all replies to one request together, in bytes.
    pub max_reply_bytes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_reply_bytes: DEFAULT_MAX_REPLY_BYTES }
    }
}

impl Config {
    pub(crate) fn checked(self) -> Result<Self, String> {
        if self.max_reply_bytes == 0 {
            return Err("max_reply_bytes: must be at least 1".to_owned());
        }
        Ok(self)
    }
}
