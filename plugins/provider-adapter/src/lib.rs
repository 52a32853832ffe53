//! `provider-adapter`: writes each attempt for its provider, and meters what comes back.
//!
//! An upstream filter, the innermost: it runs once per attempt, after the endpoint is chosen.
//!
//! Reads    the endpoint's [`Target`](sluice_core::target::Target); the request body, JSON or multipart, held
//!          whole where it may have to change; the answer, JSON or events, as it passes. Facts `ai.operation`,
//!          `ai.base_model`, `ai.model`, `ai.stream`, `ai.client_path`, `ai.provider_key`, `ai.input_estimate`,
//!          `ai.started_ms`.
//! Writes   `:path`, `:authority`, `model` and `stream_options.include_usage`; removes request headers that are
//!          not on the egress list, `x-ai-*`, `x-envoy-*`, `x-sluice-error`, `set-cookie`, `location` and what
//!          else of the answer concerns the operator or the provider's own host, and usage events that the client did
//!          not ask for. Facts
//!          `ai.client_path`, `ai.provider`, `ai.provider_model`, `ai.meter`, `ai.usage.*`, `ai.ttft_ms`,
//!          `ai.response_model`, `ai.finish_reason`, `ai.stream_end`, `ai.answer`.
//! Replies  never.
//! Config   `{"providers": {"openai": {"headers": {"x-team": "search"}}}, "pass_headers": ["x-my-header"]}`
//! Source   <https://platform.openai.com/docs/api-reference/chat-streaming>

mod attempt;
mod body;
mod config;
mod egress;
mod form;

use std::rc::Rc;

use sluice_core::config::Env;
use sluice_core::filter::{Filter, Host, Next, Side};
use sluice_core::meter::Metered;

use crate::attempt::Attempt;
pub use crate::config::{Config, RawConfig};

sluice_host::register!(ProviderAdapter);

/// One attempt through the plugin.
pub struct ProviderAdapter {
    config: Rc<Config>,
    attempt: Option<Attempt>,
    metered: Option<Metered>, // none: not answered yet, or nothing to meter
}

impl Filter for ProviderAdapter {
    const NAME: &'static str = "provider-adapter";

    type Raw = RawConfig;
    type Config = Config;

    fn check(raw: RawConfig, env: &Env<'_>) -> Result<Config, String> {
        Config::check(raw, env)
    }

    fn new(config: Rc<Config>) -> Self {
        Self { config, attempt: None, metered: None }
    }

    fn on_request_headers(&mut self, host: &mut dyn Host, end: bool) -> Next {
        let (attempt, next) = Attempt::begin(host, &self.config, end);
        self.attempt = Some(attempt);
        next
    }

    /// `body` is the whole request body.
    fn on_request_body(&mut self, host: &mut dyn Host, body: &[u8], _end: bool) -> Next {
        if let Some(attempt) = &mut self.attempt {
            attempt.rewrite(host, body);
        }
        Next::Pass
    }

    fn on_response_headers(&mut self, host: &mut dyn Host, _end: bool) -> Next {
        let headers = host.headers(Side::Response);
        for name in egress::withheld(&headers) {
            host.remove_header(Side::Response, name);
        }
        let Some(attempt) = &self.attempt else {
            return Next::Pass;
        };
        let expected = attempt.expected(host);
        let Some(metered) = Metered::claim(host, Self::NAME, &headers, expected) else {
            return Next::Pass;
        };
        if metered.is_stripped() {
            host.remove_header(Side::Response, "content-length"); // it counts what the client will not get
        }
        let next = if metered.is_unread() { Next::Pass } else { Next::Watch };
        self.metered = Some(metered);
        next
    }

    fn on_response_body(&mut self, host: &mut dyn Host, part: &[u8], end: bool) -> Next {
        let Some(metered) = &mut self.metered else {
            return Next::Pass;
        };
        if let Some(body) = metered.pass(host, part, end) {
            host.set_body(Side::Response, &body);
        }
        Next::Watch
    }

    fn on_done(&mut self, host: &mut dyn Host) {
        if let Some(mut metered) = self.metered.take() {
            metered.settle(host);
        }
    }
}

#[cfg(test)]
mod tests;
