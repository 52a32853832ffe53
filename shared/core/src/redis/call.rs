//! Calls: sent as callouts, read as replies, withheld while the breaker is open.

use std::cell::RefCell;

use super::command::Command;
use super::frames::DecodeError;
use super::reply::{RedisError, Reply, decode};
use super::unavailable::Unavailable;
use crate::breaker::{Breaker, Ticket};
use crate::filter::{Callout, CalloutError, CalloutId, CalloutReply, Host};
use crate::metric::{Family, Label, series};

/// Calls, those that the breaker held back among them.
pub const CALLS: Family = Family::counter("redis_calls_total", &[]);

/// Calls and commands that failed, by [`Unavailable::kind`] and [`RedisError::kind`].
pub const FAILURES: Family = Family::counter("redis_failures_total", &[Label::Kind]);

/// Times that a worker's breaker opened.
pub const BREAKER_OPENED: Family = Family::counter("redis_breaker_opened_total", &[]);

/// How long answered calls took, in milliseconds.
pub const CALL_MS: Family = Family::histogram("redis_call_ms", &[]);

/// Deadline of a call nobody waits for, in milliseconds, unless the other one is longer: a slow Redis still gets
/// what it must know.
const DETACHED_TIMEOUT_MS: u32 = 1_000;

/// `redis-bridge`'s status for replies beyond its bound.
const TOO_LARGE: u16 = 507;

/// Where Redis is and how long an answer may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Envoy cluster of the bridge.
    pub cluster: String,
    /// Deadline in milliseconds of a call that somebody waits for, its repetition with a script's source included.
    pub timeout_ms: u32,
}

impl Options {
    /// Checks them as plugins' configurations name them.
    ///
    /// # Errors
    /// An empty `cluster`, a `timeout_ms` outside 1 to 60000: what is wrong with which.
    pub fn checked(cluster: String, timeout_ms: u32) -> Result<Self, String> {
        if cluster.is_empty() {
            return Err("cluster: must not be empty".to_owned());
        }
        if !(1..=60_000).contains(&timeout_ms) {
            return Err("timeout_ms: must be from 1 to 60000".to_owned());
        }
        Ok(Self { cluster, timeout_ms })
    }
}

/// A worker's way to Redis.
#[derive(Debug)]
pub struct Redis {
    options: Options,
    breaker: RefCell<Breaker>,
}

/// What became of a call.
#[derive(Debug)]
pub enum Outcome {
    /// One reply or error for each command, in order. At least one is no outage ([`RedisError::is_outage`]).
    Done(Vec<Result<Reply, RedisError>>),
    /// Redis did not know a script: its source has been sent, within the same deadline. Await this call instead.
    Again(Call),
    /// There is no answer.
    Failed(Unavailable),
}

/// A call under way. May be dropped when nobody waits for it any more.
#[derive(Debug)]
pub struct Call {
    id: CalloutId,
    ticket: Ticket,
    detached: bool,
    sent_ms: u64,
    commands: Vec<Command>,
    answers: Vec<Option<Result<Reply, RedisError>>>, // none: awaited
    with_source: bool,
}

impl Redis {
    /// A client with a breaker of its own.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { options, breaker: RefCell::default() }
    }

    /// Sends `commands` in one callout that ends with the stream. They should not depend on each other: one whose
    /// script was unknown runs after the others.
    ///
    /// # Errors
    /// At once, and then no callout follows: [`Unavailable::BreakerOpen`], [`Unavailable::NotSent`].
    pub fn call(&self, host: &mut dyn Host, commands: Vec<Command>) -> Result<Call, Unavailable> {
        self.start(host, commands, false)
    }

    /// As [`Self::call`], in a callout that outlives the stream and has at least a second's time.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn call_detached(&self, host: &mut dyn Host, commands: Vec<Command>) -> Result<Call, Unavailable> {
        self.start(host, commands, true)
    }

    fn start(
        &self,
        host: &mut dyn Host,
        commands: Vec<Command>,
        detached: bool,
    ) -> Result<Call, Unavailable> {
        let sent_ms = host.now_ms();
        host.count(CALLS.name, 1);
        let Some(ticket) = self.breaker.borrow_mut().admit(sent_ms) else {
            return Err(failed(host, Unavailable::BreakerOpen));
        };
        let answers = commands.iter().map(|_| None).collect();
        let id = CalloutId(0);
        let mut call = Call { id, ticket, detached, sent_ms, commands, answers, with_source: false };
        match call.send(host, &self.options.cluster, self.deadline_ms(detached)) {
            Ok(id) => call.id = id,
            Err(_) => return Err(self.fail(host, ticket, Unavailable::NotSent)),
        }
        Ok(call)
    }

    fn deadline_ms(&self, detached: bool) -> u32 {
        let timeout_ms = self.options.timeout_ms;
        if detached { timeout_ms.max(DETACHED_TIMEOUT_MS) } else { timeout_ms }
    }

    fn fail(&self, host: &mut dyn Host, ticket: Ticket, why: Unavailable) -> Unavailable {
        self.report(host, ticket, !why.is_outage());
        failed(host, why)
    }

    fn report(&self, host: &mut dyn Host, ticket: Ticket, good: bool) {
        let opened = self.breaker.borrow_mut().report(ticket, good, host.now_ms());
        if opened {
            host.count(BREAKER_OPENED.name, 1);
        }
    }
}

fn failed(host: &mut dyn Host, why: Unavailable) -> Unavailable {
    host.count(&series(FAILURES.name, &[(Label::Kind, why.kind())]), 1);
    why
}

impl Call {
    /// The callout whose end is to be read with [`Self::read`].
    #[must_use]
    pub fn id(&self) -> CalloutId {
        self.id
    }

    /// Reads the end of callout [`Self::id`].
    pub fn read(
        mut self,
        redis: &Redis,
        host: &mut dyn Host,
        reply: Result<CalloutReply, CalloutError>,
    ) -> Outcome {
        if let Err(why) = self.take(reply) {
            return self.failed(redis, host, why);
        }
        if self.answers.iter().any(Option::is_none) {
            return self.again(redis, host);
        }
        let ms = host.now_ms().saturating_sub(self.sent_ms);
        host.observe(CALL_MS.name, ms);
        if let Some(why) = self.outage() {
            return self.failed(redis, host, why);
        }
        for error in self.answers.iter().flatten().filter_map(|answer| answer.as_ref().err()) {
            host.count(&series(FAILURES.name, &[(Label::Kind, error.kind())]), 1);
        }
        // Slow is as bad as down for whoever waits, even where this call had more time.
        redis.report(host, self.ticket, ms <= redis.options.timeout_ms.into());
        Outcome::Done(self.answers.into_iter().flatten().collect())
    }

    fn failed(self, redis: &Redis, host: &mut dyn Host, why: Unavailable) -> Outcome {
        Outcome::Failed(redis.fail(host, self.ticket, why))
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

    fn again(mut self, redis: &Redis, host: &mut dyn Host) -> Outcome {
        let spent = u32::try_from(host.now_ms().saturating_sub(self.sent_ms)).unwrap_or(u32::MAX);
        let left_ms = redis.deadline_ms(self.detached).saturating_sub(spent);
        if left_ms == 0 {
            return self.failed(redis, host, Unavailable::TimedOut);
        }
        self.with_source = true;
        match self.send(host, &redis.options.cluster, left_ms) {
            Ok(id) => Outcome::Again(Self { id, ..self }),
            Err(_) => self.failed(redis, host, Unavailable::NotSent),
        }
    }

    /// Sends the commands that await an answer.
    fn send(&self, host: &mut dyn Host, cluster: &str, timeout_ms: u32) -> Result<CalloutId, CalloutError> {
        let mut body = Vec::new();
        for (command, _) in self.commands.iter().zip(&self.answers).filter(|(_, answer)| answer.is_none()) {
            command.encode(self.with_source, &mut body);
        }
        let headers = vec![(":method", "POST"), (":path", "/"), (":authority", "redis")];
        let callout = Callout { cluster, headers, body: &body, timeout_ms };
        if self.detached { host.callout_detached(&callout) } else { host.callout(&callout) }
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
