//! What every call is made of: its commands, the answers that have come, and the client that sent it.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use super::call::{Options, Replies};
use super::command::Command;
use super::frames::DecodeError;
use super::reply::{RedisError, Reply, decode};
use super::unavailable::Unavailable;
use crate::breaker::{Breaker, Ticket};
use crate::filter::{Callout, CalloutError, CalloutReply, Host};
use crate::metric::{Family, Label, series};

/// Calls, those that the breaker held back among them.
pub const CALLS: Family = Family::counter("redis_calls_total", &[]);

/// Calls and commands that failed, by [`Unavailable::kind`] and [`RedisError::kind`].
pub const FAILURES: Family = Family::counter("redis_failures_total", &[Label::Kind]);

/// Times that a worker's breaker opened.
pub const BREAKER_OPENED: Family = Family::counter("redis_breaker_opened_total", &[]);

/// How long answered calls took, in milliseconds.
pub const CALL_MS: Family = Family::histogram("redis_call_ms", &[]);

/// `redis-bridge`'s status for replies beyond its bound.
const TOO_LARGE: u16 = 507;

/// Where calls go, and whether they go at all. A call takes it along: wherever its end is read, its outcome counts
/// toward the breaker that let it through.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) options: Options,
    breaker: Mutex<Breaker>,
}

/// Commands that await their answers.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) client: Arc<Client>,
    pub(super) ticket: Ticket,
    time_ms: u32, // for all of it, from `sent_ms`
    sent_ms: u64,
    commands: Vec<Command>,
    answers: Vec<Option<Result<Reply, RedisError>>>, // none: awaited
    with_source: bool,
}

impl Client {
    pub(super) fn new(options: Options) -> Self {
        Self { options, breaker: Mutex::default() }
    }

    /// Begins a call that may take `time_ms`; it is still to be sent.
    ///
    /// # Errors
    /// [`Unavailable::BreakerOpen`].
    pub(super) fn begin(
        self: &Arc<Self>,
        host: &mut dyn Host,
        commands: Vec<Command>,
        time_ms: u32,
    ) -> Result<Pending, Unavailable> {
        let sent_ms = host.now_ms();
        host.count(CALLS.name, 1);
        let Some(ticket) = self.with_breaker(|breaker| breaker.admit(sent_ms)) else {
            return Err(failed(host, Unavailable::BreakerOpen));
        };
        let (client, answers) = (Arc::clone(self), commands.iter().map(|_| None).collect());
        Ok(Pending { client, ticket, time_ms, sent_ms, commands, answers, with_source: false })
    }

    /// The callout that carries commands.
    pub(super) fn callout<'a>(&'a self, body: &'a [u8], timeout_ms: u32) -> Callout<'a> {
        let headers = vec![(":method", "POST"), (":path", "/"), (":authority", "redis")];
        Callout { cluster: &self.options.cluster, headers, body, timeout_ms }
    }

    /// Takes down that a call has failed.
    pub(super) fn fail(&self, host: &mut dyn Host, ticket: Ticket, why: Unavailable) -> Unavailable {
        self.report(host, ticket, !why.is_outage());
        failed(host, why)
    }

    fn report(&self, host: &mut dyn Host, ticket: Ticket, good: bool) {
        let now_ms = host.now_ms();
        if self.with_breaker(|breaker| breaker.report(ticket, good, now_ms)) {
            host.count(BREAKER_OPENED.name, 1);
        }
    }

    /// Calls nothing of the host, so that no thread waits for another's.
    pub(super) fn with_breaker<T>(&self, act: impl FnOnce(&mut Breaker) -> T) -> T {
        act(&mut self.breaker.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn failed(host: &mut dyn Host, why: Unavailable) -> Unavailable {
    host.count(&series(FAILURES.name, &[(Label::Kind, why.kind())]), 1);
    why
}

impl Pending {
    /// The commands that await an answer.
    pub(super) fn body(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for (command, _) in self.commands.iter().zip(&self.answers).filter(|(_, answer)| answer.is_none()) {
            command.encode(self.with_source, &mut body);
        }
        body
    }

    /// Reads the end of its callout: what became of the call, or how many milliseconds are left to send the rest.
    pub(super) fn read(
        &mut self,
        host: &mut dyn Host,
        reply: Result<CalloutReply, CalloutError>,
    ) -> ControlFlow<Replies, u32> {
        if let Err(why) = self.take(reply) {
            return self.failed(host, why);
        }
        if self.answers.iter().any(Option::is_none) {
            return self.again(host);
        }
        let ms = host.now_ms().saturating_sub(self.sent_ms);
        host.observe(CALL_MS.name, ms);
        if let Some(why) = self.outage() {
            return self.failed(host, why);
        }
        for error in self.answers.iter().flatten().filter_map(|answer| answer.as_ref().err()) {
            host.count(&series(FAILURES.name, &[(Label::Kind, error.kind())]), 1);
        }
        self.report(host, ms);
        ControlFlow::Break(Ok(self.answers.drain(..).flatten().collect()))
    }

    /// Slow is as bad as down for whoever waits. A call that had more time than those may have been slow on its own way
    /// (one that nobody waits for may go by another thread), and says nothing then, unless it was the probe.
    fn report(&self, host: &mut dyn Host, ms: u64) {
        let timeout_ms = self.client.options.timeout_ms;
        let is_fast = ms <= timeout_ms.into();
        if is_fast || self.time_ms <= timeout_ms || self.ticket.is_probe() {
            self.client.report(host, self.ticket, is_fast);
        }
    }

    fn failed(&self, host: &mut dyn Host, why: Unavailable) -> ControlFlow<Replies, u32> {
        ControlFlow::Break(Err(self.client.fail(host, self.ticket, why)))
    }

    fn again(&mut self, host: &mut dyn Host) -> ControlFlow<Replies, u32> {
        let spent = u32::try_from(host.now_ms().saturating_sub(self.sent_ms)).unwrap_or(u32::MAX);
        match self.time_ms.saturating_sub(spent) {
            0 => self.failed(host, Unavailable::TimedOut),
            left_ms => {
                self.with_source = true;
                ControlFlow::Continue(left_ms)
            }
        }
    }

    /// Puts replies to the commands they answer. A script that is unknown by its digest stays unanswered.
    fn take(&mut self, reply: Result<CalloutReply, CalloutError>) -> Result<(), Unavailable> {
        let open = self.answers.iter().filter(|answer| answer.is_none()).count();
        let mut replies = replies(reply, open)?.into_iter();
        for (answer, command) in self.answers.iter_mut().zip(&self.commands).filter(|(a, _)| a.is_none()) {
            let again = command.is_script() && !self.with_source;
            *answer = replies.next().filter(|reply| !(again && *reply == Err(RedisError::NoScript)));
        }
        Ok(())
    }

    /// The first outage, if every command met one.
    fn outage(&self) -> Option<Unavailable> {
        let mut errors = self.answers.iter().flatten().map(|answer| answer.as_ref().err());
        let all = errors.clone().all(|error| error.is_some_and(RedisError::is_outage));
        errors.next().flatten().filter(|_| all).cloned().map(Unavailable::Refused)
    }
}

fn replies(
    reply: Result<CalloutReply, CalloutError>,
    count: usize,
) -> Result<Vec<Result<Reply, RedisError>>, Unavailable> {
    let reply = reply.map_err(|error| match error {
        CalloutError::NotSent => Unavailable::NotSent,
        CalloutError::NotAnswered => Unavailable::TimedOut,
    })?;
    match reply.status {
        200 => decode(&reply.body, count).map_err(|error| match error {
            DecodeError::TooMany => Unavailable::ReplyTooLarge,
            _ => Unavailable::Protocol,
        }),
        TOO_LARGE => Err(Unavailable::ReplyTooLarge),
        _ => Err(Unavailable::Protocol),
    }
}
