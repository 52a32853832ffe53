//! The local store, and what is said to Redis.

#![allow(
    clippy::arithmetic_side_effects,
    reason = "simulations count in small numbers; an overflow would fail the test"
)]

mod race;

use proptest::prelude::*;
use sluice_core::filter::Shared;
use sluice_core::redis::{Reply, Script};
use sluice_core::testing::FakeHost;
use sluice_core::window::{MAX_AMOUNT, Window, lease_end};

use super::*;

const NOW_MS: u64 = 1_790_000_000_000;
const LEASE_MS: u64 = 30_000;

fn minute() -> Option<Window> {
    Some(Window::new(60_000))
}

fn owed<'a>(want: &Want<'a>, actual: u64) -> Owed<'a> {
    Owed { key: want.key, window: want.window, limit: want.limit, held: want.amount, actual }
}

fn until() -> u64 {
    lease_end(NOW_MS, LEASE_MS)
}

fn levels(standings: &[Standing]) -> Vec<u64> {
    standings.iter().map(|standing| standing.level).collect()
}

#[test]
fn all_buckets_hold_or_none_does() {
    let mut host = FakeHost::default();
    let wants =
        [Want::new("a", minute(), 100, 60), Want::new("b", minute(), 1000, 60), Want::new("c", None, 2, 1)];
    let first = local::reserve(&mut host, &wants, until(), NOW_MS);
    assert_eq!(first.verdict, Verdict::Admitted);
    assert_eq!(levels(&first.standings), [60, 60, 1]);
    assert_eq!(first.standings[0].remaining(), 40);
    let second = local::reserve(&mut host, &wants, until(), NOW_MS + 5);
    assert_eq!(second.verdict, Verdict::Refused { index: 0 });
    assert_eq!(levels(&second.standings), [60, 60, 1]);
    assert_eq!(second.standings.iter().map(|s| s.frees_in_ms).collect::<Vec<_>>(), [60_995, 0, 0]);
    local::settle(&mut host, &wants.map(|want| owed(&want, 250)), until(), NOW_MS + 10);
    assert_eq!(levels(&local::peek(&host, &wants, NOW_MS + 10)), [250, 250, 0]);
    assert_eq!(levels(&local::peek(&host, &wants, NOW_MS + 61_000)), [150, 0, 0], "debt is still due");
}

#[test]
fn of_the_buckets_that_refuse_the_last_to_free_is_named() {
    let mut host = FakeHost::default();
    let day = Some(Window::new(86_400_000));
    let wants = [Want::new("m", minute(), 10, 10), Want::new("d", day, 10, 10), Want::new("e", day, 10, 10)];
    local::reserve(&mut host, &wants, until(), NOW_MS);
    let refused = local::reserve(&mut host, &wants, until(), NOW_MS);
    assert_eq!(refused.verdict, Verdict::Refused { index: 1 });
}

#[test]
fn an_empty_bucket_never_refuses() {
    let mut host = FakeHost::default();
    let want = Want::new("a", minute(), 10, 1_000_000);
    assert_eq!(want.amount, 10);
    assert_eq!(local::reserve(&mut host, &[want], until(), NOW_MS).verdict, Verdict::Admitted);
    assert_eq!(local::reserve(&mut host, &[], until(), NOW_MS).verdict, Verdict::Admitted);
}

#[test]
fn a_lease_expires_unless_it_is_renewed() {
    let mut host = FakeHost::default();
    let want = Want::new("a", None, 1, 1);
    let lease = [owed(&want, 0)];
    local::reserve(&mut host, &[want], until(), NOW_MS);
    let later = lease_end(NOW_MS + 10_000, LEASE_MS);
    local::renew(&mut host, &lease, until(), later, NOW_MS + 10_000);
    assert_eq!(levels(&local::peek(&host, &[want], later - 1)), [1]);
    assert_eq!(levels(&local::peek(&host, &[want], later)), [0]);
    local::settle(&mut host, &lease, later, later);
    assert_eq!(local::reserve(&mut host, &[want], later + 1, later).verdict, Verdict::Admitted);
}

#[test]
fn what_was_used_is_booked_even_if_its_lease_has_expired() {
    let mut host = FakeHost::default();
    let want = Want::new("a", minute(), 100, 50);
    local::reserve(&mut host, &[want], until(), NOW_MS);
    local::reserve(&mut host, &[want], until() + 60_000, NOW_MS);
    local::settle(&mut host, &[owed(&want, 30)], until(), until() + 1);
    let [standing] = local::peek(&host, &[want], until() + 1)[..] else { panic!("one bucket") };
    assert_eq!((standing.level, standing.held), (80, 50));
}

#[test]
fn empty_buckets_leave_no_trace_and_full_shards_drop_the_one_that_is_empty_soonest() {
    let mut host = FakeHost::default();
    // keys of one shard
    let keys: Vec<_> =
        (0..).map(|n| format!("k{n}")).filter(|key| shard::Id::of(key).shard(4096) == 7).take(66).collect();
    for (index, key) in keys.iter().enumerate() {
        let expires_ms = NOW_MS + 1_000_000 - u64::try_from(index).unwrap();
        local::reserve(&mut host, &[Want::new(key, None, 1, 1)], expires_ms, NOW_MS);
    }
    assert_eq!(host.counters["token_limit_evicted_total"], 2);
    let held = |host: &FakeHost, key: &str| local::peek(host, &[Want::new(key, None, 1, 1)], NOW_MS)[0].level;
    assert_eq!(keys.iter().map(|key| held(&host, key)).sum::<u64>(), 64);
    assert_eq!([62, 63, 64, 65].map(|n| held(&host, &keys[n])), [1, 0, 0, 1]);
    assert_eq!(host.shared.len(), 1);
    local::settle(&mut host, &[], 0, NOW_MS);
    local::renew(&mut host, &[owed(&Want::new(&keys[0], None, 1, 0), 0)], 0, 0, NOW_MS + 2_000_000);
    assert_eq!(host.shared["token-limit/7"].value.len(), 1, "nothing but the format");
}

#[test]
fn many_keys_keep_their_ids() {
    let keys: Vec<_> = (0..3_000).map(|n| format!("k{n}")).collect();
    let ids = || keys.iter().map(|key| shard::Id::of(key)).collect::<Vec<_>>();
    let first = ids();
    assert_eq!(first.iter().collect::<std::collections::BTreeSet<_>>().len(), keys.len());
    assert_eq!(ids(), first);
}

#[test]
fn shared_data_that_cannot_be_read_is_an_empty_shard() {
    let mut host = FakeHost::default();
    let want = Want::new("a", minute(), 10, 10);
    let name = format!("token-limit/{}", shard::Id::of("a").shard(4096));
    for garbage in [&b""[..], b"\0", b"\x01short", &[1; 200], &[0xff; 999]] {
        host.shared.insert(name.clone(), Shared { value: garbage.to_vec(), version: 3 });
        assert_eq!(local::reserve(&mut host, &[want], until(), NOW_MS).verdict, Verdict::Admitted);
        assert_eq!(
            local::reserve(&mut host, &[want], until(), NOW_MS).verdict,
            Verdict::Refused { index: 0 }
        );
    }
}

proptest! {
    #[test]
    fn keys_are_bounded_and_keep_their_tag(tag in any::<String>(), limit in any::<String>(), value in any::<String>()) {
        let key = key(&tag, &limit, &[&value]);
        prop_assert!(key.len() <= 8 + 2 + 3 * (64 + 1));
        let (begins, empty) = (key.starts_with("sluice:{"), key.contains("{}"));
        prop_assert!(begins && !empty);
        prop_assert_eq!((key.matches('{').count(), key.matches('}').count(), key.matches(':').count()), (1, 1, 3));
        prop_assert!(key.bytes().all(|byte| byte.is_ascii_graphic()));
    }
}

#[test]
fn different_callers_have_different_keys() {
    let long = "x".repeat(65);
    let cases: [(&[&str], &str); 7] = [
        (&[], "sluice:{all}:l"),
        (&["a", "b"], "sluice:{all}:l:a:b"),
        (&["a:b"], "sluice:{all}:l:#"),
        (&[""], "sluice:{all}:l:#e3b0c44298fc1c149afbf4c8996fb924"),
        (&["}{"], "sluice:{all}:l:#"),
        (&["#e3b0"], "sluice:{all}:l:#"),
        (&[&long], "sluice:{all}:l:#"),
    ];
    let keys: std::collections::BTreeSet<_> =
        cases.iter().map(|(values, _)| key("all", "l", values)).collect();
    assert_eq!(keys.len(), cases.len());
    for (values, want) in [cases[0], cases[1], cases[3]] {
        assert_eq!(key("all", "l", values), want);
    }
}

#[test]
fn a_call_names_two_keys_and_four_numbers_per_bucket() {
    let wants = [Want::new("a", minute(), u64::MAX, 7), Want::new("b", None, 5, 1)];
    let call = redis::reserve(&wants, "lease", 30_000, 0);
    assert_eq!(call.keys, ["a", "a:leases", "b", "b:leases"]);
    let limit = MAX_AMOUNT.to_string();
    assert_eq!(call.args, ["reserve", "0", "lease", "30000", "60000", &limit, "7", "0", "0", "5", "1", "0"]);
    let owed = [owed(&wants[0], 9)];
    assert_eq!(
        redis::settle(&owed, "lease", true, 5).args,
        ["settle", "5", "lease", "1", "60000", &limit, "7", "9"]
    );
    assert_eq!(redis::renew(&owed, "lease", 30_000, 5).args[..4], ["renew", "5", "lease", "30000"]);
    assert_eq!(redis::peek(&wants, 5).args[..4], ["peek", "5", "", "0"]);
    let _ = call.command(&Script::new(redis::SCRIPT));
}

#[test]
fn only_the_scripts_own_answers_are_read() {
    let wants = [Want::new("a", minute(), 10, 7), Want::new("b", None, 5, 1)];
    let array = |numbers: &[i64]| Reply::Array(numbers.iter().map(|n| Ok(Reply::Integer(*n))).collect());
    let admitted = redis::parse(&array(&[1, -1, 7, 0, 60_000, 7, 1, 0, 30_000, 1]), &wants).unwrap();
    assert_eq!(admitted.verdict, Verdict::Admitted);
    assert_eq!(
        admitted.standings[1],
        Standing { limit: 5, level: 1, held: 1, frees_in_ms: 0, resets_in_ms: 30_000 }
    );
    let refused = redis::parse(&array(&[0, 1, 7, 0, 60_000, 7, 5, 8, 30_000, 5]), &wants).unwrap();
    assert_eq!(refused.verdict, Verdict::Refused { index: 1 });
    for bad in [
        &[][..],
        &[1],
        &[1, -1],
        &[2, -1, 7, 0, 60_000, 7, 1, 0, 30_000, 1],
        &[0, 2, 7, 0, 60_000, 7, 1, 0, 30_000, 1],
        &[0, -1, 7, 0, 60_000, 7, 1, 0, 30_000, 1],
        &[1, -1, -7, 0, 60_000, 7, 1, 0, 30_000, 1],
        &[1, -1, 7, 0, 60_000, 7, 1, 0, 30_000],
        &[1, -1, 7, 0, 60_000, 7, 1, 0, 30_000, 1, 1],
    ] {
        assert_eq!(redis::parse(&array(bad), &wants), None, "{bad:?}");
    }
    assert_eq!(redis::parse(&Reply::Nil, &wants), None);
}
