//! Where limits are counted: what is asked of a store, and what it says.
//!
//! Two stores do the same arithmetic, that of [`sluice_core::window::Ledger`]: [`local`], in the process's shared
//! data, and [`redis`], in a script. All limits of one request are one decision: either every one of them holds its
//! amount, or none does.

pub mod local;
pub mod redis;
mod shard;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use sha2::{Digest, Sha256};
use sluice_core::window::{Ledger, MAX_AMOUNT, Window};

/// Longest part of a key that is spelled out, in bytes.
const MAX_PART_BYTES: usize = 64;

/// How many bytes of a digest stand for a part that is not, as twice as many hex digits.
const DIGEST_BYTES: usize = 16;

/// Room for a usual key, in bytes.
const KEY_BYTES: usize = 128;

/// What a request wants of one bucket: a limit, as it is counted for one caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want<'a> {
    /// Name of the bucket, from [`key`]; differs from every other in the same decision.
    pub key: &'a str,
    /// Over what time it counts; `None`: only what is in flight.
    pub window: Option<Window>,
    /// How much it grants, at most [`MAX_AMOUNT`].
    pub limit: u64,
    /// How much is to be held, at most `limit`.
    pub amount: u64,
}

impl<'a> Want<'a> {
    /// Wants `estimate`, or all that `limit` grants if that is less: so an empty bucket never refuses.
    #[must_use]
    pub fn new(key: &'a str, window: Option<Window>, limit: u64, estimate: u64) -> Self {
        let limit = limit.min(MAX_AMOUNT);
        Self { key, window, limit, amount: estimate.min(limit) }
    }
}

/// What a request owes one bucket in which it holds a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owed<'a> {
    /// As in the [`Want`] that was admitted.
    pub key: &'a str,
    /// As there.
    pub window: Option<Window>,
    /// As there.
    pub limit: u64,
    /// The amount wanted there; 0 if nothing is held.
    pub held: u64,
    /// What was really used; of no meaning without a window.
    pub actual: u64,
}

/// How a bucket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How much it grants.
    pub limit: u64,
    /// How much of it is in use, what this request holds included; debt may lift it above the limit.
    pub level: u64,
    /// How much of the level is held by requests in flight.
    pub held: u64,
    /// Milliseconds until the amount wanted is certainly free; 0 if it was admitted, or would be.
    pub frees_in_ms: u64,
    /// Milliseconds until nothing is in use, if nothing is added.
    pub resets_in_ms: u64,
}

impl Standing {
    fn of(ledger: &Ledger, limit: u64, amount: u64) -> Self {
        Self {
            limit,
            level: ledger.level(),
            held: ledger.held(),
            frees_in_ms: ledger.frees_in_ms(limit, amount),
            resets_in_ms: ledger.resets_in_ms(),
        }
    }

    /// What is left of the limit.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.limit.saturating_sub(self.level)
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every bucket holds its amount.
    Admitted,
    /// At least one bucket has too little left; nothing is held anywhere.
    Refused {
        /// Index among the wants: of the buckets that refuse, the one that frees last.
        index: usize,
    },
    /// Admitted, but nothing is held: other workers were faster each time. Settled with nothing held.
    Unreserved,
}

/// What a store says about one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What becomes of it.
    pub verdict: Verdict,
    /// How the buckets stand after that, one for each [`Want`] in the same order.
    pub standings: Vec<Standing>,
}

/// Name of the bucket of `limit` for the caller that has these `values` of the limit's dimensions. `tag` decides the
/// Redis Cluster slot, so it is the same for all limits of one decision: say, the values that all limits share.
///
/// The name is as long as its number of values allows, whatever a client sends for one of them, and different parts
/// make different names.
///
/// ```
/// use token_limit::store::key;
///
/// assert_eq!(key("mobile-app", "per-model", &["mobile-app", "gpt-4o"]), "sluice:{mobile-app}:per-model:mobile-app:gpt-4o");
/// ```
#[must_use]
pub fn key(tag: &str, limit: &str, values: &[&str]) -> String {
    let mut key = String::with_capacity(KEY_BYTES);
    key.push_str("sluice:{");
    push_part(&mut key, tag);
    key.push_str("}:");
    push_part(&mut key, limit);
    for value in values {
        key.push(':');
        push_part(&mut key, value);
    }
    key
}

/// Adds a part of a key: as it is if it is short and plain, else `#` and the start of its digest. An empty one is not
/// plain: Redis takes an empty tag for none.
fn push_part(key: &mut String, value: &str) {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=MAX_PART_BYTES).contains(&value.len()) && value.bytes().all(plain) {
        return key.push_str(value);
    }
    key.push('#');
    for byte in Sha256::digest(value.as_bytes()).iter().take(DIGEST_BYTES) {
        let _ = write!(key, "{byte:02x}"); // a String never fails
    }
}

/// Of the buckets that refuse, given by index with the time until they free, the one that frees last; of equal ones
/// the first.
fn last_to_free(refusing: impl Iterator<Item = (usize, u64)>) -> Option<usize> {
    let later = |last: Option<(usize, u64)>, next: (usize, u64)| match last {
        Some((_, frees_in)) if frees_in >= next.1 => last,
        _ => Some(next),
    };
    refusing.fold(None, later).map(|(index, _)| index)
}
