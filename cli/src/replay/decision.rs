//! What the gateway decided on a request: as the record tells it, and as another configuration would.

use sluice_core::price::{NANO, scaled};

use super::provider::Outcome;
use super::record::Record;

/// An error of the gateway's own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Refusal {
    /// Its code, as in the body.
    pub(super) code: String,
    /// The limit that refused.
    pub(super) limit: Option<String>,
}

/// What the cache did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cached {
    Hit,
    Miss,
    Bypass,
}

/// What became of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Decision {
    /// Why the client got an error of the gateway's.
    pub(super) refused: Option<Refusal>,
    /// The rule that matched.
    pub(super) rule: Option<String>,
    /// The target that it picked.
    pub(super) target: Option<String>,
    /// Who was asked last, `provider/model`.
    pub(super) served: Option<String>,
    /// What the cache did; `None`: it was not asked.
    pub(super) cache: Option<Cached>,
    /// What the request cost, in nano-dollars; `None`: nothing that has a price.
    pub(super) cost: Option<u64>,
}

impl Decision {
    /// As the record tells it.
    pub(super) fn recorded(record: &Record) -> Self {
        let outcome = Outcome::recorded(record);
        let limit = record.refusing_limit().map(str::to_owned);
        let cost = record.cost_usd.and_then(|usd| scaled(usd, NANO));
        let cache = match record.cached().0 {
            Some("hit") => Some(Cached::Hit),
            Some("miss") => Some(Cached::Miss),
            Some("bypass") => Some(Cached::Bypass),
            _ => None,
        };
        Self {
            refused: record.error.clone().map(|code| Refusal { code, limit }),
            rule: record.rule.clone(),
            target: record.target.clone(),
            served: served(&outcome).filter(|_| !record.attempts.is_empty()),
            cache,
            cost: cost.filter(|cost| *cost > 0),
        }
    }

    /// Takes over what came of the request at the providers.
    pub(super) fn served(&mut self, outcome: &Outcome) {
        self.served = served(outcome);
        self.refused = outcome.error.clone().map(|code| Refusal { code, limit: None });
    }

    /// `gpt-4* to openai`.
    pub(super) fn route(&self) -> String {
        match (&self.rule, &self.target) {
            (Some(rule), Some(target)) => format!("{rule} to {target}"),
            (Some(rule), None) => rule.clone(),
            _ => "nowhere".to_owned(),
        }
    }
}

fn served(outcome: &Outcome) -> Option<String> {
    outcome.served.as_ref().map(|step| format!("{}/{}", step.provider, step.model))
}
