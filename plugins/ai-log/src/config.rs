//! What the record holds beyond the usual, and how many series the metrics may make.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::rc::Rc;

use serde::Deserialize;
use sluice_core::price::{Prices, RawPrice};

use crate::labels::Bounds;

/// Most bytes of one prompt or answer in a record: a line of an access log is kept, shipped and read as a whole.
pub(crate) const MAX_BYTES: usize = 64 * 1024;

/// Most characters of one prompt or answer where `max_chars` is absent.
const MAX_CHARS: u32 = 2000;

/// Highest `max_chars`; [`MAX_BYTES`] holds as well.
const MOST_CHARS: u32 = 1_000_000;

/// Most request headers whose values are recorded.
const MAX_HEADERS: usize = 32;

/// Words in the name of a header that carries a credential: `authorization`, `set-cookie`, `x-goog-api-key`,
/// `x-amz-security-token`.
const CREDENTIALS: [&str; 13] = [
    "auth",
    "authorization",
    "cookie",
    "credential",
    "credentials",
    "jwt",
    "key",
    "apikey",
    "passwd",
    "password",
    "secret",
    "signature",
    "token",
];

/// The configuration as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    prompts: Option<Prompts>,
    max_chars: Option<u32>,
    headers: Vec<String>,
    prices: Vec<RawPrice>,
    models: Vec<String>,
    metrics: RawMetrics,
}

/// How much of prompts and answers is recorded; absent: nothing, and no body is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Prompts {
    Truncated,
    Full,
}

/// How many series the metrics may make.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawMetrics {
    max_models: usize,
    max_label_sets: usize,
}

impl Default for RawMetrics {
    /// As many models as anybody offers by a glob, and each of them for ten consumers.
    fn default() -> Self {
        Self { max_models: 100, max_label_sets: 1000 }
    }
}

/// The configuration as used.
#[derive(Debug)]
pub struct Config {
    /// Bound on one prompt or answer; `None`: neither is recorded.
    pub(crate) texts: Option<Limit>,
    /// Names of the request headers whose values are recorded.
    pub(crate) headers: Vec<Rc<str>>,
    /// What tokens cost.
    pub prices: Prices,
    /// Which series there may be, and which this worker knows.
    pub(crate) bounds: RefCell<Bounds>,
}

/// How long a text may be in the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    /// In characters.
    pub(crate) chars: usize,
    /// In bytes of UTF-8.
    pub(crate) bytes: usize,
}

impl Config {
    /// # Errors
    /// The first value that does not hold, with its place.
    pub(crate) fn check(raw: RawConfig) -> Result<Self, String> {
        let max_chars = raw.max_chars.unwrap_or(MAX_CHARS);
        if !(1..=MOST_CHARS).contains(&max_chars) {
            return Err(format!("max_chars: must be 1 to {MOST_CHARS}"));
        }
        let RawMetrics { max_models, max_label_sets } = raw.metrics;
        within("metrics.max_models", max_models, 1..=100_000)?;
        within("metrics.max_label_sets", max_label_sets, 1..=1_000_000)?;
        Ok(Self {
            texts: raw.prompts.map(|prompts| Limit::of(prompts, max_chars)),
            headers: headers(&raw.headers)?,
            prices: Prices::check(raw.prices).map_err(|error| format!("prices{error}"))?,
            bounds: RefCell::new(Bounds::new(raw.models, max_models, max_label_sets)),
        })
    }
}

fn within(name: &str, value: usize, range: RangeInclusive<usize>) -> Result<(), String> {
    let wrong = || format!("{name}: must be {} to {}", range.start(), range.end());
    if range.contains(&value) { Ok(()) } else { Err(wrong()) }
}

fn headers(names: &[String]) -> Result<Vec<Rc<str>>, String> {
    if names.len() > MAX_HEADERS {
        return Err(format!("headers: must be at most {MAX_HEADERS}"));
    }
    let check = |(index, name): (usize, &String)| match name.as_str() {
        name if carries_credential(name) => {
            Err(format!("headers[{index}]: carries a credential, by its name: it is never recorded"))
        }
        name if is_header(name) => Ok(name.into()),
        _ => Err(format!("headers[{index}]: must be the name of a header in lower case")),
    };
    let once: Result<BTreeSet<Rc<str>>, String> = names.iter().enumerate().map(check).collect();
    Ok(once?.into_iter().collect())
}

/// Whether the header called `name` (in lower case) carries a credential, by one of the words in its name: it is never
/// recorded.
#[must_use]
pub fn carries_credential(name: &str) -> bool {
    name.split(|char: char| !char.is_ascii_alphanumeric()).any(|word| CREDENTIALS.contains(&word))
}

/// Whether it is a token of RFC 9110 section 5.6.2, in lower case.
fn is_header(name: &str) -> bool {
    let is_token =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token)
}

impl Limit {
    fn of(prompts: Prompts, max_chars: u32) -> Self {
        let chars = match prompts {
            Prompts::Truncated => usize::try_from(max_chars).unwrap_or(usize::MAX),
            Prompts::Full => usize::MAX,
        };
        Self { chars, bytes: MAX_BYTES.min(chars.saturating_mul(4)) }
    }
}

#[cfg(test)]
mod tests;
