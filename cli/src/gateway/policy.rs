//! Sections `timeouts`, `retry`, `hold` and `log`.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::file::{Cursor, Fields};

/// Longest duration that a wait may have; longer ones are slips of the unit.
const WAIT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_hours(1);

/// How long to wait for a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// From the start of an attempt to the first content of a stream.
    pub first_token: Duration,
    /// Between two chunks of a stream.
    pub idle: Duration,
    /// For a request as a whole, all attempts together.
    pub request: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            first_token: Duration::from_secs(15),
            idle: Duration::from_mins(1),
            request: Duration::from_mins(10),
        }
    }
}

/// When an attempt is followed by another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts at one target before the next in the chain; at least 1.
    pub per_target: u32,
    /// Attempts in all, at least 1; `None`: enough to reach the end of the chain, see [`super::Gateway::attempts`].
    pub attempts: Option<u32>,
    /// Statuses of a failed attempt, 300 to 599, in ascending order.
    pub on: Vec<u16>,
    /// Pause before the second attempt; later ones wait longer.
    pub backoff: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            per_target: 2,
            attempts: None,
            on: vec![408, 429, 500, 502, 503, 504, 529],
            backoff: Duration::from_millis(50),
        }
    }
}

/// How long an answer is held back until it is known to be good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// What ends the wait.
    pub until: HoldUntil,
    /// Longest wait.
    pub max: Duration,
    /// Most bytes held, 1 or more.
    pub max_bytes: u64,
}

impl Default for Hold {
    fn default() -> Self {
        Self { until: HoldUntil::FirstContent, max: Duration::from_secs(15), max_bytes: 256 << 10 }
    }
}

/// What ends the wait of the commit gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldUntil {
    /// The first event with content.
    FirstContent,
    /// The response headers: the gate is off.
    Headers,
}

impl HoldUntil {
    const NAMES: [(&str, Self); 2] = [("first_content", Self::FirstContent), ("headers", Self::Headers)];

    /// The name in gateway.yaml and in fallback's configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(_, until)| *until == self).map_or("", |(name, _)| name)
    }
}

/// How the plugins are loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Filters {
    /// Those of a stage in one filter of Envoy.
    #[default]
    Together,
    /// Each in a filter of its own.
    Separate,
    /// Those of a stage in one filter of Envoy, as code of the machine's own instead of Wasm.
    Native,
}

impl Filters {
    const NAMES: [(&str, Self); 3] =
        [("together", Self::Together), ("separate", Self::Separate), ("native", Self::Native)];
}

/// Reads `filters`.
pub(super) fn filters(fields: &mut Fields<'_>) -> Option<Filters> {
    or(fields.optional("filters"), Filters::default(), |at| at.choice(&Filters::NAMES))
}

/// What the access log holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Whether prompts and answers are in it.
    pub prompts: Prompts,
    /// Most characters of one prompt or answer, where they are truncated.
    pub max_chars: u32,
}

impl Default for Log {
    fn default() -> Self {
        Self { prompts: Prompts::Off, max_chars: 2000 }
    }
}

/// How much of prompts and answers the access log holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prompts {
    /// Nothing.
    Off,
    /// Their first characters.
    Truncated,
    /// All that fits into a line.
    Full,
}

impl Prompts {
    const NAMES: [(&str, Self); 3] =
        [("off", Self::Off), ("truncated", Self::Truncated), ("full", Self::Full)];

    /// The name in gateway.yaml and in ai-log's configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(_, prompts)| *prompts == self).map_or("", |(name, _)| name)
    }
}

/// An optional value with its default.
fn or<T>(at: Option<Cursor<'_>>, default: T, read: impl Fn(&Cursor<'_>) -> Option<T>) -> Option<T> {
    at.map_or(Some(default), |at| read(&at))
}

/// Reads `timeouts`.
pub(super) fn timeouts(fields: &mut Fields<'_>) -> Option<Timeouts> {
    let default = Timeouts::default();
    let Some(at) = fields.optional("timeouts") else {
        return Some(default);
    };
    let mut fields = at.fields("`{connect: 3s, first_token: 15s, idle: 60s, request: 600s}`")?;
    let request = Duration::from_millis(1)..=Duration::from_hours(24);
    let connect = or(fields.optional("connect"), default.connect, |at| at.duration(WAIT));
    let first_token = or(fields.optional("first_token"), default.first_token, |at| at.duration(WAIT));
    let idle = or(fields.optional("idle"), default.idle, |at| at.duration(WAIT));
    let request = or(fields.optional("request"), default.request, |at| at.duration(request.clone()));
    fields.finish();
    Some(Timeouts { connect: connect?, first_token: first_token?, idle: idle?, request: request? })
}

/// Reads `retry`.
pub(super) fn retry(fields: &mut Fields<'_>) -> Option<Retry> {
    let default = Retry::default();
    let Some(at) = fields.optional("retry") else {
        return Some(default);
    };
    let mut fields = at.fields("`{per_target: 2, on: [429, 503], backoff: 50ms}`")?;
    let backoff = Duration::from_millis(1)..=Duration::from_mins(1);
    let per_target = or(fields.optional("per_target"), default.per_target, |at| at.number32(1..=100));
    let attempts = or(fields.optional("attempts"), None, |at| at.number32(1..=1000).map(Some));
    let on = or(fields.optional("on"), default.on, statuses);
    let backoff = or(fields.optional("backoff"), default.backoff, |at| at.duration(backoff.clone()));
    fields.finish();
    Some(Retry { per_target: per_target?, attempts: attempts?, on: on?, backoff: backoff? })
}

/// A list that may be empty: then only broken connections, timeouts and broken answers are retried.
fn statuses(at: &Cursor<'_>) -> Option<Vec<u16>> {
    let items = at.items("a list of statuses such as [429, 503]", true)?;
    let read: Vec<_> = items.iter().map(status).collect();
    let mut statuses: Vec<u16> = read.into_iter().collect::<Option<_>>()?;
    statuses.sort_unstable();
    statuses.dedup();
    Some(statuses)
}

fn status(at: &Cursor<'_>) -> Option<u16> {
    let status = u16::try_from(at.number(100..=599)?).ok()?;
    match status {
        100..=299 => at.refuse(format!("{status} is no failure; remove it")),
        400 => at.refuse("400 says that the request is wrong, which another attempt cannot mend; remove it"),
        _ => Some(status),
    }
}

/// Reads `hold`.
pub(super) fn hold(fields: &mut Fields<'_>) -> Option<Hold> {
    let default = Hold::default();
    let Some(at) = fields.optional("hold") else {
        return Some(default);
    };
    let mut fields = at.fields("`{until: first_content, max: 15s, max_bytes: 256KiB}`")?;
    let until = or(fields.optional("until"), default.until, |at| at.choice(&HoldUntil::NAMES));
    let max = or(fields.optional("max"), default.max, |at| at.duration(WAIT));
    let max_bytes = or(fields.optional("max_bytes"), default.max_bytes, |at| at.size(1 << 10..=64 << 20));
    fields.finish();
    Some(Hold { until: until?, max: max?, max_bytes: max_bytes? })
}

/// Reads `log`.
pub(super) fn log(fields: &mut Fields<'_>) -> Option<Log> {
    let default = Log::default();
    let Some(at) = fields.optional("log") else {
        return Some(default);
    };
    let mut fields = at.fields("`{prompts: truncated, max_chars: 2000}`")?;
    let prompts = or(fields.optional("prompts"), default.prompts, |at| at.choice(&Prompts::NAMES));
    let max_chars = or(fields.optional("max_chars"), default.max_chars, |at| at.number32(1..=1_000_000));
    fields.finish();
    Some(Log { prompts: prompts?, max_chars: max_chars? })
}
