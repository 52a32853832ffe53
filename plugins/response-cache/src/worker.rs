//! One worker's road to Redis: lookups that requests wait for, and orders that nobody waits for.

use std::cell::RefCell;
use std::collections::HashMap;

use sluice_core::filter::{CalloutError, CalloutId, CalloutReply, Host};
use sluice_core::redis::{Call, Command, Options, Outcome, Redis, Reply, Script, Tokens, Unavailable};

use crate::config::RawRedis;
use crate::entry::Entry;
use crate::fingerprint::Key;
use crate::store::clear::Clear;
use crate::store::redis as store;

/// How long a lock outlives a gateway that died, in milliseconds. It is renewed at every third of it.
pub(crate) const LEASE_MS: u64 = 10_000;

/// One worker's road to the Redis store.
#[derive(Debug)]
pub struct Worker {
    redis: Redis,
    script: Script,
    tokens: Tokens,
    under_way: RefCell<HashMap<CalloutId, Order>>,
}

/// A detached call, and what it means that it is done.
#[derive(Debug)]
enum Order {
    /// Keeps an entry; if it does not, this frees its lock.
    Store(Call, Command),
    /// Frees or renews a lock.
    Lock(Call),
}

/// What Redis said to a lookup.
#[derive(Debug)]
pub(crate) enum Found {
    /// This was kept, and the rules do not hide it.
    Entry(Box<Entry>),
    /// There is an entry that is of no use any more.
    Stale,
    /// Nothing is kept, and the lock is ours.
    Leader,
    /// Nothing is kept, and somebody else has the lock.
    Wait,
    /// It was asked again, within the same deadline.
    Again(Call),
    /// No answer that means anything.
    Failed,
}

impl Worker {
    pub(crate) fn check(raw: RawRedis) -> Result<Self, String> {
        Ok(Self {
            redis: Redis::new(Options::checked(raw.cluster, raw.timeout_ms)?),
            script: Script::new(store::SCRIPT),
            tokens: Tokens::default(),
            under_way: RefCell::default(),
        })
    }

    /// A name that no other request has, on any gateway.
    pub(crate) fn new_token(&self) -> String {
        self.tokens.make()
    }

    /// Asks for the entry of `key` (`lookup`), and for the lock where there is none.
    pub(crate) fn acquire(
        &self,
        host: &mut dyn Host,
        key: &Key,
        token: &str,
        lookup: bool,
    ) -> Result<Call, Unavailable> {
        let acquire = store::acquire(&self.script, key, token, LEASE_MS, lookup);
        self.redis.call(host, vec![acquire, store::clears()])
    }

    /// Reads the answer to [`Self::acquire`].
    pub(crate) fn read(
        &self,
        host: &mut dyn Host,
        call: Call,
        reply: Result<CalloutReply, CalloutError>,
        ttl_ms: u64,
    ) -> Found {
        let results = match call.read(&self.redis, host, reply) {
            Outcome::Again(call) => return Found::Again(call),
            Outcome::Failed(_) => return Found::Failed,
            Outcome::Done(results) => results,
        };
        let [Ok(acquired), Ok(clears)] = results.as_slice() else { return Found::Failed };
        match store::acquired(acquired) {
            None => Found::Failed,
            Some(store::Acquired::Leader) => Found::Leader,
            Some(store::Acquired::Wait { .. }) => Found::Wait,
            Some(store::Acquired::Hit(entry)) => {
                let is_given = entry.is_fresh(host.now_ms(), ttl_ms) && !store::cleared(clears).hides(&entry);
                if is_given { Found::Entry(entry) } else { Found::Stale }
            }
        }
    }

    /// Keeps an entry, and frees the lock if it is `token`'s.
    pub(crate) fn store(&self, host: &mut dyn Host, key: &Key, token: &str, entry: &Entry) {
        let now_ms = host.now_ms();
        let release = store::release(&self.script, key, token);
        match self.redis.call_detached(host, vec![store::store(&self.script, key, token, entry, now_ms)]) {
            Ok(call) => self.expect(call, |call| Order::Store(call, release)),
            Err(_) => self.tell(host, release),
        }
    }

    /// Frees the lock if it is `token`'s.
    pub(crate) fn release(&self, host: &mut dyn Host, key: &Key, token: &str) {
        self.tell(host, store::release(&self.script, key, token));
    }

    /// Gives the lock more time.
    pub(crate) fn renew(&self, host: &mut dyn Host, key: &Key, token: &str) {
        self.tell(host, store::renew(&self.script, key, token, LEASE_MS));
    }

    /// What cannot be sent is not sent again: an entry that is not kept costs a miss, and a lock ends by itself.
    fn tell(&self, host: &mut dyn Host, command: Command) {
        if let Ok(call) = self.redis.call_detached(host, vec![command]) {
            self.expect(call, Order::Lock);
        }
    }

    fn expect(&self, call: Call, order: impl FnOnce(Call) -> Order) {
        self.under_way.borrow_mut().insert(call.id(), order(call));
    }

    /// A detached call has ended.
    pub(crate) fn ended(
        &self,
        host: &mut dyn Host,
        id: CalloutId,
        reply: Result<CalloutReply, CalloutError>,
    ) {
        let order = self.under_way.borrow_mut().remove(&id);
        match order {
            Some(Order::Store(call, release)) => match self.answer(host, call, reply) {
                Answer::Again(call) => self.expect(call, |call| Order::Store(call, release)),
                Answer::Reply(_) => host.count("response_cache_stored_total", 1),
                Answer::Failed => {
                    host.count("response_cache_store_failures_total", 1);
                    self.tell(host, release); // whoever waits for the entry need not wait for the lease
                }
            },
            Some(Order::Lock(call)) => {
                if let Answer::Again(call) = self.answer(host, call, reply) {
                    self.expect(call, Order::Lock);
                }
            }
            None => {}
        }
    }

    /// Asks for the rules of what was cleared.
    pub(crate) fn ask_clears(&self, host: &mut dyn Host) -> Result<Call, Unavailable> {
        self.redis.call(host, vec![store::clears()])
    }

    /// Adds a rule to those that `reply` holds, unless somebody else changes them.
    pub(crate) fn add_clear(
        &self,
        host: &mut dyn Host,
        reply: &Reply,
        clear: Clear,
        ttl_ms: u64,
    ) -> Result<Call, Unavailable> {
        let (old, mut new) = (store::cleared(reply), store::cleared(reply));
        new.add(clear, host.now_ms(), ttl_ms);
        self.redis.call(host, vec![store::swap_clears(&self.script, &old, &new)])
    }

    /// Reads the answer to a call of one command.
    pub(crate) fn answer(
        &self,
        host: &mut dyn Host,
        call: Call,
        reply: Result<CalloutReply, CalloutError>,
    ) -> Answer {
        match call.read(&self.redis, host, reply) {
            Outcome::Again(call) => Answer::Again(call),
            Outcome::Failed(_) => Answer::Failed,
            Outcome::Done(results) => match results.into_iter().next() {
                Some(Ok(reply)) => Answer::Reply(reply),
                _ => Answer::Failed,
            },
        }
    }
}

/// What became of a call of one command.
#[derive(Debug)]
pub(crate) enum Answer {
    /// It was answered.
    Reply(Reply),
    /// It was sent again, within the same deadline.
    Again(Call),
    /// It was not answered.
    Failed,
}
