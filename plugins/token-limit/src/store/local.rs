//! Limits counted in the process's shared data: exact over all workers of one Envoy, gone when it ends.
//!
//! A bucket lives in one of 4096 shards, each one value that is changed by compare-and-set. A decision reads all
//! its shards, decides, and writes them one after the other; if somebody else was faster with one of them, what was
//! written is taken back and everything begins again. So two requests that race may both be held up, or one refused
//! for what the other gives back a moment later, but never are both admitted where there is room for one.
//!
//! Bounds: 4096 shards of at most 64 buckets, each of some 30 bytes and 6 for every slot it uses: 25 MB if all
//! 262,144 buckets have used ten slots, 100 MB if they have used all 60. A bucket too many drops the one in its shard
//! that would be empty soonest, and counts it.

use sluice_core::digits::Digits;
use sluice_core::filter::{Conflict, Host};
use sluice_core::window::{Ledger, Window};

use super::shard::{Id, Shard};
use super::{Decision, Owed, Standing, Verdict, Want, last_to_free};

/// Number of shards, each a key that shared data never forgets.
const SHARDS: u16 = 4096;

/// How often a change is tried. Whoever is too late was overtaken by somebody who got done or took back what was written,
/// so where all workers ask for the same few buckets at once, dozens of tries may fail; each takes some microseconds. This
/// many fail only if shared data refuses for a reason of its own.
const TRIES: usize = 2_000;

/// Counts buckets dropped while in use, because their shard was full.
const EVICTED: &str = "token_limit_evicted_total";

/// Counts requests admitted unreserved, for lack of luck with compare-and-set.
const CONTENDED: &str = "token_limit_contended_total";

/// Counts settlements that could not be written, for the same reason.
const UNSETTLED: &str = "token_limit_unsettled_total";

/// Holds the amounts of all `wants` until `expires_ms`, or none of them.
pub fn reserve(host: &mut dyn Host, wants: &[Want<'_>], expires_ms: u64, now_ms: u64) -> Decision {
    let ids = ids(wants);
    for _ in 0..TRIES {
        if let Ok(decision) = try_reserve(host, wants, &ids, expires_ms, now_ms) {
            return decision;
        }
    }
    host.count(CONTENDED, 1);
    Decision { verdict: Verdict::Unreserved, standings: peek(host, wants, now_ms) }
}

/// Gives back what is held until `expires_ms` and books what was really used. Once for each reservation; a lease that
/// has expired by then has nothing to give back, and what was used is booked all the same. Returns by how much that
/// lifted each bucket above its limit, in the order of `owed`.
pub fn settle(host: &mut dyn Host, owed: &[Owed<'_>], expires_ms: u64, now_ms: u64) -> Vec<u64> {
    let settlement = |owed: &Owed<'_>| {
        let Owed { held, actual, limit, .. } = *owed;
        Step::new(owed.key, owed.window, Change::Settle { held, expires_ms, actual, limit })
    };
    let steps: Vec<_> = owed.iter().map(settlement).collect();
    let lifted = update(host, &steps, now_ms);
    let unsettled = lifted.iter().filter(|lifted| lifted.is_none()).count();
    if unsettled > 0 {
        host.count(UNSETTLED, u64::try_from(unsettled).unwrap_or_default());
    }
    lifted.into_iter().map(Option::unwrap_or_default).collect()
}

/// Moves the end of what is held from one time to another; what has expired in the meantime is held anew. A renewal
/// that cannot be written is made up for by the next one.
pub fn renew(host: &mut dyn Host, owed: &[Owed<'_>], old_expires_ms: u64, new_expires_ms: u64, now_ms: u64) {
    let renewal = |owed: &Owed<'_>| {
        let change = Change::Extend { amount: owed.held, old_expires_ms, new_expires_ms };
        Step::new(owed.key, owed.window, change)
    };
    let steps: Vec<_> = owed.iter().map(renewal).collect();
    update(host, &steps, now_ms);
}

/// How the buckets stand, and when each would admit the amount wanted of it. Changes nothing.
pub fn peek(host: &dyn Host, wants: &[Want<'_>], now_ms: u64) -> Vec<Standing> {
    let ids = ids(wants);
    let shards = open_all(host, &ids);
    standings(wants, &ledgers(&shards, wants, &ids, now_ms), |want| want.amount)
}

/// A change to one bucket.
struct Step {
    id: Id,
    window: Option<Window>,
    change: Change,
}

#[derive(Clone, Copy)]
enum Change {
    Release { amount: u64, expires_ms: u64 },
    Extend { amount: u64, old_expires_ms: u64, new_expires_ms: u64 },
    Settle { held: u64, expires_ms: u64, actual: u64, limit: u64 },
}

impl Step {
    fn new(key: &str, window: Option<Window>, change: Change) -> Self {
        Self { id: Id::of(key), window, change }
    }

    fn shard(&self) -> u16 {
        self.id.shard(SHARDS)
    }

    /// Makes the change. Returns by how much it lifted the bucket above its limit, of a settlement.
    fn apply(&self, shard: &mut Shard, now_ms: u64) -> u64 {
        let mut ledger = shard.ledger(self.id, self.window, now_ms);
        let mut lifted = 0;
        match self.change {
            Change::Release { amount, expires_ms } => ledger.release(amount, expires_ms),
            Change::Extend { amount, old_expires_ms, new_expires_ms } => {
                ledger.extend(amount, old_expires_ms, new_expires_ms);
            }
            Change::Settle { held, expires_ms, actual, limit } => {
                let before = ledger.level().max(limit);
                ledger.release(held, expires_ms);
                ledger.book(actual, limit);
                lifted = ledger.level().saturating_sub(before);
            }
        }
        shard.put(self.id, &ledger, now_ms);
        lifted
    }
}

/// A shard as it was read.
struct Opened {
    number: u16,
    name: String,
    version: u32,
    shard: Shard,
}

impl Opened {
    fn read(host: &dyn Host, number: u16) -> Self {
        let name = ["token-limit/", Digits::of(number.into()).as_str()].concat();
        let shared = host.shared(&name);
        Self { number, name, version: shared.version, shard: Shard::decode(&shared.value) }
    }

    fn write(self, host: &mut dyn Host) -> Result<(), Conflict> {
        host.set_shared(&self.name, &self.shard.encode(), self.version)?;
        if self.shard.evicted() > 0 {
            host.count(EVICTED, self.shard.evicted());
        }
        Ok(())
    }
}

/// Names of the buckets: each costs a digest, so it is made once.
fn ids(wants: &[Want<'_>]) -> Vec<Id> {
    wants.iter().map(|want| Id::of(want.key)).collect()
}

/// Numbers of their shards, each once, in the order in which everybody writes them.
fn numbers(ids: impl Iterator<Item = Id>) -> Vec<u16> {
    let mut numbers: Vec<u16> = ids.map(|id| id.shard(SHARDS)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

fn open_all(host: &dyn Host, ids: &[Id]) -> Vec<Opened> {
    numbers(ids.iter().copied()).into_iter().map(|number| Opened::read(host, number)).collect()
}

/// The ledgers of all wants, in their order.
fn ledgers(shards: &[Opened], wants: &[Want<'_>], ids: &[Id], now_ms: u64) -> Vec<Ledger> {
    let ledger = |(want, id): (&Want<'_>, &Id)| {
        let opened = shards.iter().find(|opened| opened.number == id.shard(SHARDS));
        opened.map_or_else(
            || Ledger::new(want.window, now_ms),
            |opened| opened.shard.ledger(*id, want.window, now_ms),
        )
    };
    wants.iter().zip(ids).map(ledger).collect()
}

/// How the buckets stand to whoever wants `amount` of them.
fn standings(wants: &[Want<'_>], ledgers: &[Ledger], amount: impl Fn(&Want<'_>) -> u64) -> Vec<Standing> {
    let standing = |(want, ledger): (&Want<'_>, &Ledger)| Standing::of(ledger, want.limit, amount(want));
    wants.iter().zip(ledgers).map(standing).collect()
}

/// One reading of all shards, one decision, one writing; `Err` if somebody else wrote in between, and then nothing is
/// held.
fn try_reserve(
    host: &mut dyn Host,
    wants: &[Want<'_>],
    ids: &[Id],
    expires_ms: u64,
    now_ms: u64,
) -> Result<Decision, Conflict> {
    let mut shards = open_all(host, ids);
    let mut ledgers = ledgers(&shards, wants, ids, now_ms);
    let frees_in_ms =
        wants.iter().zip(&ledgers).map(|(want, ledger)| ledger.frees_in_ms(want.limit, want.amount));
    if let Some(index) = last_to_free(frees_in_ms.enumerate().filter(|(_, ms)| *ms > 0)) {
        let standings = standings(wants, &ledgers, |want| want.amount);
        return Ok(Decision { verdict: Verdict::Refused { index }, standings });
    }
    for ((want, id), ledger) in wants.iter().zip(ids).zip(&mut ledgers) {
        ledger.hold(want.amount, expires_ms);
        if let Some(opened) = shards.iter_mut().find(|opened| opened.number == id.shard(SHARDS)) {
            opened.shard.put(*id, ledger, now_ms);
        }
    }
    write_all(host, shards).map_err(|written| {
        // What cannot be taken back either expires with its lease.
        update(host, &take_back(wants, ids, &written, expires_ms), now_ms);
        Conflict
    })?;
    Ok(Decision { verdict: Verdict::Admitted, standings: standings(wants, &ledgers, |_| 0) })
}

/// Writes all shards; `Err` with the numbers of those that were written before somebody else was faster.
fn write_all(host: &mut dyn Host, shards: Vec<Opened>) -> Result<(), Vec<u16>> {
    let mut written = Vec::new();
    for opened in shards {
        let number = opened.number;
        if opened.write(host).is_err() {
            return Err(written);
        }
        written.push(number);
    }
    Ok(())
}

/// Undoes what was held in these shards.
fn take_back(wants: &[Want<'_>], ids: &[Id], shards: &[u16], expires_ms: u64) -> Vec<Step> {
    let held = wants.iter().zip(ids).filter(|(_, id)| shards.contains(&id.shard(SHARDS)));
    held.map(|(want, id)| {
        let change = Change::Release { amount: want.amount, expires_ms };
        Step { id: *id, window: want.window, change }
    })
    .collect()
}

/// Makes changes that depend on nothing, shard by shard. Returns what [`Step::apply`] says of each; `None` of one that
/// could not be made.
fn update(host: &mut dyn Host, steps: &[Step], now_ms: u64) -> Vec<Option<u64>> {
    let mut results = vec![None; steps.len()];
    for number in numbers(steps.iter().map(|step| step.id)) {
        let mut own: Vec<_> =
            steps.iter().zip(&mut results).filter(|(step, _)| step.shard() == number).collect();
        update_shard(host, number, &mut own, now_ms);
    }
    results
}

fn update_shard(host: &mut dyn Host, number: u16, steps: &mut [(&Step, &mut Option<u64>)], now_ms: u64) {
    for _ in 0..TRIES {
        let mut opened = Opened::read(host, number);
        for (step, result) in &mut *steps {
            **result = Some(step.apply(&mut opened.shard, now_ms));
        }
        if opened.write(host).is_ok() {
            return;
        }
    }
    steps.iter_mut().for_each(|(_, result)| **result = None);
}
