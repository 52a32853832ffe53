//! What another configuration would make of requests that were recorded: the filters' own policies over an access log.
//!
//! As in [`mod@crate::explain`], nothing is decided here. Callers are judged by [`consumer_auth::Config`], routed by
//! [`model_router::rules`], and limited by [`token_limit::TokenLimit`] itself, which runs over ledgers in memory and a
//! clock that the log sets. Only the cache is a model (`cache`), for a log holds no answers. What providers and content
//! checks do cannot be run again: it is as recorded, and where nothing is recorded, as others were.

mod cache;
mod callers;
mod decision;
mod host;
mod json;
mod limits;
mod log;
mod means;
mod policy;
mod provider;
mod record;
mod report;
mod run;
mod text;

use std::collections::BTreeSet;
use std::path::Path;

pub use log::Skipped;
pub use record::Unread;
pub use report::{Both, Caches, Change, Group, Note, Report};

use crate::gateway::{CheckOptions, Gateway};

/// Replays the access log at `path` (`-`: standard input) under `gateway`, with up to `examples` requests for each
/// change.
///
/// # Errors
/// The log cannot be read; or a plugin refuses what was rendered for it, which is a fault of this program.
pub fn replay(
    gateway: &Gateway,
    path: &Path,
    examples: usize,
    options: &CheckOptions<'_>,
) -> Result<Report, String> {
    Replayer::new(gateway, options)?.replay(path, examples)
}

/// A configuration under which logs are replayed, one after another, each by itself.
pub struct Replayer<'a>(policy::Policies<'a>);

impl<'a> Replayer<'a> {
    /// The policies of `gateway`.
    ///
    /// # Errors
    /// A plugin refuses what was rendered for it, which is a fault of this program.
    pub fn new(gateway: &'a Gateway, options: &CheckOptions<'_>) -> Result<Self, String> {
        policy::Policies::new(gateway, options).map(Self)
    }

    /// Replays the access log at `path`, as [`replay()`] does.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn replay(&self, path: &Path, examples: usize) -> Result<Report, String> {
        let Self(policies) = self;
        let unreadable = |error: std::io::Error| format!("{}: {error}", path.display());
        let mut log = log::Log::open(path).map_err(unreadable)?;
        let callers = callers::Callers::new(&policies.callers);
        let mut unseen: BTreeSet<&str> = policies.headers();
        let mut replay = run::Replay::new(policies, &callers, examples);
        let read = log.each(|entry| {
            unseen.retain(|name| !entry.record.headers.contains_key(*name));
            replay.begin(entry);
        });
        read.map_err(unreadable)?;
        let report = replay.finish().finish(log.skipped);
        let unseen_headers = unseen.into_iter().map(str::to_owned).collect();
        Ok(Report { unseen_headers, has_checks: policies.gateway.guard.is_some(), ..report })
    }
}
