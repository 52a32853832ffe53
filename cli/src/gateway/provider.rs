//! Section `providers`: who serves models, where, and with which keys.

mod keys;

use std::collections::BTreeMap;

use sluice_core::config::shown;

use super::address::{Endpoint, Scheme};
use super::http;
use super::secret::{self, Secret};
use super::{Sources, url};
use crate::file::tree::Content;
use crate::file::{Cursor, Fields, Place};

/// One provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Its name: 1 to 63 letters, digits, `-`, `_` and `.`, unique in the file.
    pub name: String,
    /// How it is spoken to; the same at every replica.
    pub scheme: Scheme,
    /// Its replicas, at least one, no two alike.
    pub endpoints: Vec<Endpoint>,
    /// What replaces the client's `/v1`: empty or `/…` without a closing slash.
    pub path: String,
    /// Its keys, no two alike; empty: requests go out without one.
    pub keys: Vec<Key>,
    /// How a key is picked.
    pub rotation: Rotation,
    /// How a replica is picked.
    pub balance: Balance,
    /// What it speaks.
    pub protocol: Protocol,
    /// Headers added to every request, names in lower case. A value may be a secret.
    pub headers: BTreeMap<String, Secret>,
}

/// One key of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key.
    pub secret: Secret,
    /// Its share under [`Rotation::Weighted`], 1 to 1000; 1 otherwise.
    pub weight: u32,
}

/// How a key is picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// One after the other.
    RoundRobin,
    /// Any.
    Random,
    /// The one with the fewest requests under way.
    LeastUsed,
    /// By `weight`.
    Weighted,
}

impl Rotation {
    const NAMES: [(&str, Self); 4] = [
        ("round_robin", Self::RoundRobin),
        ("random", Self::Random),
        ("least_used", Self::LeastUsed),
        ("weighted", Self::Weighted),
    ];

    /// The name in gateway.yaml and in key-rotation's configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(_, rotation)| *rotation == self).map_or("", |(name, _)| name)
    }
}

/// How a replica is picked: Envoy's load balancing policies of the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// The one with the fewest requests under way.
    LeastRequest,
    /// One after the other.
    RoundRobin,
    /// By a hash of the request, so that the same caller finds its prompt cache again.
    RingHash,
}

impl Balance {
    const NAMES: [(&str, Self); 3] = [
        ("least_request", Self::LeastRequest),
        ("round_robin", Self::RoundRobin),
        ("ring_hash", Self::RingHash),
    ];
}

/// What a provider speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The OpenAI API.
    Openai,
}

/// Protocols that later versions will speak.
const LATER_PROTOCOLS: [&str; 6] = ["anthropic", "gemini", "azure", "bedrock", "vertex", "cohere"];

/// The section: its providers, and the names that rules may use even while a provider has a mistake.
pub(super) struct Providers {
    pub(super) names: Vec<String>,
    pub(super) all: Option<Vec<Provider>>,
}

/// Reads the section.
pub(super) fn read(fields: &mut Fields<'_>, sources: &Sources<'_>) -> Providers {
    let example = "`openai: {url: https://api.openai.com/v1, keys: [env:OPENAI_KEY]}`";
    let section = fields.required("providers", &format!("a provider such as {example}"));
    let named = section.and_then(|at| {
        let named = at.fields(&format!("providers by name such as {example}"))?.named();
        if named.is_empty() { at.refuse(format!("names no provider; write {example}")) } else { Some(named) }
    });
    let Some(named) = named else {
        return Providers { names: Vec::new(), all: None };
    };
    let names = named.iter().map(|(name, ..)| name.clone()).collect();
    let read: Vec<_> =
        named.into_iter().map(|(name, place, at)| provider(name, place, &at, sources)).collect();
    Providers { names, all: read.into_iter().collect() }
}

fn provider(name: String, place: Place, at: &Cursor<'_>, sources: &Sources<'_>) -> Option<Provider> {
    let name = checked_name(name, place, at);
    let mut fields = at.fields("`{url: https://HOST/v1, keys: [env:NAME]}`")?;
    let addresses = fields.required("url", "`url: https://api.openai.com/v1`").and_then(|at| url::read(&at));
    let keys = fields.optional("keys");
    let rotation = fields.optional("rotation");
    let (keys, rotation) = keys::keys_and_rotation(keys.as_ref(), rotation.as_ref(), sources);
    let balance = match fields.optional("balance") {
        Some(at) => at.choice(&Balance::NAMES),
        None => Some(Balance::LeastRequest),
    };
    let protocol = fields.optional("protocol").map_or(Some(Protocol::Openai), |at| protocol(&at));
    let headers = fields
        .optional("headers")
        .map_or(Some(BTreeMap::new()), |at| headers(&at, http::provider_header, sources));
    fields.finish();
    let (addresses, keys) = (addresses?, keys?);
    Some(Provider {
        name: name?,
        scheme: addresses.scheme,
        endpoints: addresses.endpoints,
        path: addresses.path,
        keys,
        rotation: rotation?,
        balance: balance?,
        protocol: protocol?,
        headers: headers?,
    })
}

/// Names become parts of Envoy's cluster names and of statistics.
fn checked_name(name: String, place: Place, at: &Cursor<'_>) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if (1..=63).contains(&name.len()) && name.chars().all(plain) {
        return Some(name);
    }
    at.refuse_at(place, "is no name of a provider; write 1 to 63 letters, digits, -, _ and .")
}

fn protocol(at: &Cursor<'_>) -> Option<Protocol> {
    if let Content::Scalar(text) = at.content()
        && LATER_PROTOCOLS.contains(&text.as_str())
    {
        return at.refuse(format!("{text} is not supported yet; write openai or remove the field"));
    }
    at.choice(&[("openai", Protocol::Openai)])
}

/// Headers that are added to requests, by name as `check` gives it; a value may be a secret.
pub(super) fn headers(
    at: &Cursor<'_>,
    check: fn(&str) -> Result<String, String>,
    sources: &Sources<'_>,
) -> Option<BTreeMap<String, Secret>> {
    let named = at.fields("headers by name such as {x-team: search}")?.named();
    let mut read = BTreeMap::new();
    let mut whole = Some(());
    for (name, place, at) in named {
        let name = check(&name).map_err(|why| at.refuse_at::<()>(place, why)).ok();
        match (name, secret::read(&at, sources)) {
            (Some(name), Some(value)) if !read.contains_key(&name) => {
                read.insert(name, value);
            }
            (Some(name), Some(_)) => {
                let name = shown(&name);
                whole = at
                    .refuse_at(place, format!("is {name} once more; case does not count; keep one of them"));
            }
            _ => whole = None,
        }
    }
    whole.map(|()| read)
}
