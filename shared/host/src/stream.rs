//! The stream context of a filter: turns callbacks into [`Filter`] calls, and [`Next`] into what the host does.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use sluice_core::config::RouteConfigs;
use sluice_core::context;
use sluice_core::filter::{CalloutError, CalloutId, CalloutReply, Filter, Headers, Host as _, Next, Side};
use sluice_core::openai::Operation;
use sluice_core::openai::error::{Code, ERROR_HEADER, LocalReply};

use crate::abi::{self, BufferType, MapType};
use crate::detached::Detached;
use crate::dispatch::{Action, StreamContext};
use crate::envoy::{Envoy, body_buffer};
use crate::wake::{Waiting, Wake};

/// One HTTP stream as proxy-wasm sees it. What it does is in [`Exchange`], which a wake-up reaches as well.
pub(crate) struct Stream<F: Filter> {
    configs: Option<Rc<RouteConfigs<F::Config>>>,
    exchange: Rc<RefCell<Exchange<F>>>,
}

impl<F: Filter> Stream<F> {
    pub(crate) fn new(
        context: u32,
        configs: Option<Rc<RouteConfigs<F::Config>>>,
        waiting: Rc<Waiting>,
        detached: Rc<Detached<F>>,
    ) -> Self {
        let exchange =
            Rc::new_cyclic(|this| RefCell::new(Exchange::new(context, waiting, detached, this.clone())));
        Self { configs, exchange }
    }

    /// The configuration of the stream's route. `xds.route_name` is read only where it can matter.
    fn config(&self) -> Option<Rc<F::Config>> {
        let configs = self.configs.as_ref()?;
        if !configs.has_overrides() {
            return Some(configs.get(""));
        }
        let route = abi::property(b"xds\0route_name").unwrap_or_default();
        Some(configs.get(&String::from_utf8_lossy(&route)))
    }

    /// Starts the filter with the first callback that has something for it.
    fn start(&self) {
        if self.exchange.borrow().filter.is_none()
            && let Some(config) = self.config()
        {
            self.exchange.borrow_mut().start(config);
        }
    }
}

impl<F: Filter> StreamContext for Stream<F> {
    /// A local reply of an outer filter, or of Envoy itself, may come before any request callback.
    fn on_headers(&self, side: Side, end: bool) -> Action {
        self.start();
        self.exchange.borrow_mut().headers(side, end)
    }

    fn on_body(&self, side: Side, size: usize, end: bool) -> Action {
        self.exchange.borrow_mut().body(side, size, end)
    }

    fn on_trailers(&self, side: Side) -> Action {
        self.exchange.borrow_mut().trailers(side)
    }

    fn on_callout(&self, token: u32, body_size: usize) {
        self.exchange.borrow_mut().callout_ended(CalloutId(token), callout_reply(body_size));
    }

    /// Envoy asks a downstream filter to log before it writes the access log; when it is done, which follows,
    /// facts would come too late to be in it.
    fn on_done(&self) {
        self.exchange.borrow_mut().done();
    }
}

/// The whole answer of a callout. One that is not answered is reported as no headers at all, or as a reply that
/// Envoy makes in the upstream's name.
pub(crate) fn callout_reply(body_size: usize) -> Result<CalloutReply, CalloutError> {
    let headers = Headers::new(abi::headers(MapType::Callout));
    let status = headers.text(":status").and_then(|status| status.parse().ok());
    let body = abi::buffer(BufferType::CalloutBody, 0, body_size).unwrap_or_default();
    let status = status.filter(|status| !is_envoys_own(*status, &headers));
    status.map(|status| CalloutReply { status, headers, body }).ok_or(CalloutError::NotAnswered)
}

/// Whether Envoy itself made this reply because of a timeout (504) or a broken connection (503). It is a plain text
/// with none of the headers, `date` for one, that a server adds (1.40).
fn is_envoys_own(status: u16, headers: &Headers) -> bool {
    let is_bare =
        headers.iter().all(|(name, _)| matches!(name, ":status" | "content-length" | "content-type"));
    is_bare && matches!(status, 503 | 504) && headers.text("content-type") == Some("text/plain")
}

/// How one side of the exchange stands.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    mode: Mode,
    /// Bytes at the start of the held buffer that the filter has seen.
    shown: usize,
    /// Envoy holds headers or body of this side for us.
    held: bool,
    /// The headers have gone on.
    headers_gone: bool,
    /// The filter has been told of the end.
    ended: bool,
    /// When the last part came by, in milliseconds since the epoch.
    last_ms: u64,
}

/// What the filter wants to see of a side; [`Next`] without its reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Pass,
    Watch,
    End,
    Hold,
    Whole(usize),
    Wait,
    /// Answered or broken off.
    Over,
}

/// A filter and the two sides of its exchange.
struct Exchange<F: Filter> {
    context: u32,
    waiting: Rc<Waiting>,
    detached: Rc<Detached<F>>,
    this: Weak<RefCell<Self>>,
    config: Option<Rc<F::Config>>,
    filter: Option<F>,
    request: Progress,
    response: Progress,
}

impl<F: Filter> Exchange<F> {
    fn new(context: u32, waiting: Rc<Waiting>, detached: Rc<Detached<F>>, this: Weak<RefCell<Self>>) -> Self {
        let (request, response) = (Progress::default(), Progress::default());
        Self { context, waiting, detached, this, config: None, filter: None, request, response }
    }

    fn start(&mut self, config: Rc<F::Config>) {
        self.filter = Some(F::new(Rc::clone(&config)));
        self.config = Some(config);
    }

    fn side(&mut self, side: Side) -> &mut Progress {
        match side {
            Side::Request => &mut self.request,
            Side::Response => &mut self.response,
        }
    }

    fn headers(&mut self, side: Side, end: bool) -> Action {
        let next = self.ask(side, false, |filter, host| match side {
            Side::Request => filter.on_request_headers(host, end),
            Side::Response => filter.on_response_headers(host, end),
        });
        let next = match next {
            Next::Whole { max_bytes }
                if side == Side::Request && !end && declared_length() > Some(max_bytes) =>
            {
                too_large(max_bytes)
            }
            next => next,
        };
        let wants_end = end && !matches!(next, Next::Pass | Next::Wait | Next::Reply(_) | Next::Break);
        if wants_end {
            self.side(side).mode = mode(&next);
            return self.show(side, &[], 0, true);
        }
        self.apply(side, next, 0)
    }

    /// `size` is what can be read now: the new chunk, or all that is held.
    fn body(&mut self, side: Side, size: usize, end: bool) -> Action {
        let Progress { mode, shown, .. } = *self.side(side);
        if matches!(mode, Mode::Watch | Mode::End | Mode::Hold) {
            self.side(side).last_ms = now_ms();
        }
        let from = match mode {
            Mode::Pass => return Action::Continue,
            Mode::End if !end => return Action::Continue,
            Mode::End => return self.show(side, &[], size, true),
            Mode::Over | Mode::Wait => return Action::Pause,
            Mode::Whole(max) if size > max => return self.over_limit(side, size, max, end),
            Mode::Whole(_) if !end => return Action::Pause,
            Mode::Whole(_) | Mode::Watch => 0,
            Mode::Hold => shown,
        };
        let part = match size.saturating_sub(from) {
            0 => None,
            length => abi::buffer(body_buffer(side), from, length),
        };
        self.show(side, &part.unwrap_or_default(), size, end)
    }

    /// More came than the filter wanted to hold: a request is refused, of a response it sees the first part.
    fn over_limit(&mut self, side: Side, size: usize, max: usize, end: bool) -> Action {
        if side == Side::Request {
            return self.apply(side, too_large(max), size);
        }
        let part = abi::buffer(body_buffer(side), 0, size).unwrap_or_default();
        self.show(side, &part, size, end)
    }

    /// A body followed by trailers never sees its end in a chunk; it ends here.
    fn trailers(&mut self, side: Side) -> Action {
        let Progress { mode, ended, .. } = *self.side(side);
        match mode {
            Mode::Pass => Action::Continue,
            Mode::Over | Mode::Wait => Action::Pause,
            _ if ended => Action::Continue,
            Mode::Whole(_) => {
                let whole = abi::buffer(body_buffer(side), 0, usize::MAX >> 1).unwrap_or_default();
                self.show(side, &whole, whole.len(), true)
            }
            Mode::Watch | Mode::End | Mode::Hold => {
                let shown = self.side(side).shown;
                self.show(side, &[], shown, true)
            }
        }
    }

    /// Shows the filter `part`, after which `size` bytes of what is held have been seen.
    fn show(&mut self, side: Side, part: &[u8], size: usize, end: bool) -> Action {
        self.side(side).ended |= end;
        let mut size = size;
        let next = self.ask_with(side, end, &mut size, |filter, host| match side {
            Side::Request => filter.on_request_body(host, part, end),
            Side::Response => filter.on_response_body(host, part, end),
        });
        self.apply(side, next, size)
    }

    fn ask(&mut self, side: Side, end: bool, call: impl FnOnce(&mut F, &mut Envoy) -> Next) -> Next {
        self.ask_with(side, end, &mut 0, call)
    }

    /// Calls the filter with a host of its own, then takes over what it asked of the adapter.
    fn ask_with(
        &mut self,
        side: Side,
        end: bool,
        size: &mut usize,
        call: impl FnOnce(&mut F, &mut Envoy) -> Next,
    ) -> Next {
        let mut host = self.host(side, end);
        let next = match &mut self.filter {
            Some(filter) => call(filter, &mut host),
            None => Next::Pass,
        };
        *size = host.replaced.unwrap_or(*size).saturating_add(host.added);
        self.settle(&host);
        next
    }

    /// A host for one callback about `side`.
    fn host(&self, side: Side, complete: bool) -> Envoy {
        let progress = match side {
            Side::Request => self.request,
            Side::Response => self.response,
        };
        Envoy {
            context: self.context,
            root: self.detached.root(),
            plugin: F::NAME,
            headers_held: !progress.headers_gone,
            last_ms: (self.request.last_ms, self.response.last_ms),
            complete,
            ..Envoy::default()
        }
    }

    /// Books what a filter asked for beyond this callback.
    fn settle(&self, host: &Envoy) {
        if let Some(config) = &self.config {
            self.detached.settle(host, config);
        }
        if let Some(ms) = host.wake {
            let stream = Weak::clone(&self.this);
            self.waiting.add(self.context, host.now_ms().saturating_add(ms), stream);
        }
    }

    /// Tells the host what becomes of the part at hand.
    fn apply(&mut self, side: Side, next: Next, size: usize) -> Action {
        let progress = self.side(side);
        progress.mode = mode(&next);
        match next {
            Next::Pass | Next::Watch | Next::End => {
                *progress = Progress { shown: 0, held: false, headers_gone: true, ..*progress };
                Action::Continue
            }
            Next::Hold | Next::Wait | Next::Whole { .. } => {
                *progress = Progress { shown: size, held: true, ..*progress };
                Action::Pause
            }
            Next::Reply(reply) => {
                progress.held = false;
                send(reply);
                Action::Pause
            }
            Next::Break => {
                progress.held = false;
                abi::reset(side);
                Action::Pause
            }
        }
    }

    fn callout_ended(&mut self, id: CalloutId, reply: Result<CalloutReply, CalloutError>) {
        self.decide_later(|filter, host| filter.on_callout(host, id, reply));
    }

    /// Lets the filter decide outside of a callback of the stream, and resumes what it lets go.
    fn decide_later(&mut self, call: impl FnOnce(&mut F, &mut Envoy) -> Option<Next>) {
        let waits_for_request = self.request.held && !self.response.held;
        let side = if waits_for_request { Side::Request } else { Side::Response };
        let Progress { ended, shown, held, .. } = *self.side(side);
        let mut host = self.host(side, ended);
        let next = self.filter.as_mut().and_then(|filter| call(filter, &mut host));
        self.settle(&host);
        let Some(next) = next else { return };
        let goes_on = self.apply(side, next, host.replaced.unwrap_or(shown).saturating_add(host.added))
            == Action::Continue;
        if held && goes_on {
            abi::resume(side);
        }
    }

    fn done(&mut self) {
        self.waiting.remove(self.context);
        if let Some(mut filter) = self.filter.take() {
            let mut host = self.host(Side::Response, true);
            filter.on_done(&mut host);
            if let Some(config) = &self.config {
                self.detached.settle(&host, config);
            }
        }
    }
}

impl<F: Filter> Wake for RefCell<Exchange<F>> {
    fn wake(&self) {
        // Never borrowed already: the tick is no callback of a stream.
        if let Ok(mut exchange) = self.try_borrow_mut() {
            exchange.decide_later(|filter, host| filter.on_wake(host));
        }
    }
}

fn mode(next: &Next) -> Mode {
    match next {
        Next::Pass => Mode::Pass,
        Next::Watch => Mode::Watch,
        Next::End => Mode::End,
        Next::Hold => Mode::Hold,
        Next::Whole { max_bytes } => Mode::Whole(*max_bytes),
        Next::Wait => Mode::Wait,
        Next::Reply(_) | Next::Break => Mode::Over,
    }
}

fn now_ms() -> u64 {
    abi::now_ns().checked_div(1_000_000).unwrap_or_default()
}

/// Length of the request body as the client announces it.
fn declared_length() -> Option<usize> {
    let value = abi::header(MapType::Request, "content-length")?;
    std::str::from_utf8(&value).ok()?.trim().parse().ok()
}

fn too_large(max_bytes: usize) -> Next {
    let message = format!("The request body is larger than {max_bytes} bytes.");
    Next::Reply(LocalReply::error(Code::RequestTooLarge, None, &message))
}

/// Answers the client, and publishes which error it was.
fn send(reply: LocalReply) {
    let path = if reply.status < 400 { None } else { abi::header(MapType::Request, ":path") };
    let path = String::from_utf8(path.unwrap_or_default()).unwrap_or_default();
    let reply = reply.shaped(Operation::of_path(&path));
    let headers: Vec<(&str, &str)> =
        reply.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let error = headers.iter().find(|(name, _)| *name == ERROR_HEADER).map(|(_, code)| *code);
    if let Some(code) = error {
        abi::set_property(context::ERROR.0.as_bytes(), code.as_bytes());
    }
    abi::send_reply(reply.status, &headers, reply.body.as_bytes(), error.unwrap_or("sluice"));
}
