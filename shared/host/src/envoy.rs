//! The real [`Host`]: what a filter asks, made into hostcalls.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use hashbrown::HashTable;
use sluice_core::context::Fact;
use sluice_core::filter::{
    Callout, CalloutError, CalloutId, Conflict, Headers, Host, Level, Note, Shared, Side, StreamId,
};
use sluice_core::metric::HELD_BYTES;
use sluice_core::target::Target;
use xxhash_rust::xxh3::xxh3_64;

use crate::abi::{self, MetricType};
use crate::facts::Name;
use crate::flow::Window;
use crate::platform::errands::Letter;
use crate::shared;
use crate::stage::{self, Stage};

thread_local! {
    /// Metrics already defined in this VM. Whoever makes up names bounds them.
    static METRICS: RefCell<HashTable<(Box<str>, u32)>> = const { RefCell::new(HashTable::new()) };
    /// [`HELD_BYTES`] among them.
    static HELD: Cell<Option<u32>> = const { Cell::new(None) };
}

/// A handle for one callback. What a filter asks of the adapter itself is kept here until the callback returns.
#[derive(Default)]
pub(crate) struct Envoy<'a> {
    /// The exchange; `None` outside of any stream, where there are no headers, bodies or facts.
    pub(crate) stage: Option<&'a Stage>,
    /// The filter's place in its chain.
    pub(crate) member: usize,
    /// The context of the stream, or of the root outside of one.
    pub(crate) context: u32,
    /// The filter's root context.
    pub(crate) root: u32,
    /// Prefix of log lines.
    pub(crate) plugin: &'static str,
    /// The side in hand.
    pub(crate) side: Option<Side>,
    /// The part of its body that can be replaced.
    pub(crate) window: Window,
    /// Length of the body that replaced the one shown, per [`Host::set_body`].
    pub(crate) replaced: Option<usize>,
    /// Bytes added by [`Host::append_body`].
    pub(crate) added: usize,
    /// Wake-up asked for, in milliseconds from now.
    pub(crate) wake: Option<u64>,
    /// Streams whose wake-up is to come now.
    pub(crate) hastened: Vec<StreamId>,
    /// Callouts that outlive the stream, with their notes.
    pub(crate) detached: Vec<(Letter, Note)>,
    /// Detached wake-up asked for, in milliseconds from now.
    pub(crate) wake_detached: Option<u64>,
    /// The headers of the side in hand are still held, so their `content-length` can be corrected.
    pub(crate) headers_held: bool,
    /// When the last part of request and response came by, in milliseconds since the epoch.
    pub(crate) last_ms: (u64, u64),
    /// The body in hand is complete.
    pub(crate) complete: bool,
}

fn metric(kind: MetricType, name: &str) -> Option<u32> {
    let digest = |name: &str| xxh3_64(name.as_bytes());
    METRICS.with_borrow_mut(|metrics| {
        if let Some((_, id)) = metrics.find(digest(name), |(known, _)| **known == *name) {
            return Some(*id);
        }
        let id = abi::define_metric(kind, name)?;
        metrics.insert_unique(digest(name), (name.into(), id), |(known, _)| digest(known));
        Some(id)
    })
}

/// Adds to the gauge of what is held, which changes several times a request.
pub(crate) fn adjust_held(by: i64) {
    let known = HELD.get().or_else(|| metric(MetricType::Gauge, HELD_BYTES.name));
    HELD.set(known);
    if let Some(id) = known {
        abi::increment(id, by);
    }
}

impl<'a> Envoy<'a> {
    /// A whole body gets its exact length. An unfinished one loses the header, and Envoy sends it in chunks.
    fn correct_length(&self, side: Side, length: Option<usize>) {
        let Some(stage) = self.stage.filter(|_| self.headers_held) else { return };
        match length {
            Some(length) => {
                stage.set_header(side, "content-length", &length.to_string());
                stage.remove_header(side, "transfer-encoding");
            }
            None => stage.remove_header(side, "content-length"),
        }
    }

    /// The stage, if the part in hand is of this side.
    fn stage_of(&self, side: Side) -> Option<&'a Stage> {
        self.stage.filter(|_| self.side == Some(side))
    }
}

impl Host for Envoy<'_> {
    fn headers(&self, side: Side) -> Headers {
        self.stage.map(|stage| stage.headers(side)).unwrap_or_default()
    }

    fn header(&self, side: Side, name: &str) -> Option<Vec<u8>> {
        self.stage?.header(side, name)
    }

    fn set_header(&mut self, side: Side, name: &str, value: &str) {
        if let Some(stage) = self.stage {
            stage.set_header(side, name, value);
        }
    }

    fn remove_header(&mut self, side: Side, name: &str) {
        if let Some(stage) = self.stage {
            stage.remove_header(side, name);
        }
    }

    fn set_body(&mut self, side: Side, body: &[u8]) {
        if !self.stage_of(side).is_some_and(|stage| stage.replace(side, self.window, body)) {
            self.log(Level::Error, "the host refused to replace a body");
            return;
        }
        self.window.length = body.len();
        self.replaced = Some(body.len());
        self.correct_length(side, self.complete.then_some(body.len()));
    }

    fn append_body(&mut self, side: Side, bytes: &[u8]) {
        if !self.stage_of(side).is_some_and(|stage| stage.append(side, self.window, bytes)) {
            self.log(Level::Error, "the host refused to add to a body");
            return;
        }
        self.window.length = self.window.length.saturating_add(bytes.len());
        self.added = self.added.saturating_add(bytes.len());
        self.correct_length(side, None);
    }

    fn attribute(&self, path: &[&str]) -> Option<Vec<u8>> {
        abi::attribute(path)
    }

    fn fact(&self, name: &str) -> Option<Vec<u8>> {
        let mut found = None;
        self.stage?.facts.read(Name::of(name), &mut |value| found = Some(value.to_vec()));
        found
    }

    fn read_fact(&self, fact: Fact, read: &mut dyn FnMut(&[u8])) {
        if let Some(stage) = self.stage {
            stage.facts.read(Name::Known(fact), read);
        }
    }

    fn set_fact(&mut self, name: &str, value: &[u8]) {
        if let Some(stage) = self.stage {
            stage.facts.set(Name::of(name), value);
        }
    }

    fn publish(&mut self, fact: Fact, value: &[u8]) {
        if let Some(stage) = self.stage {
            stage.facts.set(Name::Known(fact), value);
        }
    }

    fn fact_number(&self, fact: Fact) -> Option<u64> {
        self.stage?.facts.number(fact)
    }

    fn publish_number(&mut self, fact: Fact, value: u64) {
        if let Some(stage) = self.stage {
            stage.facts.set_number(fact, value);
        }
    }

    fn target(&self) -> Option<Rc<Target>> {
        self.stage?.target()
    }

    fn now_ns(&self) -> u64 {
        self.stage.map_or_else(abi::now_ns, Stage::now_ns)
    }

    fn idle_ms(&self, side: Side) -> u64 {
        let last_ms = match side {
            Side::Request => self.last_ms.0,
            Side::Response => self.last_ms.1,
        };
        self.now_ms().saturating_sub(last_ms)
    }

    fn wake_after(&mut self, ms: u64) {
        self.wake = Some(ms);
    }

    fn stream(&self) -> StreamId {
        stage::member(self.context, self.member)
    }

    fn hasten(&mut self, stream: StreamId) {
        self.hastened.push(stream);
    }

    fn callout(&mut self, callout: &Callout<'_>) -> Result<CalloutId, CalloutError> {
        let stage = self.stage.ok_or(CalloutError::NotSent)?;
        let token = abi::send_callout(callout).ok_or(CalloutError::NotSent)?;
        stage.expect_callout(token, self.member);
        Ok(CalloutId(token))
    }

    fn callout_detached(&mut self, callout: &Callout<'_>, note: Note) -> Result<(), Note> {
        let Some(letter) = Letter::of(callout, self.root, self.context) else { return Err(note) };
        self.detached.push((letter, note));
        Ok(())
    }

    fn wake_detached_after(&mut self, ms: u64) {
        self.wake_detached = Some(self.wake_detached.map_or(ms, |soonest| soonest.min(ms)));
    }

    fn shared(&self, key: &str) -> Shared {
        abi::shared(key).map_or_else(Shared::default, |(value, version)| Shared { value, version })
    }

    fn set_shared(&mut self, key: &str, value: &[u8], version: u32) -> Result<(), Conflict> {
        let written =
            if version == 0 { shared::create(key, value) } else { abi::set_shared(key, value, version) };
        if written { Ok(()) } else { Err(Conflict) }
    }

    fn count(&mut self, series: &str, by: u64) {
        if let Some(id) = metric(MetricType::Counter, series) {
            abi::increment(id, i64::try_from(by).unwrap_or(i64::MAX));
        }
    }

    fn observe(&mut self, series: &str, value: u64) {
        if let Some(id) = metric(MetricType::Histogram, series) {
            abi::record(id, value);
        }
    }

    fn adjust(&mut self, series: &str, by: i64) {
        if let Some(id) = metric(MetricType::Gauge, series) {
            abi::increment(id, by);
        }
    }

    fn log(&mut self, level: Level, message: &str) {
        let level = match level {
            Level::Debug => abi::Level::Debug,
            Level::Info => abi::Level::Info,
            Level::Warn => abi::Level::Warn,
            Level::Error => abi::Level::Error,
        };
        abi::log(level, &format!("{}: {message}", self.plugin));
    }
}
