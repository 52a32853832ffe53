//! Picks one of several weighted targets by a key: the same key always gets the same target.
//!
//! Weighted rendezvous hashing: each target scores `-weight / ln(u)`, with `u` in (0, 1) drawn from a hash of the
//! key and the target's name, and the highest score wins. A target's share is its weight over the sum, and when
//! one weight grows, keys move only to that target
//! (Schindelhauer and Schomaker, "Weighted distributed hash tables", <https://doi.org/10.1145/1073970.1074008>).

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Index of the target for `key` among `targets`, pairs of name and weight. Names should differ: of two targets
/// with one name, the heavier one gets everything. A weight of 0 is never picked; `None` when none is left.
///
/// The result depends on neither the order of the targets nor the machine.
pub fn pick<'a>(key: &[u8], targets: impl IntoIterator<Item = (&'a str, u32)>) -> Option<usize> {
    let seed = xxh3_64(key);
    let mut best: Option<(usize, f64, &str)> = None;
    for (index, (name, weight)) in targets.into_iter().enumerate().filter(|(_, (_, weight))| *weight > 0) {
        let score = score(xxh3_64_with_seed(name.as_bytes(), seed), weight);
        if best.is_none_or(|(_, most, winner)| score > most || (score >= most && name < winner)) {
            best = Some((index, score, name));
        }
    }
    best.map(|(index, _, _)| index)
}

/// Positive and finite; grows with the weight.
fn score(hash: u64, weight: u32) -> f64 {
    // `libm` and not `f64::ln`, which may round differently on each platform
    -f64::from(weight) / libm::log(unit(hash))
}

/// Spreads a hash evenly over the open interval (0, 1), from its upper 52 bits.
fn unit(hash: u64) -> f64 {
    let half = |bits: u64| f64::from(u32::try_from(bits).unwrap_or(u32::MAX));
    let (high, low) = (half(hash >> 32), half((hash & 0xffff_ffff) >> 12));
    (high * TWO_POW_20 + low + 0.5) / (TWO_POW_20 * TWO_POW_32)
}

const TWO_POW_20: f64 = 1_048_576.0;
const TWO_POW_32: f64 = 4_294_967_296.0;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shares(targets: &[(&str, u32)], keys: u32) -> Vec<f64> {
        let mut counts = vec![0_u32; targets.len()];
        for key in 0..keys {
            let picked = pick(format!("consumer-{key}").as_bytes(), targets.iter().copied()).unwrap();
            counts[picked] = counts[picked].saturating_add(1);
        }
        counts.iter().map(|count| f64::from(*count) / f64::from(keys)).collect()
    }

    #[test]
    fn shares_follow_the_weights_within_one_percent() {
        for targets in [
            &[("openai", 90), ("pai/deepseek-r1", 10)][..],
            &[("a", 1), ("b", 1), ("c", 2)],
            &[("a", 1), ("b", 999)],
        ] {
            let sum: u32 = targets.iter().map(|(_, weight)| weight).sum();
            for (share, (name, weight)) in shares(targets, 100_000).iter().zip(targets) {
                let want = f64::from(*weight) / f64::from(sum);
                assert!((share - want).abs() < 0.01, "{name}: {share} instead of {want}");
            }
        }
    }

    #[test]
    fn the_choice_is_the_same_on_every_machine_and_in_every_release() {
        let targets = [("openai", 3), ("pai", 2), ("bailian", 1)];
        let picks: Vec<_> = (0..12).map(|key| pick(format!("{key}").as_bytes(), targets).unwrap()).collect();
        assert_eq!(picks, [2, 0, 1, 2, 1, 0, 1, 1, 0, 1, 1, 2]);
    }

    #[test]
    fn the_ends_of_the_hash_score_finitely() {
        for hash in [0, 1, u64::MAX, u64::MAX >> 1] {
            let u = unit(hash);
            assert!(u > 0.0 && u < 1.0, "{hash}");
            assert!(score(hash, u32::MAX).is_finite() && score(hash, 1) > 0.0);
        }
    }

    #[test]
    fn what_has_no_weight_is_never_picked() {
        assert_eq!(pick(b"k", []), None);
        assert_eq!(pick(b"k", [("a", 0), ("b", 0)]), None);
        assert_eq!(shares(&[("a", 0), ("b", 5), ("c", 0)], 1000), [0.0, 1.0, 0.0]);
    }

    proptest! {
        #[test]
        fn growing_a_weight_moves_keys_only_to_it(
            weights in prop::collection::vec(0..50_u32, 2..6),
            grown in any::<prop::sample::Index>(),
            by in 1..50_u32,
            key in any::<[u8; 8]>(),
        ) {
            let names = ["a", "b", "c", "d", "e"];
            let grown = grown.index(weights.len());
            let before = pick(&key, names.into_iter().zip(weights.iter().copied()));
            let more = weights.iter().enumerate().map(|(at, weight)| weight.saturating_add(if at == grown { by } else { 0 }));
            let after = pick(&key, names.into_iter().zip(more));
            prop_assert!(after == before || after == Some(grown), "{before:?} to {after:?}");
        }

        #[test]
        fn the_order_of_targets_does_not_matter(
            targets in Just(vec![("a", 1_u32), ("b", 2), ("c", 3), ("d", 0)]),
            shuffled in Just(vec![("a", 1_u32), ("b", 2), ("c", 3), ("d", 0)]).prop_shuffle(),
            key in any::<[u8; 8]>(),
        ) {
            let name = |targets: &[(&'static str, u32)]| pick(&key, targets.iter().copied()).map(|at| targets[at].0);
            prop_assert_eq!(name(&targets), name(&shuffled));
        }
    }
}
