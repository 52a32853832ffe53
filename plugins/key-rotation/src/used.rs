//! The key of one attempt, from when it is picked to when the provider refuses it.

use std::rc::Rc;

use sluice_core::context;
use sluice_core::filter::Host;

use crate::config::Config;
use crate::pool::{self, Lease, Pool};
use crate::rest::{self, Rests};
use crate::verdict::Verdict;

/// The key that the running attempt carries.
pub(crate) struct Used {
    provider: String,
    pool: Rc<Pool>,
    pub(crate) lease: Lease,
}

impl Used {
    /// Picks a key of `provider`; `None` if it takes none.
    pub(crate) fn pick(config: &Config, host: &dyn Host, provider: String) -> Option<Self> {
        let pool = Rc::clone(config.providers.get(&provider)?);
        let rests = if pool.has_choice() { Rests::read(host, &provider) } else { Rests::default() };
        let failed = context::FAILED_KEYS.get(host).unwrap_or_default();
        let lease = pool.pick(&rests, &failed, host.now_ns())?;
        Some(Self { provider, pool, lease })
    }

    /// Rests the key for all workers, and keeps this request's next attempts off it.
    pub(crate) fn rest(&self, host: &mut dyn Host, verdict: &Verdict) {
        let failed = context::FAILED_KEYS.get(host).unwrap_or_default();
        if let Some(failed) = pool::with_failed(&failed, &self.lease.fingerprint) {
            context::FAILED_KEYS.set(host, &failed);
        }
        rest::begin(host, &self.provider, &self.pool, &self.lease.fingerprint, verdict);
    }
}
