//! Points in real time.
#![allow(clippy::disallowed_methods, reason = "running Envoy is no policy: it takes the time it takes")]

use std::time::{Duration, Instant};

/// A point in time to be waited for; one too far off to be told never comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(Option<Instant>);

impl Deadline {
    pub(super) fn after(wait: Duration) -> Self {
        Self(Instant::now().checked_add(wait))
    }

    pub(super) fn has_passed(self) -> bool {
        self.0.is_some_and(|at| Instant::now() >= at)
    }
}
