//! The `url` of a provider: one base address, or several of one service.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::address::{Endpoint, Host, Scheme};
use crate::file::Cursor;

const EXAMPLE: &str = "https://api.openai.com/v1";

/// All replicas of a provider, and what they share.
pub(super) struct Addresses {
    pub(super) scheme: Scheme,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) path: String,
}

/// One address.
pub(super) struct Address {
    pub(super) scheme: Scheme,
    pub(super) endpoint: Endpoint,
    pub(super) path: String,
}

/// Reads one URL or a list of them.
pub(super) fn read(at: &Cursor<'_>) -> Option<Addresses> {
    let items = at.one_or_more(&format!("a URL such as {EXAMPLE}"))?;
    let parsed: Vec<_> = items.iter().map(address).collect();
    let parsed: Vec<Address> = parsed.into_iter().collect::<Option<_>>()?;
    let first = parsed.first()?;
    let (scheme, path) = (first.scheme, first.path.clone());
    let mut endpoints = Vec::new();
    let mut good = Some(());
    for (at, address) in items.iter().zip(parsed) {
        let shared = |what| {
            format!(
                "differs from {} in its {what}; replicas of one provider share it, so write two providers",
                items.first().map_or("", |first| first.path())
            )
        };
        if address.scheme != scheme {
            good = at.refuse(shared("scheme"));
        } else if address.path != path {
            good = at.refuse(shared("path"));
        } else if endpoints.contains(&address.endpoint) {
            good = at.refuse("is in the list already; remove it");
        } else {
            endpoints.push(address.endpoint);
        }
    }
    if path.is_empty() {
        at.warn("has no path, so /v1/chat/completions becomes /chat/completions there; most providers want /v1 at the end");
    }
    good.map(|()| Addresses { scheme, endpoints, path })
}

fn address(at: &Cursor<'_>) -> Option<Address> {
    let text = at.text(&format!("a URL such as {EXAMPLE}"))?;
    parse(text).map_err(|why| at.refuse::<()>(why)).ok()
}

/// The text is not repeated: a URL may hold a password.
fn parse(text: &str) -> Result<Address, String> {
    let parts = split(text, EXAMPLE, "keys")?;
    if parts.rest.contains(['?', '#']) {
        return Err(format!("has a query or a fragment; write only the base such as {EXAMPLE}"));
    }
    Ok(Address {
        scheme: parts.scheme,
        endpoint: endpoint(parts.authority, parts.scheme.port())?,
        path: base(parts.rest)?,
    })
}

/// The address of one call: its path and query are asked for as they stand. The text is not repeated. `key` names the
/// field for what a URL must not hold.
///
/// # Errors
/// What is wrong with it; what to write instead, such as `example`.
pub(super) fn call(text: &str, example: &str, key: &str) -> Result<Address, String> {
    let parts = split(text, example, key)?;
    if parts.rest.contains('#') {
        return Err(format!("has a fragment, which no server sees; write a URL such as {example}"));
    }
    let endpoint =
        endpoint(parts.authority, parts.scheme.port()).map_err(|why| why.replace(EXAMPLE, example))?;
    let slash = if parts.rest.starts_with('/') { "" } else { "/" };
    Ok(Address { scheme: parts.scheme, endpoint, path: format!("{slash}{}", parts.rest) })
}

/// A URL in parts.
struct Parts<'a> {
    scheme: Scheme,
    authority: &'a str,
    /// Path and query.
    rest: &'a str,
}

/// `key` names the field for what a URL must not hold.
fn split<'a>(text: &'a str, example: &str, key: &str) -> Result<Parts<'a>, String> {
    let visible = |c: char| c.is_ascii_graphic() && !"\"<>\\^`{|}".contains(c);
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Scheme::Https, rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Scheme::Http, rest),
        _ => return Err(format!("does not begin with https:// or http://; write a URL such as {example}")),
    };
    if !text.chars().all(visible) {
        let hint = "write host names in punycode (xn--…) and other characters as %XX";
        return Err(format!("has a space or a character that a URL may not hold; {hint}"));
    }
    let (authority, rest) = rest.find(['/', '?', '#']).map_or((rest, ""), |at| rest.split_at(at));
    if authority.contains('@') {
        return Err(format!("has a user or password in it; remove it and write the key under `{key}`"));
    }
    Ok(Parts { scheme, authority, rest })
}

/// The path without its closing slashes.
fn base(path: &str) -> Result<String, String> {
    let path = path.trim_end_matches('/');
    if path.split('/').any(|segment| segment == "." || segment == "..") {
        return Err("has . or .. in its path; write the path out".into());
    }
    match path.strip_suffix("/chat/completions").or_else(|| path.strip_suffix("/embeddings")) {
        Some(base) => Err(format!("is the address of one call; write the base, which ends in {base:?}")),
        None => Ok(path.to_owned()),
    }
}

/// `HOST`, `HOST:PORT` or `[IPV6]:PORT`.
///
/// # Errors
/// What is wrong with it; what to write instead.
pub(super) fn endpoint(authority: &str, default_port: u16) -> Result<Endpoint, String> {
    let (host, rest) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (inside, rest) =
                rest.split_once(']').ok_or("has a [ without its ]; write http://[::1]:8000/v1")?;
            let address = inside.parse::<Ipv6Addr>();
            (
                Host::V6(
                    address.map_err(|_| "has no IPv6 address in its brackets; write http://[::1]:8000/v1")?,
                ),
                rest,
            )
        }
        None => {
            let end = authority.find(':').unwrap_or(authority.len());
            let (host, rest) = authority.split_at(end);
            (name(host)?, rest)
        }
    };
    Ok(Endpoint { host, port: port(rest, default_port)? })
}

/// `rest` is what follows the host: nothing or `:PORT`.
fn port(rest: &str, default: u16) -> Result<u16, String> {
    let digits = match rest.strip_prefix(':') {
        None if rest.is_empty() => return Ok(default),
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits,
        _ => return Err("has no number as its port; write HOST:8000, an IPv6 address in brackets".into()),
    };
    match digits.parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err("has a port that is none; write one from 1 to 65535".into()),
    }
}

/// An IPv4 address or a DNS name (RFC 1123 section 2.1; `_` as container networks use it).
fn name(host: &str) -> Result<Host, String> {
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return Ok(Host::V4(address));
    }
    let good = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let labels: Vec<&str> = host.strip_suffix('.').unwrap_or(host).split('.').collect();
    let numeric = labels.last().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if host.is_empty() || host.len() > 253 || numeric || !labels.iter().all(|label| good(label)) {
        return Err(format!("has no host that can be looked up; write a URL such as {EXAMPLE}"));
    }
    Ok(Host::Name(host.to_ascii_lowercase()))
}
