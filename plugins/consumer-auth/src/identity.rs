//! Who calls, and whether they may here and now.

use sluice_core::context;
use sluice_core::filter::Host;
use sluice_core::openai::error::Code;

use crate::bounds::{Circumstances, Policy};
use crate::config::Config;
use crate::digest::Digest;
use crate::places::Presented;

/// Everybody's name where no consumers are configured.
const NOBODY: &str = "anonymous";

/// A caller that is known.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    pub(crate) name: &'a str,
    pub(crate) policy: Option<&'a Policy>,
    pub(crate) metadata: Option<&'a str>,
    pub(crate) expires_s: Option<u64>,
    pub(crate) key: Option<Digest>,
}

impl Config {
    /// Whose key was presented.
    ///
    /// # Errors
    /// The code to refuse with.
    pub fn identify(&self, presented: &Presented) -> Result<Identity<'_>, Code> {
        if self.is_open() {
            return Ok(Identity { name: NOBODY, policy: None, metadata: None, expires_s: None, key: None });
        }
        let (found, otherwise) = match presented {
            Presented::Nothing => (self.anonymous.map(|owner| (owner, None)), Code::MissingApiKey),
            Presented::Unreadable => (None, Code::MissingApiKey),
            Presented::Several => (None, Code::AmbiguousApiKey),
            Presented::One(key) => {
                let digest = Digest::of(key);
                let owner = self.consumers.owner(&digest);
                (owner.map(|owner| (owner, Some(digest))), Code::InvalidApiKey)
            }
        };
        let (owner, key) = found.ok_or(otherwise)?;
        self.consumers.get(owner).map(|consumer| Identity { key, ..consumer }).ok_or(otherwise)
    }

    /// Everybody that it knows, by each key of theirs; for programs that read what was logged of a request.
    pub fn by_key(&self) -> impl Iterator<Item = Identity<'_>> {
        let identity = |(key, owner): (&Digest, usize)| {
            self.consumers.get(owner).map(|consumer| Identity { key: Some(*key), ..consumer })
        };
        self.consumers.keys().filter_map(identity)
    }
}

impl Identity<'_> {
    /// The consumer's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name
    }

    /// Its tier.
    #[must_use]
    pub fn tier(&self) -> Option<&str> {
        self.policy?.tier.as_deref()
    }

    /// Globs of the models it may use, joined by commas; `None`: all.
    #[must_use]
    pub fn models(&self) -> Option<&str> {
        self.policy?.models.as_deref()
    }

    /// Its metadata, a JSON object of strings.
    #[must_use]
    pub fn metadata(&self) -> Option<&str> {
        self.metadata
    }

    /// First 8 hex digits of the SHA-256 of the key that was presented.
    #[must_use]
    pub fn key_id(&self) -> Option<String> {
        self.key.map(|key| key.id())
    }

    /// Whether the consumer may call so.
    ///
    /// # Errors
    /// The code to refuse with.
    pub fn admit(&self, call: &Circumstances<'_>) -> Result<(), Code> {
        let Some(policy) = self.policy else { return Ok(()) };
        // Who sent no key is not told of one.
        let refused = |code| Err(if self.key.is_some() { code } else { Code::MissingApiKey });
        if policy.disabled {
            return refused(Code::InvalidApiKey);
        }
        if self.expires_s.is_some_and(|expires_s| (call.now_s)() >= expires_s) {
            return refused(Code::ExpiredApiKey);
        }
        policy.admit(call)
    }

    /// Tells the other filters; the log too of a caller that is refused.
    pub(crate) fn publish(&self, host: &mut dyn Host) {
        context::CONSUMER.set(host, self.name);
        let key_id = self.key_id();
        let facts = [
            (context::TIER, self.tier()),
            (context::KEY_ID, key_id.as_deref()),
            (context::ALLOWED_MODELS, self.models()),
            (context::METADATA, self.metadata),
        ];
        for (fact, value) in facts {
            if let Some(value) = value {
                fact.set(host, value);
            }
        }
    }
}
