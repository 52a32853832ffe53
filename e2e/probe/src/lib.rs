//! `probe` and `twin`: filters that do as a test tells them and record what they were shown, and [`asker`], which asks
//! Redis. Never shipped.
//!
//! Stage    either.
//! Reads    its [`Script`]: the member called `as` of the JSON that is hex-encoded in the last segment of `:path`;
//!          without one, `script` of the configuration.
//! Writes   fact `<as>` when the exchange is done: a JSON list, one [`record::Record`] for each time it was.
//! Replies  as told.
//! Config   `{"as": "probe", "script": {"request": "hold", "on": {"request_end": [{"reply": "no"}]}}}`
//! Source   e2e/tests/adapter.rs

pub mod acts;
pub mod asker;
pub mod record;
pub mod script;

use std::rc::Rc;

use serde::Deserialize;
use serde_json::Value;
use sluice_core::config::Env;
use sluice_core::filter::{CalloutError, CalloutId, CalloutReply, Filter, Host, Next, Note, Side};
use sluice_core::metric::Family;

use crate::record::Record;
use crate::script::{Script, When};

sluice_host::register!(Probe<false>, Probe<true>, asker::Asker);

/// Configuration as written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Name of its fact, and of its script in a request's path.
    pub r#as: String,
    /// What to do when the request does not say.
    pub script: Script,
}

/// One stream through `probe`, or through `twin`.
#[derive(Debug)]
pub struct Probe<const TWIN: bool> {
    config: Rc<Config>,
    script: Script,
    record: Record,
    began_ms: u64,
}

impl<const TWIN: bool> Filter for Probe<TWIN> {
    const NAME: &'static str = if TWIN { "twin" } else { "probe" };
    const METRICS: &'static [Family] = script::METRICS;

    type Raw = Config;
    type Config = Config;

    fn check(raw: Config, _: &Env<'_>) -> Result<Config, String> {
        if raw.r#as.is_empty() { Err("as: must not be empty".to_owned()) } else { Ok(raw) }
    }

    fn new(config: Rc<Config>) -> Self {
        Self { script: config.script.clone(), config, record: Record::default(), began_ms: 0 }
    }

    fn on_request_headers(&mut self, host: &mut dyn Host, _: bool) -> Next {
        self.began_ms = host.now_ms();
        if let Some(script) = told(host, &self.config.r#as) {
            self.script = script;
        }
        self.record.request.headers = self.record.request.headers.saturating_add(1);
        self.decide(host, When::RequestHeaders)
    }

    fn on_request_body(&mut self, host: &mut dyn Host, part: &[u8], end: bool) -> Next {
        self.record.request.part(part, end);
        self.decide(host, if end { When::RequestEnd } else { When::RequestPart })
    }

    fn on_response_headers(&mut self, host: &mut dyn Host, _: bool) -> Next {
        self.record.response.headers = self.record.response.headers.saturating_add(1);
        self.decide(host, When::ResponseHeaders)
    }

    fn on_response_body(&mut self, host: &mut dyn Host, part: &[u8], end: bool) -> Next {
        self.record.response.part(part, end);
        self.decide(host, if end { When::ResponseEnd } else { When::ResponsePart })
    }

    fn on_callout(
        &mut self,
        host: &mut dyn Host,
        _: CalloutId,
        reply: Result<CalloutReply, CalloutError>,
    ) -> Option<Next> {
        self.note(host, &format!("callout {reply}", reply = Self::words(&reply)));
        self.act(host, When::Callout)
    }

    fn on_wake(&mut self, host: &mut dyn Host) -> Option<Next> {
        self.note(host, "woken");
        self.act(host, When::Wake)
    }

    fn on_detached_callout(
        _: &Rc<Config>,
        host: &mut dyn Host,
        _: Note,
        reply: Result<CalloutReply, CalloutError>,
    ) {
        let end = match reply {
            Ok(reply) if reply.status == 200 => "detached_200",
            Ok(_) => "detached_other",
            Err(_) => "detached_unanswered",
        };
        host.count(end, 1);
    }

    fn on_detached_wake(_: &Rc<Config>, host: &mut dyn Host) {
        host.count("detached_wake", 1);
    }

    fn on_done(&mut self, host: &mut dyn Host) {
        self.act(host, When::Done);
        let fact = host.fact(&self.config.r#as).unwrap_or_default();
        let mut records: Vec<Value> = serde_json::from_slice(&fact).unwrap_or_default();
        records.push(serde_json::to_value(&self.record).unwrap_or_default());
        host.set_fact(&self.config.r#as, Value::Array(records).to_string().as_bytes());
    }
}

/// The script that a request's path holds for the probe called `name`.
fn told(host: &dyn Host, name: &str) -> Option<Script> {
    let path = host.header(Side::Request, ":path")?;
    let hex = path.rsplit(|byte| *byte == b'/').next()?;
    let mut told: Value = serde_json::from_slice(&unhex(hex)?).ok()?;
    serde_json::from_value(told.get_mut(name)?.take()).ok()
}

/// The bytes that `hex` stands for.
fn unhex(hex: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let bytes = hex.chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(digit(high)?.checked_mul(16)?.checked_add(digit(low)?)?).ok(),
        _ => None,
    });
    bytes.collect()
}
