//! Workers that write at the same moment.

use std::cell::{Cell, RefCell};

use sluice_core::filter::{Callout, CalloutError, CalloutId, Conflict, Headers, Level, Note, Side, StreamId};

use super::*;

/// A host in which another worker does something just before the n-th write to shared data.
struct Raced<'a> {
    host: RefCell<FakeHost>,
    writes: Cell<u32>,
    before: u32,
    other: &'a dyn Fn(&mut FakeHost),
}

impl<'a> Raced<'a> {
    fn new(host: FakeHost, before: u32, other: &'a dyn Fn(&mut FakeHost)) -> Self {
        Self { host: RefCell::new(host), writes: Cell::new(0), before, other }
    }
}

#[rustfmt::skip]
impl Host for Raced<'_> {
    fn headers(&self, side: Side) -> Headers { self.host.borrow().headers(side) }
    fn header(&self, side: Side, name: &str) -> Option<Vec<u8>> { self.host.borrow().header(side, name) }
    fn set_header(&mut self, _: Side, _: &str, _: &str) {}
    fn remove_header(&mut self, _: Side, _: &str) {}
    fn set_body(&mut self, _: Side, _: &[u8]) {}
    fn append_body(&mut self, _: Side, _: &[u8]) {}
    fn attribute(&self, _: &[&str]) -> Option<Vec<u8>> { None }
    fn fact(&self, _: &str) -> Option<Vec<u8>> { None }
    fn set_fact(&mut self, _: &str, _: &[u8]) {}
    fn now_ns(&self) -> u64 { self.host.borrow().now_ns }
    fn idle_ms(&self, _: Side) -> u64 { 0 }
    fn wake_after(&mut self, _: u64) {}
    fn stream(&self) -> StreamId { StreamId(0) }
    fn hasten(&mut self, _: StreamId) {}
    fn callout(&mut self, _: &Callout<'_>) -> Result<CalloutId, CalloutError> { Err(CalloutError::NotSent) }
    fn callout_detached(&mut self, _: &Callout<'_>, note: Note) -> Result<(), Note> { Err(note) }
    fn wake_detached_after(&mut self, _: u64) {}
    fn shared(&self, key: &str) -> Shared { self.host.borrow().shared(key) }
    fn set_shared(&mut self, key: &str, value: &[u8], version: u32) -> Result<(), Conflict> {
        self.writes.set(self.writes.get() + 1);
        if self.writes.get() == self.before || self.before == u32::MAX {
            (self.other)(&mut self.host.borrow_mut());
        }
        self.host.borrow_mut().set_shared(key, value, version)
    }
    fn count(&mut self, series: &str, by: u64) {
        self.host.get_mut().count(series, by);
    }
    fn observe(&mut self, series: &str, value: u64) {
        self.host.get_mut().observe(series, value);
    }
    fn adjust(&mut self, series: &str, by: i64) {
        self.host.get_mut().adjust(series, by);
    }
    fn log(&mut self, _: Level, _: &str) {}
}

#[test]
fn two_workers_that_put_at_the_same_moment_both_do() {
    let (mut filled, memory) = (host(), memory());
    for n in 0..memory.units + 100 {
        memory.put(&mut filled, &key(1000 + n), &entry(2000));
    }
    let others: [(u64, usize); 3] = [(1, 500), (2, 20_000), (2, 100)];
    for (other, size) in others {
        for before in 1..40 {
            let put = |host: &mut FakeHost| assert!(memory.put(host, &key(other), &entry(size)));
            let mut raced = Raced::new(FakeHost { shared: filled.shared.clone(), ..host() }, before, &put);
            assert!(memory.put(&mut raced, &key(1), &entry(10_000)), "{before}");
            let happened = raced.writes.get() >= before;
            let mut host = raced.host.into_inner();
            assert!(used(&host) <= MEMORY_BYTES);
            let got = memory.get(&mut host, &key(1)).unwrap();
            assert!(got == entry(10_000) || (other == 1 && got == entry(size)), "{got:?}");
            if happened && other != 1 {
                assert_eq!(memory.get(&mut host, &key(other)), Some(entry(size)), "{before}");
            }
        }
    }
}

#[test]
fn a_worker_that_is_always_too_late_gives_up() {
    let memory = memory();
    let touch = |host: &mut FakeHost| {
        for shared in host.shared.values_mut() {
            shared.version += 1;
        }
    };
    let mut full = host();
    memory.put(&mut full, &key(1), &entry(10));
    memory.clear(&mut full, Clear { consumer: Some(9), model: None });
    let mut raced = Raced::new(full, u32::MAX, &touch);
    assert!(!memory.put(&mut raced, &key(2), &entry(10)));
    assert!(!memory.clear(&mut raced, Clear::default()));
    assert_eq!(memory.get(&mut raced, &key(1)), Some(entry(10)));
    assert!(raced.writes.get() <= 3000);
}
