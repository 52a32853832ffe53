//! What the cache says it did: in the header `x-ai-cache`, in a fact and in counters.

use std::fmt;

use sluice_core::context;
use sluice_core::filter::Host;

/// The header of every answer that has passed here.
pub(crate) const HEADER: &str = "x-ai-cache";

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    /// It was answered here; `coalesced`, with an answer that another request was waiting for.
    Hit { coalesced: bool },
    /// The provider is asked.
    Miss(Option<&'static str>),
    /// The provider is asked, and its answer is not kept.
    Bypass(&'static str),
}

impl Label {
    /// Publishes and counts it.
    pub(crate) fn publish(self, host: &mut dyn Host) {
        context::CACHE.set(host, &self.to_string());
        let counter = match self {
            Self::Hit { .. } => "response_cache_hits_total",
            Self::Miss(_) => "response_cache_misses_total",
            Self::Bypass(_) => "response_cache_bypasses_total",
        };
        host.count(counter, 1);
        if self == (Self::Hit { coalesced: true }) {
            host.count("response_cache_coalesced_total", 1);
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hit { coalesced: false } => f.write_str("hit"),
            Self::Hit { coalesced: true } => f.write_str("hit; reason=coalesced"),
            Self::Miss(None) => f.write_str("miss"),
            Self::Miss(Some(reason)) => write!(f, "miss; reason={reason}"),
            Self::Bypass(reason) => write!(f, "bypass; reason={reason}"),
        }
    }
}
