//! Drives the checks of a stream, and decides when what they let go leaves.
//!
//! Envoy (1.40) lets a filter send something on only with a part that comes by or that it has held, and then nothing is
//! held any more. So what is still kept back then can follow only with the provider's next part. While parts come one
//! after the other, that is soon enough, and what may leave leaves with one of them, every tenth of `max_hold_ms`. When
//! they cease, all waits until all may leave.

mod opinions;

use std::collections::HashMap;
use std::mem;

use sluice_core::context;
use sluice_core::detect::Form;
use sluice_core::filter::{CalloutError, CalloutId, CalloutReply, Host, Next, Side};
use sluice_core::openai::Operation;

use self::opinions::Asked;
use crate::config::{Action, Config, Direction, OnError};
use crate::ending::{self, Ending};
use crate::exchange::{Exchange, Withheld};
use crate::inquiry::Inquiry;
use crate::inspect;
use crate::mask::Vault;
use crate::refusal;
use crate::scope::Applied;
use crate::services::Risk;
use crate::stream::{Act, Checks, Finding, Setup, State, Step, Streamed};
use crate::verdict::Verdict;

/// Which part of `max_hold_ms` text that may leave waits for text that may not.
const LINGER: u64 = 10;

/// One streamed answer.
#[derive(Debug)]
pub(crate) struct Streaming {
    operation: Operation,
    machine: Streamed,
    inquiry: Inquiry<u64>,
    asked: HashMap<u64, Asked>,
    ready: Vec<u8>,          // may leave
    held_since: Option<u64>, // milliseconds since the epoch; none: Envoy holds nothing for us
    begun: bool,             // the client has got something
    ended: bool,             // by the provider
    cut: bool,               // by us
}

/// The local checks that apply.
struct Live<'a> {
    config: &'a Config,
    applied: &'a Applied,
}

impl Checks for Live<'_> {
    fn find(&self, form: Form, text: &str, from: usize) -> Vec<Finding> {
        let found = self.config.local.find(&self.applied.local, form, text, from);
        found.into_iter().filter_map(|finding| self.finding(finding)).collect()
    }

    fn settled(&self, form: Form, text: &str, from: usize) -> (usize, usize) {
        let settled = self.config.local.settled(&self.applied.local, form, text, from);
        (settled.until, settled.keep)
    }
}

impl Live<'_> {
    fn finding(&self, finding: crate::local::Finding) -> Option<Finding> {
        let check = self.config.checks.get(finding.check)?;
        let act = match check.action {
            Action::Block => Act::Block,
            Action::Mask => Act::Mask,
            Action::Log => Act::Log,
        };
        let label = inspect::label(&check.name, finding.category);
        let (range, check, category) = (finding.range, finding.check, finding.category.to_owned());
        Some(Finding { range, check, category, label, act })
    }
}

impl Streaming {
    pub(crate) fn new(config: &Config, operation: Operation, applied: &Applied, vault: Vault) -> Self {
        let Config { window_chars, .. } = *config;
        let max_hold_ms = config.max_hold_ms.saturating_sub(config.max_hold_ms / LINGER);
        let services = !applied.services.is_empty();
        let lenient = applied.is_empty() || config.on_error == OnError::Allow;
        Self {
            operation,
            machine: Streamed::new(Setup { max_hold_ms, window_chars, services, lenient, vault }),
            inquiry: Inquiry::default(),
            asked: HashMap::new(),
            ready: Vec::new(),
            held_since: None,
            begun: false,
            ended: false,
            cut: false,
        }
    }

    /// Takes a part of the stream.
    pub(crate) fn pass(
        &mut self,
        exchange: &mut Exchange,
        host: &mut dyn Host,
        config: &Config,
        part: &[u8],
        end: bool,
    ) -> Next {
        self.ended |= end;
        if self.cut {
            return self.swallow(host);
        }
        let now_ms = host.now_ms();
        // what has become free since the last part waits for no other
        let is_late = self.held_since.is_none() && !self.ready.is_empty();
        self.held_since.get_or_insert(now_ms);
        let live = Live { config, applied: &exchange.scope.response };
        let step = self.machine.feed(&live, now_ms, part, end);
        let next = match self.step(exchange, host, config, step) {
            Some(Next::Hold) if !self.ended && (is_late || self.has_lingered(config, now_ms)) => {
                self.let_go(host)
            }
            next => next,
        };
        if matches!(next, None | Some(Next::Hold)) && !part.is_empty() {
            host.set_body(Side::Response, b""); // it is kept here
        }
        next.unwrap_or(Next::Hold)
    }

    /// The time has come that the checks or what may leave waited for.
    pub(crate) fn woken(
        &mut self,
        exchange: &mut Exchange,
        host: &mut dyn Host,
        config: &Config,
    ) -> Option<Next> {
        if self.cut {
            return None;
        }
        let live = Live { config, applied: &exchange.scope.response };
        let step = self.machine.tick(&live, host.now_ms());
        self.step(exchange, host, config, step)
    }

    /// A service has answered, or not.
    pub(crate) fn answered(
        &mut self,
        exchange: &mut Exchange,
        host: &mut dyn Host,
        config: &Config,
        id: CalloutId,
        reply: Result<CalloutReply, CalloutError>,
    ) -> Option<Next> {
        let heard = self.inquiry.ended(host, config, id, reply)?;
        if self.cut {
            return None;
        }
        match self.hear(exchange, host, config, heard) {
            Ok(Some(step)) => self.step(exchange, host, config, step),
            Ok(None) => self.woken(exchange, host, config), // there is room for a call that waits
            Err(withheld) => self.cut_off(host, config, withheld),
        }
    }

    /// Does what the checks say, until they have nothing more to say.
    fn step(
        &mut self,
        exchange: &mut Exchange,
        host: &mut dyn Host,
        config: &Config,
        step: Step,
    ) -> Option<Next> {
        let mut step = step;
        loop {
            self.record(exchange, host, config, &step);
            self.ready.append(&mut step.release);
            match step.state {
                State::Open => {}
                State::Over => return self.let_go(host),
                State::Blocked => return self.cut_off(host, config, Withheld::Blocked),
                State::Unreadable => {
                    let withheld = exchange.unreadable(host, config, Direction::Response);
                    return self.cut_off(host, config, withheld.unwrap_or(Withheld::Unreadable));
                }
            }
            match self.ask(exchange, host, config, &mut step) {
                Ok(Some(next)) => step = next,
                Ok(None) => return self.wait(host, &step),
                Err(withheld) => return self.cut_off(host, config, withheld),
            }
        }
    }

    fn record(&self, exchange: &mut Exchange, host: &mut dyn Host, config: &Config, step: &Step) {
        let verdict = |finding: &Finding| {
            let check = config.checks.get(finding.check)?;
            let (on, action) = (Direction::Response, check.action.name());
            Some(Verdict::new(&check.name, on, &finding.category, Risk::High, action))
        };
        exchange.verdicts.add_all(host, config, step.findings.iter().filter_map(verdict));
        if step.unread {
            exchange.unreadable(host, config, Direction::Response);
        }
    }

    /// Holds what is there, or lets it go if nothing stays back; `None`: Envoy holds nothing for us.
    fn wait(&mut self, host: &mut dyn Host, step: &Step) -> Option<Next> {
        if !step.retained && self.inquiry.is_done() {
            return self.let_go(host);
        }
        if let Some(due_ms) = step.due_ms {
            host.wake_after(due_ms.saturating_sub(host.now_ms()).max(1));
        }
        self.held_since.map(|_| Next::Hold)
    }

    /// Whether what may leave has waited long enough for what may not.
    fn has_lingered(&self, config: &Config, now_ms: u64) -> bool {
        let held_ms = self.held_since.map_or(0, |since_ms| now_ms.saturating_sub(since_ms));
        let linger_ms = if self.inquiry.is_done() { config.max_hold_ms / LINGER } else { config.max_hold_ms };
        !self.ready.is_empty() && held_ms >= linger_ms
    }

    /// Sends what may leave, if Envoy holds something that it can leave with.
    fn let_go(&mut self, host: &mut dyn Host) -> Option<Next> {
        self.held_since.take()?;
        host.set_body(Side::Response, &mem::take(&mut self.ready));
        self.begun = true;
        Some(if self.ended { Next::Pass } else { Next::Watch })
    }

    /// Ends the stream for the client: with a reply of its own where nothing of it has left, else in its midst.
    fn cut_off(&mut self, host: &mut dyn Host, config: &Config, withheld: Withheld) -> Option<Next> {
        self.cut = true;
        let direction = Direction::Response;
        if !self.begun {
            return Some(Next::Reply(refusal::reply(host, config, direction, withheld)));
        }
        let (code, message) = refusal::error(config, direction, withheld);
        let ending = if refusal::is_completion(config, withheld) {
            Ending::Completion
        } else {
            context::ERROR.set(host, code.name());
            Ending::Error(code)
        };
        self.ready.extend(ending::cut(self.operation, self.machine.shown(), ending, message));
        context::FINISH_REASON.set(host, refusal::CONTENT_FILTER);
        self.let_go(host)
    }

    /// What follows on a stream that we have ended goes nowhere. Whoever meters it says at its end why the provider
    /// ended it, which is not what the client saw.
    fn swallow(&mut self, host: &mut dyn Host) -> Next {
        host.set_body(Side::Response, &mem::take(&mut self.ready));
        if self.ended {
            context::FINISH_REASON.set(host, refusal::CONTENT_FILTER);
            return Next::Pass;
        }
        Next::Watch
    }
}
