//! One filter's part in an exchange: turns what passes into its callbacks, and [`Next`] into what the chain does.

use std::rc::Rc;

use sluice_core::context;
use sluice_core::filter::{CalloutId, Host as _, Next, Side};

use crate::abi;
use crate::detached::Detached;
use crate::dispatch::Action;
use crate::envoy::{self, Envoy};
use crate::facts::Name;
use crate::flow::Window;
use crate::kind::{Answer, Live, Setting, Settings};
use crate::progress::{Mode, Progress, with_wait};
use crate::reply::{declared_length, send, too_large};
use crate::stage::Stage;

/// What may come beside the stream itself.
pub(crate) enum Event {
    /// A callout has ended.
    Callout(CalloutId, Answer),
    /// The time to wake has come.
    Wake,
}

/// What a filter decided outside of a callback of the stream, of the side that it held.
pub(crate) struct Decision {
    pub(crate) side: Side,
    /// Whether what it held goes on.
    pub(crate) goes_on: bool,
    /// What it has made of that, in bytes.
    pub(crate) length: usize,
}

/// A filter and the two sides of its exchange.
pub(crate) struct Exchange {
    name: &'static str,
    at: usize,
    detached: Rc<Detached>,
    settings: Rc<dyn Settings>,
    setting: Option<Rc<dyn Setting>>,
    /// The route whose configuration that is; empty where routes make no difference.
    route: String,
    filter: Option<Box<dyn Live>>,
    over: bool,
    request: Progress,
    response: Progress,
}

impl Exchange {
    /// Filter `name` as member `at` of a chain.
    pub(crate) fn new(
        name: &'static str,
        at: usize,
        settings: Rc<dyn Settings>,
        detached: Rc<Detached>,
    ) -> Self {
        let (request, response) = (Progress::default(), Progress::default());
        Self {
            name,
            at,
            detached,
            settings,
            setting: None,
            route: String::new(),
            filter: None,
            over: false,
            request,
            response,
        }
    }

    /// The configuration of the stream's route. `xds.route_name` is read only where it can matter.
    fn of_route(&mut self) -> Rc<dyn Setting> {
        if !self.settings.has_overrides() {
            return self.settings.get("");
        }
        let route = abi::attribute(&["xds", "route_name"]).unwrap_or_default();
        self.route = String::from_utf8_lossy(&route).into_owned();
        self.settings.get(&self.route)
    }

    /// Starts the filter with the first callback that has something for it.
    fn start(&mut self) {
        if self.filter.is_none() && !self.over {
            let setting = self.of_route();
            self.filter = Some(setting.start());
            self.setting = Some(setting);
        }
    }

    fn side(&mut self, side: Side) -> &mut Progress {
        match side {
            Side::Request => &mut self.request,
            Side::Response => &mut self.response,
        }
    }

    /// More came than the filter wanted to hold: a request is refused, of a response it sees the first part.
    fn over_limit(&mut self, part: Part<'_>, max: usize, end: bool) -> (Action, usize) {
        if part.side == Side::Request {
            return self.apply(part, too_large(max), part.window.length);
        }
        self.show(part, 0, end)
    }

    fn hold_unseen(&mut self, part: Part<'_>) -> (Action, usize) {
        self.count_held(part.side, part.window.length);
        (Action::Pause, part.window.length)
    }

    /// Shows the filter what is in `part` behind its first `from` bytes, after which it has seen all of it.
    fn show(&mut self, part: Part<'_>, from: usize, end: bool) -> (Action, usize) {
        let Part { stage, side, window } = part;
        self.side(side).ended |= end;
        let unseen =
            Window { start: window.start.saturating_add(from), length: window.length.saturating_sub(from) };
        let bytes = stage.read(side, unseen);
        let mut size = window.length;
        let next = self.ask(part, end, &mut size, |filter, host| match side {
            Side::Request => filter.on_request_body(host, &bytes, end),
            Side::Response => filter.on_response_body(host, &bytes, end),
        });
        self.apply(part, next, size)
    }

    /// Calls the filter with a host of its own, then takes over what it asked of the adapter.
    fn ask(
        &mut self,
        part: Part<'_>,
        end: bool,
        size: &mut usize,
        call: impl FnOnce(&mut dyn Live, &mut Envoy<'_>) -> Next,
    ) -> Next {
        let mut host = self.host(part, end);
        let next = match &mut self.filter {
            Some(filter) => call(&mut **filter, &mut host),
            None => Next::Pass,
        };
        *size = host.replaced.unwrap_or(*size).saturating_add(host.added);
        self.settle(part.stage, &mut host);
        next
    }

    /// A host for one callback about `part`.
    fn host<'a>(&self, part: Part<'a>, complete: bool) -> Envoy<'a> {
        let progress = match part.side {
            Side::Request => self.request,
            Side::Response => self.response,
        };
        Envoy {
            stage: Some(part.stage),
            member: self.at,
            context: part.stage.context,
            root: part.stage.root,
            plugin: self.name,
            side: Some(part.side),
            window: part.window,
            headers_held: !progress.headers_gone,
            last_ms: (self.request.last_ms, self.response.last_ms),
            complete,
            ..Envoy::default()
        }
    }

    /// Books what a filter asked for beyond this callback.
    fn settle(&self, stage: &Stage, host: &mut Envoy<'_>) {
        if let Some(setting) = &self.setting {
            self.detached.settle(host, setting, &self.route);
        }
        if let Some(ms) = host.wake {
            let at_ms = host.now_ms().saturating_add(ms);
            self.detached.waiting.add(stage.member(self.at), stage.context, at_ms, stage.waker.clone());
        }
    }

    /// Tells the host what becomes of the part at hand, after which the filter has seen all `size` bytes of what is held.
    fn apply(&mut self, part: Part<'_>, next: Next, size: usize) -> (Action, usize) {
        (self.turn(part, next, size, size), size)
    }

    /// As [`Self::apply`], where of the `size` bytes that are held only `shown` have been seen.
    fn turn(&mut self, part: Part<'_>, next: Next, shown: usize, size: usize) -> Action {
        let Part { stage, side, .. } = part;
        if side == Side::Request {
            self.time_wait(stage, &next);
        }
        let action = self.side(side).turn(&next, shown);
        self.count_held(side, size);
        match next {
            Next::Reply(reply) => send(stage, reply),
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
            envoy::adjust_held(change);
        }
    }

    /// Publishes how long the request has waited, when its wait ends.
    fn time_wait(&mut self, stage: &Stage, next: &Next) {
        if let Some(ms @ 1..) = self.request.time_wait(next, || stage.now_ns()) {
            let (waits, mut list) = (Name::Known(context::WAITS), Vec::new());
            stage.facts.read(waits, &mut |value| list = value.to_vec());
            stage.facts.set(waits, &with_wait(list, self.name, ms));
        }
    }

    /// The side that a decision outside of a callback of the stream is about.
    fn held_side(&self) -> Side {
        if self.request.held && !self.response.held { Side::Request } else { Side::Response }
    }
}

/// What a callback is about.
#[derive(Clone, Copy)]
struct Part<'a> {
    stage: &'a Stage,
    side: Side,
    window: Window,
}

impl Exchange {
    /// Headers have come; `end` when there is no body. A local reply of an outer filter, or of Envoy itself, may come
    /// before any request callback.
    pub(crate) fn headers(&mut self, stage: &Stage, side: Side, end: bool) -> Action {
        self.start();
        let part = Part { stage, side, window: Window::default() };
        let next = self.ask(part, false, &mut 0, |filter, host| match side {
            Side::Request => filter.on_request_headers(host, end),
            Side::Response => filter.on_response_headers(host, end),
        });
        let next = match next {
            Next::Whole { max_bytes }
                if side == Side::Request && !end && declared_length(stage) > Some(max_bytes) =>
            {
                too_large(max_bytes)
            }
            next => next,
        };
        let wants_end = end && !matches!(next, Next::Pass | Next::Wait | Next::Reply(_) | Next::Break);
        if wants_end {
            self.side(side).mode = Mode::of(&next);
            return self.show(part, 0, true).0;
        }
        self.apply(part, next, 0).0
    }

    /// A part of the body has come, `window` in Envoy's buffer: what is new, or all that is held. The second is how many
    /// bytes it has become.
    pub(crate) fn body(&mut self, stage: &Stage, side: Side, window: Window, end: bool) -> (Action, usize) {
        let part = Part { stage, side, window };
        let Progress { mode, shown, .. } = *self.side(side);
        if matches!(mode, Mode::Watch | Mode::End | Mode::Hold) {
            self.side(side).last_ms = stage.now_ns() / 1_000_000;
        }
        match mode {
            Mode::Pass => (Action::Continue, window.length),
            Mode::End if !end => (Action::Continue, window.length),
            Mode::End => self.show(part, window.length, true),
            Mode::Over => (Action::Pause, window.length),
            Mode::Wait => self.hold_unseen(part),
            Mode::Whole(max) if window.length > max => self.over_limit(part, max, end),
            Mode::Whole(_) if !end => self.hold_unseen(part),
            Mode::Whole(_) | Mode::Watch => self.show(part, 0, end),
            Mode::Hold => self.show(part, shown, end),
        }
    }

    /// A body followed by trailers never sees its end in a chunk; it ends here.
    pub(crate) fn trailers(&mut self, stage: &Stage, side: Side, window: Window) -> (Action, usize) {
        let part = Part { stage, side, window };
        let Progress { mode, ended, .. } = *self.side(side);
        match mode {
            Mode::Pass => (Action::Continue, window.length),
            Mode::Over | Mode::Wait => (Action::Pause, window.length),
            _ if ended => (Action::Continue, window.length),
            Mode::Whole(_) => self.show(part, 0, true),
            Mode::Watch | Mode::End | Mode::Hold => self.show(part, window.length, true),
        }
    }

    /// Something else than the stream has come, while the member held these parts of request and response.
    pub(crate) fn later(&mut self, stage: &Stage, held: [Window; 2], event: Event) -> Option<Decision> {
        let side = self.held_side();
        let [request, response] = held;
        let window = if side == Side::Request { request } else { response };
        let part = Part { stage, side, window };
        let Progress { ended, shown, held, .. } = *self.side(side);
        let mut host = self.host(part, ended);
        let next = self.filter.as_mut().and_then(|filter| match event {
            Event::Callout(id, reply) => filter.on_callout(&mut host, id, reply),
            Event::Wake => filter.on_wake(&mut host),
        });
        self.settle(stage, &mut host);
        let now = |bytes: usize| host.replaced.unwrap_or(bytes).saturating_add(host.added);
        let length = now(window.length);
        let action = next.map(|next| self.turn(part, next, now(shown), length));
        Some(Decision { side, goes_on: held && action == Some(Action::Continue), length })
    }

    /// The exchange is over; comes again when it has been logged already.
    pub(crate) fn done(&mut self, stage: &Stage) {
        self.detached.waiting.remove(stage.member(self.at));
        self.over = true;
        if let Some(mut filter) = self.filter.take() {
            let part = Part { stage, side: Side::Response, window: Window::default() };
            let mut host = self.host(part, true);
            filter.on_done(&mut host);
            if let Some(setting) = &self.setting {
                self.detached.settle(&mut host, setting, &self.route);
            }
        }
        self.count_held(Side::Request, 0);
        self.count_held(Side::Response, 0);
    }
}
