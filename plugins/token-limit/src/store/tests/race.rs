//! The local store where several workers want the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::thread;

use sluice_core::filter::{
    Callout, CalloutError, CalloutId, Conflict, Headers, Host, Level, Note, Shared, Side, StreamId,
};
use sluice_core::testing::FakeHost;

use super::super::{Owed, Verdict, Want, local};
use super::{NOW_MS, levels, minute, owed, until};

const LIMIT: u64 = 100;
const BUCKETS: usize = 12;

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
    shared: Arc<Mutex<BTreeMap<String, Shared>>>,
    rival: Rival,
    writes: usize,
}

impl Worker {
    fn new(shared: &Arc<Mutex<BTreeMap<String, Shared>>>) -> Self {
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
    fn stream(&self) -> StreamId {
        self.own.stream()
    }
    fn hasten(&mut self, stream: StreamId) {
        self.own.hasten(stream);
    }
    fn callout_detached(&mut self, _: &Callout<'_>, note: Note) -> Result<(), Note> {
        Err(note)
    }
    fn wake_detached_after(&mut self, _: u64) {}
    fn observe(&mut self, series: &str, value: u64) {
        self.own.observe(series, value);
    }
    fn adjust(&mut self, series: &str, by: i64) {
        self.own.adjust(series, by);
    }
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

/// Requests that one thread makes, and what all threads hold by their own account.
struct Racer {
    host: Worker,
    keys: Vec<String>,
    held: Arc<Mutex<Vec<u64>>>,
    admitted: u64,
    used: Vec<u64>,
}

impl Racer {
    fn race(mut self, number: usize) -> Self {
        for turn in 0..300 {
            let seed = number * 7919 + turn * 104_729;
            let mine: BTreeSet<_> = [seed % BUCKETS, (seed / 12) % 11, (seed / 5) % 7].into_iter().collect();
            self.request(&mine, u64::try_from(seed % 40).unwrap() + 1);
        }
        self
    }

    fn request(&mut self, mine: &BTreeSet<usize>, amount: u64) {
        let keys = self.keys.clone();
        let wants: Vec<_> = mine.iter().map(|n| Want::new(&keys[*n], None, LIMIT, amount)).collect();
        let decision = local::reserve(&mut self.host, &wants, until(), NOW_MS);
        assert_ne!(decision.verdict, Verdict::Unreserved);
        if decision.verdict != Verdict::Admitted {
            return;
        }
        self.admitted += 1;
        for n in mine {
            let mut held = self.held.lock().unwrap();
            held[*n] += amount;
            assert!(held[*n] <= LIMIT, "more is held than the limit grants");
        }
        thread::yield_now();
        for n in mine {
            self.held.lock().unwrap()[*n] -= amount;
            self.used[*n] += amount;
        }
        // What is used is booked in buckets with a window, in which nothing is reserved.
        let books: Vec<_> = mine.iter().map(|n| format!("book-{n}")).collect();
        let book = |key| Owed { key, window: minute(), limit: 50, held: 0, actual: amount };
        let held = wants.iter().map(|want| owed(want, amount));
        let all: Vec<_> = held.chain(books.iter().map(|key| book(key.as_str()))).collect();
        local::settle(&mut self.host, &all, until(), NOW_MS);
    }
}

#[test]
fn racing_workers_never_admit_too_much_and_lose_nothing() {
    let (shared, held) = (Arc::default(), Arc::new(Mutex::new(vec![0; BUCKETS])));
    let keys: Vec<_> = (0..BUCKETS).map(|n| format!("bucket-{n}")).collect();
    let racer = |number| {
        let (host, held, used) = (Worker::new(&shared), Arc::clone(&held), vec![0; BUCKETS]);
        let racer = Racer { host, keys: keys.clone(), held, admitted: 0, used };
        thread::spawn(move || racer.race(number))
    };
    let threads: Vec<_> = (0..8).map(racer).collect();
    let done: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(done.iter().all(|racer| racer.admitted > 0 && racer.host.own.counters.is_empty()));
    let host = Worker::new(&shared);
    for (n, key) in keys.iter().enumerate() {
        let used: u64 = done.iter().map(|racer| racer.used[n]).sum();
        let book = format!("book-{n}");
        let wants = [Want::new(key, None, LIMIT, 0), Want::new(&book, minute(), 50, 0)];
        assert_eq!(levels(&local::peek(&host, &wants, NOW_MS)), [0, used], "{key}");
    }
}
