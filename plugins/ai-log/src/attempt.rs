//! The attempts of a request: those that `fallback` saw end, and the one that was running when the request ended.

use serde::Deserialize;
use sluice_core::context;
use sluice_core::filter::Host;

use crate::object::Object;
use crate::outcome::Outcome;

/// One attempt at a provider.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Attempt {
    /// Provider by name; empty where nobody tells.
    #[serde(default)]
    pub(crate) provider: String,
    /// Model that was sent.
    pub(crate) model: Option<String>,
    key: Option<String>,
    status: u64,
    /// What became of it.
    pub(crate) verdict: String,
    /// How long it took, in milliseconds.
    pub(crate) ms: u64,
}

impl Attempt {
    /// Whether the provider may have seen the request.
    fn reached(&self) -> bool {
        self.verdict != "connect_failure"
    }

    /// Whether the next attempt was made elsewhere.
    pub(crate) fn gives_way_to(&self, next: &Self) -> bool {
        (&self.provider, &self.model) != (&next.provider, &next.model)
    }

    /// Its members in the record.
    pub(crate) fn write(&self, object: &mut Object) {
        object.word("provider", Some(&self.provider));
        object.word("model", self.model.as_deref());
        object.word("key", self.key.as_deref());
        object.number("status", Some(self.status));
        object.word("verdict", Some(&self.verdict));
        object.number("ms", Some(self.ms));
    }
}

/// All attempts of a request, in order.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    /// The attempts.
    pub(crate) list: Vec<Attempt>,
    /// Whether one of those that had ended before the request did has reached its provider.
    pub(crate) reached: bool,
}

impl Attempts {
    /// Reads them, at `now_ms`; `last` are provider and model of the last one.
    pub(crate) fn read(
        host: &dyn Host,
        outcome: &Outcome,
        last: (Option<&str>, Option<&str>),
        now_ms: u64,
    ) -> Self {
        let ended = context::ATTEMPTS.read(host, |list| serde_json::from_str(list).ok()).flatten();
        let mut list: Vec<Attempt> = ended.unwrap_or_default();
        let reached = list.iter().any(Attempt::reached);
        list.extend(running(host, outcome, last, now_ms));
        Self { list, reached }
    }

    /// How long they took together, in milliseconds; `None` if there was none.
    pub(crate) fn ms(&self) -> Option<u64> {
        let sum = self.list.iter().fold(0_u64, |sum, attempt| sum.saturating_add(attempt.ms));
        (!self.list.is_empty()).then_some(sum)
    }
}

fn running(
    host: &dyn Host,
    outcome: &Outcome,
    (provider, model): (Option<&str>, Option<&str>),
    now_ms: u64,
) -> Option<Attempt> {
    let started_ms = context::ATTEMPT_START.number(host)?;
    let answered = outcome.is_answered();
    // Where this attempt answered, or began later than that, the end is an earlier attempt's.
    let ended_ms = if answered { None } else { context::ATTEMPT_ENDED.number(host) };
    let ended_ms = ended_ms.filter(|ended_ms| *ended_ms >= started_ms);
    let broke = ended_ms.and_then(|_| context::ATTEMPT_BROKE.get(host));
    let ms = ended_ms.unwrap_or(now_ms).saturating_sub(started_ms);
    // What is metered is a success, whatever became of it on its way to the client.
    let withheld = if outcome.withheld_answer { 200 } else { 0 };
    Some(Attempt {
        provider: provider.unwrap_or_default().to_owned(),
        model: model.map(str::to_owned),
        key: context::PROVIDER_KEY.get(host),
        status: if answered { outcome.status } else { withheld },
        verdict: outcome.verdict(broke.as_deref()).to_owned(),
        ms,
    })
}
