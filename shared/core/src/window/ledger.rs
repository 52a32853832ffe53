//! What one limit remembers about one caller.

use super::amounts::{Amounts, plus};
use super::encoding::{put_amounts, take_amounts};
use super::{MAX_DEBT_WINDOWS, Window};

/// How many different ends of leases are kept apart. With [`super::lease_end`] there are at most 32; what comes
/// beyond joins the next end and stays until then, even if it is given back.
const MAX_LEASE_ENDS: usize = 64;

/// Room for a time and an amount as bytes: most take less.
const PAIR_BYTES: usize = 10;

/// Booked amounts in slots, and amounts held in leases. All questions are answered as of the time last passed in.
///
/// Without a window nothing is booked: such a ledger counts only what is in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    window: Option<Window>,
    now_ms: u64,
    slots: Amounts,  // by the slot's start
    leases: Amounts, // by their end
}

impl Ledger {
    /// A ledger in which nothing stands.
    #[must_use]
    pub fn new(window: Option<Window>, now_ms: u64) -> Self {
        Self { window, now_ms, slots: Amounts::default(), leases: Amounts::default() }
    }

    /// Reads what [`Self::encode`] wrote, as of `now_ms`; `None` for anything else. The window may be another than at
    /// the time of writing: what stands in the ledger then counts as that window has it.
    #[must_use]
    pub fn decode(mut bytes: &[u8], window: Option<Window>, now_ms: u64) -> Option<Self> {
        let slots = take_amounts(&mut bytes)?;
        let leases = take_amounts(&mut bytes)?;
        let mut ledger = Self { window, now_ms, slots, leases };
        ledger.advance(now_ms);
        bytes.is_empty().then_some(ledger)
    }

    /// What stands in the ledger, as bytes; window and time do not.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let pairs = self.slots.len().saturating_add(self.leases.len());
        let mut out = Vec::with_capacity(pairs.saturating_mul(PAIR_BYTES).saturating_add(2));
        put_amounts(&mut out, &self.slots);
        put_amounts(&mut out, &self.leases);
        out
    }

    /// Drops what no longer counts at `now_ms`. A clock that goes back brings nothing back.
    pub fn advance(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        let window = self.window;
        self.slots.retain(|start| window.is_some_and(|window| window.end_of(start) > now_ms));
        self.leases.retain(|end| end > now_ms);
    }

    /// What is in use: all that is booked, debt included, and all that is held.
    #[must_use]
    pub fn level(&self) -> u64 {
        plus(self.slots.total(), self.held())
    }

    /// What is held in leases.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.leases.total()
    }

    /// Whether `amount` more stays within `limit`. An amount over the limit counts as the limit: an empty ledger
    /// admits everything.
    #[must_use]
    pub fn admits(&self, limit: u64, amount: u64) -> bool {
        self.excess(limit, amount) == 0
    }

    /// Holds `amount` in a lease until `expires_ms`.
    pub fn hold(&mut self, amount: u64, expires_ms: u64) {
        if expires_ms > self.now_ms {
            self.leases.add(expires_ms, amount);
            self.leases.shrink(MAX_LEASE_ENDS);
        }
    }

    /// Gives back a lease of `amount` until `expires_ms`; nothing if it has expired. Leases with one end are one sum,
    /// so whoever took a lease gives it back once.
    pub fn release(&mut self, amount: u64, expires_ms: u64) {
        if expires_ms > self.now_ms {
            self.leases.take(expires_ms, amount);
        }
    }

    /// Renews a lease of `amount` from one end to another; one that has expired is taken anew. `old_expires_ms` is the
    /// end that the lease has now, so whoever holds it keeps it up to date.
    pub fn extend(&mut self, amount: u64, old_expires_ms: u64, new_expires_ms: u64) {
        self.release(amount, old_expires_ms);
        self.hold(amount, new_expires_ms);
    }

    /// Books `amount` as used now. What goes beyond `limit` is dated into the future, one limit per window.
    pub fn book(&mut self, amount: u64, limit: u64) {
        let Some(window) = self.window else { return };
        let fits = amount.min(limit.saturating_sub(self.slots.total()));
        self.slots.add(window.slot_at(self.now_ms), fits);
        self.owe(window, amount.saturating_sub(fits), limit);
    }

    /// Milliseconds until `amount` (at most `limit`) is admitted; 0 if it is now. What is held counts as if it were
    /// booked now, so this is when room is certain; a request that ends early or for less gives room sooner. Without
    /// a window: until enough leases expire.
    #[must_use]
    pub fn frees_in_ms(&self, limit: u64, amount: u64) -> u64 {
        let excess = self.excess(limit, amount);
        if excess == 0 {
            return 0;
        }
        let mut freed = 0;
        let enough = |(_, amount): &(u64, u64)| {
            freed = plus(freed, *amount);
            freed >= excess
        };
        let end = self.ends().into_iter().find(enough).map_or(0, |(end, _)| end);
        end.saturating_sub(self.now_ms).max(1)
    }

    /// Milliseconds until the level is 0, held amounts counted as in [`Self::frees_in_ms`].
    #[must_use]
    pub fn resets_in_ms(&self) -> u64 {
        let end = match self.window {
            Some(window) => {
                let held = (self.held() > 0).then(|| window.slot_at(self.now_ms));
                self.slots.last().max(held).map(|start| window.end_of(start))
            }
            None => self.leases.last(),
        };
        end.map_or(0, |end| end.saturating_sub(self.now_ms))
    }

    /// When nothing stands in the ledger any more if it is left alone, in milliseconds since the epoch; 0 if nothing
    /// does now.
    #[must_use]
    pub fn expires_at_ms(&self) -> u64 {
        let booked = self.window.zip(self.slots.last()).map(|(window, start)| window.end_of(start));
        booked.max(self.leases.last()).unwrap_or_default()
    }

    /// By how much `amount` is too much now.
    fn excess(&self, limit: u64, amount: u64) -> u64 {
        self.level().saturating_sub(limit.saturating_sub(amount))
    }

    /// Dates `debt` into the future: what room is left at the last date that is taken, then a limit per window.
    fn owe(&mut self, window: Window, debt: u64, limit: u64) {
        let (now, span) = (window.slot_at(self.now_ms), window.span_ms());
        let horizon = now.saturating_add(span.saturating_mul(MAX_DEBT_WINDOWS));
        let last = self.slots.last().filter(|last| *last > now);
        let mut due = last.unwrap_or_else(|| now.saturating_add(span)).min(horizon);
        let mut debt = debt;
        while debt > 0 {
            let room = limit.saturating_sub(self.slots.within(due.saturating_sub(span), due));
            let part = if due < horizon { debt.min(room) } else { debt };
            self.slots.add(due, part);
            debt = debt.saturating_sub(part);
            due = due.saturating_add(span).min(horizon);
        }
    }

    /// Until when each amount counts, in ascending order.
    fn ends(&self) -> Vec<(u64, u64)> {
        let Some(window) = self.window else { return self.leases.iter().collect() };
        let mut slots = self.slots.clone();
        slots.add(window.slot_at(self.now_ms), self.held());
        slots.iter().map(|(start, amount)| (window.end_of(start), amount)).collect()
    }
}
