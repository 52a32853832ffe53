//! Calls: sent as callouts, read as replies, withheld while the breaker is open.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::command::Command;
use super::pending::{Client, Pending};
use super::reply::{RedisError, Reply};
use super::unavailable::Unavailable;
use crate::filter::{CalloutError, CalloutId, CalloutReply, Host};

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
    pub(super) client: Arc<Client>,
}

/// One reply or error for each command, in order, of which at least one is no outage ([`RedisError::is_outage`]); or
/// why there is no answer.
pub type Replies = Result<Vec<Result<Reply, RedisError>>, Unavailable>;

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
    pending: Pending,
}

impl Redis {
    /// A client with a breaker of its own.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { client: Arc::new(Client::new(options)) }
    }

    /// Sends `commands` in one callout that ends with the stream. They should not depend on each other: one whose
    /// script was unknown runs after the others.
    ///
    /// # Errors
    /// At once, and then no callout follows: [`Unavailable::BreakerOpen`], [`Unavailable::NotSent`].
    pub fn call(&self, host: &mut dyn Host, commands: Vec<Command>) -> Result<Call, Unavailable> {
        let time_ms = self.client.options.timeout_ms;
        let pending = self.client.begin(host, commands, time_ms)?;
        Call::send(host, pending, time_ms)
    }
}

impl Call {
    /// The callout whose end is to be read with [`Self::read`].
    #[must_use]
    pub fn id(&self) -> CalloutId {
        self.id
    }

    /// Reads the end of callout [`Self::id`].
    pub fn read(mut self, host: &mut dyn Host, reply: Result<CalloutReply, CalloutError>) -> Outcome {
        match self.pending.read(host, reply) {
            ControlFlow::Break(Ok(replies)) => Outcome::Done(replies),
            ControlFlow::Break(Err(why)) => Outcome::Failed(why),
            ControlFlow::Continue(left_ms) => {
                Self::send(host, self.pending, left_ms).map_or_else(Outcome::Failed, Outcome::Again)
            }
        }
    }

    fn send(host: &mut dyn Host, pending: Pending, timeout_ms: u32) -> Result<Self, Unavailable> {
        match host.callout(&pending.client.callout(&pending.body(), timeout_ms)) {
            Ok(id) => Ok(Self { id, pending }),
            Err(_) => Err(pending.client.fail(host, pending.ticket, Unavailable::NotSent)),
        }
    }
}
