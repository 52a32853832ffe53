//! What consumers have in common: tier, models, and the bounds on where they may call from and to.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};
use sluice_core::config::shown;
use sluice_core::glob::{Glob, GlobSet};
use sluice_core::openai::error::Code;

/// What a consumer's bounds are held against. What is a function is asked only where a bound needs it.
#[derive(Clone, Copy)]
pub struct Circumstances<'a> {
    /// `:path` as the client sent it.
    pub path: &'a str,
    /// Envoy's name of the route.
    pub route: &'a dyn Fn() -> Option<String>,
    /// The client's address as Envoy sees it.
    pub address: &'a dyn Fn() -> Option<IpAddr>,
    /// Seconds since the epoch.
    pub now_s: &'a dyn Fn() -> u64,
}

/// A policy as written; equal ones are kept once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct RawPolicy {
    pub(crate) tier: Option<String>,
    pub(crate) models: Option<Vec<String>>,
    pub(crate) routes: Option<Vec<String>>,
    pub(crate) from: Option<Vec<String>>,
    pub(crate) disabled: bool,
}

/// A policy in use.
#[derive(Debug, Default)]
pub(crate) struct Policy {
    pub(crate) tier: Option<String>,
    /// The globs of the models, joined by commas.
    pub(crate) models: Option<String>,
    pub(crate) disabled: bool,
    routes: Option<Routes>,
    from: Option<Vec<IpNet>>,
}

#[derive(Debug)]
struct Routes {
    paths: GlobSet,
    names: GlobSet,
}

impl TryFrom<RawPolicy> for Policy {
    type Error = String;

    /// # Errors
    /// The member that does not hold, as `models[0]: what is wrong`.
    fn try_from(raw: RawPolicy) -> Result<Self, String> {
        let models = raw.models.map(|globs| joined_models(&globs)).transpose();
        let routes = raw.routes.map(|globs| routes(&globs)).transpose();
        let from = raw.from.map(|nets| networks(&nets)).transpose();
        Ok(Self {
            tier: raw.tier,
            models: models.map_err(|error| format!("models{error}"))?,
            disabled: raw.disabled,
            routes: routes.map_err(|error| format!("routes{error}"))?,
            from: from.map_err(|error| format!("from{error}"))?,
        })
    }
}

impl Policy {
    /// Whether address and route are within bounds.
    ///
    /// # Errors
    /// The code to refuse with.
    pub(crate) fn admit(&self, call: &Circumstances<'_>) -> Result<(), Code> {
        if let Some(networks) = &self.from {
            // IPv4 in IPv6 (RFC 4291 section 2.5.5.2) is how a dual-stack listener sees IPv4.
            let address = (call.address)().map(|address| address.to_canonical());
            let is_inside = |address: IpAddr| networks.iter().any(|network| network.contains(&address));
            if !address.is_some_and(is_inside) {
                return Err(Code::IpNotAllowed);
            }
        }
        match &self.routes {
            Some(routes) if !routes.hold(call) => Err(Code::RouteNotAllowed),
            _ => Ok(()),
        }
    }
}

impl Routes {
    fn hold(&self, call: &Circumstances<'_>) -> bool {
        let path = call.path.split(['?', '#']).next().unwrap_or_default();
        let by_path = is_plain(path) && self.paths.matches(path);
        let by_name = || (call.route)().is_some_and(|name| self.names.matches(&name));
        by_path || (self.names.iter().next().is_some() && by_name())
    }
}

/// Whether all servers agree on which path that is: with `%2F`, or `.` and `..` as segments, they do not
/// (RFC 3986 section 6.2.2).
fn is_plain(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let is_dots = |segment: &str| matches!(segment.replace("%2e", ".").as_str(), "." | "..");
    !["%2f", "%5c", "\\"].iter().any(|sign| lower.contains(sign)) && !lower.split('/').any(is_dots)
}

/// The globs in one text, as the fact tells them.
fn joined_models(globs: &[String]) -> Result<String, String> {
    let globs = globset(globs)?;
    // Readers put the fact into braces, where a comma separates.
    let in_braces = |text: &str| format!("{{{text}}}").parse::<Glob>();
    for (index, glob) in globs.iter().enumerate() {
        let survives = |braced: Glob| braced.covers(glob) && glob.covers(&braced);
        if !in_braces(glob.as_str()).is_ok_and(survives) {
            return Err(format!("[{index}]: write `\\,` for a comma; each glob is an entry of its own"));
        }
    }
    let joined = globs.iter().map(Glob::as_str).collect::<Vec<_>>().join(",");
    match in_braces(&joined) {
        Ok(_) => Ok(joined),
        Err(error) => Err(format!(": taken together: {}", error.mistake)),
    }
}

fn routes(globs: &[String]) -> Result<Routes, String> {
    globset(globs)?;
    let (paths, names): (Vec<_>, Vec<_>) = globs.iter().partition(|glob| glob.starts_with('/'));
    let parse = |globs: &[&String]| GlobSet::parse(globs).map_err(|(_, error)| format!(": {error}"));
    Ok(Routes { paths: parse(&paths)?, names: parse(&names)? })
}

fn globset(globs: &[String]) -> Result<GlobSet, String> {
    if globs.is_empty() {
        return Err(": must hold at least one glob; leave it out to allow all".to_owned());
    }
    GlobSet::parse(globs).map_err(|(index, error)| format!("[{index}]: {error}"))
}

fn networks(texts: &[String]) -> Result<Vec<IpNet>, String> {
    if texts.is_empty() {
        return Err(": must hold at least one network; leave it out to allow all".to_owned());
    }
    let parse = |(index, text): (usize, &String)| {
        let text = text.as_str();
        let wrong =
            || format!("[{index}]: {:?} is no network such as 10.0.0.0/8 or 2001:db8::/32", shown(text));
        network(text).ok_or_else(wrong)
    };
    texts.iter().enumerate().map(parse).collect()
}

/// A network, or one address. IPv4 written as IPv6 becomes IPv4, as the client's address does.
fn network(text: &str) -> Option<IpNet> {
    let network = plain_network(text)?;
    let IpNet::V6(v6) = network else {
        return Some(network);
    };
    match (v6.network().to_ipv4_mapped(), v6.prefix_len().checked_sub(96)) {
        (Some(address), Some(length)) => Ipv4Net::new(address, length).ok().map(IpNet::V4),
        _ => Some(network),
    }
}

/// A network as written, or one address. `010.0.0.0/8` is none: some read such a number as octal (RFC 6943 section
/// 3.1.1), so that it would hold others than its author means.
#[must_use]
pub fn plain_network(text: &str) -> Option<IpNet> {
    let Some((address, length)) = text.split_once('/') else {
        return text.parse::<IpAddr>().ok().map(IpNet::from);
    };
    let is_number = length.bytes().all(|byte| byte.is_ascii_digit());
    let length = length.parse().ok().filter(|_| is_number)?;
    IpNet::new(address.parse().ok()?, length).ok()
}

#[cfg(test)]
mod tests;
