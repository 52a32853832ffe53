//! What one worker has under way in Redis: decisions that requests wait for, and settlements that nobody waits for.
//!
//! A settlement is never lost while its worker lives: it is sent again until Redis has taken it, at most
//! [`MAX_AGE_MS`] and [`MAX_WAITING`] of them; the script takes it once, however often it comes.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};

use sluice_core::filter::{CalloutError, CalloutId, CalloutReply, Host};
use sluice_core::redis::{Call, Options, Outcome, Redis, RedisError, Script, Tokens, Unavailable};
use sluice_core::window::Window;

use crate::config::{OnError, RawRedis};
use crate::decided;
use crate::store::Owed;
use crate::store::redis::{self as store, Invocation};

/// Settlements that wait for Redis; of more, the oldest are given up.
const MAX_WAITING: usize = 10_000;

/// Age at which a settlement is given up, in milliseconds: its lease is long over, and so is the outage of anything
/// that is looked after.
const MAX_AGE_MS: u64 = 600_000;

/// Pause before settlements are sent again, in milliseconds.
const RETRY_MS: u64 = 500;

/// Settlements sent again at one time.
const BATCH: usize = 64;

/// Counts settlements that were given up.
const UNSETTLED: &str = "token_limit_unsettled_total";

thread_local! {
    /// Settlements that Redis has not taken yet. They belong to the worker and not to a configuration: a change of that
    /// while Redis is away loses none.
    static WAITING: RefCell<VecDeque<Settlement>> = RefCell::default();
}

/// One worker's road to the Redis store.
#[derive(Debug)]
pub struct Worker {
    redis: Redis,
    script: Script,
    on_error: OnError,
    leases: Tokens,
    under_way: RefCell<HashMap<CalloutId, (Call, Task)>>,
}

/// What a detached call is for.
#[derive(Debug)]
enum Task {
    Settle(Settlement),
    /// A renewal is not sent again: the next one follows soon.
    Renew,
}

/// A reservation that is over.
#[derive(Debug)]
pub(crate) struct Settlement {
    lease: String,
    dues: Vec<Due>,
    /// Redis may have it already.
    sent: bool,
    since_ms: u64,
}

/// [`Owed`], kept.
#[derive(Debug)]
struct Due {
    /// The limit's name.
    name: String,
    key: String,
    window: Option<Window>,
    limit: u64,
    held: u64,
    actual: u64,
}

impl Due {
    fn owed(&self) -> Owed<'_> {
        Owed { key: &self.key, window: self.window, limit: self.limit, held: self.held, actual: self.actual }
    }
}

impl Settlement {
    /// Of a reservation that owes this much to buckets of limits with these names.
    pub(crate) fn new<'a>(
        lease: &str,
        owed: impl Iterator<Item = (&'a str, Owed<'a>)>,
        since_ms: u64,
    ) -> Self {
        let due = |(name, owed): (&str, Owed<'_>)| Due {
            name: name.to_owned(),
            key: owed.key.to_owned(),
            window: owed.window,
            limit: owed.limit,
            held: owed.held,
            actual: owed.actual,
        };
        Self { lease: lease.to_owned(), dues: owed.map(due).collect(), sent: false, since_ms }
    }

    fn invocation(&self) -> Invocation {
        let owed: Vec<Owed<'_>> = self.dues.iter().map(Due::owed).collect();
        store::settle(&owed, &self.lease, self.sent, 0)
    }
}

impl Worker {
    pub(crate) fn check(raw: RawRedis) -> Result<Self, String> {
        Ok(Self {
            redis: Redis::new(Options::checked(raw.cluster, raw.timeout_ms)?),
            script: Script::new(store::SCRIPT),
            on_error: raw.on_error,
            leases: Tokens::default(),
            under_way: RefCell::default(),
        })
    }

    /// What to do with requests that Redis does not decide on.
    pub(crate) const fn on_error(&self) -> OnError {
        self.on_error
    }

    /// The client under the store.
    pub(crate) const fn redis(&self) -> &Redis {
        &self.redis
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
            Err(settlement) => wait(host, settlement),
            Ok(()) => wake_for_waiting(host), // those of the configuration before this one
        }
    }

    /// Gives a lease more time.
    pub(crate) fn renew(&self, host: &mut dyn Host, asked: &Invocation) {
        if let Ok(call) = self.redis.call_detached(host, vec![asked.command(&self.script)]) {
            self.under_way.borrow_mut().insert(call.id(), (call, Task::Renew));
        }
    }

    fn send(&self, host: &mut dyn Host, settlement: Settlement) -> Result<(), Settlement> {
        let Ok(call) = self.redis.call_detached(host, vec![settlement.invocation().command(&self.script)])
        else {
            return Err(settlement);
        };
        self.under_way.borrow_mut().insert(call.id(), (call, Task::Settle(settlement)));
        Ok(())
    }

    /// A detached call has ended.
    pub(crate) fn ended(
        &self,
        host: &mut dyn Host,
        id: CalloutId,
        reply: Result<CalloutReply, CalloutError>,
    ) {
        let Some((call, task)) = self.under_way.borrow_mut().remove(&id) else { return };
        let outcome = match call.read(&self.redis, host, reply) {
            Outcome::Again(call) => {
                self.under_way.borrow_mut().insert(call.id(), (call, task));
                return;
            }
            outcome => outcome,
        };
        let Task::Settle(mut settlement) = task else { return };
        if let Some(lifted) = settled(&outcome, settlement.dues.len()) {
            for (due, by) in settlement.dues.iter().zip(lifted) {
                decided::count_overshoot(host, &due.name, by);
            }
        } else {
            settlement.sent |= !is_untouched(&outcome);
            wait(host, settlement);
        }
    }

    /// Sends some of the settlements that wait.
    pub(crate) fn woken(&self, host: &mut dyn Host) {
        for _ in 0..BATCH {
            let Some(settlement) = WAITING.with_borrow_mut(VecDeque::pop_front) else { return };
            if host.now_ms().saturating_sub(settlement.since_ms) > MAX_AGE_MS {
                host.count(UNSETTLED, 1);
            } else if let Err(settlement) = self.send(host, settlement) {
                WAITING.with_borrow_mut(|waiting| waiting.push_front(settlement));
                break;
            }
        }
        wake_for_waiting(host);
    }
}

/// What is under way may not arrive, for nobody hears of its end any more: it waits for the next configuration.
impl Drop for Worker {
    fn drop(&mut self) {
        for (_, (_, task)) in self.under_way.borrow_mut().drain() {
            if let Task::Settle(settlement) = task {
                // While the thread ends there is nowhere to wait.
                let _ = WAITING.try_with(|waiting| {
                    waiting.borrow_mut().push_back(Settlement { sent: true, ..settlement });
                });
            }
        }
    }
}

/// What the script has answered to a settlement of so many buckets; a server of another kind may answer anything.
fn settled(outcome: &Outcome, buckets: usize) -> Option<Vec<u64>> {
    let Outcome::Done(results) = outcome else { return None };
    store::parse_settled(results.first()?.as_ref().ok()?, buckets)
}

/// Whether Redis certainly has not run the script: it said so. No answer, and one of Envoy's, say nothing.
fn is_untouched(outcome: &Outcome) -> bool {
    let Outcome::Failed(Unavailable::Refused(error)) = outcome else { return false };
    *error != RedisError::NotReachable
}

/// Lets a settlement wait for Redis. One that books nothing must not take the place of what is owed: its lease ends by
/// itself.
fn wait(host: &mut dyn Host, settlement: Settlement) {
    let books_nothing = settlement.dues.iter().all(|due| due.actual == 0);
    WAITING.with_borrow_mut(|waiting| {
        if books_nothing && waiting.len() >= MAX_WAITING / 2 {
            return;
        }
        if waiting.len() >= MAX_WAITING {
            waiting.pop_front();
            host.count(UNSETTLED, 1);
        }
        waiting.push_back(settlement);
    });
    wake_for_waiting(host);
}

fn wake_for_waiting(host: &mut dyn Host) {
    if WAITING.with_borrow(|waiting| !waiting.is_empty()) {
        host.wake_detached_after(RETRY_MS);
    }
}

#[cfg(test)]
mod tests;
