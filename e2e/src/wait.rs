//! Waiting for what another thread or process does: polls with a deadline, and says what it waited for.

use std::time::{Duration, Instant};

/// How long a test waits for anything before it fails. Generous, because machines that build are slow.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Time between two polls.
const PAUSE: Duration = Duration::from_millis(10);

/// Polls `probe` until it yields a value; `None` after `patience`.
pub fn poll<T>(patience: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = probe() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Polls `probe` until it yields a value; panics with `what` after [`PATIENCE`].
#[track_caller]
pub fn until<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    match poll(PATIENCE, probe) {
        Some(found) => found,
        None => panic!("waited {PATIENCE:?} in vain for {what}"),
    }
}
