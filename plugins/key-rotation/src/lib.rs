//! `key-rotation`: puts one of the provider's keys on each attempt, and rests a key that the provider refuses.
//!
//! An upstream filter: it runs once per attempt and sees the provider's own status.
//!
//! Reads    the endpoint's [`Target`] (provider); `:status`, the limit headers and the error code of a 429.
//! Writes   `authorization`; facts `ai.provider_key`, `ai.failed_keys`; shared data `key-rotation/<provider>`.
//! Replies  never.
//! Config   `{"providers": {"openai": {"keys": [{"key": {"env": "OPENAI_KEY_1"}}], "rotation": "round_robin"}}}`
//! Source   <https://platform.openai.com/docs/guides/error-codes/api-errors>

mod config;
mod pool;
mod rest;
mod verdict;

use std::rc::Rc;

use sluice_core::config::Env;
use sluice_core::context;
use sluice_core::filter::{Filter, Host, Next, Side};
use sluice_core::target::Target;

pub use crate::config::{Config, RawConfig};
use crate::pool::{Lease, Pool};
use crate::rest::Rests;
use crate::verdict::Verdict;

sluice_host::register!(KeyRotation);

/// How much of a 429's body is held while its error code is looked for, in bytes.
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// One attempt through the plugin.
pub struct KeyRotation {
    config: Rc<Config>,
    used: Option<Used>, // none: the provider takes no key
}

/// The key that the running attempt carries.
struct Used {
    provider: String,
    pool: Rc<Pool>,
    lease: Lease,
}

impl Filter for KeyRotation {
    const NAME: &'static str = "key-rotation";

    type Raw = RawConfig;
    type Config = Config;

    fn check(raw: RawConfig, env: &Env<'_>) -> Result<Config, String> {
        Config::check(raw, env)
    }

    fn new(config: Rc<Config>) -> Self {
        Self { config, used: None }
    }

    fn on_request_headers(&mut self, host: &mut dyn Host, _end: bool) -> Next {
        self.used = Target::of(host).and_then(|target| Used::pick(&self.config, host, target.provider));
        match &self.used {
            Some(used) => {
                let bearer = format!("Bearer {}", used.lease.secret.expose());
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
            Verdict::Limited { .. } if !end => Next::Whole { max_bytes: MAX_ERROR_BYTES },
            _ => Next::Pass,
        }
    }

    fn on_response_body(&mut self, host: &mut dyn Host, part: &[u8], _end: bool) -> Next {
        if let (Some(used), Some(verdict)) = (&self.used, verdict::of_body(&self.config, part)) {
            used.rest(host, &verdict);
        }
        Next::Pass
    }

    fn on_done(&mut self, _host: &mut dyn Host) {
        self.used = None; // gives the lease back
    }
}

impl Used {
    fn pick(config: &Config, host: &dyn Host, provider: String) -> Option<Self> {
        let pool = Rc::clone(config.providers.get(&provider)?);
        let rests = if pool.has_choice() { Rests::read(host, &provider) } else { Rests::default() };
        let failed = context::FAILED_KEYS.get(host).unwrap_or_default();
        let lease = pool.pick(&rests, &failed, host.now_ns())?;
        Some(Self { provider, pool, lease })
    }

    /// Rests the key for all workers, and keeps this request's next attempts off it.
    fn rest(&self, host: &mut dyn Host, verdict: &Verdict) {
        let failed = context::FAILED_KEYS.get(host).unwrap_or_default();
        if let Some(failed) = pool::with_failed(&failed, &self.lease.fingerprint) {
            context::FAILED_KEYS.set(host, &failed);
        }
        rest::begin(host, &self.provider, &self.pool, &self.lease.fingerprint, verdict);
    }
}

#[cfg(test)]
mod tests;
