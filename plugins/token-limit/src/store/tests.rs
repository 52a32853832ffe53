//! The local store, alone and under many threads, and what is said to Redis.

use std::sync::{Arc, Mutex};
use std::thread;

use proptest::prelude::*;
use sluice_core::filter::{Callout, CalloutError, CalloutId, Conflict, Headers, Host, Level, Shared, Side};
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
    assert_eq!((held(&host, &keys[0]), held(&host, &keys[63]), held(&host, &keys[64])), (1, 0, 0));
    assert_eq!(host.shared.len(), 1);
    local::settle(&mut host, &[], 0, NOW_MS);
    local::renew(&mut host, &[owed(&Want::new(&keys[0], None, 1, 0), 0)], 0, 0, NOW_MS + 2_000_000);
    assert_eq!(host.shared["token-limit/7"].value.len(), 1, "nothing but the format");
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

/// How compare-and-set goes wrong.
#[derive(Clone, Copy, PartialEq)]
enum Rival {
    None,
    Always,
    /// The n-th write meets a conflict.
    At(usize),
}

/// One thread's host, with shared data that all threads share.
struct Worker {
    own: FakeHost,
    shared: Arc<Mutex<std::collections::BTreeMap<String, Shared>>>,
    rival: Rival,
    writes: usize,
}

impl Worker {
    fn new(shared: &Arc<Mutex<std::collections::BTreeMap<String, Shared>>>) -> Self {
        Self { own: FakeHost::default(), shared: Arc::clone(shared), rival: Rival::None, writes: 0 }
    }
}

impl Host for Worker {
    fn shared(&self, key: &str) -> Shared {
        let shared = self.shared.lock().unwrap().get(key).cloned().unwrap_or_default();
        thread::yield_now(); // lets others in between reading and writing
        shared
    }
    fn set_shared(&mut self, key: &str, value: &[u8], version: u32) -> Result<(), Conflict> {
        self.writes += 1;
        if self.rival == Rival::Always || self.rival == Rival::At(self.writes) {
            return Err(Conflict);
        }
        let mut shared = self.shared.lock().unwrap();
        let entry = shared.entry(key.to_owned()).or_default();
        if entry.version != version {
            return Err(Conflict);
        }
        *entry = Shared { value: value.to_vec(), version: version + 1 };
        Ok(())
    }
    fn count(&mut self, name: &str, by: u64) {
        self.own.count(name, by);
    }
    fn headers(&self, side: Side) -> Headers {
        self.own.headers(side)
    }
    fn header(&self, side: Side, name: &str) -> Option<Vec<u8>> {
        self.own.header(side, name)
    }
    fn set_header(&mut self, _: Side, _: &str, _: &str) {}
    fn remove_header(&mut self, _: Side, _: &str) {}
    fn set_body(&mut self, _: Side, _: &[u8]) {}
    fn append_body(&mut self, _: Side, _: &[u8]) {}
    fn attribute(&self, path: &[&str]) -> Option<Vec<u8>> {
        self.own.attribute(path)
    }
    fn fact(&self, name: &str) -> Option<Vec<u8>> {
        self.own.fact(name)
    }
    fn set_fact(&mut self, _: &str, _: &[u8]) {}
    fn now_ns(&self) -> u64 {
        self.own.now_ns()
    }
    fn idle_ms(&self, side: Side) -> u64 {
        self.own.idle_ms(side)
    }
    fn wake_after(&mut self, _: u64) {}
    fn callout(&mut self, _: &Callout<'_>) -> Result<CalloutId, CalloutError> {
        Err(CalloutError::NotSent)
    }
    fn callout_detached(&mut self, _: &Callout<'_>) -> Result<CalloutId, CalloutError> {
        Err(CalloutError::NotSent)
    }
    fn wake_detached_after(&mut self, _: u64) {}
    fn observe(&mut self, _: &str, _: u64) {}
    fn log(&mut self, _: Level, _: &str) {}
}

#[test]
fn a_conflict_in_the_middle_takes_back_what_was_written() {
    let wants =
        [Want::new("a", minute(), 10, 4), Want::new("b", minute(), 10, 4), Want::new("c", minute(), 10, 4)];
    for conflict in 1..=3 {
        let mut host = Worker::new(&Arc::default());
        host.rival = Rival::At(conflict);
        assert_eq!(local::reserve(&mut host, &wants, until(), NOW_MS).verdict, Verdict::Admitted);
        let repeated = 2 * (conflict - 1) + 1;
        assert_eq!(host.writes, repeated + 3, "written, taken back, and all of it again");
        assert_eq!(levels(&local::peek(&host, &wants, NOW_MS)), [4, 4, 4]);
    }
}

#[test]
fn who_never_gets_a_turn_is_let_through_unreserved_and_counted() {
    let mut host = Worker::new(&Arc::default());
    host.rival = Rival::Always;
    let wants = [Want::new("a", minute(), 10, 4)];
    let decision = local::reserve(&mut host, &wants, until(), NOW_MS);
    assert_eq!((decision.verdict, levels(&decision.standings)), (Verdict::Unreserved, vec![0]));
    local::settle(&mut host, &wants.map(|want| owed(&want, 4)), until(), NOW_MS);
    assert_eq!(host.own.counters["token_limit_contended_total"], 1);
    assert_eq!(host.own.counters["token_limit_unsettled_total"], 1);
}

/// Eight threads, each with 300 requests against three buckets of twelve. What all hold and have used is also kept in
/// a second ledger under a lock, so that every admission can be checked against the truth.
#[test]
fn racing_workers_never_admit_too_much_and_lose_nothing() {
    const LIMIT: u64 = 100;
    let shared = Arc::default();
    let keys: Vec<_> = (0..12).map(|n| format!("bucket-{n}")).collect();
    let held = Arc::new(Mutex::new(vec![0_u64; keys.len()]));
    let work = |thread: usize| {
        let (mut host, held, keys) = (Worker::new(&shared), Arc::clone(&held), keys.clone());
        move || {
            let (mut admitted, mut used) = (0_u64, vec![0_u64; keys.len()]);
            for turn in 0..300 {
                let seed = thread * 7919 + turn * 104_729;
                let mine = [seed % 12, (seed / 12) % 11, (seed / 5) % 7];
                let mine: std::collections::BTreeSet<_> = mine.into_iter().collect();
                let amount = u64::try_from(seed % 40).unwrap() + 1;
                let wants: Vec<_> = mine.iter().map(|n| Want::new(&keys[*n], None, LIMIT, amount)).collect();
                let decision = local::reserve(&mut host, &wants, until(), NOW_MS);
                assert_ne!(decision.verdict, Verdict::Unreserved);
                if decision.verdict != Verdict::Admitted {
                    continue;
                }
                admitted += 1;
                for n in &mine {
                    let mut held = held.lock().unwrap();
                    held[*n] += amount;
                    assert!(held[*n] <= LIMIT, "more is held than the limit grants");
                }
                thread::yield_now();
                for n in &mine {
                    held.lock().unwrap()[*n] -= amount;
                    used[*n] += amount;
                }
                let owed: Vec<_> = wants.iter().map(|want| owed(want, amount)).collect();
                local::settle(&mut host, &owed, until(), NOW_MS);
                // The same use once more over a window that forgets nothing, by name only: no window, no booking.
                let book = |n: &usize| format!("book-{n}");
                let names: Vec<_> = mine.iter().map(book).collect();
                let booked: Vec<_> = names
                    .iter()
                    .map(|key| Owed { key, window: minute(), limit: 50, held: 0, actual: amount })
                    .collect();
                local::settle(&mut host, &booked, until(), NOW_MS);
            }
            assert_eq!(host.own.counters.get("token_limit_unsettled_total"), None);
            (admitted, used)
        }
    };
    let threads: Vec<_> = (0..8).map(|n| thread::spawn(work(n))).collect();
    let done: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(done.iter().all(|(admitted, _)| *admitted > 0));
    let host = Worker::new(&shared);
    for (n, key) in keys.iter().enumerate() {
        let used: u64 = done.iter().map(|(_, used)| used[n]).sum();
        let book = format!("book-{n}");
        let wants = [Want::new(key, None, LIMIT, 0), Want::new(&book, minute(), 50, 0)];
        assert_eq!(levels(&local::peek(&host, &wants, NOW_MS)), [0, used], "{key}");
    }
}

proptest! {
    #[test]
    fn keys_are_bounded_and_keep_their_tag(tag in any::<String>(), limit in any::<String>(), value in any::<String>()) {
        let key = key(&tag, &limit, &[&value]);
        prop_assert!(key.len() <= 8 + 2 + 3 * (64 + 1));
        prop_assert!(key.starts_with("sluice:{"));
        prop_assert_eq!((key.matches('{').count(), key.matches('}').count(), key.matches(':').count()), (1, 1, 3));
        prop_assert!(!key.contains("{}"));
        prop_assert!(key.bytes().all(|byte| byte.is_ascii_graphic()));
    }
}

#[test]
fn different_callers_have_different_keys() {
    let long = "x".repeat(65);
    let cases: [(&[&str], &str); 7] = [
        (&[], "sluice:{all}:l"),
        (&["a", "b"], "sluice:{all}:l:a:b"),
        (&["a:b"], "sluice:{all}:l:#e82e9e82ee8e8e7c48e7d3b8f2ce2e1b"),
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
