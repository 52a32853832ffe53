//! One worker's road to Redis: decisions that requests wait for, and settlements that nobody waits for.
//!
//! A settlement is never lost while its process (or VM) lives: it is sent again until Redis has taken it, for at most
//! [`MAX_AGE_MS`], and at most [`MAX_WAITING`](crate::waiting::MAX_WAITING) of them; the script takes it once, however
//! often it comes. Of its end another worker may hear.

use sluice_core::filter::{CalloutError, CalloutReply, Host, Note};
use sluice_core::redis::{
    Call, Options, Redis, RedisError, Replies, Script, Tokens, Unavailable, Unsent, read_detached,
};

use crate::config::{OnError, RawRedis};
use crate::decided;
use crate::settlement::{Settlement, UnderWay};
use crate::store::redis::{self as store, Invocation};
use crate::waiting::{UNSETTLED, Waiting};

/// Age at which a settlement is given up, in milliseconds: its lease is long over, and so is the outage of anything
/// that is looked after.
const MAX_AGE_MS: u64 = 600_000;

/// Settlements sent again at one time.
const BATCH: usize = 64;

/// One worker's road to the Redis store.
#[derive(Debug)]
pub struct Worker {
    redis: Redis,
    script: Script,
    on_error: OnError,
    leases: Tokens,
    pub(crate) waiting: &'static Waiting,
}

/// What a detached call is for.
#[derive(Debug)]
enum Task {
    Settle(UnderWay),
    Renew,
}

impl Worker {
    pub(crate) fn check(raw: RawRedis) -> Result<Self, String> {
        Ok(Self {
            redis: Redis::new(Options::checked(raw.cluster, raw.timeout_ms)?),
            script: Script::new(store::SCRIPT),
            on_error: raw.on_error,
            leases: Tokens::default(),
            waiting: Waiting::of_process(),
        })
    }

    /// What to do with requests that Redis does not decide on.
    pub(crate) const fn on_error(&self) -> OnError {
        self.on_error
    }

    /// A name that no other reservation has, on any gateway.
    pub(crate) fn new_lease(&self) -> String {
        self.leases.make()
    }

    /// Sends a decision that a request waits for.
    pub(crate) fn ask(&self, host: &mut dyn Host, asked: &Invocation) -> Result<Call, Unavailable> {
        self.redis.call(host, vec![asked.command(&self.script)])
    }

    /// Books what a request has used, or gives back what it held.
    pub(crate) fn settle(&self, host: &mut dyn Host, settlement: Settlement) {
        match self.send(host, settlement) {
            Err(settlement) => self.wait(host, settlement),
            Ok(()) => self.waiting.wake(host), // those of the configuration before this one
        }
    }

    /// Gives a lease more time.
    pub(crate) fn renew(&self, host: &mut dyn Host, asked: &Invocation) {
        // One that is not sent is not sent again: the next one follows soon.
        let _ = self.redis.call_detached(host, vec![asked.command(&self.script)], Task::Renew);
    }

    fn send(&self, host: &mut dyn Host, settlement: Settlement) -> Result<(), Settlement> {
        let command = settlement.invocation().command(&self.script);
        let task = Task::Settle(UnderWay::new(settlement, self.waiting));
        match self.redis.call_detached(host, vec![command], task) {
            Err(Unsent { task: Some(Task::Settle(under_way)), .. }) => under_way.take().map_or(Ok(()), Err),
            _ => Ok(()),
        }
    }

    /// A detached call of some worker has ended.
    pub(crate) fn ended(&self, host: &mut dyn Host, note: Note, reply: Result<CalloutReply, CalloutError>) {
        let Some((Task::Settle(under_way), replies)) = read_detached(host, note, reply) else { return };
        let Some(mut settlement) = under_way.take() else { return };
        if let Some(lifted) = settled(&replies, settlement.dues.len()) {
            for (due, by) in settlement.dues.iter().zip(lifted) {
                decided::count_overshoot(host, &due.name, by);
            }
        } else {
            settlement.sent |= !is_untouched(&replies);
            self.wait(host, settlement);
        }
    }

    fn wait(&self, host: &mut dyn Host, settlement: Settlement) {
        self.waiting.add(settlement);
        self.waiting.wake(host);
    }

    /// Sends some of the settlements that wait.
    pub(crate) fn woken(&self, host: &mut dyn Host) {
        for _ in 0..BATCH {
            let Some(settlement) = self.waiting.next() else { break };
            if host.now_ms().saturating_sub(settlement.since_ms) > MAX_AGE_MS {
                host.count(UNSETTLED, 1);
            } else if let Err(settlement) = self.send(host, settlement) {
                self.waiting.put_back(settlement);
                break;
            }
        }
        self.waiting.wake(host);
    }
}

/// What the script has answered to a settlement of so many buckets; a server of another kind may answer anything.
fn settled(replies: &Replies, buckets: usize) -> Option<Vec<u64>> {
    store::parse_settled(replies.as_ref().ok()?.first()?.as_ref().ok()?, buckets)
}

/// Whether Redis certainly has not run the script: it said so, or was not asked. No answer, and one of Envoy's, say
/// nothing.
fn is_untouched(replies: &Replies) -> bool {
    match replies {
        Err(Unavailable::NotSent) => true,
        Err(Unavailable::Refused(error)) => *error != RedisError::NotReachable,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
