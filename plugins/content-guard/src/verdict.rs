//! What the checks found, for the record and the metrics. Never the text itself.

use std::collections::BTreeSet;

use serde::Serialize;
use sluice_core::context;
use sluice_core::filter::Host;
use sluice_core::metric::{self, Label, series};

use crate::config::{Action, Config, Direction};
use crate::services::Risk;

/// Different findings that one record holds; a scan of thousands of checks must not grow it.
const MAX_VERDICTS: usize = 32;

/// Different categories in metrics, for services may name any.
const MAX_CATEGORIES: usize = 64;

/// The check in whose name it is recorded that a body cannot be read.
pub(crate) const UNREADABLE: &str = "content-guard";

/// What one check found in one direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Verdict {
    /// The check's name.
    pub(crate) check: String,
    /// Which way the text went.
    pub(crate) on: &'static str,
    /// What it found.
    pub(crate) category: String,
    /// How grave.
    pub(crate) risk: &'static str,
    /// What was done.
    pub(crate) action: &'static str,
    /// How often.
    pub(crate) count: u64,
}

impl Verdict {
    /// One finding.
    pub(crate) fn new(check: &str, on: Direction, category: &str, risk: Risk, action: &'static str) -> Self {
        let (check, category) = (check.to_owned(), category.to_owned());
        Self { check, on: on.name(), category, risk: risk.name(), action, count: 1 }
    }

    fn is_like(&self, other: &Self) -> bool {
        let key = |verdict: &Self| (verdict.on, verdict.risk, verdict.action);
        key(self) == key(other) && self.check == other.check && self.category == other.category
    }
}

/// All that was found in one exchange.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdicts(Vec<Verdict>);

impl Verdicts {
    /// Counts a finding and publishes the record.
    pub(crate) fn add(&mut self, host: &mut dyn Host, config: &Config, verdict: Verdict) {
        self.add_all(host, config, [verdict]);
    }

    /// As [`Self::add`] for several.
    pub(crate) fn add_all(
        &mut self,
        host: &mut dyn Host,
        config: &Config,
        verdicts: impl IntoIterator<Item = Verdict>,
    ) {
        let mut any = false;
        for verdict in verdicts {
            any = true;
            let category = config.categories.borrow_mut().name(&verdict.category);
            let Verdict { check, action, count, .. } = &verdict;
            let labels =
                [(Label::Check, check.as_str()), (Label::Category, &category), (Label::Action, action)];
            host.count(&series("content_guard_verdicts_total", &labels), *count);
            if let Some(known) = self.0.iter_mut().find(|known| known.is_like(&verdict)) {
                known.count = known.count.saturating_add(verdict.count);
            } else if self.0.len() < MAX_VERDICTS {
                self.0.push(verdict);
            } else if let (true, Some(last)) = (*action == Action::Block.name(), self.0.last_mut()) {
                *last = verdict; // what was blocked is always told: response-cache must not keep it
            }
        }
        if any {
            context::GUARD.set(host, &serde_json::to_string(&self.0).unwrap_or_default());
        }
    }
}

/// The categories that this worker has counted.
#[derive(Debug, Default)]
pub(crate) struct Categories(BTreeSet<String>);

impl Categories {
    /// `category` as a part of a metric's name.
    fn name(&mut self, category: &str) -> String {
        let name = metric::word(category);
        if self.0.contains(&name) {
            return name;
        }
        if self.0.len() >= MAX_CATEGORIES {
            return "other".to_owned();
        }
        self.0.insert(name.clone());
        name
    }
}

#[cfg(test)]
mod tests;
