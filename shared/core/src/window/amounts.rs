//! Amounts by time, in ascending order: the slots of a window, or the ends of leases.

use super::MAX_AMOUNT;

/// `a + b`, saturating at [`MAX_AMOUNT`].
pub(super) fn plus(a: u64, b: u64) -> u64 {
    a.saturating_add(b).min(MAX_AMOUNT)
}

/// Pairs of a time in milliseconds and the amount there. Times ascend, no amount is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Amounts(Vec<(u64, u64)>);

impl Amounts {
    /// Takes pairs of which times ascend and no amount is 0 or more than [`MAX_AMOUNT`].
    pub(super) const fn ascending(pairs: Vec<(u64, u64)>) -> Self {
        Self(pairs)
    }

    /// All pairs in ascending order of time.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().copied()
    }

    /// Number of times.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Sum of all amounts.
    pub(super) fn total(&self) -> u64 {
        self.iter().fold(0, |sum, (_, amount)| plus(sum, amount))
    }

    /// Sum of the amounts later than `after` and no later than `until`.
    pub(super) fn within(&self, after: u64, until: u64) -> u64 {
        self.iter()
            .filter(|(at, _)| after < *at && *at <= until)
            .fold(0, |sum, (_, amount)| plus(sum, amount))
    }

    /// The latest time.
    pub(super) fn last(&self) -> Option<u64> {
        self.0.last().map(|(at, _)| *at)
    }

    /// Adds `amount` at `at`.
    pub(super) fn add(&mut self, at: u64, amount: u64) {
        if amount == 0 {
            return;
        }
        match self.0.binary_search_by_key(&at, |(at, _)| *at) {
            Ok(index) => {
                if let Some((_, there)) = self.0.get_mut(index) {
                    *there = plus(*there, amount);
                }
            }
            Err(index) => self.0.insert(index, (at, amount.min(MAX_AMOUNT))),
        }
    }

    /// Takes up to `amount` away at `at`.
    pub(super) fn take(&mut self, at: u64, amount: u64) {
        for (_, there) in self.0.iter_mut().filter(|(time, _)| *time == at) {
            *there = there.saturating_sub(amount);
        }
        self.0.retain(|(_, amount)| *amount > 0);
    }

    /// Keeps the times for which `keeps` holds.
    pub(super) fn retain(&mut self, keeps: impl Fn(u64) -> bool) {
        self.0.retain(|(at, _)| keeps(*at));
    }

    /// Joins the earliest times until at most `most` are left.
    pub(super) fn shrink(&mut self, most: usize) {
        while self.0.len() > most.max(1) {
            let (_, amount) = self.0.remove(0);
            if let Some((_, there)) = self.0.first_mut() {
                *there = plus(*there, amount);
            }
        }
    }
}
