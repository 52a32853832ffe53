//! Section `cache`: which answers are given again, to whom and for how long.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::line::yes_or_no;
use super::rule::globs;
use crate::file::{Cursor, Fields, show_size};

const EXAMPLE: &str = "`{ttl: 1h, scope: consumer}`";
/// How long an answer is kept; a leap year is the longest.
const TTL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(366 * 24);
/// How long a request waits for another's answer; longer ones are slips of the unit.
const WAIT: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_mins(10);
/// Sizes of one answer, in bytes.
const ENTRY: RangeInclusive<u64> = 1 << 10..=64 << 20;
/// Sizes of the store, in bytes.
const MEMORY: RangeInclusive<u64> = 1 << 20..=16 << 30;
/// Fewest of the largest answers that the store must hold, as response-cache has it: it is a ring, which one of them
/// would empty otherwise.
const MIN_ENTRIES: u64 = 8;

/// Which answers are given again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// How long after it was stored.
    pub ttl: Duration,
    /// To whom.
    pub scope: Scope,
    /// Globs, of which the model as asked must match one; at least one.
    pub models: Vec<String>,
    /// Largest answer that is stored, in bytes.
    pub max_entry: u64,
    /// Most that the store in Envoy's memory takes, in bytes; at least 8 times `max_entry`.
    pub memory: u64,
    /// Identical concurrent streams wait for the first one's end instead of asking again.
    pub coalesce_streams: bool,
    /// Longest wait for the answer to an identical request.
    pub max_wait: Duration,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            ttl: Duration::from_hours(1),
            scope: Scope::Consumer,
            models: vec!["*".to_owned()],
            max_entry: 1 << 20,
            memory: 64 << 20,
            coalesce_streams: false,
            max_wait: Duration::from_secs(30),
        }
    }
}

/// Who shares answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Nobody: each consumer has its own.
    Consumer,
    /// Consumers of one tier.
    Tier,
    /// All.
    Everyone,
}

impl Scope {
    const NAMES: [(&str, Self); 3] =
        [("consumer", Self::Consumer), ("tier", Self::Tier), ("everyone", Self::Everyone)];

    /// The name in gateway.yaml and in response-cache's configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(_, scope)| *scope == self).map_or("", |(name, _)| name)
    }
}

/// Reads the section; `Some(None)` where there is none.
pub(super) fn read(fields: &mut Fields<'_>) -> Option<Option<Cache>> {
    let Some(section) = fields.optional("cache") else {
        return Some(None);
    };
    let default = Cache::default();
    let mut fields = section.fields(EXAMPLE)?;
    let ttl = fields.optional("ttl").map_or(Some(default.ttl), |at| at.duration(TTL));
    let scope = fields.optional("scope").map_or(Some(default.scope), |at| at.choice(&Scope::NAMES));
    let models = fields.optional("models").map_or(Some(default.models), |at| globs(&at));
    let entry_at = fields.optional("max_entry");
    let max_entry = entry_at.as_ref().map_or(Some(default.max_entry), |at| at.size(ENTRY));
    let memory_at = fields.optional("memory");
    let memory = memory_at.as_ref().map_or(Some(default.memory), |at| at.size(MEMORY));
    let coalesce = fields.optional("coalesce_streams");
    let coalesce_streams = coalesce.map_or(Some(false), |at| yes_or_no(&at));
    let max_wait = fields.optional("max_wait").map_or(Some(default.max_wait), |at| at.duration(WAIT));
    fields.finish();
    let (max_entry, memory) = (max_entry?, memory?);
    if let Some(at) = entry_at.or(memory_at) {
        fit(&at, max_entry, memory)?;
    }
    Some(Some(Cache {
        ttl: ttl?,
        scope: scope?,
        models: models?,
        max_entry,
        memory,
        coalesce_streams: coalesce_streams?,
        max_wait: max_wait?,
    }))
}

/// Whether some of the largest answers find room together.
fn fit(at: &Cursor<'_>, max_entry: u64, memory: u64) -> Option<()> {
    if max_entry.saturating_mul(MIN_ENTRIES) <= memory {
        return Some(());
    }
    let most = show_size(round(memory.checked_div(MIN_ENTRIES).unwrap_or_default()));
    let least = show_size(max_entry.saturating_mul(MIN_ENTRIES));
    let (entry, memory) = (show_size(max_entry), show_size(memory));
    at.refuse(format!(
        "does not fit: {memory} of `memory` must hold at least {MIN_ENTRIES} answers of `max_entry`, {entry}; write \
         `max_entry: {most}` or less, or `memory: {least}` or more"
    ))
}

/// Whole KiB.
fn round(bytes: u64) -> u64 {
    bytes.saturating_sub(bytes.checked_rem(1 << 10).unwrap_or_default())
}
