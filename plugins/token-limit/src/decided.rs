//! What is published of decisions and of what comes of them: facts for the record, and metrics.

use std::cmp::Reverse;

use sluice_core::context;
use sluice_core::digits::Digits;
use sluice_core::filter::Host;
use sluice_core::metric::{Label, series};

use crate::config::Limit;
use crate::store::Standing;

/// Gauge of admitted requests that are not settled yet.
pub(crate) const LEASES: &str = "token_limit_leases";

/// Counts by how much settlements have lifted buckets above their limit, in units of the ledger.
pub(crate) const OVERSHOOT: &str = "token_limit_overshoot_total";

/// Publishes what became of a request at the limits, and when.
pub(crate) fn publish(host: &mut dyn Host, what: &str) {
    context::LIMIT.set(host, what);
    let now_us = host.now_ns() / 1_000;
    context::LIMITED_US.set_number(host, now_us);
}

/// Publishes how full the fullest of these limits is; of equal ones the first.
pub(crate) fn publish_fill<'a>(
    host: &mut dyn Host,
    standings: impl Iterator<Item = (&'a Limit, &'a Standing)>,
) {
    let fills = standings.map(|(limit, standing)| (percent(standing), &limit.name));
    if let Some((percent, name)) = fills.min_by_key(|(percent, _)| Reverse(*percent)) {
        context::LIMIT_FILL.set(host, &[Digits::of(percent).as_str(), ":", name].concat());
    }
}

/// How much of a limit is in use, in whole percent; debt may lift it above 100.
fn percent(standing: &Standing) -> u64 {
    let hundredfold = u128::from(standing.level).saturating_mul(100);
    let percent = hundredfold.checked_div(standing.limit.into()).unwrap_or(100);
    u64::try_from(percent).unwrap_or(u64::MAX)
}

/// Counts by how much the bucket of a limit was lifted above it.
pub(crate) fn count_overshoot(host: &mut dyn Host, limit: &str, by: u64) {
    if by > 0 {
        host.count(&series(OVERSHOOT, &[(Label::Limit, limit)]), by);
    }
}
