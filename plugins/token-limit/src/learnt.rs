//! How long a model's answers are, learnt from those that came: what a request reserves for its output.
//!
//! A mean and a mean deviation, weighted towards the latest answers as RFC 6298 (section 2) does for round trips.
//! Process-wide, so that every worker learns from all, in a fixed number of shared values: models that share one share
//! an estimate, which costs nothing but a little accuracy.

use sluice_core::digits::Digits;
use sluice_core::filter::{Host, Shared};
use xxhash_rust::xxh3::xxh3_64;

/// Output tokens expected of a model that has not answered yet: a few paragraphs. A wrong guess lasts for one answer.
pub const FIRST_GUESS: u64 = 256;

/// Shared values, so an upper bound of what is kept.
const SLOTS: u64 = 256;

/// Tries to write; what another worker learnt at the same moment is as good.
const TRIES: usize = 3;

/// What is known of one model, in 1/16 tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lengths {
    mean: u64,
    deviation: u64,
}

impl Lengths {
    fn first(tokens: u64) -> Self {
        let mean = tokens.saturating_mul(16);
        Self { mean, deviation: mean / 2 }
    }

    /// Takes an eighth of the new mean, and a quarter of the new deviation.
    fn with(self, tokens: u64) -> Self {
        let new = tokens.saturating_mul(16);
        let error = self.mean.abs_diff(new);
        let deviation = self.deviation.saturating_sub(self.deviation / 4).saturating_add(error / 4);
        let mean = self.mean.saturating_sub(self.mean / 8).saturating_add(new / 8);
        Self { mean, deviation }
    }

    /// Four of five answers are no longer.
    fn expected(self) -> u64 {
        self.mean.saturating_add(self.deviation).saturating_add(8) / 16
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (mean, deviation) = bytes.split_first_chunk()?;
        Some(Self {
            mean: u64::from_le_bytes(*mean),
            deviation: u64::from_le_bytes(deviation.try_into().ok()?),
        })
    }

    fn encode(self) -> Vec<u8> {
        [self.mean.to_le_bytes(), self.deviation.to_le_bytes()].concat()
    }
}

fn key(model: &str) -> String {
    ["token-limit/output/", Digits::of(xxh3_64(model.as_bytes()) % SLOTS).as_str()].concat()
}

/// Output tokens to expect of `model`.
#[must_use]
pub fn expected(host: &dyn Host, model: &str) -> u64 {
    let known = host.shared(&key(model)).value;
    Lengths::decode(&known).map_or(FIRST_GUESS, Lengths::expected)
}

/// Learns that an answer of `model` had `tokens`.
pub fn learn(host: &mut dyn Host, model: &str, tokens: u64) {
    let tokens = tokens.min(u64::MAX / 64);
    let key = key(model);
    for _ in 0..TRIES {
        let Shared { value, version } = host.shared(&key);
        let known =
            Lengths::decode(&value).map_or_else(|| Lengths::first(tokens), |known| known.with(tokens));
        if host.set_shared(&key, &known.encode(), version).is_ok() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sluice_core::testing::FakeHost;

    use super::*;

    #[test]
    fn an_estimate_follows_the_answers() {
        let mut host = FakeHost::default();
        assert_eq!(expected(&host, "m"), FIRST_GUESS);
        learn(&mut host, "m", 40);
        assert_eq!(expected(&host, "m"), 60);
        for _ in 0..100 {
            learn(&mut host, "m", 20);
        }
        assert!((20..=22).contains(&expected(&host, "m")), "{}", expected(&host, "m"));
        assert_eq!(expected(&host, "another"), FIRST_GUESS);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut host = FakeHost::default();
        for model in 0..5_000 {
            learn(&mut host, &model.to_string(), 1);
        }
        assert!(u64::try_from(host.shared.len()).unwrap() <= SLOTS);
    }

    proptest! {
        #[test]
        fn no_history_makes_an_estimate_absurd(lengths in prop::collection::vec(0..100_000_u64, 1..200)) {
            let mut host = FakeHost::default();
            lengths.iter().for_each(|tokens| learn(&mut host, "m", *tokens));
            let (max, estimate) = (lengths.iter().max().copied().unwrap(), expected(&host, "m"));
            prop_assert!(estimate <= max.saturating_mul(2).saturating_add(2), "{estimate} of {max}");
        }

        #[test]
        fn any_bytes_are_a_history_or_none(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut host = FakeHost::default();
            host.shared.insert(key("m"), Shared { value: bytes, version: 1 });
            learn(&mut host, "m", u64::MAX);
            prop_assert!(expected(&host, "m") > 0);
        }
    }
}
