//! `ai-log`: one JSON record per request, however it ended.
//!
//! The outermost downstream filter, so that it sees every request and every reply.
//!
//! Reads    every fact; `:method`, `:path`, `x-request-id`; `response.code`, `response.flags`, `response.code_details`.
//! Writes   facts `ai.started_ms` and `ai_log`; where no other filter meters, `ai.meter` and what belongs to it.
//! Replies  never.
//! Config   `{}`
//! Source   <https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/advanced/attributes#response-attributes>

mod metering;
mod outcome;
mod record;

use std::rc::Rc;

use serde::Deserialize;
use sluice_core::config::Env;
use sluice_core::context;
use sluice_core::filter::{Filter, Host, Next, Side};

use crate::metering::Metering;
use crate::record::Asked;

sluice_host::register!(AiLog);

/// There is nothing to configure yet: prompts are never logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {}

/// One request, from its first header to its record.
pub struct AiLog {
    asked: Option<Asked>, // none: broken off before its headers were complete
    metering: Option<Metering>,
}

impl Filter for AiLog {
    const NAME: &'static str = "ai-log";

    type Raw = Config;
    type Config = Config;

    fn check(raw: Config, _env: &Env<'_>) -> Result<Config, String> {
        Ok(raw)
    }

    fn new(_config: Rc<Config>) -> Self {
        Self { asked: None, metering: None }
    }

    fn on_request_headers(&mut self, host: &mut dyn Host, _end: bool) -> Next {
        let started_ms = host.now_ms();
        self.asked = Some(Asked::new(&host.headers(Side::Request), started_ms));
        context::STARTED.set_number(host, started_ms);
        Next::Pass
    }

    fn on_response_headers(&mut self, host: &mut dyn Host, end: bool) -> Next {
        self.metering = self.asked.as_ref().filter(|_| !end).and_then(|asked| Metering::claim(host, asked));
        if self.metering.is_some() { Next::Watch } else { Next::Pass }
    }

    fn on_response_body(&mut self, host: &mut dyn Host, part: &[u8], end: bool) -> Next {
        if let Some(metering) = &mut self.metering {
            metering.feed(host, part, end);
        }
        Next::Watch
    }

    fn on_done(&mut self, host: &mut dyn Host) {
        if let Some(metering) = &self.metering {
            metering.publish(host);
        }
        let record = record::write(host, self.asked.as_ref());
        context::AI_LOG.set(host, &record);
    }
}

#[cfg(test)]
mod tests;
