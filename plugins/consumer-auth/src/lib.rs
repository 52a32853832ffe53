//! `consumer-auth`: tells by its API key who calls, refuses who may not, and takes the key off the request.
//!
//! A downstream filter, before any that looks at a body. It reads the headers alone.
//!
//! Reads    `authorization` (Bearer), `x-api-key`, `api-key`, `x-goog-api-key`, the `key_headers`, the query parameter
//!          `key_query`; `:path`; attributes `source.address`, `xds.route_name`, where a consumer has bounds on them.
//! Writes   `x-mse-consumer`; removes what the client sent under that name and every place of a key. Facts
//!          `ai.consumer`, `ai.tier`, `ai.key_id`, `ai.allowed_models`, `ai.consumer_metadata`, `ai.error`.
//! Replies  401 `missing_api_key`, `invalid_api_key`, `expired_api_key`, `ambiguous_api_key`; 403 `ip_not_allowed`,
//!          `route_not_allowed`.
//! Config   `{"consumers": [{"name": "mobile-app", "keys": [{"env": "MOBILE_APP_KEY"}], "tier": "gold"}]}`
//! Source   <https://www.rfc-editor.org/rfc/rfc6750>, <https://www.rfc-editor.org/rfc/rfc9110#section-11>

pub mod bounds;
pub mod config;
mod consumers;
mod digest;
mod identity;
mod keys;
pub mod places;
mod refusal;
mod texts;

use std::rc::Rc;

use sluice_core::config::Env;
use sluice_core::filter::{Filter, Host, Next, Side};
use sluice_core::metric::{Family, Label};

use crate::bounds::Circumstances;
pub use crate::config::{Config, RawConfig, RawConsumer};
pub use crate::digest::Digest;
pub use crate::identity::Identity;

sluice_host::register!(ConsumerAuth);

/// Names the consumer to plugins of Higress.
pub const CONSUMER_HEADER: &str = "x-mse-consumer";

/// One request through the plugin.
pub struct ConsumerAuth {
    config: Rc<Config>,
}

impl Filter for ConsumerAuth {
    const NAME: &'static str = "consumer-auth";
    const METRICS: &'static [Family] = &[Family::counter("consumer_auth_refused_total", &[Label::ErrorType])];

    type Raw = RawConfig;
    type Config = Config;

    fn check(raw: RawConfig, env: &Env<'_>) -> Result<Config, String> {
        Config::check(raw, env)
    }

    fn new(config: Rc<Config>) -> Self {
        Self { config }
    }

    fn on_request_headers(&mut self, host: &mut dyn Host, _end: bool) -> Next {
        let headers = host.headers(Side::Request);
        let found = self.config.places.read(&headers);
        let is_named = headers.has(CONSUMER_HEADER);
        let admitted = self.config.identify(&found.key).and_then(|identity| {
            identity.publish(host);
            admit(&identity, host, headers.text(":path").unwrap_or_default()).map(|()| identity)
        });
        drop(headers); // they change, and nobody is to pay for the old ones
        // Also off a request that is refused: the access log still sees its headers.
        found.strip(host);
        if is_named {
            host.remove_header(Side::Request, CONSUMER_HEADER);
        }
        let identity = match admitted {
            Ok(identity) => identity,
            Err(code) => return refusal::reply(host, code, &self.config.places),
        };
        if !self.config.is_open() {
            host.set_header(Side::Request, CONSUMER_HEADER, identity.name());
        }
        Next::Pass
    }
}

fn admit(identity: &Identity<'_>, host: &dyn Host, path: &str) -> Result<(), refusal::Code> {
    identity.admit(&Circumstances {
        path,
        route: &|| String::from_utf8(host.attribute(&["xds", "route_name"])?).ok(),
        address: &|| sluice_core::context::client_address(host),
        now_s: &|| host.now_ms().checked_div(1000).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests;
