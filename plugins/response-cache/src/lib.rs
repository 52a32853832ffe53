//! `response-cache`: answers again what was answered before, to the same caller.
//!
//! A downstream filter, the last before Envoy's router. Two requests are the same if nothing differs that can change an
//! answer (see [`fingerprint`]); who asks counts among that, unless the operator shares more widely. Whoever asks the
//! same at the same moment waits for the first one's answer.
//!
//! Reads    `:method`, `:path`, `cache-control`, `content-type`, `content-encoding`, `idempotency-key`, `openai-beta`,
//!          `anthropic-version`, `anthropic-beta`, `x-ai-cluster`, those of `headers`; the JSON body, whole; facts
//!          `ai.operation`, `ai.model`, `ai.base_model`, `ai.consumer`, `ai.tier`, `ai.rule`, `ai.target`. Of the answer
//!          `:status`, `cache-control` and the body; when it is over, facts `ai.guard` and `ai.error`.
//! Writes   `x-ai-cache` of the answer; removes usage from streams that did not ask for it, as it has `provider-adapter`
//!          leave it in. Facts `ai.cache`, `ai.cache_key`, `ai.cache_bytes` and `ai.recorder`; of a hit `ai.meter`, `ai.usage.*`, `ai.finish_reason`,
//!          `ai.response_model`. Shared data `rc.…`, or keys `sluice:cache:…` of Redis.
//! Replies  200 with a kept answer, `age` in seconds; on the operators' listener 200 to `GET` and `DELETE /cache`,
//!          404 `not_found`, 502 `upstream_error`.
//! Config   `{"ttl_ms": 3600000, "scope": "consumer", "models": ["*"], "memory_bytes": 67108864}`
//! Source   <https://www.rfc-editor.org/rfc/rfc9111#section-5.2>

pub mod config;
pub mod control;
pub mod entry;
mod fetch;
pub mod fingerprint;
pub mod flight;
pub mod form;
mod hit;
mod label;
mod operator;
mod phase;
mod question;
mod recording;
pub mod replay;
mod search;
pub mod store;
mod worker;

use std::rc::Rc;

use sluice_core::config::Env;
use sluice_core::filter::{CalloutError, CalloutId, CalloutReply, Filter, Host, Next, Note};
use sluice_core::metric::Family;
use sluice_core::redis;

pub use crate::config::{Config, RawConfig};
use crate::fingerprint::Key;
use crate::label::Label;
use crate::phase::Phase;

sluice_host::register!(ResponseCache);

/// One request through the plugin.
#[derive(Debug)]
pub struct ResponseCache {
    config: Rc<Config>,
    phase: Phase,
    seat: Option<Key>,    // the flight that it leads or follows
    label: Option<Label>, // for the header of an answer that others give
}

impl Filter for ResponseCache {
    const NAME: &'static str = "response-cache";
    const METRICS: &'static [Family] = &[
        Family::counter("response_cache_hits_total", &[]),
        Family::counter("response_cache_misses_total", &[]),
        Family::counter("response_cache_bypasses_total", &[]),
        Family::counter("response_cache_coalesced_total", &[]),
        Family::counter("response_cache_stored_total", &[]),
        Family::counter("response_cache_store_failures_total", &[]),
        Family::counter("response_cache_saved_input_tokens_total", &[]),
        Family::counter("response_cache_saved_output_tokens_total", &[]),
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
        Self { config, phase: Phase::Idle, seat: None, label: None }
    }

    fn on_request_headers(&mut self, host: &mut dyn Host, end: bool) -> Next {
        self.begin(host, end)
    }

    /// `body` is the whole request body.
    fn on_request_body(&mut self, host: &mut dyn Host, body: &[u8], _end: bool) -> Next {
        self.read(host, body)
    }

    /// Also called for the filter's own reply, and for those of filters outside it.
    fn on_response_headers(&mut self, host: &mut dyn Host, end: bool) -> Next {
        self.answer(host, end)
    }

    fn on_response_body(&mut self, host: &mut dyn Host, part: &[u8], end: bool) -> Next {
        self.part(host, part, end)
    }

    fn on_callout(
        &mut self,
        host: &mut dyn Host,
        id: CalloutId,
        reply: Result<CalloutReply, CalloutError>,
    ) -> Option<Next> {
        self.answered(host, id, reply)
    }

    fn on_wake(&mut self, host: &mut dyn Host) -> Option<Next> {
        self.woken(host)
    }

    fn on_detached_callout(
        config: &Rc<Config>,
        host: &mut dyn Host,
        note: Note,
        reply: Result<CalloutReply, CalloutError>,
    ) {
        if let Some(worker) = config.redis() {
            worker.ended(host, note, reply);
        }
    }

    fn on_done(&mut self, host: &mut dyn Host) {
        self.finish(host);
    }
}

#[cfg(test)]
mod tests;
