//! Moderation services: how they are asked, and what they say.

mod generic;
mod openai;
mod raw;

use std::cell::RefCell;

use serde::{Deserialize, Serialize};
use sluice_core::breaker::Breaker;
use sluice_core::config::{Env, Secret};
use sluice_core::filter::{Callout, CalloutError, CalloutId, Host};

use self::raw::header;
pub use self::raw::{Protocol, RawService};
use crate::config::{Action, Direction};
pub use sluice_core::config::HeaderValue;

/// Default of `timeout_ms`: a request waits for it.
pub const TIMEOUT_MS: u32 = 500;

/// Longest reply that is read, in bytes.
const MAX_REPLY_BYTES: usize = 1 << 20;

/// Longest category that is kept, in bytes.
const MAX_CATEGORY_BYTES: usize = 64;

/// How grave a finding is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    /// Nothing to object to.
    None,
    /// Could be harmless.
    Low,
    /// Probably not harmless.
    Medium,
    /// Certain; also where nobody says how grave.
    #[default]
    High,
}

impl Risk {
    /// Its name in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// A service, with what this worker knows of its health.
#[derive(Debug)]
pub struct Service {
    cluster: String,
    authority: String,
    path: String,
    protocol: Protocol,
    timeout_ms: u32,
    key: Option<Secret>,
    headers: Vec<(String, Secret)>,
    model: Option<String>,
    min_risk: Option<Risk>,
    pub(crate) breaker: RefCell<Breaker>,
}

/// What a text is about, for whom it matters.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// Which way it goes.
    pub direction: Direction,
    /// Name of the caller; empty: not known.
    pub consumer: &'a str,
    /// Model as asked; empty: not known.
    pub model: &'a str,
}

/// What a service says of one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opinion {
    /// What it wants done; `None`: nothing to object to.
    pub action: Option<Action>,
    /// What it found, in its own words, of at most 64 bytes.
    pub category: String,
    /// How grave.
    pub risk: Risk,
    /// What to write in the text's place.
    pub replacement: Option<String>,
}

impl Opinion {
    pub(crate) const fn harmless() -> Self {
        Self { action: None, category: String::new(), risk: Risk::None, replacement: None }
    }
}

/// The reply is not what its protocol says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the service's reply cannot be read")]
pub struct Garbage;

impl Service {
    pub(crate) fn check(raw: RawService, min_risk: Option<Risk>, env: &Env<'_>) -> Result<Self, String> {
        if raw.cluster.is_empty() {
            return Err("cluster: must not be empty".to_owned());
        }
        if raw.authority.is_empty() || !raw.authority.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("authority: must be a host, with a port if need be".to_owned());
        }
        if !raw.path.starts_with('/') || !raw.path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("path: must begin with `/`".to_owned());
        }
        let timeout_ms = raw.timeout_ms.unwrap_or(TIMEOUT_MS);
        if !(1..=60_000).contains(&timeout_ms) {
            return Err("timeout_ms: must be from 1 to 60000".to_owned());
        }
        if raw.model.is_some() && raw.protocol == Protocol::Generic {
            return Err("model: is not sent by protocol generic".to_owned());
        }
        let key = raw.key.map(|key| key.read(env)).transpose().map_err(|error| format!("key: {error}"))?;
        Ok(Self {
            cluster: raw.cluster,
            authority: raw.authority,
            path: raw.path,
            protocol: raw.protocol,
            timeout_ms,
            key,
            headers: raw
                .headers
                .into_iter()
                .map(|(name, value)| header(&name, value, env))
                .collect::<Result<_, _>>()?,
            model: raw.model,
            min_risk,
            breaker: RefCell::default(),
        })
    }

    /// How many texts one call may hold.
    #[must_use]
    pub const fn texts_per_call(&self) -> usize {
        match self.protocol {
            Protocol::Openai => openai::MAX_TEXTS,
            Protocol::Generic => 1,
        }
    }

    /// The call's body.
    #[must_use]
    pub fn encode(&self, about: &About<'_>, texts: &[&str]) -> Vec<u8> {
        match self.protocol {
            Protocol::Openai => openai::encode(self.model.as_deref(), texts),
            Protocol::Generic => generic::encode(about, texts),
        }
    }

    /// One opinion for each of `texts` texts. What is not grave enough counts as harmless.
    ///
    /// # Errors
    /// [`Garbage`]: another status than 200, too long, not the protocol's JSON, or not of so many texts.
    pub fn read(&self, status: u16, body: &[u8], texts: usize) -> Result<Vec<Opinion>, Garbage> {
        if status != 200 || body.len() > MAX_REPLY_BYTES {
            return Err(Garbage);
        }
        let mut opinions = match self.protocol {
            Protocol::Openai => openai::read(body)?,
            Protocol::Generic => vec![generic::read(body)?],
        };
        if opinions.len() != texts {
            return Err(Garbage);
        }
        for opinion in &mut opinions {
            if self.min_risk.is_some_and(|min| opinion.risk < min) {
                *opinion = Opinion::harmless();
            }
            opinion.category.truncate(opinion.category.floor_char_boundary(MAX_CATEGORY_BYTES));
        }
        Ok(opinions)
    }

    /// Sends a call.
    ///
    /// # Errors
    /// It could not be sent.
    pub(crate) fn send(&self, host: &mut dyn Host, body: &[u8]) -> Result<CalloutId, CalloutError> {
        let bearer = self.key.as_ref().map(|key| format!("Bearer {}", key.expose()));
        let mut headers = vec![
            (":method", "POST"),
            (":path", self.path.as_str()),
            (":authority", self.authority.as_str()),
            ("content-type", "application/json"),
            ("accept", "application/json"),
        ];
        headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
        headers.extend(self.headers.iter().map(|(name, value)| (name.as_str(), value.expose())));
        host.callout(&Callout { cluster: &self.cluster, headers, body, timeout_ms: self.timeout_ms })
    }
}

#[cfg(test)]
mod tests;
