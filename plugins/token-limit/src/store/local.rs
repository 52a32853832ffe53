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

use std::collections::{BTreeMap, BTreeSet};

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
    for _ in 0..TRIES {
        if let Ok(decision) = try_reserve(host, wants, expires_ms, now_ms) {
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
    let shards = open_all(host, wants);
    wants.iter().map(|want| Standing::of(&ledger(&shards, want, now_ms), want.limit, want.amount)).collect()
}

/// A change to one bucket.
struct Step {
    id: Id,
    window: Option<Window>,
    change: Change,
}

#[derive(Clone, Copy)]
enum Change {
    Hold { amount: u64, expires_ms: u64 },
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
            Change::Hold { amount, expires_ms } => ledger.hold(amount, expires_ms),
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
    name: String,
    version: u32,
    shard: Shard,
}

impl Opened {
    fn read(host: &dyn Host, number: u16) -> Self {
        let name = format!("token-limit/{number}");
        let shared = host.shared(&name);
        Self { name, version: shared.version, shard: Shard::decode(&shared.value) }
    }

    fn write(self, host: &mut dyn Host) -> Result<(), Conflict> {
        host.set_shared(&self.name, &self.shard.encode(), self.version)?;
        if self.shard.evicted() > 0 {
            host.count(EVICTED, self.shard.evicted());
        }
        Ok(())
    }
}

type Shards = BTreeMap<u16, Opened>;

fn open_all(host: &dyn Host, wants: &[Want<'_>]) -> Shards {
    let numbers: BTreeSet<_> = wants.iter().map(|want| Id::of(want.key).shard(SHARDS)).collect();
    numbers.into_iter().map(|number| (number, Opened::read(host, number))).collect()
}

fn ledger(shards: &Shards, want: &Want<'_>, now_ms: u64) -> Ledger {
    let id = Id::of(want.key);
    let opened = shards.get(&id.shard(SHARDS));
    opened.map_or_else(
        || Ledger::new(want.window, now_ms),
        |opened| opened.shard.ledger(id, want.window, now_ms),
    )
}

/// One reading of all shards, one decision, one writing; `Err` if somebody else wrote in between, and then nothing is
/// held.
fn try_reserve(
    host: &mut dyn Host,
    wants: &[Want<'_>],
    expires_ms: u64,
    now_ms: u64,
) -> Result<Decision, Conflict> {
    let mut shards = open_all(host, wants);
    let ledgers: Vec<_> = wants.iter().map(|want| (want, ledger(&shards, want, now_ms))).collect();
    let before = ledgers.iter().map(|(want, ledger)| Standing::of(ledger, want.limit, want.amount));
    let refusing = before.clone().map(|standing| standing.frees_in_ms).enumerate().filter(|(_, ms)| *ms > 0);
    if let Some(index) = last_to_free(refusing) {
        return Ok(Decision { verdict: Verdict::Refused { index }, standings: before.collect() });
    }
    let hold =
        |want: &Want<'_>| Step::new(want.key, want.window, Change::Hold { amount: want.amount, expires_ms });
    let steps: Vec<_> = wants.iter().map(hold).collect();
    for step in &steps {
        if let Some(opened) = shards.get_mut(&step.shard()) {
            step.apply(&mut opened.shard, now_ms);
        }
    }
    let after =
        wants.iter().map(|want| Standing::of(&ledger(&shards, want, now_ms), want.limit, 0)).collect();
    write_all(host, shards, steps, now_ms)?;
    Ok(Decision { verdict: Verdict::Admitted, standings: after })
}

/// Writes all shards, or takes back what was held in those already written.
fn write_all(host: &mut dyn Host, shards: Shards, steps: Vec<Step>, now_ms: u64) -> Result<(), Conflict> {
    let mut written = BTreeSet::new();
    for (number, opened) in shards {
        if opened.write(host).is_err() {
            let holds = steps.into_iter().filter(|step| written.contains(&step.shard()));
            // What cannot be taken back either expires with its lease.
            update(host, &holds.map(take_back).collect::<Vec<_>>(), now_ms);
            return Err(Conflict);
        }
        written.insert(number);
    }
    Ok(())
}

fn take_back(step: Step) -> Step {
    match step.change {
        Change::Hold { amount, expires_ms } => {
            Step { change: Change::Release { amount, expires_ms }, ..step }
        }
        _ => step,
    }
}

/// Makes changes that depend on nothing, shard by shard. Returns what [`Step::apply`] says of each; `None` of one that
/// could not be made.
fn update(host: &mut dyn Host, steps: &[Step], now_ms: u64) -> Vec<Option<u64>> {
    let shards: BTreeSet<u16> = steps.iter().map(Step::shard).collect();
    let mut results = vec![None; steps.len()];
    for number in shards {
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
