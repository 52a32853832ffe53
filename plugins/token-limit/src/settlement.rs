//! What a reservation that is over owes to its buckets, as it is kept until Redis has taken it.

use sluice_core::window::Window;

use crate::store::Owed;
use crate::store::redis::{self as store, Invocation};
use crate::waiting::Waiting;

/// A reservation that is over.
#[derive(Debug)]
pub(crate) struct Settlement {
    lease: String,
    pub(crate) dues: Vec<Due>,
    /// Redis may have it already.
    pub(crate) sent: bool,
    pub(crate) since_ms: u64,
}

/// [`Owed`], kept.
#[derive(Debug)]
pub(crate) struct Due {
    /// The limit's name.
    pub(crate) name: String,
    key: String,
    window: Option<Window>,
    limit: u64,
    held: u64,
    pub(crate) actual: u64,
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

    pub(crate) fn invocation(&self) -> Invocation {
        let owed: Vec<Owed<'_>> = self.dues.iter().map(Due::owed).collect();
        store::settle(&owed, &self.lease, self.sent, 0)
    }

    /// Whether it only gives back what was held.
    pub(crate) fn books_nothing(&self) -> bool {
        self.dues.iter().all(|due| due.actual == 0)
    }
}

/// A settlement on its way to Redis. Dropped before anybody has heard of its end, it may not have arrived: then it waits
/// to be sent again.
#[derive(Debug)]
pub(crate) struct UnderWay {
    settlement: Option<Settlement>, // none: taken out
    waiting: &'static Waiting,
}

impl UnderWay {
    pub(crate) const fn new(settlement: Settlement, waiting: &'static Waiting) -> Self {
        Self { settlement: Some(settlement), waiting }
    }

    /// It is not under way any more.
    pub(crate) fn take(mut self) -> Option<Settlement> {
        self.settlement.take()
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(settlement) = self.settlement.take() {
            self.waiting.add(Settlement { sent: true, ..settlement });
        }
    }
}
