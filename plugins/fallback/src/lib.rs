//! `fallback`: holds each attempt back until it proves good, so that Envoy can try the next provider.
//!
//! Stage    provider (an upstream filter, the first of the chain), once per attempt.
//! Reads    response status, `content-type`, the body until its first content; `ai.stream`, `ai.operation`,
//!          `ai.answer`, `ai.finish_reason`, the endpoint's `target`.
//! Writes   `ai.attempts`, `ai.tried`, `ai.attempt_start_ms`, `ai.attempt_broke`, `ai.attempt_ended_ms`; on a failed attempt
//!          `:status` 502 and `x-ai-retry: <reason>`, on which Envoy's route retries (`retriable_headers`).
//! Replies  502 `upstream_error` when the chain's last attempt fails. A stream that ends without its terminator
//!          gets an error event.
//! Config   `{"retry_on": [429, 503], "hold": {"until": "first_content", "max_ms": 15000, "max_bytes": 262144}}`
//! Source   <https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/http/http_filters/router_filter>

mod attempt;
mod config;
mod failure;
mod gate;
mod phase;

use std::rc::Rc;

use sluice_core::config::Env;
use sluice_core::filter::{Filter, Host, Next};

pub use crate::config::{Config, HOLD_MAX_BYTES, HOLD_MAX_MS, Hold, RETRY_ON, RawConfig, Until};
pub use crate::gate::{Fault, Gate, Verdict, judge_whole};
use crate::phase::Phase;

sluice_host::register!(Fallback);

/// Response header that asks Envoy for another attempt; its value says why.
pub const RETRY_HEADER: &str = "x-ai-retry";

/// One attempt.
#[derive(Debug)]
pub struct Fallback {
    config: Rc<Config>,
    phase: Phase,
}

impl Filter for Fallback {
    const NAME: &'static str = "fallback";

    type Raw = RawConfig;
    type Config = Config;

    fn check(raw: RawConfig, _: &Env<'_>) -> Result<Config, String> {
        raw.try_into()
    }

    fn new(config: Rc<Config>) -> Self {
        Self { config, phase: Phase::Over }
    }

    fn on_request_headers(&mut self, host: &mut dyn Host, _: bool) -> Next {
        self.begin(host);
        Next::Pass
    }

    fn on_response_headers(&mut self, host: &mut dyn Host, end: bool) -> Next {
        self.judge_headers(host, end)
    }

    fn on_response_body(&mut self, host: &mut dyn Host, part: &[u8], end: bool) -> Next {
        self.judge_part(host, part, end)
    }

    fn on_wake(&mut self, host: &mut dyn Host) -> Option<Next> {
        self.woken(host)
    }

    fn on_done(&mut self, host: &mut dyn Host) {
        self.finish(host);
    }
}

#[cfg(test)]
mod tests;
