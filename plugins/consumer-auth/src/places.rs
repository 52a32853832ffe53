//! Where a request may hold a key: finds it, and takes it off.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::{CONTROLS, percent_decode_str, percent_encode};
use sluice_core::config::shown;
use sluice_core::filter::{Headers, Host, Side};

/// Headers that hold a key and nothing else: Anthropic's, Azure OpenAI's, Gemini's.
const KEY_HEADERS: [&str; 3] = ["x-api-key", "api-key", "x-goog-api-key"];

/// Headers that are no place for a key, as every one is taken off: HTTP or the gateway needs them.
const OTHER_HEADERS: [&str; 11] = [
    "accept",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "te",
    "transfer-encoding",
    "x-mse-consumer",
    "x-request-id",
];

/// The places of a key, besides `authorization`.
#[derive(Debug)]
pub struct Places {
    headers: Vec<String>,
    query: Option<String>,
}

/// What a request presents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presented {
    /// Nothing in any place.
    Nothing,
    /// Something in a place of a key that is none: an empty one, another scheme than Bearer.
    Unreadable,
    /// One key, once or repeated.
    One(Vec<u8>),
    /// Keys that differ.
    Several,
}

/// What was found in a request.
#[derive(Debug)]
pub struct Found<'p> {
    /// The key.
    pub key: Presented,
    headers: Vec<&'p str>,
    path: Option<String>, // `:path` without the key
}

impl Places {
    /// The usual places, these `headers` and this parameter of the query.
    ///
    /// # Errors
    /// The member that does not hold, as `key_headers[0]: what is wrong`.
    pub fn new(headers: Vec<String>, query: Option<String>) -> Result<Self, String> {
        let mut all: Vec<String> = KEY_HEADERS.map(str::to_owned).into();
        for (index, name) in headers.into_iter().enumerate() {
            let name = name.to_ascii_lowercase();
            let wrong = |why| Err(format!("key_headers[{index}]: {:?} {why}", shown(&name)));
            if !is_token(&name) {
                return wrong("is no name of a header");
            }
            if OTHER_HEADERS.contains(&name.as_str()) {
                return wrong("has another meaning");
            }
            if !all.contains(&name) {
                all.push(name);
            }
        }
        if query.as_deref() == Some("") {
            return Err("key_query: must not be empty".to_owned());
        }
        Ok(Self { headers: all, query })
    }

    /// Looks into every place, and at each of its values.
    #[must_use]
    pub fn read(&self, headers: &Headers) -> Found<'_> {
        let mut found = Found { key: Presented::Nothing, headers: Vec::new(), path: None };
        for (name, value) in headers.iter() {
            if name == ":path" {
                self.read_path(value, &mut found);
            } else if name == "authorization" {
                found.headers.push("authorization");
                credentials(value).for_each(|credential| found.present(bearer(credential)));
            } else if let Some(place) = self.headers.iter().find(|place| *place == name) {
                found.headers.push(place);
                found.present(Some(value));
            }
        }
        found
    }

    fn read_path(&self, path: &[u8], found: &mut Found<'_>) {
        let Some(place) = &self.query else { return };
        let path = match std::str::from_utf8(path) {
            Ok(path) => Cow::Borrowed(path),
            Err(_) => percent_encode(path, CONTROLS).into(), // means the same, and can be set
        };
        let Some((before, query)) = path.split_once('?') else { return };
        let mut rest: Vec<&str> = Vec::new();
        for part in query.split('&') {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            if decoded(name) == place.as_bytes() {
                found.present(Some(&decoded(value)));
            } else {
                rest.push(part);
            }
        }
        if rest.len() < query.split('&').count() {
            let mark = if rest.is_empty() { "" } else { "?" };
            found.path = Some(format!("{before}{mark}{}", rest.join("&")));
        }
    }
}

impl Found<'_> {
    /// Counts what stands in a place of a key; `None` if it cannot be one.
    fn present(&mut self, key: Option<&[u8]>) {
        let key = key.map(<[u8]>::trim_ascii).filter(|key| !key.is_empty());
        self.key = match (std::mem::replace(&mut self.key, Presented::Several), key) {
            (Presented::Several, _) => Presented::Several,
            (Presented::One(first), Some(key)) if first != key => Presented::Several,
            (Presented::One(first), _) => Presented::One(first),
            (_, Some(key)) => Presented::One(key.to_vec()),
            (_, None) => Presented::Unreadable,
        };
    }

    /// Takes every place of a key off the request, whatever it holds.
    pub fn strip(&self, host: &mut dyn Host) {
        for name in &self.headers {
            host.remove_header(Side::Request, name);
        }
        if let Some(path) = &self.path {
            host.set_header(Side::Request, ":path", path);
        }
    }
}

/// Tells a caller where to put the key.
impl fmt::Display for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "in the header `Authorization: Bearer YOUR_KEY`, or in {}", self.headers.join(", "))?;
        match &self.query {
            Some(name) => write!(f, ", or in the query as {name}=YOUR_KEY"),
            None => Ok(()),
        }
    }
}

/// The credentials of one or several `authorization` headers: Envoy (1.40) joins repeated ones by commas.
fn credentials(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let value = rest?;
        let joint = |(at, byte): (usize, &u8)| {
            let after = value.get(at.checked_add(1)?..)?;
            (*byte == b',' && bearer(after).is_some()).then_some((value.get(..at)?, after))
        };
        let (first, after) = value.iter().enumerate().find_map(joint).unzip();
        rest = after;
        Some(first.unwrap_or(value))
    })
}

/// What follows the scheme `Bearer`, whose case does not matter (RFC 9110 section 11.1).
fn bearer(credential: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"bearer";
    let (scheme, key) = credential.trim_ascii_start().split_at_checked(SCHEME.len())?;
    let is_whole = key.first().is_none_or(u8::is_ascii_whitespace);
    (scheme.eq_ignore_ascii_case(SCHEME) && is_whole).then_some(key)
}

/// `text` without percent-encoding. A `+` stays what it is: keys hold some.
fn decoded(text: &str) -> Cow<'_, [u8]> {
    percent_decode_str(text).into()
}

/// RFC 9110 section 5.6.2.
fn is_token(name: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_tchar)
}

#[cfg(test)]
mod tests;
