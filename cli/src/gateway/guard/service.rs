//! Reads a check that asks a moderation service.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use sluice_core::config::SecretSource;

use super::{Contract, Risk, Service};
use crate::file::{Cursor, Fields};
use crate::gateway::http::service_header;
use crate::gateway::provider::headers;
use crate::gateway::rule::model;
use crate::gateway::{Secret, Sources, secret, url};

const EXAMPLE: &str = "http://127.0.0.1:9200/v1/moderations";
/// Deadline unless the file says otherwise.
const TIMEOUT: Duration = Duration::from_millis(500);
/// A request waits for it.
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(30);
/// Where services that speak as OpenAI's have their moderations.
const MODERATIONS: &str = "/moderations";

/// The fields beside `url`.
pub(super) struct Rest<'a> {
    protocol: Option<Cursor<'a>>,
    timeout: Option<Cursor<'a>>,
    key: Option<Cursor<'a>>,
    headers: Option<Cursor<'a>>,
    model: Option<Cursor<'a>>,
    min_risk: Option<Cursor<'a>>,
}

impl<'a> Rest<'a> {
    pub(super) fn take(fields: &mut Fields<'a>) -> Self {
        Self {
            protocol: fields.optional("protocol"),
            timeout: fields.optional("timeout"),
            key: fields.optional("key"),
            headers: fields.optional("headers"),
            model: fields.optional("model"),
            min_risk: fields.optional("min_risk"),
        }
    }

    /// Refuses what a check without a service has no use for.
    pub(super) fn refuse_all(&self) -> Option<()> {
        let all = [&self.protocol, &self.timeout, &self.key, &self.headers, &self.model, &self.min_risk];
        let mut good = Some(());
        for at in all.into_iter().flatten() {
            good =
                at.refuse("has no effect without `url`; remove it, or write the address of a service there");
        }
        good
    }
}

/// Reads the service.
pub(super) fn read(at: &Cursor<'_>, rest: Rest<'_>, sources: &Sources<'_>) -> Option<Service> {
    let address = at.text(&format!("a URL such as {EXAMPLE}")).map(|text| url::call(text, EXAMPLE, "key"));
    let address = address.and_then(|read| read.map_err(|why| at.refuse::<()>(why)).ok());
    let protocol = rest.protocol.map_or(Some(Contract::default()), |at| at.choice(&Contract::NAMES));
    let timeout = rest.timeout.map_or(Some(TIMEOUT), |at| at.duration(TIMEOUTS));
    let key = rest.key.map_or(Some(None), |at| secret::read(&at, sources).map(Some));
    let headers = rest.headers.map_or(Some(BTreeMap::new()), |at| plain_headers(&at, sources));
    let model = rest.model.map_or(Some(None), |at| asked(&at, protocol).map(Some));
    let min_risk = rest.min_risk.map_or(Some(None), |at| at.choice(&Risk::NAMES).map(Some));
    let (address, protocol) = (address?, protocol?);
    let path = address.path.split('?').next().unwrap_or_default();
    if protocol == Contract::Openai && !path.trim_end_matches('/').ends_with(MODERATIONS) {
        at.warn(format!("is called as it stands, and does not end in {MODERATIONS} as OpenAI's does; write the whole URL such as {EXAMPLE}"));
    }
    Some(Service {
        scheme: address.scheme,
        endpoint: address.endpoint,
        path: address.path,
        protocol,
        timeout: timeout?,
        key: key?,
        headers: headers?,
        model: model?,
        min_risk: min_risk?,
    })
}

/// Headers whose values content-guard is told: it looks nothing but keys up in its environment.
fn plain_headers(at: &Cursor<'_>, sources: &Sources<'_>) -> Option<BTreeMap<String, Secret>> {
    let read = headers(at, service_header, sources)?;
    let mut good = Some(());
    for (name, at) in at.fields("headers")?.named().into_iter().map(|(name, _, at)| (name, at)) {
        let value = read.get(&name.to_ascii_lowercase());
        if value.is_some_and(|value| matches!(value.source(), SecretSource::Env(_))) {
            good = at.refuse("is read from the environment, which only `key` can be; write file:PATH");
        }
    }
    good.map(|()| read)
}

/// `protocol` is `None` when it could not be read.
fn asked(at: &Cursor<'_>, protocol: Option<Contract>) -> Option<String> {
    if protocol == Some(Contract::Generic) {
        return at.refuse("is not sent by protocol generic, which tells the model of the request; remove it");
    }
    model(at)
}
