//! Answers kept in Redis, for all gateways that share it, and the locks by which one request asks for all.
//!
//! Nothing here talks to Redis: it builds commands and reads replies. An entry and its lock share a hash tag, as Redis
//! Cluster wants it, and both expire by themselves. The name of an entry is its whole key, so the value need not repeat it.
//! Source: <https://redis.io/docs/latest/commands/set/>, on locks by token.

#[cfg(test)]
mod tests;

use sluice_core::redis::{Command, Reply, Script};

use super::clear::Clears;
use crate::entry::Entry;
use crate::fingerprint::Key;

/// The script, for [`Script::new`].
pub const SCRIPT: &str = include_str!("../cache.lua");

/// Key of the rules of what was cleared.
const CLEARS: &str = "sluice:cache:clears";

/// What came of [`acquire`].
#[derive(Debug, PartialEq, Eq)]
pub enum Acquired {
    /// There is an entry; it may be too old for this gateway, or cleared.
    Hit(Box<Entry>),
    /// There is none, and this request is to ask for all; the lock is its.
    Leader,
    /// There is none, and another request asks.
    Wait {
        /// Milliseconds until its lock expires, unless it is renewed.
        lease_ms: u64,
    },
}

/// Looks the entry up; if there is none, takes the lock for `lease_ms`. Without `lookup` only the lock is taken: where no
/// entry is wanted, or the one there is of no use. `token` names the request uniquely over all gateways. The reply is for
/// [`acquired`].
#[must_use]
pub fn acquire(script: &Script, key: &Key, token: &str, lease_ms: u64, lookup: bool) -> Command {
    let lookup = if lookup { "1" } else { "0" };
    call(script, "acquire", key, token).arg(lease_ms.to_string()).arg(lookup)
}

/// Reads the reply to [`acquire`]; `None` if it is none of the script, or the entry cannot be read.
#[must_use]
pub fn acquired(reply: &Reply) -> Option<Acquired> {
    let [Ok(what), Ok(value)] = reply.array()? else { return None };
    match what.bytes()? {
        b"hit" => Some(Acquired::Hit(Box::new(found(value)?))),
        b"leader" => Some(Acquired::Leader),
        b"wait" => Some(Acquired::Wait { lease_ms: u64::try_from(value.integer()?).ok()? }),
        _ => None,
    }
}

/// Keeps `entry` until it expires, and gives back the lock if it is still `token`'s. The reply is 1.
#[must_use]
pub fn store(script: &Script, key: &Key, token: &str, entry: &Entry, now_ms: u64) -> Command {
    let left_ms = entry.expires_ms.saturating_sub(now_ms).max(1); // Redis takes no 0
    call(script, "store", key, token).arg(left_ms.to_string()).arg(entry.encode())
}

/// Gives back the lock if it is still `token`'s; the reply is 1, else 0.
#[must_use]
pub fn release(script: &Script, key: &Key, token: &str) -> Command {
    call(script, "release", key, token)
}

/// Keeps the lock for `lease_ms` from now if it is still `token`'s; the reply is 1, else 0.
#[must_use]
pub fn renew(script: &Script, key: &Key, token: &str, lease_ms: u64) -> Command {
    call(script, "renew", key, token).arg(lease_ms.to_string())
}

/// Looks the entry up; the reply is for [`found`].
#[must_use]
pub fn look(key: &Key) -> Command {
    Command::new("GET").arg(entry_key(key))
}

/// The entry, if there is one.
#[must_use]
pub fn found(reply: &Reply) -> Option<Entry> {
    Entry::decode(reply.bytes()?)
}

/// Asks for what was cleared; the reply is for [`cleared`].
#[must_use]
pub fn clears() -> Command {
    Command::new("GET").arg(CLEARS)
}

/// What was cleared.
#[must_use]
pub fn cleared(reply: &Reply) -> Clears {
    reply.bytes().map(Clears::decode).unwrap_or_default()
}

/// Writes what was cleared, unless it is no longer `old`; the reply is 1, else 0.
#[must_use]
pub fn swap_clears(script: &Script, old: &Clears, new: &Clears) -> Command {
    Command::eval(script, &[CLEARS]).arg("swap").arg(old.encode()).arg(new.encode())
}

fn call(script: &Script, op: &str, key: &Key, token: &str) -> Command {
    let entry = entry_key(key);
    let lock = format!("{entry}:lock");
    Command::eval(script, &[entry, lock]).arg(op).arg(token)
}

fn entry_key(key: &Key) -> String {
    format!("sluice:cache:{{{}}}", key.hex())
}
