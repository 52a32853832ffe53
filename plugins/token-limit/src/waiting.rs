//! Settlements that Redis has not taken yet: they wait for the next occasion to be sent, of whichever worker.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use sluice_core::filter::Host;

use crate::settlement::Settlement;

/// Settlements that wait for Redis; of more, the oldest are given up.
pub(crate) const MAX_WAITING: usize = 10_000;

/// Pause before settlements are sent again, in milliseconds.
const RETRY_MS: u64 = 500;

/// Counts settlements that were given up.
pub(crate) const UNSETTLED: &str = "token_limit_unsettled_total";

/// Settlements that wait.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    settlements: VecDeque<Settlement>,
    /// How many were given up since that was last counted.
    given_up: u64,
}

impl Queue {
    const fn new() -> Self {
        Self { settlements: VecDeque::new(), given_up: 0 }
    }

    /// One that books nothing must not take the place of what is owed: its lease ends by itself.
    fn add(&mut self, settlement: Settlement) {
        if settlement.books_nothing() && self.settlements.len() >= MAX_WAITING / 2 {
            return;
        }
        if self.settlements.len() >= MAX_WAITING {
            self.settlements.pop_front();
            self.given_up = self.given_up.saturating_add(1);
        }
        self.settlements.push_back(settlement);
    }

    fn put_back(&mut self, settlement: Settlement) {
        if self.settlements.len() >= MAX_WAITING {
            self.given_up = self.given_up.saturating_add(1); // others have come meanwhile, and this is the oldest
        } else {
            self.settlements.push_front(settlement);
        }
    }
}

impl Waiting {
    /// Those of the process. They belong to no configuration: a change of that while Redis is away loses none.
    pub(crate) fn of_process() -> &'static Self {
        static WAITING: Waiting = Waiting(Mutex::new(Queue::new()));
        &WAITING
    }

    /// Lets a settlement wait.
    pub(crate) fn add(&self, settlement: Settlement) {
        self.with(|queue| queue.add(settlement));
    }

    /// Takes the one that has waited longest.
    pub(crate) fn next(&self) -> Option<Settlement> {
        self.with(|queue| queue.settlements.pop_front())
    }

    /// Lets one that was taken wait on, before all others.
    pub(crate) fn put_back(&self, settlement: Settlement) {
        self.with(|queue| queue.put_back(settlement));
    }

    /// Asks for a wake-up if any wait, and counts those that were given up.
    pub(crate) fn wake(&self, host: &mut dyn Host) {
        let (wait, given_up) =
            self.with(|queue| (!queue.settlements.is_empty(), std::mem::take(&mut queue.given_up)));
        if given_up > 0 {
            host.count(UNSETTLED, given_up);
        }
        if wait {
            host.wake_detached_after(RETRY_MS);
        }
    }

    /// Of the settlements that wait, whether Redis may have each already.
    #[cfg(test)]
    pub(crate) fn sent(&self) -> Vec<bool> {
        self.with(|queue| queue.settlements.iter().map(|settlement| settlement.sent).collect())
    }

    /// Calls nothing of the host, so that no thread waits for another's.
    fn with<T>(&self, act: impl FnOnce(&mut Queue) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests;
