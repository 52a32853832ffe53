//! `ai-log`: one JSON record per request, however it ended.
//!
//! The outermost downstream filter, so that it sees every request and every reply.
//!
//! Reads    every fact; `:method`, `:path`, `x-request-id`; `response.code`, `response.flags`, `response.code_details`.
//! Writes   facts `ai.started_ms` and `ai_log`; where no other filter meters, `ai.meter` and what belongs to it.
//! Replies  never.
//! Config   `{}`
//! Source   <https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/advanced/attributes#response-attributes>

mod outcome;
mod record;

use std::rc::Rc;

use serde::Deserialize;
use sluice_core::config::Env;
use sluice_core::content::Shape;
use sluice_core::context;
use sluice_core::filter::{Filter, Host, Next, Side};
use sluice_core::meter::Metered;

use crate::record::Asked;

sluice_host::register!(AiLog);

/// There is nothing to configure yet: prompts are never logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {}

/// One request, from its first header to its record.
pub struct AiLog {
    asked: Option<Asked>,     // none: broken off before its headers were complete
    metered: Option<Metered>, // none: another filter meters, or nobody
}

impl Filter for AiLog {
    const NAME: &'static str = "ai-log";

    type Raw = Config;
    type Config = Config;

    fn check(raw: Config, _env: &Env<'_>) -> Result<Config, String> {
        Ok(raw)
    }

    fn new(_config: Rc<Config>) -> Self {
        Self { asked: None, metered: None }
    }

    fn on_request_headers(&mut self, host: &mut dyn Host, _end: bool) -> Next {
        let started_ms = host.now_ms();
        self.asked = Some(Asked::new(&host.headers(Side::Request), started_ms));
        context::STARTED.set_number(host, started_ms);
        Next::Pass
    }

    fn on_response_headers(&mut self, host: &mut dyn Host, end: bool) -> Next {
        self.metered = self.asked.as_ref().filter(|_| !end).and_then(|asked| claim(host, asked));
        if self.metered.is_some() { Next::Watch } else { Next::Pass }
    }

    fn on_response_body(&mut self, host: &mut dyn Host, part: &[u8], end: bool) -> Next {
        if let Some(metered) = &mut self.metered {
            metered.pass(host, part, end);
        }
        Next::Watch
    }

    fn on_done(&mut self, host: &mut dyn Host) {
        if let Some(metered) = &mut self.metered {
            metered.settle(host);
        }
        let record = record::write(host, self.asked.as_ref());
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
