//! What another configuration would change, counted.

use std::collections::BTreeMap;

use super::decision::{Cached, Decision, Refusal};
use super::log::Skipped;
use super::record::Record;

/// Different changes, consumers or models that are told apart; what comes after them is counted as [`OTHERS`].
const MAX_KINDS: usize = 1_000;

/// Stands for all that are too many.
const OTHERS: &str = "others";

/// What of a request changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// It was answered, and would get an error of the gateway's.
    Refused,
    /// It got an error of the gateway's, and would not.
    Admitted,
    /// It would get another error.
    RefusedOtherwise,
    /// Another rule or target serves it.
    Routed,
    /// Another provider or model answers in the end.
    Served,
    /// The cache would answer, and did not.
    Hit,
    /// The cache did answer, and would not.
    Missed,
    /// It would cost something else, and nothing else changes.
    Cost,
}

/// How many requests change in one way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Requests.
    pub count: u64,
    /// `x-request-id` of the first ones.
    pub examples: Vec<String>,
}

/// What was then, and what would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Both {
    /// As the log tells it.
    pub before: u64,
    /// As the configuration would have it.
    pub after: u64,
}

impl Both {
    fn add(&mut self, before: u64, after: u64) {
        self.before = self.before.saturating_add(before);
        self.after = self.after.saturating_add(after);
    }
}

/// How often the cache did what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caches {
    /// It answered.
    pub hits: Both,
    /// It did not, but could have.
    pub misses: Both,
    /// It had no part in the request.
    pub bypasses: Both,
}

/// What a replay had to assume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    /// A provider that was not asked then is taken to answer with the tokens that another used.
    Assumed,
    /// Nobody answered then: tokens and duration are as those of other answers of the rule.
    Estimated,
    /// The caller is let in now, and what it asked for is not in the log.
    Unread,
    /// The configuration does not have the key, but the consumer.
    ByName,
    /// The log holds no digest of the question: it is taken for a miss.
    NoCacheKey,
    /// The model that serves has no price.
    Unpriced,
}

/// What a replay has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Requests that were judged.
    pub requests: u64,
    /// Of these, those that nothing changes for.
    pub same: u64,
    /// When the first and the last of them came, in microseconds since the epoch.
    pub span_us: Option<(u64, u64)>,
    /// Lines that tell of no request.
    pub skipped: Vec<Skipped>,
    /// What changes, from what to what; a request may change in several ways.
    pub changes: BTreeMap<(Change, String, String), Group>,
    /// What the cache does.
    pub caches: Caches,
    /// What everything costs, in nano-dollars.
    pub cost: Both,
    /// The same by consumer.
    pub cost_by_consumer: BTreeMap<String, Both>,
    /// The same by model as asked.
    pub cost_by_model: BTreeMap<String, Both>,
    /// Requests for which something had to be assumed.
    pub notes: BTreeMap<Note, u64>,
    /// Headers that the configuration looks at and no record holds: not sent, or not recorded.
    pub unseen_headers: Vec<String>,
    /// Content checks are configured; they cannot be run again.
    pub has_checks: bool,
}

impl Report {
    /// Requests for which something changes.
    #[must_use]
    pub fn changed(&self) -> u64 {
        self.requests.saturating_sub(self.same)
    }
}

/// A report under way.
pub(super) struct Tally {
    report: Report,
    examples: usize,
}

impl Tally {
    pub(super) fn new(examples: usize) -> Self {
        Self { report: Report::default(), examples }
    }

    pub(super) fn note(&mut self, note: Note) {
        let count = self.report.notes.entry(note).or_default();
        *count = count.saturating_add(1);
    }

    /// A request is over.
    pub(super) fn add(&mut self, record: &Record, before: &Decision, after: &Decision) {
        let report = &mut self.report;
        let started_us = record.times.started_us;
        let (first, last) = report.span_us.unwrap_or((started_us, started_us));
        report.span_us = Some((first.min(started_us), last.max(started_us)));
        report.requests = report.requests.saturating_add(1);
        report.add_costs(record, before, after);
        report.caches.add(before.cache, after.cache);
        let changes = changes(before, after);
        if changes.is_empty() {
            report.same = report.same.saturating_add(1);
        }
        for kind in changes {
            let groups = &mut report.changes;
            let others = || (kind.0, OTHERS.to_owned(), OTHERS.to_owned());
            let kind = if groups.len() < MAX_KINDS || groups.contains_key(&kind) { kind } else { others() };
            let group = groups.entry(kind).or_default();
            group.count = group.count.saturating_add(1);
            if group.examples.len() < self.examples {
                group.examples.push(record.request_id.clone());
            }
        }
    }

    /// No request is left.
    pub(super) fn finish(self, skipped: Vec<Skipped>) -> Report {
        Report { skipped, ..self.report }
    }
}

impl Report {
    fn add_costs(&mut self, record: &Record, before: &Decision, after: &Decision) {
        let [before, after] = [before.cost, after.cost].map(Option::unwrap_or_default);
        if before == 0 && after == 0 {
            return;
        }
        self.cost.add(before, after);
        for (name, costs) in
            [(&record.consumer, &mut self.cost_by_consumer), (&record.model, &mut self.cost_by_model)]
        {
            let name = name.as_deref().unwrap_or_default();
            let name = if costs.len() < MAX_KINDS || costs.contains_key(name) { name } else { OTHERS };
            costs.entry(name.to_owned()).or_default().add(before, after);
        }
    }
}

impl Caches {
    fn add(&mut self, before: Option<Cached>, after: Option<Cached>) {
        let is = |what: Option<Cached>, wanted: Cached| u64::from(what == Some(wanted));
        for (counts, wanted) in [
            (&mut self.hits, Cached::Hit),
            (&mut self.misses, Cached::Miss),
            (&mut self.bypasses, Cached::Bypass),
        ] {
            counts.add(is(before, wanted), is(after, wanted));
        }
    }
}

/// In which ways a request changes, each from what to what.
fn changes(before: &Decision, after: &Decision) -> Vec<(Change, String, String)> {
    let mut changes = Vec::new();
    let mut add = |change, from: String, to: String| changes.push((change, from, to));
    match (&before.refused, &after.refused) {
        (None, Some(refused)) => add(Change::Refused, String::new(), refused.to_string()),
        (Some(refused), None) => add(Change::Admitted, refused.to_string(), String::new()),
        (Some(before), Some(after)) if before != after => {
            add(Change::RefusedOtherwise, before.to_string(), after.to_string());
        }
        _ => {}
    }
    let both_routed = before.rule.is_some() && after.rule.is_some();
    let same_route = before.rule == after.rule && before.target == after.target;
    if both_routed && !same_route {
        add(Change::Routed, before.route(), after.route());
    }
    if let (Some(was), Some(is), true) = (&before.served, &after.served, same_route)
        && was != is
    {
        add(Change::Served, was.clone(), is.clone());
    }
    let hit = [before, after].map(|decision| decision.cache == Some(Cached::Hit));
    let asked = before.refused.is_none() && after.refused.is_none();
    match hit {
        [false, true] if asked => add(Change::Hit, String::new(), String::new()),
        [true, false] if asked => add(Change::Missed, String::new(), String::new()),
        _ => {}
    }
    if changes.is_empty() && is_dearer(before, after) {
        changes.push((Change::Cost, String::new(), String::new()));
    }
    changes
}

/// A log without costs is compared with none.
fn is_dearer(before: &Decision, after: &Decision) -> bool {
    before.cost.is_some() && before.cost != after.cost
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.limit {
            Some(limit) => write!(f, "{} by limit {limit}", self.code),
            None => f.write_str(&self.code),
        }
    }
}
