//! Section `tracing`: where spans of requests go, and of how many.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::address::{Endpoint, Scheme};
use super::http::collector_header;
use super::provider::headers;
use super::secret::Secret;
use super::{Sources, url};
use crate::file::{Cursor, Decimal, Fields};

const EXAMPLE: &str = "http://127.0.0.1:4318/v1/traces";
/// Where collectors take spans over HTTP.
/// <https://opentelemetry.io/docs/specs/otlp/#otlphttp-request>
const TRACES: &str = "/v1/traces";
/// Digits of a percent that Envoy counts.
const PLACES: u8 = 2;
/// All requests, in units of the last digit.
const ALL: u64 = 10_000;
/// Deadline unless the file says otherwise.
const TIMEOUT: Duration = Duration::from_secs(1);
/// No request waits for it.
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(30);
/// Most bytes of the service's name.
const MAX_SERVICE: usize = 128;

/// Where spans of requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracing {
    /// How the collector is spoken to.
    pub scheme: Scheme,
    /// Where it is.
    pub endpoint: Endpoint,
    /// Its path and query, which begin with `/`.
    pub path: String,
    /// Requests that are traced without being asked to, in percent to 2 places.
    pub sample: Decimal,
    /// The resource's `service.name`: 1 to 128 bytes.
    pub service: String,
    /// Headers of each export, names in lower case. A value may be a secret.
    pub headers: BTreeMap<String, Secret>,
    /// Longest wait for the collector to take spans over.
    pub timeout: Duration,
}

/// Reads the section; `Some(None)` where there is none.
pub(super) fn read(fields: &mut Fields<'_>, sources: &Sources<'_>) -> Option<Option<Tracing>> {
    let Some(section) = fields.optional("tracing") else {
        return Some(None);
    };
    let mut fields = section.fields(&format!("`{{url: {EXAMPLE}}}`"))?;
    let address = fields.required("url", &format!("`url: {EXAMPLE}`")).and_then(|at| collector(&at));
    let all = Decimal::new(ALL, PLACES);
    let sample = fields.optional("sample").map_or(Some(all), |at| at.decimal(PLACES, 0..=ALL));
    let service = fields.optional("service").map_or(Some("sluice".to_owned()), |at| service(&at));
    let named = fields.optional("headers");
    let headers = named.map_or(Some(BTreeMap::new()), |at| headers(&at, collector_header, sources));
    let timeout = fields.optional("timeout").map_or(Some(TIMEOUT), |at| at.duration(TIMEOUTS));
    fields.finish();
    let address = address?;
    Some(Some(Tracing {
        scheme: address.scheme,
        endpoint: address.endpoint,
        path: address.path,
        sample: sample?,
        service: service?,
        headers: headers?,
        timeout: timeout?,
    }))
}

fn collector(at: &Cursor<'_>) -> Option<url::Address> {
    let text = at.text(&format!("a URL such as {EXAMPLE}"))?;
    let address = url::call(text, EXAMPLE, "headers").map_err(|why| at.refuse::<()>(why)).ok()?;
    let path = address.path.split('?').next().unwrap_or_default();
    if !path.ends_with(TRACES) {
        at.warn(format!(
            "is called as it stands, and does not end in {TRACES} as collectors' do; write the whole URL such as \
             {EXAMPLE}"
        ));
    }
    Some(address)
}

fn service(at: &Cursor<'_>) -> Option<String> {
    let text = at.text("a name such as sluice")?.trim();
    if text.chars().any(char::is_control) {
        return at.refuse("has several lines or a control character; write a name such as sluice");
    }
    if text.len() > MAX_SERVICE {
        return at.refuse(format!("has {} bytes; write at most {MAX_SERVICE}", text.len()));
    }
    Some(text.to_owned())
}
