//! Lets the recorded requests come and go again, in the order in which they did.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use sluice_core::price::Served;

use super::cache::{Cache, Looked, Question};
use super::callers::Callers;
use super::decision::{Decision, Refusal};
use super::host::Virtual;
use super::limits::{self, Held};
use super::means::Means;
use super::policy::{Judged, Policies, Routed};
use super::provider::{self, Basis, Outcome, Tokens, is_withheld};
use super::record::{Entry, Record, US_PER_MS};
use super::report::{Note, Tally};

/// The store did not answer then, and the request was let pass uncounted, or refused.
const UNCHECKED: [&str; 2] = ["admitted_unchecked", "refused_unchecked"];

/// What happens at some time. At the same time ends come before beginnings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    End,
    Renew,
    Look,
}

/// A request that the limits have let pass.
struct Flight<'a> {
    entry: Entry,
    routed: Box<Routed<'a>>,
    held: Option<Held>,
    after: Decision,
    question: Option<Question>,
    outcome: Outcome,
}

/// A replay under way.
pub(super) struct Replay<'a> {
    policies: &'a Policies<'a>,
    callers: &'a Callers<'a>,
    host: Virtual,
    cache: Option<Cache<'a>>,
    means: Means,
    queue: BinaryHeap<Reverse<(u64, Event, u64)>>, // when, what, of which flight
    flights: HashMap<u64, Flight<'a>>,
    begun: u64,
    tally: Tally,
}

impl<'a> Replay<'a> {
    pub(super) fn new(policies: &'a Policies<'a>, callers: &'a Callers<'a>, examples: usize) -> Self {
        let cache =
            policies.cache.as_deref().map(|config| Cache::new(config, policies.gateway.redis.is_some()));
        Self {
            policies,
            callers,
            host: Virtual::default(),
            cache,
            means: Means::default(),
            queue: BinaryHeap::new(),
            flights: HashMap::new(),
            begun: 0,
            tally: Tally::new(examples),
        }
    }

    /// The next request comes.
    pub(super) fn begin(&mut self, entry: Entry) {
        let now_us = entry.record.decided_us();
        self.run_until(now_us);
        match self.policies.judge(self.callers, &entry) {
            Judged::Refused(refused) => {
                self.tell(&entry.record, &Decision { refused: Some(refused), ..Decision::default() });
            }
            Judged::Carried => self.tell(&entry.record, &Decision::recorded(&entry.record)),
            Judged::Unread => {
                self.tally.note(Note::Unread);
                self.tell(&entry.record, &Decision::default());
            }
            Judged::Routed(routed) => self.limit(entry, routed, now_us),
        }
    }

    /// Every request has come: those that are left end.
    pub(super) fn finish(mut self) -> Tally {
        self.run_until(u64::MAX);
        self.tally
    }

    fn run_until(&mut self, now_us: u64) {
        while let Some(Reverse((at_us, event, id))) = self.queue.peek().copied() {
            if at_us > now_us {
                return;
            }
            self.queue.pop();
            match event {
                Event::End => self.end(id),
                Event::Renew => self.renew(id, at_us),
                Event::Look => self.look(id, at_us),
            }
        }
    }

    fn limit(&mut self, entry: Entry, routed: Box<Routed<'a>>, now_us: u64) {
        if routed.by_name {
            self.tally.note(Note::ByName);
        }
        let mut after = Decision {
            rule: Some(routed.rule.clone()),
            target: Some(routed.target.clone()),
            ..Decision::default()
        };
        let held = match self.ask(&entry, &routed, now_us) {
            Ok(held) => held,
            Err(refused) => {
                after.refused = Some(refused);
                return self.tell(&entry.record, &after);
            }
        };
        let id = self.begun;
        self.begun = self.begun.saturating_add(1);
        if let Some(ms) = self.host.take_wake_ms() {
            self.schedule(now_us.saturating_add(ms.saturating_mul(US_PER_MS)), Event::Renew, id);
        }
        let checked_ms = entry.record.waits.get("content-guard").copied().unwrap_or(0);
        let outcome = Outcome::default();
        self.flights.insert(id, Flight { entry, routed, held, after, question: None, outcome });
        match checked_ms {
            0 => self.look(id, now_us),
            ms => self.schedule(now_us.saturating_add(ms.saturating_mul(US_PER_MS)), Event::Look, id),
        }
    }

    fn ask(&mut self, entry: &Entry, routed: &Routed<'_>, now_us: u64) -> Result<Option<Held>, Refusal> {
        self.host.begin(now_us);
        let Some(config) = &self.policies.limits else { return Ok(None) };
        let limit = entry.record.limit.as_deref().filter(|_| self.policies.gateway.redis.is_some());
        match (limit.filter(|limit| UNCHECKED.contains(limit)), &entry.record.error) {
            (None, _) => limits::ask(&mut self.host, config, entry, routed).map(Some),
            (Some("refused_unchecked"), Some(code)) => Err(Refusal { code: code.clone(), limit: None }),
            _ => Ok(None),
        }
    }

    fn schedule(&mut self, at_us: u64, event: Event, id: u64) {
        self.queue.push(Reverse((at_us, event, id)));
    }

    fn renew(&mut self, id: u64, now_us: u64) {
        let Some(held) = self.flights.get_mut(&id).and_then(|flight| flight.held.as_mut()) else { return };
        self.host.begin(now_us);
        held.renew(&mut self.host);
        if let Some(ms) = self.host.take_wake_ms() {
            self.schedule(now_us.saturating_add(ms.saturating_mul(US_PER_MS)), Event::Renew, id);
        }
    }

    /// The checks have let the request pass, or not; then the cache, then the providers.
    fn look(&mut self, id: u64, now_us: u64) {
        let Some(Flight { entry: Entry { record, .. }, routed, after, question, outcome, .. }) =
            self.flights.get_mut(&id)
        else {
            return;
        };
        let was_blocked = is_blocked(record);
        if was_blocked && self.policies.still_blocks(record) {
            *outcome = Outcome::recorded(record);
        } else {
            let looked = self.cache.as_mut().map(|cache| cache.look(record, routed, now_us));
            after.cache = looked.map(Looked::label);
            match looked {
                Some(Looked::Miss(asked)) => *question = Some(asked),
                Some(Looked::Unknown) => self.tally.note(Note::NoCacheKey),
                _ => {}
            }
            *outcome = match looked {
                Some(Looked::Hit) => hit(record, now_us),
                _ if is_told(record, routed, was_blocked) => Outcome::recorded(record),
                _ => provider::outcome(record, &routed.chain, || {
                    self.means.estimate(record, routed.rule_at, now_us)
                }),
            };
        }
        match outcome.basis {
            Basis::Recorded => {}
            Basis::Assumed => self.tally.note(Note::Assumed),
            Basis::Estimated => self.tally.note(Note::Estimated),
        }
        let ended_us = outcome.ended_us.max(now_us);
        self.schedule(ended_us, Event::End, id);
    }

    fn end(&mut self, id: u64) {
        let Some(Flight { entry, routed, held, mut after, question, outcome }) = self.flights.remove(&id)
        else {
            return;
        };
        if let Some(held) = held {
            self.host.begin(outcome.ended_us);
            held.settle(&mut self.host, &entry, &outcome);
        }
        if let (Some(cache), Some(question)) = (&mut self.cache, question) {
            cache.end(question, &entry.record, &routed, &outcome);
        }
        self.means.learn(&entry.record, routed.rule_at, &outcome);
        after.served(&outcome);
        after.cost = self.cost(&entry.record, &outcome);
        self.tell(&entry.record, &after);
    }

    /// What the request costs at the prices of the configuration.
    fn cost(&mut self, record: &Record, outcome: &Outcome) -> Option<u64> {
        let step = outcome.served.as_ref();
        let sent = step.map(|step| step.model.as_str()).filter(|model| !model.is_empty());
        let served = Served {
            reached_provider: outcome.reached_provider,
            is_error: outcome.status >= 400 && !is_withheld(record),
            input: outcome.tokens.input,
            input_estimate: record.input_estimate.unwrap_or(0),
            cached: outcome.tokens.cached.unwrap_or(0),
            output: outcome.tokens.output.unwrap_or(0),
            provider: step.map_or("", |step| step.provider.as_str()),
            models: [sent, outcome.response_model.as_deref(), record.model.as_deref()],
        };
        let usage = served.usage().filter(|_| !self.policies.prices.is_empty())?;
        let price = self.policies.prices.of(&served);
        if price.is_none() {
            self.tally.note(Note::Unpriced);
        }
        price.map(|price| price.of(&usage)).filter(|cost| *cost > 0)
    }

    fn tell(&mut self, record: &Record, after: &Decision) {
        self.tally.add(record, &Decision::recorded(record), after);
    }
}

/// Whether the content checks answered the request itself, without anybody being asked.
fn is_blocked(record: &Record) -> bool {
    let ended = is_withheld(record) || record.finish_reason.as_deref() == Some("content_filter");
    let unasked = record.attempts.is_empty() && !record.is_hit();
    ended && unasked && (is_withheld(record) || record.blocked_by("request").next().is_some())
}

/// Whether the record tells what came of the request where it goes, though it names no attempt: nobody could be asked, or
/// the client left before.
fn is_told(record: &Record, routed: &Routed<'_>, was_blocked: bool) -> bool {
    let was_refused = record.limit.as_deref().is_some_and(|limit| limit.starts_with("refused"));
    record.attempts.is_empty()
        && !was_refused
        && !was_blocked
        && !record.is_hit()
        && record.rule.is_some()
        && (record.status == 0 || record.target.as_deref() == Some(&*routed.target))
}

/// The cache gives the answer. Where it did then, the checks may have kept that from the client.
fn hit(record: &Record, now_us: u64) -> Outcome {
    let was_hit = record.is_hit();
    Outcome {
        status: if was_hit { record.status } else { 200 },
        error: record.error.clone().filter(|_| was_hit),
        tokens: Tokens { input: Some(0), cached: None, output: Some(0) },
        ended_us: if was_hit { record.times.ended_us } else { now_us },
        ..Outcome::default()
    }
}
