//! `token-limit`: admits a request only if every limit that applies to it has room, and books what it has used.
//!
//! A downstream filter, after `model-router`. What a request will probably use is reserved in all its buckets at once;
//! when it is over, however it ended, the reservation gives way to what was really used. A reservation is a lease: it
//! ends by itself if the gateway dies.
//!
//! Reads    `:method`, `:path` and the headers that limits name; facts `ai.consumer`, `ai.tier`, `ai.key_id`,
//!          `ai.model`, `ai.rule`, `ai.target`, `ai.base_model`, `ai.operation`, `ai.has`, `ai.input_estimate`,
//!          `ai.max_output`; at the end `ai.usage.*`, `ai.provider`, `ai.provider_model`, `ai.stream_end`,
//!          `ai.attempts`; `response.code`. Meters the answer itself where nobody nearer to the provider does.
//! Writes   `x-ratelimit-*` of the answer, in place of the provider's; facts `ai.limit`, `ai.limit_fill`,
//!          `ai.limited_us`; shared data `token-limit/…`.
//! Replies  429 `rate_limit_exceeded`, `concurrency_limit_exceeded`, `insufficient_quota`; 503 `limits_unavailable`;
//!          200 to `GET /v1/limits`.
//! Config   `{"limits": [{"name": "team", "by": ["consumer"], "total_tokens": 100000, "per_ms": 60000}]}`
//! Source   <https://platform.openai.com/docs/guides/rate-limits>

mod claim;
pub mod config;
mod decided;
pub mod learnt;
pub mod measure;
mod phase;
pub mod reply;
mod reservation;
mod settlement;
mod show;
pub mod store;
pub mod subject;
mod waiting;
mod worker;

use std::rc::Rc;

use sluice_core::config::Env;
use sluice_core::filter::{CalloutError, CalloutId, CalloutReply, Filter, Host, Next, Note};
use sluice_core::meter::Metered;
use sluice_core::metric::{Family, Label};
use sluice_core::redis;

use crate::claim::Got;
pub use crate::config::{Config, RawConfig};
use crate::phase::Phase;

sluice_host::register!(TokenLimit);

/// One request through the plugin.
#[derive(Debug)]
pub struct TokenLimit {
    config: Rc<Config>,
    phase: Phase,
    model: String,            // as asked; empty: not known
    began_ms: u64,            // since the epoch
    got: Got,                 // by the client
    metered: Option<Metered>, // none: another filter meters, or nobody
}

impl Filter for TokenLimit {
    const NAME: &'static str = "token-limit";
    const METRICS: &'static [Family] = &[
        Family::counter("token_limit_admitted_total", &[]),
        Family::counter("token_limit_refused_total", &[Label::Limit]),
        Family::gauge(decided::LEASES, &[]),
        Family::counter(decided::OVERSHOOT, &[Label::Limit]),
        Family::counter("token_limit_degraded_total", &[]),
        Family::counter(waiting::UNSETTLED, &[]),
        Family::counter("token_limit_unpriced_total", &[]),
        Family::counter("token_limit_evicted_total", &[]),
        Family::counter("token_limit_contended_total", &[]),
        redis::CALLS,
        redis::FAILURES,
        redis::BREAKER_OPENED,
        redis::CALL_MS,
    ];

    type Raw = RawConfig;
    type Config = Config;

    fn check(raw: RawConfig, _: &Env<'_>) -> Result<Config, String> {
        raw.try_into()
    }

    fn new(config: Rc<Config>) -> Self {
        let phase = Phase::Unlimited;
        Self { config, phase, model: String::new(), began_ms: 0, got: Got::Nothing, metered: None }
    }

    fn on_request_headers(&mut self, host: &mut dyn Host, _end: bool) -> Next {
        self.begin(host)
    }

    fn on_response_headers(&mut self, host: &mut dyn Host, end: bool) -> Next {
        self.answer(host, end)
    }

    fn on_response_body(&mut self, host: &mut dyn Host, part: &[u8], end: bool) -> Next {
        if let Some(metered) = &mut self.metered {
            metered.pass(host, part, end);
        }
        Next::Watch
    }

    fn on_callout(
        &mut self,
        host: &mut dyn Host,
        id: CalloutId,
        reply: Result<CalloutReply, CalloutError>,
    ) -> Option<Next> {
        self.answered(host, id, reply)
    }

    /// A third of the lease is over.
    fn on_wake(&mut self, host: &mut dyn Host) -> Option<Next> {
        if let Phase::Admitted { reservation, .. } = &mut self.phase {
            reservation.renew(host, &self.config);
            host.wake_after(self.config.lease_ms / 3);
        }
        None
    }

    fn on_detached_callout(
        config: &Rc<Config>,
        host: &mut dyn Host,
        note: Note,
        reply: Result<CalloutReply, CalloutError>,
    ) {
        if let Some(worker) = &config.redis {
            worker.ended(host, note, reply);
        }
    }

    fn on_detached_wake(config: &Rc<Config>, host: &mut dyn Host) {
        if let Some(worker) = &config.redis {
            worker.woken(host);
        }
    }

    fn on_done(&mut self, host: &mut dyn Host) {
        self.finish(host);
    }
}

#[cfg(test)]
mod tests;
