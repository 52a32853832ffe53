//! Where snapshots come from.
#![allow(clippy::disallowed_methods, reason = "a look at a gateway takes place in real time")]

use std::time::{Duration, Instant};

use super::snapshot::{PAGE, Snapshot};
use crate::admin::Admin;

/// Largest page that is read, in bytes: a thousand series of each kind are a few MiB.
const MAX_PAGE: u64 = 64 << 20;

/// A gateway's counters.
pub(super) struct Source {
    admin: Admin,
    began: Instant,
}

impl Source {
    pub(super) fn new(admin: Admin) -> Self {
        Self { admin, began: Instant::now() }
    }

    /// Where they are.
    pub(super) fn url(&self) -> &str {
        self.admin.url()
    }

    /// What they say now.
    ///
    /// # Errors
    /// Nobody answers there, or somebody else.
    pub(super) fn snapshot(&self) -> Result<Snapshot, String> {
        let url = self.url();
        let page = self.admin.text(PAGE, MAX_PAGE);
        let page = page.map_err(|error| format!("no answer from {url}: {}", why(error)))?;
        Snapshot::read(&page, self.began.elapsed().as_secs_f64())
            .map_err(|error| format!("{url} is not Envoy's admin interface: /stats/prometheus, {error}"))
    }
}

/// `connection refused`, without the system's numbers.
fn why(error: ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) => error.kind().to_string(),
        error => error.to_string(),
    }
}

/// When a look began.
pub(super) struct Turn(Instant);

impl Turn {
    pub(super) fn begin() -> Self {
        Self(Instant::now())
    }

    /// Waits until the next is due.
    pub(super) fn rest(&self, every: Duration) {
        std::thread::sleep(every.saturating_sub(self.0.elapsed()));
    }
}
