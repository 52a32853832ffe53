//! The context of one stream: its chain of filters, which to Envoy is one.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use sluice_core::filter::{CalloutId, Side, StreamId};

use crate::abi;
use crate::callout::callout_reply;
use crate::dispatch::{Action, StreamContext};
use crate::exchange::{Decision, Event, Exchange};
use crate::facts::Store;
use crate::flow::{Flow, Line, Window};
use crate::stage::Stage;
use crate::wake::Wake;

/// One HTTP stream as proxy-wasm sees it.
pub(crate) struct Stream {
    stage: Stage,
    chain: RefCell<Chain>,
}

/// The filters of a stream, outermost first, and how far its two sides are.
struct Chain {
    members: Vec<Exchange>,
    request: Flow,
    response: Flow,
}

impl Stream {
    pub(crate) fn new(context: u32, root: u32, facts: Store, members: Vec<Exchange>) -> Rc<Self> {
        let (request, response) = (Flow::new(members.len()), Flow::new(members.len()));
        let chain = RefCell::new(Chain { members, request, response });
        Rc::new_cyclic(|this: &Weak<Self>| Self {
            stage: Stage::new(context, root, facts, this.clone()),
            chain,
        })
    }

    /// Lets a side go on as far as it can.
    fn advance(&self, side: Side, call: impl FnOnce(&mut Flow, &mut Members<'_>) -> Action) -> Action {
        let mut chain = self.chain.borrow_mut();
        let action = chain.advance(&self.stage, side, call);
        self.stage.forget(chain.holds_headers(side));
        action
    }

    /// Lets member `at` decide outside of a callback of the stream, and resumes what it lets go.
    fn decide(&self, at: usize, event: Event) {
        let mut chain = self.chain.borrow_mut();
        let resumed = chain.decide(&self.stage, at, event);
        self.stage.forget(chain.holds_headers(Side::Request).or(chain.holds_headers(Side::Response)));
        drop(chain);
        if let Some(side) = resumed {
            abi::resume(side);
        }
    }
}

impl StreamContext for Stream {
    fn on_headers(&self, side: Side, end: bool) -> Action {
        self.stage.set_size(side, 0);
        self.advance(side, |flow, members| flow.on_headers(members, end))
    }

    fn on_body(&self, side: Side, size: usize, end: bool) -> Action {
        self.stage.set_size(side, size);
        self.advance(side, |flow, members| flow.on_body(members, size, end))
    }

    fn on_trailers(&self, side: Side) -> Action {
        self.advance(side, |flow, members| flow.on_trailers(members))
    }

    fn on_callout(&self, token: u32, body_size: usize) {
        if let Some(at) = self.stage.take_callout(token) {
            self.decide(at, Event::Callout(CalloutId(token), callout_reply(body_size)));
        }
    }

    /// Envoy asks a downstream filter to log before it writes the access log; when it is done, which follows,
    /// facts would come too late to be in it.
    fn on_done(&self) {
        self.chain.borrow_mut().members.iter_mut().for_each(|member| member.done(&self.stage));
        self.stage.forget(None);
    }

    fn open_callouts(&self) -> Vec<u32> {
        self.stage.open_callouts()
    }
}

impl Wake for Stream {
    fn wake(&self, member: StreamId) {
        let at = usize::try_from(member.0 & 0xff).unwrap_or_default();
        self.decide(at, Event::Wake);
    }
}

impl Chain {
    fn advance(
        &mut self,
        stage: &Stage,
        side: Side,
        call: impl FnOnce(&mut Flow, &mut Members<'_>) -> Action,
    ) -> Action {
        let Self { members, request, response } = self;
        let flow = if side == Side::Request { request } else { response };
        let action = call(flow, &mut Members { stage, members, side });
        if action == Action::Continue {
            stage.set_size(side, 0);
        }
        action
    }

    /// The side, if its headers wait for a member.
    fn holds_headers(&self, side: Side) -> Option<Side> {
        let flow = if side == Side::Request { &self.request } else { &self.response };
        flow.holds_headers().then_some(side)
    }

    /// The side to resume, if there is one.
    fn decide(&mut self, stage: &Stage, at: usize, event: Event) -> Option<Side> {
        let back = from_end(self.members.len(), at);
        let held = [self.request.held(at), self.response.held(back)];
        let Decision { side, goes_on, length } = self.members.get_mut(at)?.later(stage, held, event)?;
        let (flow, place) = match side {
            Side::Request => (&mut self.request, at),
            Side::Response => (&mut self.response, back),
        };
        if !goes_on || !flow.is_stopped(place) {
            flow.resize(place, length);
            return None;
        }
        let action = self.advance(stage, side, |flow, members| flow.resume(members, place, length));
        (action == Action::Continue).then_some(side)
    }
}

/// An answer passes the members from the last to the first.
fn from_end(members: usize, at: usize) -> usize {
    members.saturating_sub(at).saturating_sub(1)
}

/// The members of a chain in the order of one side.
struct Members<'a> {
    stage: &'a Stage,
    members: &'a mut [Exchange],
    side: Side,
}

impl Members<'_> {
    fn get(&mut self, at: usize) -> Option<&mut Exchange> {
        let at = match self.side {
            Side::Request => at,
            Side::Response => from_end(self.members.len(), at),
        };
        self.members.get_mut(at)
    }
}

impl Line for Members<'_> {
    fn headers(&mut self, at: usize, end: bool) -> Action {
        let (stage, side) = (self.stage, self.side);
        self.get(at).map_or(Action::Continue, |member| member.headers(stage, side, end))
    }

    fn body(&mut self, at: usize, window: Window, end: bool) -> (Action, usize) {
        let (stage, side) = (self.stage, self.side);
        let passed = (Action::Continue, window.length);
        self.get(at).map_or(passed, |member| member.body(stage, side, window, end))
    }

    fn trailers(&mut self, at: usize, window: Window) -> (Action, usize) {
        let (stage, side) = (self.stage, self.side);
        let passed = (Action::Continue, window.length);
        self.get(at).map_or(passed, |member| member.trailers(stage, side, window))
    }
}
