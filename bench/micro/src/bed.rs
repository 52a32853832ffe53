//! A host that stands still: each callback finds the request as it was at that place of the whole chain.
//!
//! What a filter writes is kept apart and forgotten with the callback, so that the same request can be run any number of
//! times. Shared data stays, as it does in Envoy. A call takes some tens of nanoseconds; Envoy takes longer.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

use sluice_core::filter::{Headers, Shared, Side};

/// What a filter may ask of its host, as far as it is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Headers,
    Header,
    SetHeader,
    SetBody,
    Attribute,
    Fact,
    SetFact,
    Clock,
    Shared,
    SetShared,
    Metric,
    Other,
}

/// Every kind, with its name.
pub(crate) const CALLS: [(Call, &str); 12] = [
    (Call::Headers, "read headers"),
    (Call::Header, "read header"),
    (Call::SetHeader, "set header"),
    (Call::SetBody, "set body"),
    (Call::Attribute, "read attribute"),
    (Call::Fact, "read fact"),
    (Call::SetFact, "set fact"),
    (Call::Clock, "read clock"),
    (Call::Shared, "read shared"),
    (Call::SetShared, "set shared"),
    (Call::Metric, "metric"),
    (Call::Other, "other"),
];

type Pairs = Vec<(String, Vec<u8>)>;

/// A request at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    request: Headers,
    response: Headers,
    /// Facts by name.
    pub(crate) facts: HashMap<String, Vec<u8>>,
    /// Attributes by path joined with `.`.
    pub(crate) attributes: Vec<(String, Vec<u8>)>,
    /// Nanoseconds since the epoch.
    pub(crate) now_ns: u64,
}

impl State {
    /// Sets the headers of a side.
    pub(crate) fn set_headers(&mut self, side: Side, pairs: &[(&str, &str)]) {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
        *self.side(side) = Headers::new(pairs.collect());
    }

    /// Sets an attribute, its path joined with `.`.
    pub(crate) fn set_attribute(&mut self, path: &str, value: &[u8]) {
        self.attributes.push((path.to_owned(), value.to_vec()));
    }

    fn side(&mut self, side: Side) -> &mut Headers {
        match side {
            Side::Request => &mut self.request,
            Side::Response => &mut self.response,
        }
    }
}

/// A header as a filter has set it; without a value: removed.
struct Written {
    side: Side,
    name: String,
    value: Option<Vec<u8>>,
}

/// The host.
#[derive(Default)]
pub(crate) struct Bed {
    base: Rc<State>,
    headers: Vec<Written>,
    facts: Vec<(String, Vec<u8>)>,
    body: Option<Vec<u8>>,
    appended: Vec<u8>,
    /// Shared data.
    pub(crate) shared: HashMap<String, Shared>,
    /// Added to the time of every state.
    pub(crate) later_ns: u64,
    calls: [Cell<u64>; CALLS.len()],
}

impl Bed {
    /// The next callback finds this.
    pub(crate) fn enter(&mut self, state: &Rc<State>) {
        self.base = Rc::clone(state);
        self.headers.clear();
        self.facts.clear();
        self.appended.clear();
        self.body = None;
    }

    /// The request as it is now, with all that was written.
    pub(crate) fn state(&self) -> State {
        State {
            request: self.seen(Side::Request),
            response: self.seen(Side::Response),
            facts: self.base.facts.clone().into_iter().chain(self.facts.iter().cloned()).collect(),
            attributes: self.base.attributes.clone(),
            now_ns: self.base.now_ns,
        }
    }

    /// What becomes of a part that was shown.
    pub(crate) fn passed(&self, part: &[u8]) -> Vec<u8> {
        let mut out = self.body.clone().unwrap_or_else(|| part.to_vec());
        out.extend_from_slice(&self.appended);
        out
    }

    /// Calls so far, in the order of [`CALLS`].
    pub(crate) fn calls(&self) -> [u64; CALLS.len()] {
        self.calls.each_ref().map(Cell::get)
    }

    /// The headers, with what was written in this callback.
    fn seen(&self, side: Side) -> Headers {
        let before = match side {
            Side::Request => &self.base.request,
            Side::Response => &self.base.response,
        };
        if !self.headers.iter().any(|written| written.side == side) {
            return before.clone();
        }
        let mut pairs: Pairs = before.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
        for Written { name, value, .. } in self.headers.iter().filter(|written| written.side == side) {
            pairs.retain(|(other, _)| other != name);
            pairs.extend(value.clone().map(|value| (name.clone(), value)));
        }
        Headers::new(pairs)
    }

    fn tally(&self, call: Call) {
        if let Some(count) = self.calls.get(call as usize) {
            count.set(count.get() + 1);
        }
    }
}

mod host;
