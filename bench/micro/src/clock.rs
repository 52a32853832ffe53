//! Time that this program has been at work, as against time that has passed: others on the machine then do not show.

use std::time::Duration;

/// CPU time of this thread.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn now() -> Duration {
    use rustix::time::{ClockId, clock_gettime};

    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

/// CPU time of the process: `run.mjs` gives it for the monotonic clock, as WASI's library has none for the other.
#[cfg(target_family = "wasm")]
#[allow(clippy::disallowed_methods, reason = "it measures time")]
pub(crate) fn now() -> Duration {
    use std::sync::OnceLock;
    use std::time::Instant;

    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}
