//! Sliding windows and leases: how much of a limit is in use, in whole numbers and over a time passed in.
//!
//! A [`Ledger`] is what one limit remembers about one caller. What was used is booked in slots of a 60th of the
//! [`Window`]; a slot counts until its own end plus one window, so no real window ever holds more than was admitted.
//! What requests in flight may still use is held in leases, which expire by themselves if nobody settles them. The
//! level is the sum of both, and a request is admitted when the level with its own amount stays within the limit.
//!
//! Requests can turn out dearer than was reserved for them. What a booking adds beyond the limit is debt: it is dated
//! into the future, one limit per window, and counts from now until its own window has passed. So it is paid, not
//! forgiven, and at the rate that the limit grants.

mod amounts;
mod encoding;
mod ledger;
#[cfg(test)]
mod tests;

pub use ledger::Ledger;

/// Largest amount that counts; everything saturates here. It is the largest whole number up to which the arithmetic
/// of Redis's scripts (doubles) is exact.
pub const MAX_AMOUNT: u64 = (1 << 53) - 1;

/// Longest window, in milliseconds: ten years. A hundred of them ahead of now is still an exact number to a script.
pub const MAX_PER_MS: u64 = 10 * 366 * 24 * 3_600_000;

/// Slots in a window. More of them waste less of the limit (a slot counts up to a 60th of a window too long), fewer
/// cost less memory; with 60, seconds are the slots of a minute.
const SLOTS: u64 = 60;

/// How many windows ahead debt is dated at most; the rest falls due with the last.
const MAX_DEBT_WINDOWS: u64 = 100;

/// Into how many steps a lease is divided for its end to be rounded to: leases that end together share an entry.
const LEASE_STEPS: u64 = 30;

/// Shortest such step, in milliseconds.
const MIN_LEASE_STEP_MS: u64 = 1_000;

/// When a lease of `lease_ms` ends that is taken or renewed at `now_ms`: rounded up to a whole step of a 30th of the
/// lease, at least a second, so that a ledger has few ends to remember however many requests are in flight.
#[must_use]
pub fn lease_end(now_ms: u64, lease_ms: u64) -> u64 {
    let step = lease_ms.div_ceil(LEASE_STEPS).max(MIN_LEASE_STEP_MS);
    now_ms.saturating_add(lease_ms).div_ceil(step).saturating_mul(step)
}

/// The time over which a limit is counted, sliding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    per_ms: u64,
}

impl Window {
    /// A window of `per_ms` milliseconds; at least 1, at most [`MAX_PER_MS`].
    #[must_use]
    pub const fn new(per_ms: u64) -> Self {
        match per_ms {
            0 => Self { per_ms: 1 },
            1..=MAX_PER_MS => Self { per_ms },
            _ => Self { per_ms: MAX_PER_MS },
        }
    }

    /// Its length in milliseconds.
    #[must_use]
    pub const fn per_ms(self) -> u64 {
        self.per_ms
    }

    /// Length of a slot in milliseconds, rounded up so that 60 of them cover the window.
    fn slot_ms(self) -> u64 {
        self.per_ms.div_ceil(SLOTS).max(1)
    }

    /// The window in whole slots, in milliseconds: the distance between two portions of debt.
    fn span_ms(self) -> u64 {
        self.per_ms.next_multiple_of(self.slot_ms())
    }

    /// Start of the slot that `now_ms` lies in.
    fn slot_at(self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(now_ms.checked_rem(self.slot_ms()).unwrap_or_default())
    }

    /// From when on the slot that starts at `start_ms` no longer counts.
    fn end_of(self, start_ms: u64) -> u64 {
        start_ms.saturating_add(self.slot_ms()).saturating_add(self.per_ms)
    }
}
