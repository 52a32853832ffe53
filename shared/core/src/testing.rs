//! An in-memory [`Host`] that keeps state rather than a script of calls.

mod declared;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

pub use self::declared::declare;
use crate::filter::{
    Callout, CalloutError, CalloutId, CalloutReply, Conflict, Filter, Headers, Host, Level, Note, Shared,
    Side, StreamId,
};
use crate::metric::Kind;

/// Holds what a filter sees and what it did. Set the fields, run the filter, look at the fields.
#[derive(Debug, Default)]
pub struct FakeHost {
    /// Request headers in order.
    pub request: Vec<(String, Vec<u8>)>,
    /// Response headers in order.
    pub response: Vec<(String, Vec<u8>)>,
    /// The last body set for each side.
    pub request_body: Option<Vec<u8>>,
    /// As `request_body`.
    pub response_body: Option<Vec<u8>>,
    /// Attributes by path joined with `.`.
    pub attributes: BTreeMap<String, Vec<u8>>,
    /// Facts by name.
    pub facts: BTreeMap<String, Vec<u8>>,
    /// The time, in nanoseconds.
    pub now_ns: u64,
    /// What [`Host::idle_ms`] says.
    pub idle_ms: u64,
    /// The last wake-up asked for, in milliseconds from then.
    pub wake_after: Option<u64>,
    /// The soonest detached wake-up asked for, in milliseconds from then.
    pub wake_detached_after: Option<u64>,
    /// What [`Host::stream`] says.
    pub stream: u64,
    /// Streams whose wake-up was hastened, in order.
    pub hastened: Vec<StreamId>,
    /// Callouts sent, detached ones among them: cluster, headers, body, timeout. The n-th has id n, from 1.
    pub callouts: Vec<SentCallout>,
    /// Notes of the detached callouts that are open.
    pub notes: BTreeMap<u32, Note>,
    /// Callouts fail to be sent.
    pub refuse_callouts: bool,
    /// Shared data.
    pub shared: BTreeMap<String, Shared>,
    /// Counters.
    pub counters: BTreeMap<String, u64>,
    /// Gauges.
    pub gauges: BTreeMap<String, i64>,
    /// Histograms.
    pub histograms: BTreeMap<String, Vec<u64>>,
    /// Log lines.
    pub logs: Vec<(Level, String)>,
    /// How often it was asked for headers, attributes, facts or shared data: each is a host call that costs.
    pub reads: Cell<u64>,
}

/// A callout as a filter sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentCallout {
    /// Envoy cluster name.
    pub cluster: String,
    /// All headers.
    pub headers: Vec<(String, String)>,
    /// Whole body.
    pub body: Vec<u8>,
    /// Deadline in milliseconds.
    pub timeout_ms: u32,
    /// Whether it outlives the stream.
    pub detached: bool,
}

impl FakeHost {
    /// A host that holds `request` headers.
    #[must_use]
    pub fn with_request(headers: &[(&str, &str)]) -> Self {
        Self { request: owned(headers), ..Self::default() }
    }

    /// Sets the response headers.
    pub fn respond(&mut self, headers: &[(&str, &str)]) {
        self.response = owned(headers);
        self.response_body = None;
    }

    /// A request header as text.
    #[must_use]
    pub fn request_header(&self, name: &str) -> Option<String> {
        text(&self.request, name)
    }

    /// A response header as text.
    #[must_use]
    pub fn response_header(&self, name: &str) -> Option<String> {
        text(&self.response, name)
    }

    /// Sets an attribute, its path joined with `.`.
    pub fn set_attribute(&mut self, path: &str, value: &str) {
        self.attributes.insert(path.to_owned(), value.as_bytes().to_vec());
    }

    /// Moves the clock.
    pub fn advance_ms(&mut self, ms: u64) {
        self.now_ns = self.now_ns.saturating_add(ms.saturating_mul(1_000_000));
    }

    /// Lets detached callout `id` end, with any copy of the configuration. One that is over already stays so.
    pub fn end_detached<F: Filter>(
        &mut self,
        config: &Rc<F::Config>,
        id: CalloutId,
        reply: Result<CalloutReply, CalloutError>,
    ) {
        if let Some(note) = self.notes.remove(&id.0) {
            F::on_detached_callout(config, self, note, reply);
        }
    }

    fn send(&mut self, callout: &Callout<'_>, detached: bool) -> Result<CalloutId, CalloutError> {
        if self.refuse_callouts {
            return Err(CalloutError::NotSent);
        }
        let headers = callout.headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        self.callouts.push(SentCallout {
            cluster: callout.cluster.to_owned(),
            headers,
            body: callout.body.to_vec(),
            timeout_ms: callout.timeout_ms,
            detached,
        });
        Ok(CalloutId(u32::try_from(self.callouts.len()).unwrap_or(u32::MAX)))
    }

    fn count_read(&self) {
        self.reads.set(self.reads.get().saturating_add(1));
    }

    fn map(&mut self, side: Side) -> &mut Vec<(String, Vec<u8>)> {
        match side {
            Side::Request => &mut self.request,
            Side::Response => &mut self.response,
        }
    }
}

fn owned(headers: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
}

fn text(headers: &[(String, Vec<u8>)], name: &str) -> Option<String> {
    let (_, value) = headers.iter().find(|(n, _)| n == name)?;
    String::from_utf8(value.clone()).ok()
}

impl Host for FakeHost {
    fn headers(&self, side: Side) -> Headers {
        self.count_read();
        Headers::new(match side {
            Side::Request => self.request.clone(),
            Side::Response => self.response.clone(),
        })
    }
    fn header(&self, side: Side, name: &str) -> Option<Vec<u8>> {
        self.headers(side).get(name).map(<[u8]>::to_vec)
    }
    fn set_header(&mut self, side: Side, name: &str, value: &str) {
        self.remove_header(side, name);
        self.map(side).push((name.to_owned(), value.as_bytes().to_vec()));
    }
    fn remove_header(&mut self, side: Side, name: &str) {
        self.map(side).retain(|(n, _)| n != name);
    }
    fn set_body(&mut self, side: Side, body: &[u8]) {
        match side {
            Side::Request => self.request_body = Some(body.to_vec()),
            Side::Response => self.response_body = Some(body.to_vec()),
        }
    }
    fn append_body(&mut self, side: Side, bytes: &[u8]) {
        let body = match side {
            Side::Request => &mut self.request_body,
            Side::Response => &mut self.response_body,
        };
        body.get_or_insert_default().extend_from_slice(bytes);
    }
    fn attribute(&self, path: &[&str]) -> Option<Vec<u8>> {
        self.count_read();
        self.attributes.get(&path.join(".")).cloned()
    }
    fn fact(&self, name: &str) -> Option<Vec<u8>> {
        self.count_read();
        self.facts.get(name).cloned()
    }
    fn set_fact(&mut self, name: &str, value: &[u8]) {
        self.facts.insert(name.to_owned(), value.to_vec());
    }
    fn now_ns(&self) -> u64 {
        self.now_ns
    }
    fn idle_ms(&self, _: Side) -> u64 {
        self.idle_ms
    }
    fn wake_after(&mut self, ms: u64) {
        self.wake_after = Some(ms);
    }
    fn stream(&self) -> StreamId {
        StreamId(self.stream)
    }
    fn hasten(&mut self, stream: StreamId) {
        self.hastened.push(stream);
    }
    fn callout(&mut self, callout: &Callout<'_>) -> Result<CalloutId, CalloutError> {
        self.send(callout, false)
    }
    fn callout_detached(&mut self, callout: &Callout<'_>, note: Note) -> Result<(), Note> {
        let Ok(CalloutId(id)) = self.send(callout, true) else { return Err(note) };
        self.notes.insert(id, note);
        Ok(())
    }
    fn wake_detached_after(&mut self, ms: u64) {
        self.wake_detached_after = Some(self.wake_detached_after.map_or(ms, |soonest| soonest.min(ms)));
    }
    fn shared(&self, key: &str) -> Shared {
        self.count_read();
        self.shared.get(key).cloned().unwrap_or_default()
    }
    fn set_shared(&mut self, key: &str, value: &[u8], version: u32) -> Result<(), Conflict> {
        let entry = self.shared.entry(key.to_owned()).or_default();
        if entry.version != version {
            return Err(Conflict);
        }
        *entry = Shared { value: value.to_vec(), version: version.saturating_add(1) };
        Ok(())
    }
    fn count(&mut self, name: &str, by: u64) {
        declared::note(Kind::Counter, name);
        let counter = self.counters.entry(name.to_owned()).or_default();
        *counter = counter.saturating_add(by);
    }
    fn adjust(&mut self, name: &str, by: i64) {
        declared::note(Kind::Gauge, name);
        let gauge = self.gauges.entry(name.to_owned()).or_default();
        *gauge = gauge.saturating_add(by);
    }
    fn observe(&mut self, name: &str, value: u64) {
        declared::note(Kind::Histogram, name);
        self.histograms.entry(name.to_owned()).or_default().push(value);
    }
    fn log(&mut self, level: Level, message: &str) {
        self.logs.push((level, message.to_owned()));
    }
}
