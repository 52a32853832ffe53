//! `model-router`: picks rule, target and cluster by the model that a request names.
//!
//! A downstream filter, before Envoy's router, on a route that takes its cluster from `x-ai-cluster`. It reads
//! the body and leaves it as it is.
//!
//! Reads    `:method`, `:path`, `content-type`, `content-encoding`; the JSON or form body, whole; facts `ai.consumer`, `ai.tier`,
//!          `ai.allowed_models`.
//! Writes   `x-ai-cluster`, `x-ai-stream` (`true`, for streams only), `x-envoy-max-retries`; removes what the
//!          client sent under such names. Facts `ai.model`, `ai.base_model`, `ai.stream`, `ai.operation`,
//!          `ai.rule`, `ai.target`, `ai.input_estimate`, `ai.max_output`, `ai.choices`, `ai.has`, `ai.received_us`,
//!          `ai.error`.
//! Replies  200 to `GET /v1/models`; 400 `invalid_json`, `missing_model`, `unsupported_content_type`;
//!          403 `model_not_allowed`; 404 `model_not_found`, `not_found`; 413 `request_too_large`.
//! Config   `{"rules": [{"match": ["gpt-4*"], "targets": [{"name": "openai", "cluster": "gpt-4x.openai"}]}]}`
//! Source   <https://platform.openai.com/docs/api-reference>

pub mod config;
mod head;
mod models;
mod refusal;
pub mod request;
mod route;
pub mod rules;

use std::rc::Rc;

use sluice_core::config::Env;
use sluice_core::context;
use sluice_core::filter::{Filter, Headers, Host, Next, Side};
use sluice_core::openai::Operation;
use sluice_core::openai::error::LocalReply;

use crate::config::{Config, Raw};
use crate::head::{Call, Shape};
pub use crate::models::Allowed;
pub use crate::refusal::Refusal;
use crate::request::RequestFacts;
use crate::route::Asker;

sluice_host::register!(ModelRouter);

/// One request through the plugin.
pub struct ModelRouter {
    config: Rc<Config>,
    headers: Headers,
    shape: Option<Shape>, // none: no body is expected
}

impl Filter for ModelRouter {
    const NAME: &'static str = "model-router";

    type Raw = Raw;
    type Config = Config;

    fn check(raw: Raw, _env: &Env<'_>) -> Result<Config, String> {
        raw.try_into()
    }

    fn new(config: Rc<Config>) -> Self {
        Self { config, headers: Headers::default(), shape: None }
    }

    fn on_request_headers(&mut self, host: &mut dyn Host, _end: bool) -> Next {
        self.headers = host.headers(Side::Request);
        route::strip_internal(host, &self.headers);
        match head::read(&self.headers) {
            Ok(Call::Route(shape)) => {
                let operation = Operation::of_path(self.headers.text(":path").unwrap_or_default());
                context::OPERATION.set(host, operation.name());
                self.shape = Some(shape);
                Next::Whole { max_bytes: self.config.max_body_bytes }
            }
            Ok(Call::ListModels) => Next::Reply(LocalReply::json(self.list(host))),
            Ok(Call::RetrieveModel(model)) => match self.retrieve(host, &model) {
                Some(body) => Next::Reply(LocalReply::json(body)),
                None => Refusal::model_not_found(&model).reply(host),
            },
            Ok(Call::ShowLimits(model, input_tokens)) if self.config.limits => {
                self.show_limits(host, model, input_tokens)
            }
            Ok(Call::ShowLimits(..)) => Refusal::not_found("GET", "/v1/limits").reply(host),
            Err(refusal) => refusal.reply(host),
        }
    }

    /// `body` is the whole body.
    fn on_request_body(&mut self, host: &mut dyn Host, body: &[u8], _end: bool) -> Next {
        let now_us = host.now_ns() / 1_000;
        context::RECEIVED_US.set_number(host, now_us);
        let facts = match &self.shape {
            Some(Shape::Json) => request::scan(body),
            Some(Shape::Form(boundary)) => request::scan_form(body, boundary),
            None => return Next::Pass,
        };
        let headers = std::mem::take(&mut self.headers);
        let routed = facts.and_then(|facts| route::send(host, &self.config, headers, &facts));
        match routed {
            Ok(()) => Next::Pass,
            Err(refusal) => refusal.reply(host),
        }
    }
}

impl ModelRouter {
    /// Tells `token-limit` what a request to `model` would be told.
    fn show_limits(&self, host: &mut dyn Host, model: Option<String>, input_tokens: u64) -> Next {
        if model.is_none() {
            return Next::Pass;
        }
        let facts = RequestFacts { model, input_tokens, ..RequestFacts::default() };
        if let Err(refusal) = route::send(host, &self.config, self.headers.clone(), &facts) {
            return refusal.reply(host);
        }
        route::stay(host);
        Next::Pass
    }

    fn list(&self, host: &dyn Host) -> String {
        let asker = Asker::of(host, &self.headers);
        asker.with(|caller| models::list(&self.config, caller, &Allowed::of(host)))
    }

    fn retrieve(&self, host: &dyn Host, model: &str) -> Option<String> {
        let asker = Asker::of(host, &self.headers);
        asker.with(|caller| models::retrieve(&self.config, model, caller, &Allowed::of(host)))
    }
}

#[cfg(test)]
mod tests;
