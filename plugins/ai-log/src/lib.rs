//! `ai-log`: one JSON record per request, however it ended.
//!
//! The outermost downstream filter, so that it sees every request and every reply.
//!
//! Reads    every fact; `:method`, `:path`, `x-request-id`; `response.code`, `response.flags`, `response.code_details`;
//!          where it is to record prompts, bodies as they pass.
//! Writes   facts `ai.started_ms` and `ai_log`; where no other filter meters, `ai.meter` and what belongs to it.
//! Replies  never.
//! Config   `{"prompts": "truncated", "max_chars": 2000}`; without `prompts` no text is recorded
//! Source   <https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/advanced/attributes#response-attributes>

mod body;
mod config;
mod conversation;
mod excerpt;
mod outcome;
mod record;
mod redact;

use std::rc::Rc;

use sluice_core::config::Env;
use sluice_core::content::Shape;
use sluice_core::context;
use sluice_core::filter::{Filter, Host, Next, Side};
use sluice_core::meter::Metered;

pub use crate::config::{Config, RawConfig};
use crate::conversation::Conversation;
use crate::record::Asked;

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

    type Raw = RawConfig;
    type Config = Config;

    fn check(raw: RawConfig, _env: &Env<'_>) -> Result<Config, String> {
        Config::check(raw)
    }

    fn new(config: Rc<Config>) -> Self {
        Self { config, asked: None, metered: None, conversation: None }
    }

    fn on_request_headers(&mut self, host: &mut dyn Host, _end: bool) -> Next {
        let started_ms = host.now_ms();
        let headers = host.headers(Side::Request);
        let asked = Asked::new(&headers, started_ms);
        context::STARTED.set_number(host, started_ms);
        self.conversation = (self.config.texts.filter(|_| asked.is_post()))
            .and_then(|limit| Conversation::begin(limit, asked.operation(), &headers));
        self.asked = Some(asked);
        self.conversation.as_ref().map_or(Next::Pass, Conversation::next)
    }

    fn on_request_body(&mut self, _host: &mut dyn Host, part: &[u8], end: bool) -> Next {
        self.conversation.as_mut().map_or(Next::Pass, |conversation| conversation.asked(part, end))
    }

    fn on_response_headers(&mut self, host: &mut dyn Host, end: bool) -> Next {
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
        let record = record::write(host, self.asked.as_ref(), &said);
        context::AI_LOG.set(host, &record);
    }
}

/// Meters the answer whose headers have just come, if it is a provider's, readable and still free. What is only
/// fetched (`GET /v1/models`) costs no tokens.
fn claim(host: &mut dyn Host, asked: &Asked) -> Option<Metered> {
    if !asked.is_post() || context::METER.get(host).is_some() || context::ERROR.get(host).is_some() {
        return None;
    }
    let headers = host.headers(Side::Response);
    let readable = Shape::of(&headers) != Shape::Unread;
    let expected = asked.expected(host);
    readable.then(|| Metered::claim(host, AiLog::NAME, &headers, expected)).flatten()
}

#[cfg(test)]
mod tests;
