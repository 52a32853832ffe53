//! How an attempt goes: waiting for an answer, held at the gate, on its way to the client, or failed.

use std::mem;

use sluice_core::content::Shape;
use sluice_core::context;
use sluice_core::filter::{Headers, Host, Next, Side};
use sluice_core::meter::StreamEnd;
use sluice_core::openai::Operation;
use sluice_core::openai::error::{Code, stream_event};

use crate::Fallback;
use crate::attempt::Attempt;
use crate::config::Until;
use crate::failure::{Failure, Part};
use crate::gate::{Fault, Gate, Verdict, judge_told, judge_whole};

/// Said to the client when a stream stops without its terminator.
const UNTERMINATED: &str = "The provider ended the stream before it was complete.";

/// Envoy's timers are never so late, in milliseconds.
const TIMER_SLACK_MS: u64 = 2_000;

/// Where an attempt stands.
#[derive(Debug)]
pub(crate) enum Phase {
    /// The provider has not answered.
    Waiting(Attempt),
    /// A stream is held until it proves good.
    Gate { attempt: Attempt, gate: Box<Gate>, held: usize },
    /// A whole body is held until it is complete.
    Whole { attempt: Attempt },
    /// A stream is on its way; without a `gate`, the meter in front of us watches for its terminator.
    Committed { operation: Operation, gate: Option<Box<Gate>> },
    /// A stream that nobody here can read is on its way; only its pauses are watched.
    Passing,
    /// The attempt has failed, and Envoy knows. Should it not try again after all, the client reads `body` and
    /// nothing of the provider's.
    Failed { body: Vec<u8> },
    /// Nothing to do: no request has been seen, or all is said.
    Over,
}

impl Fallback {
    pub(crate) fn begin(&mut self, host: &mut dyn Host) {
        self.phase = Phase::Waiting(Attempt::begin(host));
    }

    pub(crate) fn judge_headers(&mut self, host: &mut dyn Host, end: bool) -> Next {
        let Phase::Waiting(attempt) = mem::replace(&mut self.phase, Phase::Over) else {
            return Next::Pass;
        };
        let headers = host.headers(Side::Response);
        let status = headers.text(":status").and_then(|status| status.parse().ok()).unwrap_or(0);
        if self.config.fails(status) {
            return self.fail(host, &attempt, Failure::of_status(status), Part::Headers { end });
        }
        if !(200..300).contains(&status) {
            attempt.close(host, status, &format!("status_{status}"));
            return Next::Pass;
        }
        self.judge_answer(host, attempt, &headers, end)
    }

    /// A 2xx: what it promises decides how it is looked at.
    fn judge_answer(&mut self, host: &mut dyn Host, attempt: Attempt, headers: &Headers, end: bool) -> Next {
        let operation = attempt.operation;
        let wants = context::STREAM.read(host, |stream| stream == "true");
        let shape = Shape::of(headers);
        let fits = match shape {
            Shape::Stream => wants != Some(false),
            Shape::Json => wants != Some(true),
            Shape::Unread => true,
            Shape::Other => false,
        };
        if operation == Operation::Other || (shape == Shape::Unread && !end) {
            return if wants == Some(true) { self.pass(host) } else { Next::Pass };
        }
        if !fits {
            return self.fail(host, &attempt, Fault::ContentType, Part::Headers { end });
        }
        if end {
            return self.fail(host, &attempt, Fault::Empty, Part::Headers { end });
        }
        if self.config.hold.until == Until::Headers {
            return if shape == Shape::Stream { self.commit(host, operation, None) } else { Next::Pass };
        }
        if shape == Shape::Stream {
            host.wake_after(self.hold_ms(host, &attempt));
            self.phase = Phase::Gate { attempt, gate: Box::new(Gate::new(operation)), held: 0 };
            return Next::Hold;
        }
        host.wake_after(self.config.hold.max_ms);
        self.phase = Phase::Whole { attempt };
        Next::Whole { max_bytes: self.config.hold.max_bytes }
    }

    /// How long a stream may be held. A hold that would end about when Envoy gives up on the first token leaves that
    /// to Envoy: were it to end first, a stream that hangs would be let go instead of tried elsewhere.
    fn hold_ms(&self, host: &dyn Host, attempt: &Attempt) -> u64 {
        let hold_ms = self.config.hold.max_ms;
        let Some(first_token_ms) = self.config.first_token_ms else { return hold_ms };
        let left_ms = first_token_ms.saturating_sub(attempt.age_ms(host));
        if hold_ms.saturating_add(first_token_ms / 20) < left_ms {
            return hold_ms;
        }
        left_ms.saturating_add(hold_ms.min(TIMER_SLACK_MS))
    }

    pub(crate) fn judge_part(&mut self, host: &mut dyn Host, part: &[u8], end: bool) -> Next {
        match mem::replace(&mut self.phase, Phase::Over) {
            Phase::Gate { attempt, mut gate, held } => match judge_stream(host, &mut gate, part, end) {
                Verdict::Bad(fault) => self.fail(host, &attempt, fault, Part::Body { end }),
                Verdict::Open if held.saturating_add(part.len()) <= self.config.hold.max_bytes => {
                    let held = held.saturating_add(part.len());
                    self.phase = Phase::Gate { attempt, gate, held };
                    Next::Hold
                }
                Verdict::Open | Verdict::Good => {
                    let next = self.commit(host, attempt.operation, Some(gate));
                    if end { self.close_stream(host) } else { next }
                }
            },
            Phase::Whole { attempt } if end => match judge_answer(host, attempt.operation, part) {
                Verdict::Bad(fault) => self.fail(host, &attempt, fault, Part::Body { end }),
                Verdict::Open | Verdict::Good => Next::Pass,
            },
            Phase::Committed { operation, gate } => self.watch(host, operation, gate, part, end),
            Phase::Failed { body } => {
                self.phase = Phase::Failed { body };
                self.replace(host, end)
            }
            // A whole body over the bound, or a part nobody waits for.
            _ => Next::Pass,
        }
    }

    /// Lets a stream go. Its end is told by the meter in front of us, or else watched for here.
    fn commit(&mut self, host: &mut dyn Host, operation: Operation, gate: Option<Box<Gate>>) -> Next {
        if let Some(idle_ms) = self.config.idle_ms {
            host.wake_after(idle_ms);
        }
        if context::METER.is_set(host) {
            self.phase = Phase::Committed { operation, gate: None };
            return Next::End;
        }
        let gate = gate.unwrap_or_else(|| Box::new(Gate::new(operation)));
        self.phase = Phase::Committed { operation, gate: Some(gate) };
        Next::Watch
    }

    fn pass(&mut self, host: &mut dyn Host) -> Next {
        let Some(idle_ms) = self.config.idle_ms else { return Next::Pass };
        host.wake_after(idle_ms);
        self.phase = Phase::Passing;
        Next::End
    }

    fn watch(
        &mut self,
        host: &mut dyn Host,
        operation: Operation,
        mut gate: Option<Box<Gate>>,
        part: &[u8],
        end: bool,
    ) -> Next {
        if let Some(gate) = &mut gate {
            gate.watch(part, end);
        }
        let next = if gate.is_some() { Next::Watch } else { Next::End };
        self.phase = Phase::Committed { operation, gate };
        if end { self.close_stream(host) } else { next }
    }

    /// Breaks a stream that has stalled. Envoy's own `per_try_idle_timeout` cannot: it dies with
    /// `per_try_timeout`, which fires unheeded once a stream has begun (1.40).
    fn watch_idle(&mut self, host: &mut dyn Host) -> Option<Next> {
        let limit = self.config.idle_ms?;
        let idle = host.idle_ms(Side::Response);
        if idle < limit {
            host.wake_after(limit.saturating_sub(idle));
            return None;
        }
        self.phase = Phase::Over;
        context::STREAM_END.set(host, "timeout");
        context::ERROR.set(host, Code::UpstreamTimeout.name());
        Some(Next::Break)
    }

    /// The provider has ended the stream: one that lacks its terminator gets an error event instead.
    fn close_stream(&mut self, host: &mut dyn Host) -> Next {
        if let Phase::Committed { operation, gate } = mem::replace(&mut self.phase, Phase::Over) {
            let unterminated = match gate {
                Some(gate) => gate.is_unterminated(),
                None => context::STREAM_END.is(host, StreamEnd::Unterminated.name()),
            };
            if unterminated {
                let event = stream_event(operation, Code::UpstreamError, UNTERMINATED);
                host.append_body(Side::Response, event.as_bytes());
                context::ERROR.set(host, Code::UpstreamError.name());
            }
        }
        Next::Pass
    }

    /// The time asked for has come: the hold has lasted long enough, or a stream may have stalled.
    pub(crate) fn woken(&mut self, host: &mut dyn Host) -> Option<Next> {
        match mem::replace(&mut self.phase, Phase::Over) {
            Phase::Gate { attempt, gate, .. } => Some(self.commit(host, attempt.operation, Some(gate))),
            Phase::Whole { .. } => Some(Next::Pass),
            running @ (Phase::Committed { .. } | Phase::Passing) => {
                self.phase = running;
                self.watch_idle(host)
            }
            other => {
                self.phase = other;
                None
            }
        }
    }

    /// The attempt is over. If it broke off unanswered, how is told here, where alone Envoy says it.
    pub(crate) fn finish(&mut self, host: &mut dyn Host) {
        let (Phase::Waiting(attempt) | Phase::Gate { attempt, .. } | Phase::Whole { attempt }) = &self.phase
        else {
            return;
        };
        let is_stream = context::STREAM.read(host, |stream| stream == "true").unwrap_or(true);
        let connect =
            host.attribute(&["upstream", "transport_failure_reason"]).is_some_and(|why| !why.is_empty());
        let (verdict, words) = if connect {
            ("connect_failure", "connection failed")
        } else if is_stream && self.config.first_token_ms.is_some_and(|limit| attempt.has_lasted(host, limit))
        {
            ("timeout", "no answer in time")
        } else {
            ("reset", "connection broken")
        };
        context::ATTEMPT_BROKE.set(host, verdict);
        let now_ms = host.now_ms();
        context::ATTEMPT_ENDED.set_number(host, now_ms);
        attempt.lament(host, words);
    }
}

/// What the meter in front of us knows of the stream's end the gate need not know as well.
fn judge_stream(host: &dyn Host, gate: &mut Gate, part: &[u8], end: bool) -> Verdict {
    if context::METER.is_set(host) { gate.judge(part, end) } else { gate.watch(part, end) }
}

/// Judges a whole body; by the word of the meter in front of us, if there is one.
fn judge_answer(host: &dyn Host, operation: Operation, body: &[u8]) -> Verdict {
    context::ANSWER.get(host).map_or_else(
        || judge_whole(operation, body),
        |answer| judge_told(&answer, context::FINISH_REASON.get(host).as_deref()),
    )
}
