//! What was cleared: a bounded list of rules instead of a search, for neither store can be listed.
//!
//! Whatever was stored no later than a rule that fits it is gone. A rule goes when all that it can fit has expired;
//! when the list is full, one rule for everything takes its place: more is cleared then than was asked for, never less.

#[cfg(test)]
mod tests;

use blake2::{Blake2b256, Digest as _};

use crate::entry::Entry;

/// Rules kept at most: 2 KiB, read with every lookup.
const MAX_RULES: usize = 128;

/// Bytes of a rule: consumer, model, time.
const RULE_BYTES: usize = 16;

/// Stands for a consumer or a model in entries and rules; never 0. Two names may share one, and are then cleared
/// together.
#[must_use]
pub fn tag(text: &str) -> u32 {
    let digest: [u8; 32] = Blake2b256::digest(text).into();
    digest.first_chunk().map_or(1, |bytes| u32::from_le_bytes(*bytes).max(1))
}

/// What is to be cleared, by [`tag`]; without either: everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clear {
    /// Only of this consumer.
    pub consumer: Option<u32>,
    /// Only of this model.
    pub model: Option<u32>,
}

/// What was cleared, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clears(Vec<Rule>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule {
    clear: Clear,
    /// What was stored then or before is gone.
    upto_ms: u64,
}

impl Clear {
    /// Whether all that `other` clears is cleared too.
    fn covers(&self, other: &Self) -> bool {
        let covers = |own: Option<u32>, other: Option<u32>| own.is_none() || own == other;
        covers(self.consumer, other.consumer) && covers(self.model, other.model)
    }
}

impl Clears {
    /// Reads what [`Self::encode`] made; of anything that cannot be that, nothing is cleared.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        match bytes.as_chunks::<RULE_BYTES>() {
            (rules, []) if rules.len() <= MAX_RULES => Self(rules.iter().map(Rule::decode).collect()),
            _ => Self::default(),
        }
    }

    /// As bytes; none where nothing was cleared.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.0.iter().flat_map(Rule::encode).collect()
    }

    /// Whether `entry` was cleared.
    #[must_use]
    pub fn hides(&self, entry: &Entry) -> bool {
        self.hides_tagged(entry.consumer_tag, entry.model_tag, entry.stored_ms)
    }

    pub(super) fn hides_tagged(&self, consumer_tag: u32, model_tag: u32, stored_ms: u64) -> bool {
        let what = Clear { consumer: Some(consumer_tag), model: Some(model_tag) };
        self.0.iter().any(|rule| stored_ms <= rule.upto_ms && rule.clear.covers(&what))
    }

    /// Clears what is stored until `now_ms`. `ttl_ms`: how long an entry is given at most.
    pub fn add(&mut self, clear: Clear, now_ms: u64, ttl_ms: u64) {
        let rules = &mut self.0;
        rules.retain(|rule| {
            let needed = rule.upto_ms.saturating_add(ttl_ms) > now_ms;
            let covered = clear.covers(&rule.clear) && rule.upto_ms <= now_ms;
            needed && !covered
        });
        if rules.len() < MAX_RULES {
            rules.push(Rule { clear, upto_ms: now_ms });
        } else {
            let upto_ms = rules.iter().fold(now_ms, |latest, rule| latest.max(rule.upto_ms));
            *rules = vec![Rule { clear: Clear::default(), upto_ms }];
        }
    }
}

impl Rule {
    fn decode(bytes: &[u8; RULE_BYTES]) -> Self {
        let [a, b, c, d, e, f, g, h, time @ ..] = *bytes;
        let tag = |bytes| Some(u32::from_le_bytes(bytes)).filter(|tag| *tag != 0);
        let clear = Clear { consumer: tag([a, b, c, d]), model: tag([e, f, g, h]) };
        Self { clear, upto_ms: u64::from_le_bytes(time) }
    }

    fn encode(&self) -> Vec<u8> {
        let tags = [self.clear.consumer, self.clear.model].map(|tag| tag.unwrap_or(0).to_le_bytes());
        [tags.as_flattened(), &self.upto_ms.to_le_bytes()].concat()
    }
}
