//! Where the time of a request went.

use std::collections::BTreeMap;

use sluice_core::context;
use sluice_core::filter::Host;

use crate::asked::Asked;
use crate::attempt::Attempts;
use crate::outcome::{End, Outcome};

/// Where the time went. Milliseconds are those of the clock, like those of the attempts, so that no part exceeds the
/// whole.
#[derive(Debug, Default)]
pub(crate) struct Times {
    /// Until the request had come.
    pub(crate) upload_ms: Option<u64>,
    /// With providers.
    pub(crate) provider_ms: Option<u64>,
    /// The rest.
    pub(crate) gateway_ms: Option<u64>,
    /// In all.
    pub(crate) duration_ms: Option<u64>,
    /// Milliseconds for which each filter held the request.
    pub(crate) waits: BTreeMap<String, u64>,
    /// When the limits decided, in microseconds since the epoch.
    pub(crate) limited_us: Option<u64>,
    /// When it was over, in microseconds since the epoch.
    pub(crate) ended_us: u64,
}

impl Times {
    /// Reads them, at `ended_us`, of a request that went so; `limited`: limits have decided.
    pub(crate) fn read(
        host: &dyn Host,
        asked: Option<&Asked>,
        (attempts, outcome, end): (&Attempts, &Outcome, End),
        limited: bool,
        ended_us: u64,
    ) -> Self {
        let Some(asked) = asked else {
            return Self { ended_us, ..Self::default() };
        };
        let started_ms = asked.started_ms();
        let received_us = context::RECEIVED_US.number(host);
        let upload_ms = received_us.map(|received| (received / 1_000).saturating_sub(started_ms));
        let provider_ms = attempts.ms();
        let duration_ms = (ended_us / 1_000).saturating_sub(started_ms);
        let elsewhere = upload_ms.unwrap_or(0).saturating_add(provider_ms.unwrap_or(0));
        // An upload that never came to its end was waited for, an answer without attempts too: for how long, nobody can tell.
        let is_own = matches!(end, End::Complete | End::Refused) && outcome.status != 413;
        let is_known =
            provider_ms.is_some() || (!outcome.is_from_upstream() && (received_us.is_some() || is_own));
        Self {
            upload_ms,
            provider_ms,
            gateway_ms: is_known.then(|| duration_ms.saturating_sub(elsewhere)),
            duration_ms: Some(duration_ms),
            waits: context::WAITS.read(host, waits_of).unwrap_or_default(),
            limited_us: if limited { context::LIMITED_US.number(host) } else { None },
            ended_us,
        }
    }
}

/// Reads `token-limit:2,content-guard:310`.
fn waits_of(fact: &str) -> BTreeMap<String, u64> {
    let mut waits = BTreeMap::<String, u64>::new();
    for (plugin, ms) in fact.split(',').filter_map(|wait| wait.rsplit_once(':')) {
        if let Ok(ms) = ms.parse::<u64>() {
            let sum = waits.entry(plugin.to_owned()).or_default();
            *sum = sum.saturating_add(ms);
        }
    }
    waits
}
