//! `ai-log`: one JSON record per request, however it ended.
//!
//! The outermost downstream filter, so that it sees every request and every reply.
//!
//! Reads    every fact; `:method`, `:path`, `x-request-id`, headers that it is told to record; `response.code`,
//!          `response.flags`, `response.code_details`, `response.size`, `upstream.local_address`; where it is to record
//!          prompts, bodies as they pass.
//! Writes   facts `ai.started_ms` and `ai_log`; where no other filter meters, `ai.meter` and what belongs to it; metrics
//!          `ai_log_*` and `gen_ai_*`; shared data `ai-log/…`.
//! Replies  never.
//! Config   `{"prompts": "truncated", "headers": ["x-team"], "prices": [{"match": "*", "input": 1, "output": 4}]}`
//! Source   <https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/advanced/attributes#response-attributes>,
//!          <https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/>

mod asked;
mod attempt;
mod blame;
mod body;
mod config;
mod conversation;
mod entry;
mod excerpt;
mod finding;
mod labels;
mod metrics;
mod object;
mod outcome;
mod record;
mod redact;
mod registry;
mod series;
mod times;
#[cfg(feature = "trap")]
mod trap;
mod usage;

use std::rc::Rc;

use sluice_core::config::Env;
use sluice_core::content::Shape;
use sluice_core::context;
use sluice_core::filter::{Filter, Host, Next, Side};
use sluice_core::meter::Metered;
use sluice_core::metric::Family;

use crate::asked::Asked;
pub use crate::config::{Config, RawConfig, carries_credential};
use crate::conversation::Conversation;
use crate::entry::Entry;

sluice_host::register!(AiLog);

/// One request, from its first header to its record.
pub struct AiLog {
    config: Rc<Config>,
    asked: Option<Asked>,     // none: broken off before its headers were complete
    metered: Option<Metered>, // none: another filter meters, or nobody
    conversation: Option<Conversation>, // none: no text is recorded
}

impl Filter for AiLog {
    const NAME: &'static str = "ai-log";
    const METRICS: &'static [Family] = metrics::FAMILIES;

    type Raw = RawConfig;
    type Config = Config;

    fn check(raw: RawConfig, _env: &Env<'_>) -> Result<Config, String> {
        Config::check(raw)
    }

    fn new(config: Rc<Config>) -> Self {
        Self { config, asked: None, metered: None, conversation: None }
    }

    fn on_request_headers(&mut self, host: &mut dyn Host, _end: bool) -> Next {
        #[cfg(feature = "trap")]
        trap::on_request(host);
        let started_us = host.now_ns() / 1_000;
        let headers = host.headers(Side::Request);
        let asked = Asked::new(&headers, &self.config.headers, started_us);
        context::STARTED.set_number(host, asked.started_ms());
        self.conversation = (self.config.texts.filter(|_| asked.is_post()))
            .and_then(|limit| Conversation::begin(limit, asked.operation, &headers));
        self.asked = Some(asked);
        self.conversation.as_ref().map_or(Next::Pass, Conversation::next)
    }

    fn on_request_body(&mut self, _host: &mut dyn Host, part: &[u8], end: bool) -> Next {
        self.conversation.as_mut().map_or(Next::Pass, |conversation| conversation.asked(part, end))
    }

    fn on_response_headers(&mut self, host: &mut dyn Host, end: bool) -> Next {
        #[cfg(feature = "trap")]
        trap::on_answer(host);
        self.metered = self.asked.as_ref().filter(|_| !end).and_then(|asked| claim(host, asked));
        let recorded = self.conversation.as_mut().is_some_and(|conversation| conversation.answered(host));
        if recorded || self.metered.is_some() { Next::Watch } else { Next::Pass }
    }

    fn on_response_body(&mut self, host: &mut dyn Host, part: &[u8], end: bool) -> Next {
        if let Some(metered) = &mut self.metered {
            metered.pass(host, part, end);
        }
        if let Some(conversation) = &mut self.conversation {
            conversation.passed(part, end);
        }
        Next::Watch
    }

    fn on_done(&mut self, host: &mut dyn Host) {
        if let Some(metered) = &mut self.metered {
            metered.settle(host);
        }
        let said = self.conversation.take().map(Conversation::finish).unwrap_or_default();
        let entry = Entry::read(host, &self.config.prices, self.asked.take());
        metrics::write(host, &mut self.config.bounds.borrow_mut(), &entry);
        context::AI_LOG.set(host, &record::write(&entry, &said));
    }
}

/// Meters the answer whose headers have just come, if it is a provider's, readable and still free. What is only
/// fetched (`GET /v1/models`) costs no tokens.
fn claim(host: &mut dyn Host, asked: &Asked) -> Option<Metered> {
    if !asked.is_post() || context::METER.is_set(host) || context::ERROR.is_set(host) {
        return None;
    }
    let headers = host.headers(Side::Response);
    let readable = Shape::of(&headers) != Shape::Unread;
    let expected = asked.expected(host);
    readable.then(|| Metered::claim(host, AiLog::NAME, &headers, expected)).flatten()
}

#[cfg(test)]
mod tests;
