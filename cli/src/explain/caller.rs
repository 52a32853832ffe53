//! Who calls, and whether they may: consumer-auth's own policy.

use std::time::{SystemTime, UNIX_EPOCH};

use consumer_auth::bounds::Circumstances;
use consumer_auth::places::Presented;
use consumer_auth::{Config, Identity};
use sluice_core::filter::Headers;
use sluice_core::openai::error::Code;

use super::{Question, Refused};
use crate::gateway::{Consumer, Gateway};

/// Who calls, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Name of the consumer; `None`: nobody that is known.
    pub consumer: Option<String>,
    /// Its tier.
    pub tier: Option<String>,
    /// First 8 hex digits of the SHA-256 of the key that was presented, as in the log.
    pub key_id: Option<String>,
    /// The same and what follows from it, in words.
    pub text: String,
}

impl Caller {
    /// Nobody that is known.
    pub(super) fn unknown() -> Self {
        Self { text: "unknown".to_owned(), ..Self::default() }
    }
}

/// The request as consumer-auth sees it.
pub(super) struct Call<'a> {
    gateway: &'a Gateway,
    config: &'a Config,
    question: &'a Question,
    headers: Headers,
    presented: Presented,
}

impl<'a> Call<'a> {
    pub(super) fn new(gateway: &'a Gateway, config: &'a Config, question: &'a Question) -> Self {
        let path = (":path".to_owned(), question.path.clone().into_bytes());
        let key = question.key.iter().map(|key| ("authorization".to_owned(), format!("Bearer {key}").into()));
        let written = question.headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes()));
        let headers = Headers::new([path].into_iter().chain(key).chain(written).collect());
        let presented = config.places.read(&headers).key;
        Self { gateway, config, question, headers, presented }
    }

    /// Whose key it is.
    pub(super) fn identify(&self) -> Result<Identity<'a>, Refused> {
        self.config.identify(&self.presented).map_err(|code| {
            let reason = match (code, &self.presented) {
                (Code::AmbiguousApiKey, _) => "the request holds two different keys",
                (_, Presented::Unreadable) => "what stands in the place of a key is none",
                (_, Presented::Nothing) => "the request holds no key, and `anonymous` names nobody",
                _ => "no consumer has this key",
            };
            Refused::new(code, reason.to_owned())
        })
    }

    /// What is known of a caller.
    pub(super) fn caller(&self, identity: &Identity<'_>) -> Caller {
        let text = if self.config.is_open() {
            let key = if self.presented == Presented::Nothing { "" } else { "; the key changes nothing" };
            format!("no consumers are configured: everybody is {}{key}", identity.name())
        } else {
            let tier = identity.tier().map(|tier| format!(", tier {tier}"));
            let known = match identity.key_id() {
                Some(id) => format!("by key {id}"),
                None => "as callers without a key".to_owned(),
            };
            format!("{}{}, {known}", identity.name(), tier.unwrap_or_default())
        };
        Caller {
            consumer: Some(identity.name().to_owned()),
            tier: identity.tier().map(str::to_owned),
            key_id: identity.key_id(),
            text,
        }
    }

    /// Whether the caller may call so.
    pub(super) fn admit(&self, identity: &Identity<'_>) -> Result<(), Refused> {
        let Question { from, path, .. } = self.question;
        let admitted =
            identity.admit(&Circumstances { path, route: &|| None, address: &|| Some(*from), now_s: &now_s });
        admitted.map_err(|code| {
            let name = identity.name();
            let reason = match code {
                Code::IpNotAllowed => format!("`from` of {name} does not hold {from}"),
                Code::RouteNotAllowed => {
                    let path = path.split('?').next().unwrap_or_default();
                    format!("`routes` of {name} do not match {path}")
                }
                _ if self.is_disabled(name) => format!("{name} is disabled"),
                _ => format!("{name} has expired"),
            };
            Refused::new(code, reason)
        })
    }

    fn is_disabled(&self, name: &str) -> bool {
        let named = |consumer: &&Consumer| consumer.name == name;
        self.gateway.consumers.iter().find(named).is_some_and(|consumer| consumer.disabled)
    }

    /// The headers that later filters see, each name once.
    pub(super) fn headers(&self, identity: &Identity<'_>) -> Vec<(String, Vec<u8>)> {
        let written = self.question.headers.iter().map(|(name, _)| name.as_str());
        let mut names: Vec<&str> = written.chain([consumer_auth::CONSUMER_HEADER]).collect();
        names.sort_unstable();
        names.dedup();
        let seen = |name: &str| Some((name.to_owned(), self.header(identity, name)?.as_bytes().to_vec()));
        names.into_iter().filter_map(seen).collect()
    }

    /// A header as later filters see it: without those that hold a key, and with the consumer's name.
    pub(super) fn header<'s>(&'s self, identity: &'s Identity<'_>, name: &str) -> Option<&'s str> {
        if name == consumer_auth::CONSUMER_HEADER {
            return (!self.config.is_open()).then(|| identity.name());
        }
        let alone = |value: &[u8]| Headers::new(vec![(name.to_owned(), value.to_vec())]);
        let holds_key = |value: &[u8]| self.config.places.read(&alone(value)).key != Presented::Nothing;
        let value = self.headers.get(name).filter(|value| !name.starts_with(':') && !holds_key(value))?;
        std::str::from_utf8(value).ok()
    }
}

#[expect(clippy::disallowed_methods, reason = "this is no filter: nobody else knows the time")]
fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
