//! Whether the record holds prompts and answers, and how much of them.

use serde::Deserialize;

/// Most bytes of one prompt or answer in a record: a line of an access log is kept, shipped and read as a whole.
pub(crate) const MAX_BYTES: usize = 64 * 1024;

/// Most characters of one prompt or answer where `max_chars` is absent.
const MAX_CHARS: u32 = 2000;

/// Highest `max_chars`; [`MAX_BYTES`] holds as well.
const MOST_CHARS: u32 = 1_000_000;

/// The configuration as written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawConfig {
    prompts: Option<Prompts>,
    max_chars: Option<u32>,
}

/// How much of prompts and answers is recorded; absent: nothing, and no body is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Prompts {
    Truncated,
    Full,
}

/// The configuration as used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Bound on one prompt or answer; `None`: neither is recorded.
    pub(crate) texts: Option<Limit>,
}

/// How long a text may be in the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    /// In characters.
    pub(crate) chars: usize,
    /// In bytes of UTF-8.
    pub(crate) bytes: usize,
}

impl Config {
    /// # Errors
    /// `max_chars` is out of range.
    pub(crate) fn check(raw: RawConfig) -> Result<Self, String> {
        let max_chars = raw.max_chars.unwrap_or(MAX_CHARS);
        if !(1..=MOST_CHARS).contains(&max_chars) {
            return Err(format!("max_chars: must be 1 to {MOST_CHARS}"));
        }
        Ok(Self { texts: raw.prompts.map(|prompts| Limit::of(prompts, max_chars)) })
    }
}

impl Limit {
    fn of(prompts: Prompts, max_chars: u32) -> Self {
        let chars = match prompts {
            Prompts::Truncated => usize::try_from(max_chars).unwrap_or(usize::MAX),
            Prompts::Full => usize::MAX,
        };
        Self { chars, bytes: MAX_BYTES.min(chars.saturating_mul(4)) }
    }
}
