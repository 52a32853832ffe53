//! The real [`Host`]: what a filter asks, made into hostcalls.

use std::cell::RefCell;
use std::collections::HashMap;

use sluice_core::filter::{
    Callout, CalloutError, CalloutId, Conflict, Headers, Host, Level, Shared, Side, StreamId,
};

use crate::abi::{self, BufferType, MapType, MetricType};
use crate::dispatch;
use crate::shared;

thread_local! {
    /// Metrics already defined in this VM. Whoever makes up names bounds them.
    static METRICS: RefCell<HashMap<String, u32>> = RefCell::new(HashMap::new());
}

/// A handle for one callback. What a filter asks of the adapter itself is kept here until the callback returns.
#[derive(Default)]
pub(crate) struct Envoy {
    /// The stream's context.
    pub(crate) context: u32,
    /// The filter's root context.
    pub(crate) root: u32,
    /// Prefix of log lines.
    pub(crate) plugin: &'static str,
    /// Length of the body that replaced the one shown, per [`Host::set_body`].
    pub(crate) replaced: Option<usize>,
    /// Bytes added by [`Host::append_body`].
    pub(crate) added: usize,
    /// Wake-up asked for, in milliseconds from now.
    pub(crate) wake: Option<u64>,
    /// Streams whose wake-up is to come now.
    pub(crate) hastened: Vec<StreamId>,
    /// Callouts sent that outlive the stream.
    pub(crate) detached: Vec<u32>,
    /// Detached wake-up asked for, in milliseconds from now.
    pub(crate) wake_detached: Option<u64>,
    /// The headers of the side in hand are still held, so their `content-length` can be corrected.
    pub(crate) headers_held: bool,
    /// When the last part of request and response came by, in milliseconds since the epoch.
    pub(crate) last_ms: (u64, u64),
    /// The body in hand is complete.
    pub(crate) complete: bool,
}

pub(crate) fn header_map(side: Side) -> MapType {
    match side {
        Side::Request => MapType::Request,
        Side::Response => MapType::Response,
    }
}

pub(crate) fn body_buffer(side: Side) -> BufferType {
    match side {
        Side::Request => BufferType::RequestBody,
        Side::Response => BufferType::ResponseBody,
    }
}

fn metric(kind: MetricType, name: &str) -> Option<u32> {
    METRICS.with_borrow_mut(|metrics| {
        if let Some(id) = metrics.get(name) {
            return Some(*id);
        }
        let id = abi::define_metric(kind, name)?;
        metrics.insert(name.to_owned(), id);
        Some(id)
    })
}

/// As [`Host::adjust`].
pub(crate) fn adjust(series: &str, by: i64) {
    if let Some(id) = metric(MetricType::Gauge, series) {
        abi::increment(id, by);
    }
}

impl Envoy {
    /// A whole body gets its exact length. An unfinished one loses the header, and Envoy sends it in chunks.
    fn correct_length(side: Side, complete: bool, length: usize) {
        if complete {
            abi::set_header(header_map(side), "content-length", &length.to_string());
            abi::remove_header(header_map(side), "transfer-encoding");
        } else {
            abi::remove_header(header_map(side), "content-length");
        }
    }
}

impl Host for Envoy {
    fn headers(&self, side: Side) -> Headers {
        Headers::new(abi::headers(header_map(side)))
    }

    fn header(&self, side: Side, name: &str) -> Option<Vec<u8>> {
        abi::header(header_map(side), name)
    }

    fn set_header(&mut self, side: Side, name: &str, value: &str) {
        abi::set_header(header_map(side), name, value);
    }

    fn remove_header(&mut self, side: Side, name: &str) {
        abi::remove_header(header_map(side), name);
    }

    fn set_body(&mut self, side: Side, body: &[u8]) {
        if !abi::set_buffer(body_buffer(side), body) {
            self.log(Level::Error, "the host refused to replace a body");
            return;
        }
        self.replaced = Some(body.len());
        if self.headers_held {
            Self::correct_length(side, self.complete, body.len());
        }
    }

    fn append_body(&mut self, side: Side, bytes: &[u8]) {
        if !abi::append_buffer(body_buffer(side), bytes) {
            self.log(Level::Error, "the host refused to add to a body");
            return;
        }
        self.added = self.added.saturating_add(bytes.len());
        if self.headers_held {
            Self::correct_length(side, false, 0);
        }
    }

    fn attribute(&self, path: &[&str]) -> Option<Vec<u8>> {
        abi::property(path.join("\0").as_bytes())
    }

    fn fact(&self, name: &str) -> Option<Vec<u8>> {
        abi::property(name.as_bytes())
    }

    fn set_fact(&mut self, name: &str, value: &[u8]) {
        abi::set_property(name.as_bytes(), value);
    }

    fn now_ns(&self) -> u64 {
        abi::now_ns()
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
        StreamId(self.context)
    }

    fn hasten(&mut self, stream: StreamId) {
        self.hastened.push(stream);
    }

    fn callout(&mut self, callout: &Callout<'_>) -> Result<CalloutId, CalloutError> {
        let token = abi::send_callout(callout).ok_or(CalloutError::NotSent)?;
        dispatch::expect_callout(token, self.context);
        Ok(CalloutId(token))
    }

    fn callout_detached(&mut self, callout: &Callout<'_>) -> Result<CalloutId, CalloutError> {
        // A callout is cancelled with the context that sent it, and the root's stays.
        abi::set_effective_context(self.root);
        let token = abi::send_callout(callout);
        abi::set_effective_context(self.context);
        let token = token.ok_or(CalloutError::NotSent)?;
        dispatch::expect_callout(token, self.root);
        self.detached.push(token);
        Ok(CalloutId(token))
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
        adjust(series, by);
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
