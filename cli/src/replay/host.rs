//! A [`Host`] in memory, with a clock of its own: what token-limit sees of a request that is replayed.

use std::collections::HashMap;

use sluice_core::context::Fact;
use sluice_core::filter::{
    Callout, CalloutError, CalloutId, Conflict, Headers, Host, Level, Note, Shared, Side, StreamId,
};

/// One Envoy, as far as a decision on limits depends on it. Shared data outlives requests; all else is one request's.
#[derive(Default)]
pub(super) struct Virtual {
    now_us: u64,
    request: Headers,
    response: Headers,
    facts: HashMap<String, Vec<u8>>,
    address: Option<String>,
    reached_provider: bool,
    wake_ms: Option<u64>,
    shared: HashMap<String, Shared>,
}

impl Virtual {
    /// Another request is looked at, at this time.
    pub(super) fn begin(&mut self, now_us: u64) {
        self.now_us = now_us;
        self.request = Headers::default();
        self.response = Headers::default();
        self.facts.clear();
        self.address = None;
        self.reached_provider = false;
        self.wake_ms = None;
    }

    pub(super) fn set_request(&mut self, headers: Vec<(String, Vec<u8>)>) {
        self.request = Headers::new(headers);
    }

    pub(super) fn set_status(&mut self, status: u64) {
        // of a kind that can be metered: what came of it is in the record
        let headers = [(":status", status.to_string()), ("content-type", "application/json".to_owned())];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.into_bytes()));
        self.response = Headers::new(headers.into());
    }

    /// Publishes a fact, if there is one.
    pub(super) fn publish(&mut self, fact: Fact, value: Option<&str>) {
        if let Some(value) = value {
            fact.set(self, value);
        }
    }

    pub(super) fn publish_number(&mut self, fact: Fact, value: Option<u64>) {
        if let Some(value) = value {
            fact.set_number(self, value);
        }
    }

    /// The client's address.
    pub(super) fn set_address(&mut self, address: Option<std::net::IpAddr>) {
        self.address = address.map(|address| std::net::SocketAddr::new(address, 0).to_string());
    }

    /// A provider has got to see the request.
    pub(super) fn set_reached_provider(&mut self, reached: bool) {
        self.reached_provider = reached;
    }

    /// In how many milliseconds the filter wants to be woken.
    pub(super) fn take_wake_ms(&mut self) -> Option<u64> {
        self.wake_ms.take()
    }
}

impl Host for Virtual {
    fn headers(&self, side: Side) -> Headers {
        match side {
            Side::Request => self.request.clone(),
            Side::Response => self.response.clone(),
        }
    }

    fn header(&self, side: Side, name: &str) -> Option<Vec<u8>> {
        let headers = match side {
            Side::Request => &self.request,
            Side::Response => &self.response,
        };
        headers.get(name).map(<[u8]>::to_vec)
    }

    fn attribute(&self, path: &[&str]) -> Option<Vec<u8>> {
        match path {
            ["source", "address"] => self.address.clone().map(String::into_bytes),
            ["upstream", "local_address"] => self.reached_provider.then(|| b"127.0.0.1:1".to_vec()),
            _ => None,
        }
    }

    fn fact(&self, name: &str) -> Option<Vec<u8>> {
        self.facts.get(name).cloned()
    }

    fn set_fact(&mut self, name: &str, value: &[u8]) {
        self.facts.insert(name.to_owned(), value.to_vec());
    }

    fn now_ns(&self) -> u64 {
        self.now_us.saturating_mul(1_000)
    }

    fn wake_after(&mut self, ms: u64) {
        self.wake_ms = Some(ms);
    }

    fn shared(&self, key: &str) -> Shared {
        self.shared.get(key).cloned().unwrap_or_default()
    }

    fn set_shared(&mut self, key: &str, value: &[u8], version: u32) -> Result<(), Conflict> {
        let entry = self.shared.entry(key.to_owned()).or_default();
        if entry.version != version {
            return Err(Conflict);
        }
        *entry = Shared { value: value.to_vec(), version: version.wrapping_add(1).max(1) };
        Ok(())
    }

    fn callout(&mut self, _: &Callout<'_>) -> Result<CalloutId, CalloutError> {
        Err(CalloutError::NotSent)
    }

    fn callout_detached(&mut self, _: &Callout<'_>, note: Note) -> Result<(), Note> {
        Err(note)
    }

    fn idle_ms(&self, _: Side) -> u64 {
        0
    }

    fn stream(&self) -> StreamId {
        StreamId(0)
    }

    // What a request is sent as, and what is told of it, changes no decision.
    fn set_header(&mut self, _: Side, _: &str, _: &str) {}
    fn remove_header(&mut self, _: Side, _: &str) {}
    fn set_body(&mut self, _: Side, _: &[u8]) {}
    fn append_body(&mut self, _: Side, _: &[u8]) {}
    fn hasten(&mut self, _: StreamId) {}
    fn wake_detached_after(&mut self, _: u64) {}
    fn count(&mut self, _: &str, _: u64) {}
    fn observe(&mut self, _: &str, _: u64) {}
    fn adjust(&mut self, _: &str, _: i64) {}
    fn log(&mut self, _: Level, _: &str) {}
}
