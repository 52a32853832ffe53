//! `content-guard`: checks what goes to a model and what comes back; blocks it, masks parts of it, or records it.
//!
//! A downstream filter, between `token-limit` and `response-cache`. Requests and whole answers are held until they are
//! checked; streams pass in parts, each as soon as no check can object to it any more. What was masked in a request is
//! put back where the answer repeats its placeholder.
//!
//! Reads    the request, whole, and its answer, whole or as it passes; headers that conditions name; facts
//!          `ai.consumer`, `ai.tier`, `ai.model`, `ai.base_model`, `ai.operation`, `ai.stream`, `ai.has`,
//!          `ai.input_estimate`. Asks services by callouts.
//! Writes   texts of the request and of the answer that a check masks, and `content-length`; facts `ai.guard`, and
//!          where an answer is cut `ai.finish_reason` and `ai.error`; `ai.meter` and no usage where a refusal of a
//!          request looks like an answer; counters `content_guard_*`.
//! Replies  400 `content_policy_violation` or 200 with a refusal; 503 `guard_unavailable`. A stream that has begun ends
//!          with `content_filter` or an error event.
//! Config   `{"checks": [{"name": "pii", "detect": ["email", "phone"], "action": "mask"}]}`
//! Source   <https://platform.openai.com/docs/api-reference/moderations>

mod body;
pub mod config;
pub mod ending;
mod examine;
mod exchange;
mod inquiry;
mod inspect;
pub mod local;
pub mod mask;
mod phase;
mod refusal;
mod scope;
pub mod services;
pub mod stream;
mod streaming;
mod verdict;

use std::rc::Rc;

use sluice_core::config::Env;
use sluice_core::filter::{CalloutError, CalloutId, CalloutReply, Filter, Host, Next};
use sluice_core::metric::{Family, Label};

pub use crate::config::{Config, RawConfig};
use crate::phase::Phase;

sluice_host::register!(ContentGuard);

/// One request through the plugin.
#[derive(Debug)]
pub struct ContentGuard {
    config: Rc<Config>,
    phase: Phase,
}

impl Filter for ContentGuard {
    const NAME: &'static str = "content-guard";
    const METRICS: &'static [Family] = &[
        Family::counter("content_guard_verdicts_total", &[Label::Check, Label::Category, Label::Action]),
        Family::counter("content_guard_service_failures_total", &[Label::Check, Label::Kind]),
        Family::counter("content_guard_breaker_opened_total", &[Label::Check]),
        Family::histogram("content_guard_call_ms", &[]),
    ];

    type Raw = RawConfig;
    type Config = Config;

    fn check(raw: RawConfig, env: &Env<'_>) -> Result<Config, String> {
        Config::check(raw, env)
    }

    fn new(config: Rc<Config>) -> Self {
        Self { config, phase: Phase::Over }
    }

    fn on_request_headers(&mut self, host: &mut dyn Host, end: bool) -> Next {
        self.begin(host, end)
    }

    fn on_request_body(&mut self, host: &mut dyn Host, part: &[u8], _end: bool) -> Next {
        self.request_body(host, part)
    }

    fn on_response_headers(&mut self, host: &mut dyn Host, end: bool) -> Next {
        self.answer(host, end)
    }

    fn on_response_body(&mut self, host: &mut dyn Host, part: &[u8], end: bool) -> Next {
        self.answer_body(host, part, end)
    }

    fn on_callout(
        &mut self,
        host: &mut dyn Host,
        id: CalloutId,
        reply: Result<CalloutReply, CalloutError>,
    ) -> Option<Next> {
        self.answered(host, id, reply)
    }

    /// Text of a stream has been held back long enough.
    fn on_wake(&mut self, host: &mut dyn Host) -> Option<Next> {
        self.woken(host)
    }
}

#[cfg(test)]
mod tests;
