//! Limits counted in Redis: exact over all gateways that share it. One script call is one decision.
//!
//! Nothing here talks to Redis: it builds the script's arguments and reads its answer. All keys of a call share a
//! hash tag (see [`super::key`]), as Redis Cluster wants it, and every key expires by itself.
//! Source: <https://redis.io/docs/latest/develop/interact/programmability/eval-intro/>.

use sluice_core::redis::{Command, Reply, Script};
use sluice_core::window::{MAX_AMOUNT, Window};

use super::{Decision, Owed, Standing, Verdict, Want};

/// The script, for [`Script::new`].
pub const SCRIPT: &str = include_str!("../limits.lua");

/// Numbers in a reply before those of the buckets, and per bucket.
const HEAD: usize = 2;
const PER_BUCKET: usize = 4;

/// The keys and arguments of one call of the script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// Two per bucket: the hash of its slots and the sorted set of its leases.
    pub keys: Vec<String>,
    /// As the script's head describes them.
    pub args: Vec<String>,
}

impl Invocation {
    /// The command to send, with `script` made of [`SCRIPT`].
    #[must_use]
    pub fn command(&self, script: &Script) -> Command {
        self.args.iter().fold(Command::eval(script, &self.keys), |command, arg| command.arg(arg))
    }

    fn new(op: &str, now_ms: u64, lease: &str, third: u64) -> Self {
        let args = vec![op.to_owned(), now_ms.to_string(), lease.to_owned(), third.to_string()];
        Self { keys: Vec::new(), args }
    }

    fn bucket(mut self, key: &str, window: Option<Window>, numbers: [u64; 3]) -> Self {
        self.keys.push(key.to_owned());
        self.keys.push(format!("{key}:leases"));
        self.args.push(window.map_or(0, Window::per_ms).to_string());
        self.args.extend(numbers.map(|number| number.min(MAX_AMOUNT).to_string()));
        self
    }

    fn wants(self, wants: &[Want<'_>]) -> Self {
        wants.iter().fold(self, |call, want| call.bucket(want.key, want.window, [want.limit, want.amount, 0]))
    }

    fn owed(self, owed: &[Owed<'_>]) -> Self {
        owed.iter()
            .fold(self, |call, owed| call.bucket(owed.key, owed.window, [owed.limit, owed.held, owed.actual]))
    }
}

/// Holds the amounts of all `wants` for `lease_ms`, or none of them. `lease` names the request uniquely over all
/// gateways. With `now_ms` 0, here and below, Redis's own clock counts; tests pass another.
#[must_use]
pub fn reserve(wants: &[Want<'_>], lease: &str, lease_ms: u64, now_ms: u64) -> Invocation {
    Invocation::new("reserve", now_ms, lease, lease_ms).wants(wants)
}

/// Gives back what is held in `lease` and books what was really used. A lease that is gone had expired if this is the
/// first attempt, so the use is booked all the same; if it is made `again`, the attempt before had settled it, and
/// nothing is booked twice.
#[must_use]
pub fn settle(owed: &[Owed<'_>], lease: &str, again: bool, now_ms: u64) -> Invocation {
    Invocation::new("settle", now_ms, lease, u64::from(again)).owed(owed)
}

/// Holds for another `lease_ms` from now; anew if the lease has expired.
#[must_use]
pub fn renew(owed: &[Owed<'_>], lease: &str, lease_ms: u64, now_ms: u64) -> Invocation {
    Invocation::new("renew", now_ms, lease, lease_ms).owed(owed)
}

/// How the buckets stand, and when each would admit the amount wanted of it. Changes nothing.
#[must_use]
pub fn peek(wants: &[Want<'_>], now_ms: u64) -> Invocation {
    Invocation::new("peek", now_ms, "", 0).wants(wants)
}

fn numbers(reply: &Reply) -> Option<Vec<i64>> {
    let element = |element: &Result<Reply, _>| element.as_ref().ok().and_then(Reply::integer);
    reply.array()?.iter().map(element).collect()
}

/// Reads what the script answers to [`settle`] of so many buckets: by how much each was lifted above its limit, in the
/// order in which they were given. `None` if that is no answer of it.
#[must_use]
pub fn parse_settled(reply: &Reply, buckets: usize) -> Option<Vec<u64>> {
    let numbers = numbers(reply)?;
    let lifted = numbers.strip_prefix(&[1, -1]).filter(|lifted| lifted.len() == buckets)?;
    lifted.iter().map(|by| u64::try_from(*by).ok()).collect()
}

/// Reads what the script answers to [`reserve`] and [`peek`]; `None` if that is no answer of it.
#[must_use]
pub fn parse(reply: &Reply, wants: &[Want<'_>]) -> Option<Decision> {
    let numbers = numbers(reply)?;
    let (head, buckets) = numbers.split_at_checked(HEAD)?;
    let buckets = buckets.chunks(PER_BUCKET);
    let verdict = match head {
        [1, _] => Verdict::Admitted,
        [0, index] => {
            Verdict::Refused { index: usize::try_from(*index).ok().filter(|index| *index < wants.len())? }
        }
        _ => return None,
    };
    let standings = wants.iter().zip(buckets.clone()).map(|(want, bucket)| standing(want.limit, bucket));
    (buckets.len() == wants.len())
        .then_some(Decision { verdict, standings: standings.collect::<Option<_>>()? })
}

fn standing(limit: u64, numbers: &[i64]) -> Option<Standing> {
    let &[level, frees_in, resets_in, held] = numbers else { return None };
    Some(Standing {
        limit,
        level: u64::try_from(level).ok()?,
        held: u64::try_from(held).ok()?,
        frees_in_ms: u64::try_from(frees_in).ok()?,
        resets_in_ms: u64::try_from(resets_in).ok()?,
    })
}
