//! The key of one attempt, from when it is picked to when the provider refuses it.

use std::rc::Rc;

use sluice_core::context;
use sluice_core::filter::Host;
use sluice_core::metric::{Label, series};
use sluice_core::target::Target;

use crate::config::Config;
use crate::pool::{self, Lease, Pool};
use crate::rest::{self, Rests};
use crate::verdict::Verdict;

/// Counts attempts that found every key of their provider resting.
pub(crate) const EXHAUSTED: &str = "key_rotation_exhausted_total";

/// The key that the running attempt carries.
pub(crate) struct Used {
    target: Rc<Target>,
    pool: Rc<Pool>,
    pub(crate) lease: Lease,
}

impl Used {
    /// Picks a key of the target's provider; `None` if it takes none.
    pub(crate) fn pick(config: &Config, host: &mut dyn Host, target: Rc<Target>) -> Option<Self> {
        let provider = &target.provider;
        let pool = Rc::clone(config.providers.get(provider)?);
        let rests = Rests::read(host, provider);
        let tried =
            if pool.has_choice() { context::TRIED_KEYS.get(host).unwrap_or_default() } else { String::new() };
        let now_ns = host.now_ns();
        let lease = pool.pick(&rests, &tried, now_ns)?;
        // A key that rests is picked only where all do.
        if rests.until_ms(&lease.fingerprint, now_ns / 1_000_000).is_some() {
            host.count(&series(EXHAUSTED, &[(Label::Provider, provider)]), 1);
        }
        if !pool.has_choice() {
            return Some(Self { target, pool, lease });
        }
        // Should this attempt fail, for whatever reason, the next takes another key while there is one.
        if let Some(tried) = pool::with_tried(&tried, &lease.fingerprint) {
            context::TRIED_KEYS.set(host, &tried);
        }
        Some(Self { target, pool, lease })
    }

    /// Rests the key for all workers.
    pub(crate) fn rest(&self, host: &mut dyn Host, verdict: &Verdict) {
        rest::begin(host, &self.target.provider, &self.pool, &self.lease.fingerprint, verdict);
    }
}
