//! `key-rotation`: puts one of the provider's keys on each attempt, and rests a key that the provider refuses.
//!
//! An upstream filter: it runs once per attempt and sees the provider's own status.
//!
//! Reads    the endpoint's [`Target`](sluice_core::target::Target) (provider); `:status`, the limit headers and the error code of a 429.
//! Writes   `authorization`; facts `ai.provider_key`, `ai.tried_keys`; shared data `key-rotation/<provider>`.
//! Replies  never.
//! Config   `{"providers": {"openai": {"keys": [{"key": {"env": "OPENAI_KEY_1"}}], "rotation": "round_robin"}}}`
//! Source   <https://platform.openai.com/docs/guides/error-codes/api-errors>

mod config;
mod pool;
mod rest;
mod used;
mod verdict;

use std::rc::Rc;

use sluice_core::config::Env;
use sluice_core::context;
use sluice_core::filter::{Filter, Host, Next, Side};
use sluice_core::metric::{Family, Label};

pub use crate::config::{Config, RawConfig};
use crate::used::Used;
use crate::verdict::Verdict;

sluice_host::register!(KeyRotation);

/// How much of a 429's body is held while its error code is looked for, in bytes.
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// How long a 429 waits for that body, in milliseconds. It is only to tell a rest from a quarantine.
const MAX_WAIT_MS: u64 = 500;

/// One attempt through the plugin.
pub struct KeyRotation {
    config: Rc<Config>,
    used: Option<Used>, // none: the provider takes no key
    waits: bool,        // a 429 is held for its body
}

impl Filter for KeyRotation {
    const NAME: &'static str = "key-rotation";
    const METRICS: &'static [Family] = &[
        Family::counter(rest::RESTS, &[Label::Provider, Label::Reason]),
        Family::counter(used::EXHAUSTED, &[Label::Provider]),
    ];

    type Raw = RawConfig;
    type Config = Config;

    fn check(raw: RawConfig, env: &Env<'_>) -> Result<Config, String> {
        Config::check(raw, env)
    }

    fn new(config: Rc<Config>) -> Self {
        Self { config, used: None, waits: false }
    }

    fn on_request_headers(&mut self, host: &mut dyn Host, _end: bool) -> Next {
        self.used = host.target().and_then(|target| Used::pick(&self.config, host, target));
        match &self.used {
            Some(used) => {
                let bearer = ["Bearer ", used.lease.secret.expose()].concat();
                host.set_header(Side::Request, "authorization", &bearer);
                context::PROVIDER_KEY.set(host, &used.lease.fingerprint);
            }
            // What the client sent to us is never a provider's business.
            None => {
                host.remove_header(Side::Request, "authorization");
                context::PROVIDER_KEY.set(host, "");
            }
        }
        Next::Pass
    }

    fn on_response_headers(&mut self, host: &mut dyn Host, end: bool) -> Next {
        let Some(used) = &self.used else { return Next::Pass };
        let Some(verdict) = verdict::of_headers(&self.config, host) else { return Next::Pass };
        // The key rests from here on, not from the end of a body that may never come.
        used.rest(host, &verdict);
        match verdict {
            Verdict::Limited { .. } if !end => {
                self.waits = true;
                host.wake_after(MAX_WAIT_MS);
                Next::Whole { max_bytes: MAX_ERROR_BYTES }
            }
            _ => Next::Pass,
        }
    }

    fn on_response_body(&mut self, host: &mut dyn Host, part: &[u8], _end: bool) -> Next {
        self.waits = false;
        if let (Some(used), Some(verdict)) = (&self.used, verdict::of_body(&self.config, part)) {
            used.rest(host, &verdict);
        }
        Next::Pass
    }

    /// The body has not come in time: the headers decide.
    fn on_wake(&mut self, _host: &mut dyn Host) -> Option<Next> {
        std::mem::take(&mut self.waits).then_some(Next::Pass)
    }

    fn on_done(&mut self, _host: &mut dyn Host) {
        self.used = None; // gives the lease back
    }
}

#[cfg(test)]
mod tests;
