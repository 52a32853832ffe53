//! One worker's road to Redis: lookups that requests wait for, and orders that nobody waits for.

use sluice_core::filter::{CalloutError, CalloutReply, Host, Note};
use sluice_core::redis::{
    Call, Command, Options, Outcome, Redis, Reply, Script, Tokens, Unavailable, Unsent, read_detached,
};

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
}

/// What a detached call is for.
#[derive(Debug)]
enum Order {
    /// Keeps an entry; if it does not, this frees its lock.
    Store(Command),
    /// Frees or renews a lock.
    Lock,
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

impl Found {
    /// Reads the answer to [`Worker::acquire`].
    pub(crate) fn read(
        host: &mut dyn Host,
        call: Call,
        reply: Result<CalloutReply, CalloutError>,
        ttl_ms: u64,
    ) -> Self {
        let results = match call.read(host, reply) {
            Outcome::Again(call) => return Self::Again(call),
            Outcome::Failed(_) => return Self::Failed,
            Outcome::Done(results) => results,
        };
        let [Ok(acquired), Ok(clears)] = results.as_slice() else { return Self::Failed };
        match store::acquired(acquired) {
            None => Self::Failed,
            Some(store::Acquired::Leader) => Self::Leader,
            Some(store::Acquired::Wait { .. }) => Self::Wait,
            Some(store::Acquired::Hit(entry)) => {
                let is_given = entry.is_fresh(host.now_ms(), ttl_ms) && !store::cleared(clears).hides(&entry);
                if is_given { Self::Entry(entry) } else { Self::Stale }
            }
        }
    }
}

impl Worker {
    pub(crate) fn check(raw: RawRedis) -> Result<Self, String> {
        Ok(Self {
            redis: Redis::new(Options::checked(raw.cluster, raw.timeout_ms)?),
            script: Script::new(store::SCRIPT),
            tokens: Tokens::default(),
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

    /// Keeps an entry, and frees the lock if it is `token`'s.
    pub(crate) fn store(&self, host: &mut dyn Host, key: &Key, token: &str, entry: &Entry) {
        let now_ms = host.now_ms();
        let release = store::release(&self.script, key, token);
        let command = store::store(&self.script, key, token, entry, now_ms);
        let sent = self.redis.call_detached(host, vec![command], Order::Store(release));
        if let Err(Unsent { task: Some(Order::Store(release)), .. }) = sent {
            self.tell(host, release);
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
        let _ = self.redis.call_detached(host, vec![command], Order::Lock);
    }

    /// A detached call of some worker has ended.
    pub(crate) fn ended(&self, host: &mut dyn Host, note: Note, reply: Result<CalloutReply, CalloutError>) {
        let Some((Order::Store(release), replies)) = read_detached(host, note, reply) else { return };
        if replies.is_ok_and(|replies| matches!(replies.first(), Some(Ok(_)))) {
            host.count("response_cache_stored_total", 1);
        } else {
            host.count("response_cache_store_failures_total", 1);
            self.tell(host, release); // whoever waits for the entry need not wait for the lease
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

impl Answer {
    /// Reads it.
    pub(crate) fn read(host: &mut dyn Host, call: Call, reply: Result<CalloutReply, CalloutError>) -> Self {
        match call.read(host, reply) {
            Outcome::Again(call) => Self::Again(call),
            Outcome::Failed(_) => Self::Failed,
            Outcome::Done(results) => match results.into_iter().next() {
                Some(Ok(reply)) => Self::Reply(reply),
                _ => Self::Failed,
            },
        }
    }
}
