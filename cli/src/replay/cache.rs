//! The cache, as far as a log tells of it: who would hit what an earlier request has brought.
//!
//! A log holds no answers, but the digest of each question. So an entry is a moment here: that of its answer's end.
//! What the store would have given up for lack of room is not told.

use std::collections::{HashMap, HashSet, VecDeque};

use response_cache::Config;
use response_cache::fingerprint::Scope;
use sha2::{Digest as _, Sha256};
use sluice_core::openai::Operation;

use super::decision::Cached;
use super::policy::Routed;
use super::provider::{Basis, Outcome, is_withheld};
use super::record::{Record, US_PER_MS};

/// Questions whose answers are remembered beyond their time, to tell an entry that is older than the log.
const MAX_SEEN: usize = 1_000_000;

/// Reasons to pass the cache by that the configuration has, and not the request.
const CONFIGURED: [&str; 2] = ["model", "consumer"];

/// Reasons of a miss that a request has whatever is kept: it wants a fresh answer, or one of another age or form; or
/// nobody would share with it.
const OWN_MISSES: [&str; 5] = ["no-cache", "max-age", "form", "max-wait", "unshared"];

type Key = [u8; 16];

/// What was kept, and what is about to be.
pub(super) struct Cache<'a> {
    config: &'a Config,
    in_redis: bool,
    kept: HashMap<Key, u64>, // stored, in microseconds since the epoch
    by_age: VecDeque<(u64, Key)>,
    leaders: HashMap<Key, (u32, Key)>, // how many ask, and as whom the first did then
    seen: HashSet<u64>,
}

/// What a request asks of the cache.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    key: Key,
    then: Key, // as the record tells it: whom it shared with
    digest: u64,
    leads: bool,
}

/// What the cache does with a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Looked {
    /// It has no part in it.
    Bypass,
    /// Nobody knows: the log does not hold the digest of the question.
    Unknown,
    /// It gives the answer.
    Hit,
    /// It keeps the answer.
    Miss(Question),
}

impl Looked {
    pub(super) const fn label(self) -> Cached {
        match self {
            Self::Bypass => Cached::Bypass,
            Self::Unknown | Self::Miss(_) => Cached::Miss,
            Self::Hit => Cached::Hit,
        }
    }
}

impl<'a> Cache<'a> {
    pub(super) fn new(config: &'a Config, in_redis: bool) -> Self {
        let (kept, by_age, leaders) = (HashMap::new(), VecDeque::new(), HashMap::new());
        Self { config, in_redis, kept, by_age, leaders, seen: HashSet::new() }
    }

    /// Looks a request up at `now_us`.
    pub(super) fn look(&mut self, record: &Record, routed: &Routed<'_>, now_us: u64) -> Looked {
        self.forget(now_us);
        let Some(scope) = self.scope(routed).filter(|_| !self.passes_by(record, routed)) else {
            return Looked::Bypass;
        };
        let Some(digest) = record.digest() else { return Looked::Unknown };
        let key = key_of(digest, [&scope, &routed.rule, &routed.target, &routed.base_model]);
        let of_record = [&record.consumer, &record.rule, &record.target, &record.model];
        let then = key_of(digest, of_record.map(|text| text.as_deref().unwrap_or_default()));
        let own = record.cached().1.is_some_and(|reason| OWN_MISSES.contains(&reason));
        let question = Question { key, then, digest, leads: !own };
        if !own && (self.kept.contains_key(&key) || self.is_shared(record, &question)) {
            return Looked::Hit;
        }
        if record.is_hit() && !self.seen.contains(&digest) && is_like_then(record, routed) {
            return Looked::Hit; // what it hit is older than the log
        }
        if question.leads {
            let leaders = self.leaders.entry(key).or_insert((0, then));
            leaders.0 = leaders.0.saturating_add(1);
        }
        Looked::Miss(question)
    }

    /// Whether another request that is under way brings the answer. Of those in one Envoy the log does not tell whether
    /// the same worker had them, so they share if they did then; those of several gateways all share.
    fn is_shared(&self, record: &Record, question: &Question) -> bool {
        let Some((_, then)) = self.leaders.get(&question.key) else { return false };
        let follows = !record.stream || self.config.coalesce_streams;
        follows && (record.is_hit() || (self.in_redis && *then != question.then))
    }

    /// The exchange of a question that was no hit is over.
    pub(super) fn end(
        &mut self,
        question: Question,
        record: &Record,
        routed: &Routed<'_>,
        outcome: &Outcome,
    ) {
        if question.leads
            && let Some(leaders) = self.leaders.get_mut(&question.key)
        {
            leaders.0 = leaders.0.saturating_sub(1);
            if leaders.0 == 0 {
                self.leaders.remove(&question.key);
            }
        }
        if !is_kept(self.config, record, routed, outcome) {
            return;
        }
        if self.seen.len() < MAX_SEEN {
            self.seen.insert(question.digest);
        }
        self.kept.insert(question.key, outcome.ended_us);
        self.by_age.push_back((outcome.ended_us, question.key));
    }

    /// Forgets what is too old.
    fn forget(&mut self, now_us: u64) {
        let ms = |us: u64| us.checked_div(US_PER_MS).unwrap_or_default();
        while let Some((stored_us, key)) = self.by_age.front().copied() {
            if ms(now_us).saturating_sub(ms(stored_us)) < self.config.ttl_ms {
                return;
            }
            self.by_age.pop_front();
            if self.kept.get(&key) == Some(&stored_us) {
                self.kept.remove(&key);
            }
        }
    }

    fn passes_by(&self, record: &Record, routed: &Routed<'_>) -> bool {
        let (label, reason) = record.cached();
        let own = label == Some("bypass") && reason.is_some_and(|reason| !CONFIGURED.contains(&reason));
        let matches = |model: &str| self.config.models.as_ref().is_none_or(|globs| globs.matches(model));
        let asked = record.model.as_deref().unwrap_or_default();
        let operation = record.operation.as_deref().map_or(Operation::Other, Operation::from_name);
        own || operation == Operation::Other || !(matches(asked) || matches(&routed.base_model))
    }

    /// Among whom the answer is shared.
    fn scope(&self, routed: &Routed<'_>) -> Option<String> {
        let name = routed.caller.name();
        let of_consumer = || (!name.is_empty()).then(|| format!("consumer {name}"));
        match self.config.scope {
            Scope::Everyone => Some("everyone".to_owned()),
            Scope::Tier => routed.caller.tier().map(|tier| format!("tier {tier}")).or_else(of_consumer),
            Scope::Consumer => of_consumer(),
        }
    }
}

/// Whether the request goes the same way as it did then.
fn is_like_then(record: &Record, routed: &Routed<'_>) -> bool {
    record.rule.as_deref() == Some(&*routed.rule)
        && record.target.as_deref() == Some(&*routed.target)
        && record.consumer.as_deref() == Some(routed.caller.name())
}

/// Whether the cache keeps the answer: a whole one, of the target that was picked, and not withheld. Of one that it did not
/// look at then, nothing but that is known.
fn is_kept(config: &Config, record: &Record, routed: &Routed<'_>, outcome: &Outcome) -> bool {
    let has_room = |bytes: u64| usize::try_from(bytes).is_ok_and(|bytes| bytes <= config.max_entry_bytes);
    let is_fit = match (record.cached().0, record.cache_bytes) {
        (Some("miss"), None) => outcome.basis == Basis::Estimated,
        (_, bytes) => bytes.is_none_or(has_room),
    };
    let of_target = outcome.served.as_ref().is_some_and(|step| {
        let (provider, model) = (&step.provider, &step.model);
        routed.target == format!("{provider}/{model}")
            || (routed.target == *provider && *model == routed.base_model)
    });
    is_fit
        && of_target
        && outcome.status == 200
        && (outcome.complete || outcome.basis == Basis::Estimated)
        && record.blocked_by("response").next().is_none()
        && !is_withheld(record)
}

fn key_of(digest: u64, parts: [&str; 4]) -> Key {
    let mut hash = Sha256::new();
    hash.update(digest.to_le_bytes());
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(part.as_bytes());
    }
    let hash: [u8; 32] = hash.finalize().into();
    hash.first_chunk().copied().unwrap_or_default()
}
