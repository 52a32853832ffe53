//! Rotation over every kind of pool; what rests is never picked while something else is there.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sluice_core::config::SecretSource;
use sluice_core::filter::Host as _;
use sluice_core::testing::FakeHost;

use super::*;

const ROTATIONS: [Rotation; 4] =
    [Rotation::RoundRobin, Rotation::Random, Rotation::LeastUsed, Rotation::Weighted];

fn pool(weights: &[u32], rotation: Rotation) -> Pool {
    let key = |(index, weight): (usize, &u32)| {
        Key::new(SecretSource::Value(format!("sk-{index}")).read(&|_| None).unwrap(), *weight)
    };
    Pool::new(weights.iter().enumerate().map(key).collect(), rotation)
}

/// The record that says of each key until when it rests; 0: not at all.
fn rests(pool: &Pool, until_ms: &[u64]) -> Rests {
    let line = |(key, until_ms): (&Rc<Key>, &u64)| format!("{} {until_ms} limited\n", key.fingerprint);
    let record: String = pool.keys.iter().zip(until_ms).filter(|(_, ms)| **ms > 0).map(line).collect();
    let mut host = FakeHost::default();
    host.set_shared("key-rotation/p", record.as_bytes(), 0).unwrap();
    Rests::read(&host, "p")
}

/// Which key a pick takes, by position; the use ends at once.
fn picked(pool: &Pool, rests: &Rests, failed: &str, now_ms: u64) -> usize {
    let lease = pool.pick(rests, failed, now_ms.saturating_mul(1_000_000)).unwrap();
    position(pool, &lease)
}

fn position(pool: &Pool, lease: &Lease) -> usize {
    pool.keys.iter().position(|key| key.fingerprint == lease.fingerprint).unwrap()
}

fn picks(pool: &Pool, rests: &Rests, count: usize) -> Vec<usize> {
    (0..count).map(|_| picked(pool, rests, "", 1)).collect()
}

fn shares(picks: &[usize]) -> BTreeMap<usize, usize> {
    picks.iter().fold(BTreeMap::new(), |mut shares, index| {
        let share: &mut usize = shares.entry(*index).or_default();
        *share = share.saturating_add(1);
        shares
    })
}

#[test]
fn each_rotation_has_its_order() {
    let none = Rests::default();
    assert_eq!(picks(&pool(&[1, 1, 1], Rotation::RoundRobin), &none, 7), [0, 1, 2, 0, 1, 2, 0]);
    assert_eq!(picks(&pool(&[1, 1, 1], Rotation::LeastUsed), &none, 4), [0, 1, 2, 0]);
    assert_eq!(picks(&pool(&[5, 1, 1], Rotation::Weighted), &none, 7), [0, 0, 1, 0, 2, 0, 0]);
}

#[test]
fn round_robin_gives_a_resting_keys_turns_to_all_others_alike() {
    let pool = pool(&[1, 1, 1, 1], Rotation::RoundRobin);
    let picks = picks(&pool, &rests(&pool, &[0, 9, 0, 0]), 6);
    assert_eq!(picks, [0, 2, 3, 0, 2, 3]);
}

#[test]
fn a_random_rotation_uses_every_key_about_evenly() {
    let pool = pool(&[1, 1, 1, 1], Rotation::Random);
    let shares = shares(&picks(&pool, &Rests::default(), 4000));
    assert!(shares.len() == 4 && shares.values().all(|share| (880..1120).contains(share)), "{shares:?}");
}

#[test]
fn workers_that_start_at_different_times_draw_different_keys() {
    let draw = |seed: u64| -> Vec<usize> {
        let pool = pool(&[1; 8], Rotation::Random);
        (0..8).map(|_| position(&pool, &pool.pick(&Rests::default(), "", seed).unwrap())).collect()
    };
    assert_ne!(draw(1_000_000), draw(1_000_001));
}

#[test]
fn least_used_takes_the_key_with_the_fewest_open_streams() {
    let (pool, none) = (pool(&[1, 1, 1], Rotation::LeastUsed), Rests::default());
    let mut open: Vec<Lease> = (0..3).map(|_| pool.pick(&none, "", 1).unwrap()).collect();
    drop(open.remove(1));
    assert_eq!(picks(&pool, &none, 2), [1, 1], "the others are still in use");
    let busy = pool.pick(&none, "", 1).unwrap();
    assert_eq!(position(&pool, &busy), 1);
    assert_eq!(picked(&pool, &none, "", 1), 0, "all have one; the one not used for longest");
    drop((open, busy));
    assert!(pool.keys.iter().all(|key| key.open.get() == 0));
}

#[test]
fn with_all_keys_resting_the_first_to_be_free_is_used() {
    for rotation in ROTATIONS {
        let pool = pool(&[1, 1, 1], rotation);
        let rests = rests(&pool, &[90, 70, 80]);
        assert_eq!(picked(&pool, &rests, "", 10), 1);
        let failed = pool.keys[1].fingerprint.clone();
        assert_eq!(picked(&pool, &rests, &failed, 10), 2, "not the one that has just failed");
        assert_eq!(picked(&pool, &rests, &failed, 75), 1, "which is better than one that rests");
    }
}

#[test]
fn a_pool_without_keys_has_none_to_pick() {
    for rotation in ROTATIONS {
        assert!(pool(&[], rotation).pick(&Rests::default(), "", 1).is_none());
    }
}

#[test]
fn the_list_of_tried_keys_names_each_once() {
    for (list, key, want) in
        [("", "a", Some("a")), ("a", "b", Some("a,b")), ("a,b", "b", None), ("ab", "b", Some("ab,b"))]
    {
        assert_eq!(with_tried(list, key).as_deref(), want, "{list} + {key}");
    }
}

fn rotations() -> impl Strategy<Value = Rotation> {
    prop::sample::select(&ROTATIONS[..])
}

proptest! {
    #[test]
    fn weights_are_kept_exactly_over_every_cycle(weights in prop::collection::vec(1u32..20, 1..6)) {
        let pool = pool(&weights, Rotation::Weighted);
        let cycle = usize::try_from(weights.iter().sum::<u32>()).unwrap();
        for _ in 0..3 {
            let shares = shares(&picks(&pool, &Rests::default(), cycle));
            let want = weights.iter().enumerate().map(|(i, w)| (i, usize::try_from(*w).unwrap())).collect();
            prop_assert_eq!(shares, want);
        }
    }

    #[test]
    fn a_resting_key_is_never_picked_while_another_is_free(
        rotation in rotations(),
        until_ms in prop::collection::vec(0u64..20, 1..6),
        failed in prop::collection::vec(any::<bool>(), 6),
        times_ms in prop::collection::vec(0u64..25, 1..40),
    ) {
        let pool = pool(&vec![2; until_ms.len()], rotation);
        let rests = rests(&pool, &until_ms);
        let list = pool.keys.iter().zip(&failed).filter(|(_, failed)| **failed);
        let list = list.map(|(key, _)| key.fingerprint.as_str()).collect::<Vec<_>>().join(",");
        for now_ms in times_ms {
            let index = picked(&pool, &rests, &list, now_ms);
            let free = |i: usize| until_ms[i] <= now_ms;
            let any = |good: &dyn Fn(usize) -> bool| (0..until_ms.len()).any(good);
            if any(&free) {
                prop_assert!(free(index));
            }
            if any(&|i| free(i) && !failed[i]) || !any(&free) && any(&|i| !failed[i]) {
                prop_assert!(!failed[index]);
            }
        }
    }

    #[test]
    fn every_key_gets_its_turn_when_its_rest_is_over(
        rotation in prop::sample::select(vec![Rotation::RoundRobin, Rotation::LeastUsed, Rotation::Weighted]),
        until_ms in prop::collection::vec(0u64..20, 2..6),
    ) {
        let pool = pool(&vec![1; until_ms.len()], rotation);
        let rests = rests(&pool, &until_ms);
        for now_ms in 0..20 {
            picked(&pool, &rests, "", now_ms);
        }
        let picks: Vec<_> = (0..until_ms.len().saturating_mul(2)).map(|_| picked(&pool, &rests, "", 20)).collect();
        prop_assert_eq!(shares(&picks).len(), until_ms.len());
    }
}
