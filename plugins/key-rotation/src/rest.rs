//! Which keys rest, and until when: one record per provider, shared by all workers.
//!
//! Keyed by fingerprint, so that it outlives a change of the configuration and of the keys' order. Only resting
//! keys are in it, and only until they are well again: there is nothing to probe and nothing to reset.

use sluice_core::filter::{Host, Level};
use sluice_core::metric::{Label, series};
use sluice_core::order;

use crate::pool::Pool;
use crate::verdict::Verdict;

/// How often a write is tried against other workers' writes. Each lost try is another worker's success, so this
/// many in a row need as many workers failing on one provider in the same microseconds.
const MAX_TRIES: u32 = 16;

/// Entries kept for keys that this configuration does not know: while a change of the keys reaches one worker
/// after the other, and where routes differ, they are another's.
const MAX_STRANGERS: usize = 32;

/// Counts rests that begin, in the whole process.
pub(crate) const RESTS: &str = "key_rotation_rests_total";

/// Why a key rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Limited,
    Refused,
    Spent,
}

impl Reason {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Limited, "limited"), (Self::Refused, "refused"), (Self::Spent, "spent")];

    fn of(verdict: &Verdict) -> (Self, u64) {
        match *verdict {
            Verdict::Limited { ms } => (Self::Limited, ms),
            Verdict::Refused { ms, .. } => (Self::Refused, ms),
            Verdict::Spent { ms } => (Self::Spent, ms),
        }
    }

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(reason, _)| *reason == self).map_or("", |(_, name)| name)
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, other)| *other == name).map(|(reason, _)| *reason)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rest {
    fingerprint: String,
    until_ms: u64,
    reason: Reason,
}

/// The resting keys of one provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rests(Vec<Rest>);

/// What a further refusal changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// Nothing: the key rests as long already.
    None,
    /// The end of a rest that others know of.
    Extended,
    /// A rest begins, or a graver one.
    Begun,
}

impl Rests {
    /// The record as of now; empty when there is none or it is not readable.
    pub(crate) fn read(host: &dyn Host, provider: &str) -> Self {
        Self::parse(&host.shared(&shared_key(provider)).value)
    }

    /// When the rest of a key ends; `None` if it does not rest at `now_ms`.
    pub(crate) fn until_ms(&self, fingerprint: &str, now_ms: u64) -> Option<u64> {
        let rest = self.0.iter().find(|rest| rest.fingerprint == fingerprint)?;
        (rest.until_ms > now_ms).then_some(rest.until_ms)
    }

    /// One line per key: `<fingerprint> <end in ms> <reason>`.
    fn parse(value: &[u8]) -> Self {
        let text = std::str::from_utf8(value).unwrap_or_default();
        let rest = |line: &str| {
            let mut words = line.split(' ');
            let fingerprint = words.next()?.to_owned();
            let until_ms = words.next()?.parse().ok()?;
            Some(Rest { fingerprint, until_ms, reason: Reason::from_name(words.next()?)? })
        };
        Self(text.lines().map(rest).collect::<Option<_>>().unwrap_or_default())
    }

    fn encode(&self) -> String {
        let line = |rest: &Rest| format!("{} {} {}\n", rest.fingerprint, rest.until_ms, rest.reason.name());
        self.0.iter().map(line).collect()
    }

    /// Enters a rest. A longer or graver one is never shortened by what comes later: answers overtake each other.
    fn enter(&mut self, new: Rest, now_ms: u64) -> Change {
        self.0.retain(|rest| rest.until_ms > now_ms);
        let Some(old) = self.0.iter_mut().find(|rest| rest.fingerprint == new.fingerprint) else {
            self.0.push(new);
            return Change::Begun;
        };
        let graver = old.reason == Reason::Limited && new.reason != Reason::Limited;
        let longer = new.until_ms > old.until_ms;
        match (graver, longer) {
            (true, _) => {
                *old = Rest { until_ms: old.until_ms.max(new.until_ms), ..new };
                Change::Begun
            }
            // A quarantine runs once: whoever is refused in it was under way before it began.
            (false, true) if new.reason == Reason::Limited => {
                old.until_ms = new.until_ms;
                Change::Extended
            }
            _ => Change::None,
        }
    }

    /// Drops what is neither this configuration's nor soon forgotten.
    fn bound(&mut self, pool: &Pool) {
        order::by_key(&mut self.0, |rest| {
            (u64::from(!pool.knows(&rest.fingerprint)), u64::MAX.saturating_sub(rest.until_ms))
        });
        self.0.truncate(pool.len().saturating_add(MAX_STRANGERS));
    }
}

fn shared_key(provider: &str) -> String {
    ["key-rotation/", provider].concat()
}

/// Rests a key for all workers. Of those that learn the same at once, the one whose write succeeds logs and
/// counts it.
pub(crate) fn begin(host: &mut dyn Host, provider: &str, pool: &Pool, fingerprint: &str, verdict: &Verdict) {
    let now_ms = host.now_ms();
    let (reason, ms) = Reason::of(verdict);
    let rest = Rest { fingerprint: fingerprint.to_owned(), until_ms: now_ms.saturating_add(ms), reason };
    match share(host, provider, pool, &rest, now_ms) {
        Some(Change::Begun) => {
            host.count(&series(RESTS, &[(Label::Provider, provider), (Label::Reason, reason.name())]), 1);
            log(host, provider, fingerprint, verdict);
        }
        Some(Change::Extended | Change::None) => {}
        None => host
            .log(Level::Warn, &format!("provider {provider}: the rest of key {fingerprint} is not shared")),
    }
}

/// `None` when others were faster every time.
fn share(host: &mut dyn Host, provider: &str, pool: &Pool, rest: &Rest, now_ms: u64) -> Option<Change> {
    let key = shared_key(provider);
    (0..MAX_TRIES).find_map(|_| {
        let shared = host.shared(&key);
        let mut rests = Rests::parse(&shared.value);
        let change = rests.enter(rest.clone(), now_ms);
        if change == Change::None {
            return Some(change);
        }
        rests.bound(pool);
        host.set_shared(&key, rests.encode().as_bytes(), shared.version).ok().map(|()| change)
    })
}

fn log(host: &mut dyn Host, provider: &str, fingerprint: &str, verdict: &Verdict) {
    let key = format!("provider {provider}: key {fingerprint}");
    match verdict {
        Verdict::Limited { ms } => {
            host.log(Level::Info, &format!("{key} rests for {ms} ms: rate limited (429)"));
        }
        Verdict::Refused { status, ms } => {
            let why = format!("{key} is quarantined for {ms} ms: the provider does not accept it ({status})");
            host.log(Level::Warn, &why);
        }
        Verdict::Spent { ms } => {
            host.log(Level::Warn, &format!("{key} is parked for {ms} ms: its account is out of credit"));
        }
    }
}

#[cfg(test)]
mod tests;
