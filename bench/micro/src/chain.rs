//! The whole chain over one request: what each filter is shown, and the same callbacks again of any one filter.

use std::error::Error;
use std::rc::Rc;

use serde_json::Value;
use sluice_core::filter::{Filter, Next, Side};

use crate::bed::{Bed, State};

/// What Envoy shows a filter.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    RequestHeaders,
    RequestBody(Rc<[u8]>),
    ResponseHeaders,
    ResponseBody(Rc<[u8]>, bool),
    Done,
}

/// A filter of any kind, one stream after the other.
pub(crate) trait Stream {
    /// The plugin's name.
    fn name(&self) -> &'static str;
    /// Starts a stream.
    fn begin(&mut self);
    /// Shows it one thing.
    fn show(&mut self, host: &mut Bed, step: &Step) -> Next;
}

struct Runner<F: Filter> {
    config: Rc<F::Config>,
    filter: F,
}

/// `F` with this configuration.
pub(crate) fn plugin<F: Filter>(config: Value) -> Result<Box<dyn Stream>, Box<dyn Error>> {
    let raw = serde_json::from_value(config).map_err(|error| format!("{}: {error}", F::NAME))?;
    let config = F::check(raw, &|_| None).map_err(|error| format!("{}: {error}", F::NAME))?;
    let config = Rc::new(config);
    let filter = F::new(Rc::clone(&config));
    Ok(Box::new(Runner { config, filter }))
}

impl<F: Filter> Stream for Runner<F> {
    fn name(&self) -> &'static str {
        F::NAME
    }

    fn begin(&mut self) {
        self.filter = F::new(Rc::clone(&self.config));
    }

    fn show(&mut self, host: &mut Bed, step: &Step) -> Next {
        match step {
            Step::RequestHeaders => self.filter.on_request_headers(host, false),
            Step::RequestBody(body) => self.filter.on_request_body(host, body, true),
            Step::ResponseHeaders => self.filter.on_response_headers(host, false),
            Step::ResponseBody(part, end) => self.filter.on_response_body(host, part, *end),
            Step::Done => {
                self.filter.on_done(host);
                Next::Pass
            }
        }
    }
}

/// What one filter was shown, and how things stood then.
pub(crate) type Shown = Vec<(Step, Rc<State>)>;

/// One filter's part of an exchange, to be run again and again.
pub(crate) struct Replay {
    stream: Box<dyn Stream>,
    shown: Rc<Shown>,
}

impl Replay {
    pub(crate) fn new(stream: Box<dyn Stream>, shown: Rc<Shown>) -> Self {
        Self { stream, shown }
    }

    /// Runs it once.
    pub(crate) fn run(&mut self, host: &mut Bed) {
        self.stream.begin();
        for (step, state) in &*self.shown {
            host.enter(state);
            std::hint::black_box(self.stream.show(host, step));
        }
    }
}

/// What an exchange is made of.
pub(crate) struct Exchange {
    /// The request as it arrives.
    pub(crate) request: State,
    /// The request's body.
    pub(crate) body: String,
    /// Headers of the answer.
    pub(crate) answer: Vec<(&'static str, String)>,
    /// The answer's body as it comes.
    pub(crate) parts: Vec<String>,
}

/// Puts an exchange through the chain; `gateway` and `provider` are their stages' filters in the order of requests.
pub(crate) fn record(
    gateway: Vec<Box<dyn Stream>>,
    provider: Vec<Box<dyn Stream>>,
    exchange: &Exchange,
) -> Result<Vec<(&'static str, Shown)>, String> {
    let mut bed = Bed::default();
    bed.enter(&Rc::new(exchange.request.clone()));
    let first_of_provider = gateway.len();
    let filters = gateway.into_iter().chain(provider).map(Place::new).collect();
    let mut run = Run { bed, filters };
    run.request(exchange.body.as_bytes().into())?;
    run.arrive(exchange);
    let last = run.filters.len();
    for part in &exchange.parts {
        run.response(last, part.as_bytes(), false)?;
    }
    run.response(last, b"", true)?;
    for index in (first_of_provider..last).chain(0..first_of_provider) {
        run.show(index, Step::Done)?;
    }
    Ok(run.filters.into_iter().map(|place| (place.stream.name(), place.shown)).collect())
}

struct Place {
    stream: Box<dyn Stream>,
    shown: Shown,
    response: Option<Next>, // none: its headers have not come here
    held: Vec<u8>,
}

impl Place {
    fn new(mut stream: Box<dyn Stream>) -> Self {
        stream.begin();
        Self { stream, shown: Vec::new(), response: None, held: Vec::new() }
    }
}

struct Run {
    bed: Bed,
    filters: Vec<Place>,
}

impl Run {
    /// Shows the filter at `index` one thing, and takes over what it writes.
    fn show(&mut self, index: usize, step: Step) -> Result<Next, String> {
        let mut state = self.bed.state();
        state.now_ns += 20_000;
        let state = Rc::new(state);
        self.bed.enter(&state);
        let place = self.filters.get_mut(index).ok_or("no such filter")?;
        let next = place.stream.show(&mut self.bed, &step);
        place.shown.push((step, state));
        match next {
            Next::Wait | Next::Reply(_) | Next::Break => {
                Err(format!("{} does not let it pass: {next:?}", place.stream.name()))
            }
            next => Ok(next),
        }
    }

    fn request(&mut self, mut body: Rc<[u8]>) -> Result<(), String> {
        for index in 0..self.filters.len() {
            if self.show(index, Step::RequestHeaders)? != Next::Pass {
                self.show(index, Step::RequestBody(Rc::clone(&body)))?;
                body = self.bed.passed(&body).into();
            }
        }
        Ok(())
    }

    /// The provider's headers come.
    fn arrive(&mut self, exchange: &Exchange) {
        let mut state = self.bed.state();
        let headers: Vec<_> = exchange.answer.iter().map(|(name, value)| (*name, value.as_str())).collect();
        state.set_headers(Side::Response, &headers);
        state.set_attribute("upstream.local_address", b"10.0.0.1:40312");
        state.set_attribute("response.code", &200_u64.to_le_bytes());
        state.set_attribute("response.flags", &0_u64.to_le_bytes());
        state.set_attribute("response.size", &1024_u64.to_le_bytes());
        state.set_attribute("response.code_details", b"via_upstream");
        state.now_ns += 300_000_000;
        self.bed.enter(&Rc::new(state));
    }

    /// A part of the answer comes to the filters before `limit`, the innermost first.
    fn response(&mut self, limit: usize, part: &[u8], end: bool) -> Result<(), String> {
        let Some(index) = limit.checked_sub(1) else { return Ok(()) };
        let mode = match self.filters.get(index).and_then(|place| place.response.clone()) {
            Some(mode) => mode,
            None => self.show(index, Step::ResponseHeaders)?,
        };
        let shown: Vec<u8> = match &mode {
            Next::Watch | Next::Hold => part.to_vec(),
            Next::End => Vec::new(),
            Next::Whole { .. } => self.keep(index, part),
            _ => {
                self.settle(index, mode);
                return self.response(index, part, end);
            }
        };
        if matches!(mode, Next::Whole { .. } | Next::End) && !end {
            let passes = mode == Next::End;
            self.settle(index, mode);
            return if passes { self.response(index, part, end) } else { Ok(()) };
        }
        let next = self.show(index, Step::ResponseBody(shown.as_slice().into(), end))?;
        let out = match mode {
            Next::Hold => {
                let all = self.keep(index, part);
                self.bed.passed(&all)
            }
            Next::End => self.bed.passed(part),
            _ => self.bed.passed(&shown),
        };
        let holds = next == Next::Hold && !end;
        self.settle(index, next);
        if let Some(place) = self.filters.get_mut(index) {
            place.held = if holds { out.clone() } else { Vec::new() };
        }
        if holds { Ok(()) } else { self.response(index, &out, end) }
    }

    fn keep(&mut self, index: usize, part: &[u8]) -> Vec<u8> {
        let Some(place) = self.filters.get_mut(index) else { return Vec::new() };
        place.held.extend_from_slice(part);
        place.held.clone()
    }

    fn settle(&mut self, index: usize, next: Next) {
        if let Some(place) = self.filters.get_mut(index) {
            place.response = Some(next);
        }
    }
}
