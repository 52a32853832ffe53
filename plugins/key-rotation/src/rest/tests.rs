//! One record for all workers: what it keeps, what it forgets, and who of several writers logs.

use proptest::prelude::*;
use sluice_core::config::SecretSource;
use sluice_core::filter::{
    Callout, CalloutError, CalloutId, Conflict, Headers, Note, Shared, Side, StreamId,
};
use sluice_core::testing::FakeHost;

use super::*;
use crate::pool::{Key, Rotation};

const KEY: &str = "key-rotation/p";

fn pool(count: usize) -> Pool {
    let key = |index: usize| Key::new(SecretSource::Value(format!("sk-{index}")).read(&|_| None).unwrap(), 1);
    Pool::new((0..count).map(key).collect(), Rotation::RoundRobin)
}

fn entry(fingerprint: &str, until_ms: u64, reason: Reason) -> Rest {
    Rest { fingerprint: fingerprint.to_owned(), until_ms, reason }
}

/// A host on which another worker writes just before each of the first `conflicts` writes.
struct Contended {
    host: FakeHost,
    conflicts: u32,
    other: &'static str,
}

impl Host for Contended {
    fn headers(&self, side: Side) -> Headers {
        self.host.headers(side)
    }
    fn header(&self, side: Side, name: &str) -> Option<Vec<u8>> {
        self.host.header(side, name)
    }
    fn set_header(&mut self, side: Side, name: &str, value: &str) {
        self.host.set_header(side, name, value);
    }
    fn remove_header(&mut self, side: Side, name: &str) {
        self.host.remove_header(side, name);
    }
    fn set_body(&mut self, side: Side, body: &[u8]) {
        self.host.set_body(side, body);
    }
    fn append_body(&mut self, side: Side, bytes: &[u8]) {
        self.host.append_body(side, bytes);
    }
    fn attribute(&self, path: &[&str]) -> Option<Vec<u8>> {
        self.host.attribute(path)
    }
    fn fact(&self, name: &str) -> Option<Vec<u8>> {
        self.host.fact(name)
    }
    fn set_fact(&mut self, name: &str, value: &[u8]) {
        self.host.set_fact(name, value);
    }
    fn now_ns(&self) -> u64 {
        self.host.now_ns()
    }
    fn idle_ms(&self, side: Side) -> u64 {
        self.host.idle_ms(side)
    }
    fn wake_after(&mut self, ms: u64) {
        self.host.wake_after(ms);
    }
    fn stream(&self) -> StreamId {
        self.host.stream()
    }
    fn hasten(&mut self, stream: StreamId) {
        self.host.hasten(stream);
    }
    fn callout_detached(&mut self, callout: &Callout<'_>, note: Note) -> Result<(), Note> {
        self.host.callout_detached(callout, note)
    }
    fn wake_detached_after(&mut self, ms: u64) {
        self.host.wake_detached_after(ms);
    }
    fn callout(&mut self, callout: &Callout<'_>) -> Result<CalloutId, CalloutError> {
        self.host.callout(callout)
    }
    fn shared(&self, key: &str) -> Shared {
        self.host.shared(key)
    }
    fn set_shared(&mut self, key: &str, value: &[u8], version: u32) -> Result<(), Conflict> {
        if self.conflicts > 0 {
            self.conflicts = self.conflicts.saturating_sub(1);
            let now = self.host.shared(key).version;
            self.host.set_shared(key, self.other.as_bytes(), now)?;
        }
        self.host.set_shared(key, value, version)
    }
    fn count(&mut self, name: &str, by: u64) {
        self.host.count(name, by);
    }
    fn observe(&mut self, name: &str, value: u64) {
        self.host.observe(name, value);
    }
    fn adjust(&mut self, name: &str, value: i64) {
        self.host.adjust(name, value);
    }
    fn log(&mut self, level: Level, message: &str) {
        self.host.log(level, message);
    }
}

#[test]
fn a_write_that_loses_the_race_keeps_what_the_winner_wrote() {
    let mut host = Contended { host: FakeHost::default(), conflicts: 3, other: "other 900 limited\n" };
    begin(&mut host, "p", &pool(2), "mine", &Verdict::Limited { ms: 50 });
    let rests = Rests::read(&host, "p");
    assert_eq!((rests.until_ms("other", 1), rests.until_ms("mine", 1)), (Some(900), Some(50)));
    assert_eq!(host.host.logs.len(), 1);
}

#[test]
fn the_loser_of_a_race_for_the_same_quarantine_stays_silent() {
    let mut host = Contended { host: FakeHost::default(), conflicts: 1, other: "mine 900 refused\n" };
    begin(&mut host, "p", &pool(2), "mine", &Verdict::Refused { status: 401, ms: 905 });
    assert_eq!(Rests::read(&host, "p").until_ms("mine", 1), Some(900));
    assert!(host.host.logs.is_empty(), "{:?}", host.host.logs);
}

#[test]
fn a_write_that_always_loses_gives_up() {
    let mut host = Contended { host: FakeHost::default(), conflicts: u32::MAX, other: "other 900 limited\n" };
    begin(&mut host, "p", &pool(2), "mine", &Verdict::Limited { ms: 50 });
    assert_eq!(host.host.logs, [(Level::Warn, "provider p: the rest of key mine is not shared".to_owned())]);
}

#[test]
fn a_rest_is_extended_but_never_shortened() {
    use Change::{Begun, Extended, None};
    use Reason::{Limited, Refused, Spent};
    for (name, (first, first_ms), (second, second_ms), want, want_ms) in [
        ("a longer limit", (Limited, 50), (Limited, 60), Extended, 60),
        ("a shorter limit", (Limited, 50), (Limited, 40), None, 50),
        ("the same limit", (Limited, 50), (Limited, 50), None, 50),
        ("a quarantine over a limit", (Limited, 50), (Refused, 600), Begun, 600),
        ("a quarantine shorter than the limit", (Limited, 900), (Refused, 600), Begun, 900),
        ("no credit over a limit", (Limited, 50), (Spent, 600), Begun, 600),
        ("a limit in a quarantine", (Refused, 600), (Limited, 50), None, 600),
        ("a limit beyond a quarantine", (Refused, 600), (Limited, 900), Extended, 900),
        ("a second refusal", (Refused, 600), (Refused, 610), None, 600),
        ("a refusal of a parked key", (Spent, 600), (Refused, 610), None, 600),
        ("a limit after the rest is over", (Limited, 10), (Limited, 30), Begun, 30),
        ("a refusal after the quarantine is over", (Refused, 10), (Refused, 610), Begun, 610),
    ] {
        let mut rests = Rests::default();
        assert_eq!(rests.enter(entry("k", first_ms, first), 1), Begun, "{name}");
        assert_eq!(rests.enter(entry("k", second_ms, second), 20), want, "{name}");
        assert_eq!(rests.until_ms("k", 20), Some(want_ms), "{name}");
        assert_eq!(rests.0.len(), 1, "{name}");
    }
}

#[test]
fn an_unreadable_record_is_an_empty_one() {
    for garbage in [
        &b"\xff\xfe"[..],
        b"{}",
        b"k",
        b"k 12",
        b"k x limited",
        b"k 99999999999999999999999 limited",
        b"k 900 tired",
        b"k 900 limited\ngarbage",
        b"\0\0\0\0",
    ] {
        assert_eq!(Rests::parse(garbage), Rests::default(), "{garbage:?}");
        let mut host = FakeHost::default();
        host.shared.insert(KEY.to_owned(), Shared { value: garbage.to_vec(), version: 7 });
        begin(&mut host, "p", &pool(2), "mine", &Verdict::Limited { ms: 50 });
        assert_eq!(Rests::read(&host, "p").until_ms("mine", 1), Some(50), "{garbage:?}");
    }
}

#[test]
fn the_record_stays_small() {
    let (pool, mut host) = (pool(1), FakeHost::default());
    let known = SecretSource::Value("sk-0".into()).read(&|_| None).unwrap().fingerprint();
    begin(&mut host, "p", &pool, &known, &Verdict::Limited { ms: 1 });
    for stranger in 0..500 {
        begin(&mut host, "p", &pool, &format!("s{stranger}"), &Verdict::Limited { ms: 1000 });
    }
    let rests = Rests::read(&host, "p");
    assert_eq!(rests.0.len(), MAX_STRANGERS.saturating_add(1));
    assert_eq!(rests.until_ms(&known, 0), Some(1), "its own key is not what gives way");
    host.advance_ms(2000);
    begin(&mut host, "p", &pool, &known, &Verdict::Limited { ms: 1 });
    assert_eq!(Rests::read(&host, "p").0.len(), 1, "what is over is forgotten");
}

proptest! {
    #[test]
    fn a_record_survives_its_encoding(
        rests in prop::collection::vec(("[0-9a-f]{8}", any::<u64>(), 0usize..3), 0..20),
    ) {
        let rests = Rests(rests.into_iter().map(|(f, ms, r)| entry(&f, ms, Reason::ALL[r].0)).collect());
        prop_assert_eq!(Rests::parse(rests.encode().as_bytes()), rests);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = Rests::parse(&bytes);
    }
}
