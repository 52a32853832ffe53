//! The keys of one provider, and how the next one is picked among them.
//!
//! The counters are a worker's own; what has to hold across workers is in [`crate::rest`].

use std::cell::Cell;
use std::ops::Deref;
use std::rc::Rc;

use serde::Deserialize;
use sluice_core::config::Secret;

use crate::rest::Rests;

/// How the load is shared out among the keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Rotation {
    /// In turn.
    #[default]
    RoundRobin,
    /// At random, evenly.
    Random,
    /// The one with the fewest streams open on this worker; in turn where they are equal.
    LeastUsed,
    /// In proportion to the weights, exactly over each cycle.
    Weighted,
}

/// A key with its use on this worker.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) secret: Secret,
    pub(crate) fingerprint: String,
    weight: i64,
    credit: Cell<i64>,
    open: Cell<u32>,
    last_turn: Cell<u64>,
}

impl Key {
    pub(crate) fn new(secret: Secret, weight: u32) -> Self {
        let fingerprint = secret.fingerprint();
        let (credit, open, last_turn) = (Cell::new(0), Cell::new(0), Cell::new(0));
        Self { secret, fingerprint, weight: i64::from(weight), credit, open, last_turn }
    }
}

/// A key in use by one stream. Dropping it ends the use, whichever way the stream ended.
pub(crate) struct Lease(Rc<Key>);

impl Lease {
    fn new(key: &Rc<Key>) -> Self {
        key.open.set(key.open.get().saturating_add(1));
        Self(Rc::clone(key))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get().saturating_sub(1));
    }
}

impl Deref for Lease {
    type Target = Key;

    fn deref(&self) -> &Key {
        &self.0
    }
}

/// All keys of one provider.
#[derive(Debug)]
pub(crate) struct Pool {
    keys: Vec<Rc<Key>>,
    rotation: Rotation,
    turns: Cell<u64>,
    random: Cell<u64>,
}

impl Pool {
    pub(crate) fn new(keys: Vec<Key>, rotation: Rotation) -> Self {
        let keys = keys.into_iter().map(Rc::new).collect();
        Self { keys, rotation, turns: Cell::new(0), random: Cell::new(0) }
    }

    /// Whether there is anything to pick from.
    pub(crate) fn has_choice(&self) -> bool {
        self.keys.len() > 1
    }

    /// Number of keys.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether one of the keys has this fingerprint.
    pub(crate) fn knows(&self, fingerprint: &str) -> bool {
        self.keys.iter().any(|key| key.fingerprint == fingerprint)
    }

    /// The next key to use: one that does not rest, if possible one that has not been `tried` in this request (comma
    /// separated fingerprints); with all resting, the one whose rest ends first. `None` without keys.
    pub(crate) fn pick(&self, rests: &Rests, tried: &str, now_ns: u64) -> Option<Lease> {
        let candidates = self.candidates(rests, tried, now_ns / 1_000_000);
        let key = match self.rotation {
            Rotation::RoundRobin => candidates.iter().min_by_key(|key| key.last_turn.get()),
            Rotation::LeastUsed => candidates.iter().min_by_key(|key| (key.open.get(), key.last_turn.get())),
            Rotation::Random => candidates.get(self.roll(candidates.len(), now_ns)),
            Rotation::Weighted => heaviest(&candidates),
        }?;
        self.turns.set(self.turns.get().saturating_add(1));
        key.last_turn.set(self.turns.get());
        Some(Lease::new(key))
    }

    fn candidates(&self, rests: &Rests, tried: &str, now_ms: u64) -> Vec<&Rc<Key>> {
        let fresh = |key: &Key| !was_tried(tried, &key.fingerprint);
        let rest_ms = |key: &Key| rests.until_ms(&key.fingerprint, now_ms);
        let awake: Vec<_> = self.keys.iter().filter(|key| rest_ms(key).is_none()).collect();
        let best: Vec<_> = awake.iter().copied().filter(|key| fresh(key)).collect();
        match (best.is_empty(), awake.is_empty()) {
            (false, _) => best,
            (true, false) => awake,
            (true, true) => {
                self.keys.iter().min_by_key(|key| (!fresh(key), rest_ms(key))).into_iter().collect()
            }
        }
    }

    /// An even number below `bound`: SplitMix64 (<https://prng.di.unimi.it/splitmix64.c>), seeded by the time of
    /// the first use, so that workers differ.
    fn roll(&self, bound: usize, now_ns: u64) -> usize {
        let state = if self.random.get() == 0 { now_ns } else { self.random.get() };
        let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bound = u64::try_from(bound).unwrap_or(u64::MAX);
        (mixed ^ (mixed >> 31)).checked_rem(bound).and_then(|roll| usize::try_from(roll).ok()).unwrap_or(0)
    }
}

/// Smooth weighted round robin, as nginx does it
/// (<https://github.com/nginx/nginx/commit/52327e0627f49dbda1e8db695e63a4b0af4448b1>): each key earns its weight
/// every turn, and the richest pays for all.
fn heaviest<'a>(candidates: &'a [&'a Rc<Key>]) -> Option<&'a &'a Rc<Key>> {
    let mut total: i64 = 0;
    let mut best: Option<&&Rc<Key>> = None;
    for key in candidates {
        key.credit.set(key.credit.get().saturating_add(key.weight));
        total = total.saturating_add(key.weight);
        if best.is_none_or(|other| key.credit.get() > other.credit.get()) {
            best = Some(key);
        }
    }
    let best = best?;
    best.credit.set(best.credit.get().saturating_sub(total));
    Some(best)
}

fn was_tried(tried: &str, fingerprint: &str) -> bool {
    tried.split(',').any(|other| other == fingerprint)
}

/// The list of tried keys with `fingerprint` in it; `None` if it already is.
pub(crate) fn with_tried(tried: &str, fingerprint: &str) -> Option<String> {
    match tried {
        _ if was_tried(tried, fingerprint) => None,
        "" => Some(fingerprint.to_owned()),
        _ => Some(format!("{tried},{fingerprint}")),
    }
}

#[cfg(test)]
mod tests;
