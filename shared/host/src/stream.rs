//! The stream context of a filter: turns callbacks into [`Filter`] calls, and [`Next`] into what the host does.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use sluice_core::config::RouteConfigs;
use sluice_core::context;
use sluice_core::filter::{CalloutError, CalloutId, CalloutReply, Filter, Host as _, Next, Side};

use crate::abi;
use crate::callout::callout_reply;
use crate::detached::Detached;
use crate::dispatch::{Action, StreamContext};
use crate::envoy::{self, Envoy, body_buffer};
use crate::progress::{Mode, Progress, with_wait};
use crate::reply::{declared_length, send, too_large};
use crate::wake::{Waiting, Wake};

/// Gauge of the bytes of bodies that Envoy holds for filters, in all workers.
const HELD_BYTES: &str = "sluice_held_bytes";

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
            self.side(side).mode = Mode::of(&next);
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
            Mode::Over => return Action::Pause,
            Mode::Wait => return self.hold_unseen(side, size),
            Mode::Whole(max) if size > max => return self.over_limit(side, size, max, end),
            Mode::Whole(_) if !end => return self.hold_unseen(side, size),
            Mode::Whole(_) | Mode::Watch => 0,
            Mode::Hold => shown,
        };
        let part = match size.saturating_sub(from) {
            0 => None,
            length => abi::buffer(body_buffer(side), from, length),
        };
        self.show(side, &part.unwrap_or_default(), size, end)
    }

    fn hold_unseen(&mut self, side: Side, size: usize) -> Action {
        self.count_held(side, size);
        Action::Pause
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

    /// Tells the host what becomes of the part at hand, after which the filter has seen all `size` bytes of what is held.
    fn apply(&mut self, side: Side, next: Next, size: usize) -> Action {
        self.turn(side, next, size, size)
    }

    /// As [`Self::apply`], where of the `size` bytes that are held only `shown` have been seen.
    fn turn(&mut self, side: Side, next: Next, shown: usize, size: usize) -> Action {
        if side == Side::Request {
            self.time_wait(&next);
        }
        let action = self.side(side).turn(&next, shown);
        self.count_held(side, size);
        match next {
            Next::Reply(reply) => send(reply),
            Next::Break => abi::reset(side),
            _ => {}
        }
        action
    }

    /// Keeps the gauge at what is held. Of a stream that is over nothing is, whatever Envoy may still show of it.
    fn count_held(&mut self, side: Side, size: usize) {
        let size = if self.filter.is_some() { size } else { 0 };
        let change = self.side(side).hold(size);
        if change != 0 {
            envoy::adjust(HELD_BYTES, change);
        }
    }

    /// Publishes how long the request has waited, when its wait ends.
    fn time_wait(&mut self, next: &Next) {
        if let Some(ms @ 1..) = self.request.time_wait(next, abi::now_ns) {
            let fact = context::WAITS.0.as_bytes();
            let list = abi::property(fact).unwrap_or_default();
            abi::set_property(fact, &with_wait(list, F::NAME, ms));
        }
    }

    fn callout_ended(&mut self, id: CalloutId, reply: Result<CalloutReply, CalloutError>) {
        self.decide_later(|filter, host| filter.on_callout(host, id, reply));
    }

    /// Lets the filter decide outside of a callback of the stream, and resumes what it lets go.
    fn decide_later(&mut self, call: impl FnOnce(&mut F, &mut Envoy) -> Option<Next>) {
        let waits_for_request = self.request.held && !self.response.held;
        let side = if waits_for_request { Side::Request } else { Side::Response };
        let Progress { ended, shown, held, held_bytes, .. } = *self.side(side);
        let mut host = self.host(side, ended);
        let next = self.filter.as_mut().and_then(|filter| call(filter, &mut host));
        self.settle(&host);
        let Some(next) = next else { return };
        let now = |bytes: usize| host.replaced.unwrap_or(bytes).saturating_add(host.added);
        let action = self.turn(side, next, now(shown), now(held_bytes));
        if held && action == Action::Continue {
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
        self.count_held(Side::Request, 0);
        self.count_held(Side::Response, 0);
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

fn now_ms() -> u64 {
    abi::now_ns().checked_div(1_000_000).unwrap_or_default()
}
