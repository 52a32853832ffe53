//! `asker`: asks Redis what a request's path says, and answers with what came of it.
//!
//! Stage    gateway.
//! Reads    `:path`: `/` and the commands, hex-encoded JSON: `[["GET", "k"], {"script": "return 1", "key": "k"}]`.
//! Writes   nothing.
//! Replies  400 with `Ok([…])` or `Err(…)` of the client as its message.
//! Config   `{"cluster": "sluice.redis", "timeout_ms": 50}`
//! Source   e2e/tests/redis_bridge

use std::rc::Rc;

use serde::Deserialize;
use sluice_core::config::Env;
use sluice_core::filter::{CalloutError, CalloutId, CalloutReply, Filter, Host, Next, Side};
use sluice_core::metric::Family;
use sluice_core::openai::error::{Code, LocalReply};
use sluice_core::redis::{self, Call, Command, Options, Outcome, Redis, Script};

/// Where Redis is.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Envoy cluster of the bridge.
    pub cluster: String,
    /// Deadline in milliseconds.
    pub timeout_ms: u32,
}

/// A command as a path tells it.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Told {
    Words(Vec<String>),
    Script { script: String, key: String },
}

impl Told {
    fn command(&self) -> Command {
        match self {
            Self::Words(words) => {
                let name = words.first().map_or("", String::as_str);
                words.iter().skip(1).fold(Command::new(name), Command::arg)
            }
            Self::Script { script, key } => Command::eval(&Script::new(script), &[key]),
        }
    }
}

/// One stream that asks.
#[derive(Debug)]
pub struct Asker {
    redis: Rc<Redis>,
    call: Option<Call>,
}

impl Filter for Asker {
    const NAME: &'static str = "asker";
    const METRICS: &'static [Family] =
        &[redis::CALLS, redis::FAILURES, redis::BREAKER_OPENED, redis::CALL_MS];

    type Raw = Config;
    type Config = Redis;

    fn check(raw: Config, _: &Env<'_>) -> Result<Redis, String> {
        Ok(Redis::new(Options { cluster: raw.cluster, timeout_ms: raw.timeout_ms }))
    }

    fn new(redis: Rc<Redis>) -> Self {
        Self { redis, call: None }
    }

    fn on_request_headers(&mut self, host: &mut dyn Host, _: bool) -> Next {
        let path = host.header(Side::Request, ":path").unwrap_or_default();
        let told: Option<Vec<Told>> = crate::unhex(path.get(1..).unwrap_or_default())
            .and_then(|json| serde_json::from_slice(&json).ok());
        let commands = told.unwrap_or_default().iter().map(Told::command).collect();
        match self.redis.call(host, commands) {
            Ok(call) => self.call = Some(call),
            Err(why) => return say(format!("Err({why:?})")),
        }
        Next::Wait
    }

    fn on_callout(
        &mut self,
        host: &mut dyn Host,
        id: CalloutId,
        reply: Result<CalloutReply, CalloutError>,
    ) -> Option<Next> {
        let call = self.call.take().filter(|call| call.id() == id)?;
        match call.read(host, reply) {
            Outcome::Done(replies) => Some(say(format!("Ok({replies:?})"))),
            Outcome::Failed(why) => Some(say(format!("Err({why:?})"))),
            Outcome::Again(call) => {
                self.call = Some(call);
                None
            }
        }
    }
}

fn say(text: String) -> Next {
    Next::Reply(LocalReply::error(Code::InvalidJson, None, &text))
}
