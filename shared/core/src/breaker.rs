//! Stops asking a service that keeps failing, and tries again now and then.

/// Failures in a row that open it.
const FAILURES: u32 = 5;

/// How long it stays open at first, in milliseconds, and at most; each failed probe doubles it.
const BACK_OFF_MS: u64 = 500;
const MAX_BACK_OFF_MS: u64 = 10_000;

/// A circuit breaker. Time is passed in as milliseconds of any clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    failures: u32, // in a row, while closed
    open: Option<Open>,
    closed: u32, // how often it has closed again
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Open {
    back_off_ms: u64,
    probe_at_ms: u64,
    probe: u64, // number of the last probe let through; 0 is none
}

/// Leave to make a call; its outcome is reported with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    probe: u64,  // 0: given while closed
    closed: u32, // how often the breaker had closed by then
}

impl Ticket {
    /// Whether its call is to show that the service is back.
    #[must_use]
    pub const fn is_probe(self) -> bool {
        self.probe != 0
    }
}

impl Breaker {
    /// Whether a call may be made. While open, one probe each time the back-off has passed.
    #[must_use = "its outcome is to be reported"]
    pub fn admit(&mut self, now_ms: u64) -> Option<Ticket> {
        let closed = self.closed;
        let Some(open) = &mut self.open else { return Some(Ticket { probe: 0, closed }) };
        if now_ms < open.probe_at_ms {
            return None;
        }
        // A probe nobody reports on (its stream has gone) is followed by another.
        open.probe_at_ms = now_ms.saturating_add(open.back_off_ms);
        open.probe = open.probe.saturating_add(1);
        Some(Ticket { probe: open.probe, closed })
    }

    /// Takes an outcome; `true` if it has just opened. While open only the last probe's counts, and once it has closed again
    /// none of a call made before: it may end late, and tell of what is over.
    pub fn report(&mut self, ticket: Ticket, good: bool, now_ms: u64) -> bool {
        match &mut self.open {
            Some(open) if ticket.probe == 0 || ticket.probe != open.probe => {}
            Some(_) if good => *self = Self { closed: self.closed.wrapping_add(1), ..Self::default() },
            Some(open) => {
                open.back_off_ms = open.back_off_ms.saturating_mul(2).min(MAX_BACK_OFF_MS);
                open.probe_at_ms = now_ms.saturating_add(open.back_off_ms);
            }
            None if ticket.closed != self.closed => {}
            None if good => self.failures = 0,
            None => return self.fail(now_ms),
        }
        false
    }

    fn fail(&mut self, now_ms: u64) -> bool {
        self.failures = self.failures.saturating_add(1);
        if self.failures < FAILURES {
            return false;
        }
        let probe_at_ms = now_ms.saturating_add(BACK_OFF_MS);
        self.open = Some(Open { back_off_ms: BACK_OFF_MS, probe_at_ms, probe: 0 });
        true
    }
}

#[cfg(test)]
mod tests;
