//! How far an exchange is: its request is checked, it has been sent, its answer is checked.

use std::mem;
use std::rc::Rc;

use sluice_core::filter::{CalloutError, CalloutId, CalloutReply, Host, Next, Side};
use sluice_core::openai::Operation;
use sluice_core::openai::error::ERROR_HEADER;

use crate::ContentGuard;
use crate::body::{Body, Packing, Promise};
use crate::config::Direction;
use crate::examine::{Examination, Outcome};
use crate::exchange::{Exchange, Withheld};
use crate::mask::Vault;
use crate::refusal;
use crate::scope::Scope;
use crate::streaming::Streaming;
use crate::verdict::Verdicts;

/// How far an exchange is.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Nothing is to be checked, or no more.
    Over,
    /// The whole request is awaited.
    Request { exchange: Box<Exchange>, packing: Packing },
    /// Services are asked about a whole body.
    Asking { exchange: Box<Exchange>, examination: Box<Examination> },
    /// The request has passed, and its answer is awaited.
    Sent { exchange: Box<Exchange> },
    /// The whole answer is awaited.
    Answer { exchange: Box<Exchange>, packing: Packing },
    /// The answer is a stream.
    Stream { exchange: Box<Exchange>, streaming: Box<Streaming> },
}

impl ContentGuard {
    pub(crate) fn begin(&mut self, host: &mut dyn Host, end: bool) -> Next {
        let headers = host.headers(Side::Request);
        let scope = Scope::of(host, &self.config, &headers);
        let (vault, verdicts) = (Vault::default(), Verdicts::default());
        let mut exchange = Box::new(Exchange { scope, vault, verdicts });
        if end || exchange.scope.request.is_empty() {
            return self.send(exchange);
        }
        if let Some(packing) = Packing::of_request(&headers) {
            self.phase = Phase::Request { exchange, packing };
            return Next::Whole { max_bytes: self.config.max_body_bytes };
        }
        match exchange.unreadable(host, &self.config, Direction::Request) {
            Some(withheld) => self.withhold(host, Direction::Request, withheld),
            None => self.send(exchange),
        }
    }

    /// Lets the request go.
    fn send(&mut self, exchange: Box<Exchange>) -> Next {
        let awaits = !exchange.scope.response.is_empty() || !exchange.vault.is_empty();
        self.phase = if awaits { Phase::Sent { exchange } } else { Phase::Over };
        Next::Pass
    }

    /// Answers in the place of what is withheld, while the client has seen nothing of an answer.
    fn withhold(&mut self, host: &mut dyn Host, direction: Direction, withheld: Withheld) -> Next {
        self.phase = Phase::Over;
        Next::Reply(refusal::reply(host, &self.config, direction, withheld))
    }

    pub(crate) fn request_body(&mut self, host: &mut dyn Host, part: &[u8]) -> Next {
        let Phase::Request { mut exchange, packing } = mem::replace(&mut self.phase, Phase::Over) else {
            return Next::Pass;
        };
        let body = Body::new(packing, Direction::Request, part.to_vec());
        let outcome = exchange.examine(host, &self.config, Direction::Request, body);
        self.apply(host, exchange, Direction::Request, outcome)
    }

    /// Does with a whole body what its examination says.
    fn apply(
        &mut self,
        host: &mut dyn Host,
        exchange: Box<Exchange>,
        direction: Direction,
        outcome: Outcome,
    ) -> Next {
        match outcome {
            Outcome::Asking(examination) => {
                self.phase = Phase::Asking { exchange, examination };
                Next::Wait
            }
            Outcome::Withheld(withheld) => self.withhold(host, direction, withheld),
            Outcome::Passes(bytes) => {
                let side = match direction {
                    Direction::Request => Side::Request,
                    Direction::Response => Side::Response,
                };
                if let Some(bytes) = bytes {
                    host.set_body(side, &bytes);
                }
                if direction == Direction::Request { self.send(exchange) } else { Next::Pass }
            }
        }
    }

    /// An answer begins. One that comes while the request is still held is not the provider's; nor is one with a code
    /// of ours, and both say nothing that a model has said.
    pub(crate) fn answer(&mut self, host: &mut dyn Host, end: bool) -> Next {
        let Phase::Sent { mut exchange } = mem::replace(&mut self.phase, Phase::Over) else {
            return Next::Pass;
        };
        let headers = host.headers(Side::Response);
        let status: u16 = headers.text(":status").and_then(|status| status.parse().ok()).unwrap_or(0);
        if end || status < 200 || headers.has(ERROR_HEADER) {
            return Next::Pass;
        }
        let max_bytes = self.config.max_answer_bytes;
        match Promise::of(&headers) {
            Promise::Media => Next::Pass,
            Promise::Json if status < 300 && refusal::operation(host) == Operation::Embeddings => Next::Pass,
            Promise::Json => {
                self.phase = Phase::Answer { exchange, packing: Packing::Json };
                Next::Whole { max_bytes }
            }
            Promise::Plain => {
                self.phase = Phase::Answer { exchange, packing: Packing::Plain };
                Next::Whole { max_bytes }
            }
            Promise::Stream => {
                let vault = mem::take(&mut exchange.vault);
                let applied = &exchange.scope.response;
                let streaming = Streaming::new(&self.config, refusal::operation(host), applied, vault);
                self.phase = Phase::Stream { exchange, streaming: Box::new(streaming) };
                host.remove_header(Side::Response, "content-length"); // it counts what the client may not get
                Next::Hold
            }
            Promise::Unread => match exchange.unreadable(host, &self.config, Direction::Response) {
                Some(withheld) => self.withhold(host, Direction::Response, withheld),
                None => Next::Pass,
            },
        }
    }

    pub(crate) fn answer_body(&mut self, host: &mut dyn Host, part: &[u8], end: bool) -> Next {
        let config = Rc::clone(&self.config);
        match mem::replace(&mut self.phase, Phase::Over) {
            Phase::Answer { mut exchange, packing } if end => {
                let body = Body::new(packing, Direction::Response, part.to_vec());
                let outcome = exchange.examine(host, &config, Direction::Response, body);
                self.apply(host, exchange, Direction::Response, outcome)
            }
            // longer than what may be held
            Phase::Answer { mut exchange, .. } => {
                match exchange.unreadable(host, &config, Direction::Response) {
                    Some(withheld) => self.withhold(host, Direction::Response, withheld),
                    None => Next::Pass,
                }
            }
            Phase::Stream { mut exchange, mut streaming } => {
                let next = streaming.pass(&mut exchange, host, &config, part, end);
                self.phase = Phase::Stream { exchange, streaming };
                next
            }
            other => {
                self.phase = other;
                Next::Pass
            }
        }
    }

    pub(crate) fn answered(
        &mut self,
        host: &mut dyn Host,
        id: CalloutId,
        reply: Result<CalloutReply, CalloutError>,
    ) -> Option<Next> {
        let config = Rc::clone(&self.config);
        match mem::replace(&mut self.phase, Phase::Over) {
            Phase::Asking { mut exchange, examination } => {
                let direction = examination.direction();
                let outcome = examination.answered(&mut exchange, host, &config, id, reply);
                let waits = matches!(outcome, Outcome::Asking(_));
                let next = self.apply(host, exchange, direction, outcome);
                (!waits).then_some(next)
            }
            Phase::Stream { mut exchange, mut streaming } => {
                let next = streaming.answered(&mut exchange, host, &config, id, reply);
                self.phase = Phase::Stream { exchange, streaming };
                next
            }
            other => {
                self.phase = other;
                None
            }
        }
    }

    pub(crate) fn woken(&mut self, host: &mut dyn Host) -> Option<Next> {
        let Phase::Stream { exchange, streaming } = &mut self.phase else { return None };
        streaming.woken(exchange, host, &self.config)
    }
}
