//! Section `redis`: where state lies that several gateways share.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::address::Endpoint;
use super::line::yes_or_no;
use super::secret::{self, Secret};
use super::{Sources, url};
use crate::file::{Cursor, Fields};

const EXAMPLE: &str = "redis://127.0.0.1:6379";
/// The port of a URL that names none.
const PORT: u16 = 6379;
/// Deadline unless the file says otherwise.
const TIMEOUT: Duration = Duration::from_millis(50);
/// A request waits for it: longer is no deadline any more.
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(5);

/// A Redis, or a Redis Cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redis {
    /// Spoken to over TLS, the certificate verified.
    pub tls: bool,
    /// The only server, or nodes of a cluster from which the others are learnt; at least one, no two alike.
    pub nodes: Vec<Endpoint>,
    /// Redis Cluster.
    pub cluster: bool,
    /// User that `password` is for; `None`: Redis' own default user.
    pub username: Option<Secret>,
    /// Sent with each new connection.
    pub password: Option<Secret>,
    /// Longest wait of a request for an answer.
    pub timeout: Duration,
    /// What limits do when no answer comes in time.
    pub on_error: OnError,
}

/// What limits do while Redis does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// Each gateway counts by itself.
    #[default]
    Local,
    /// Requests pass uncounted.
    Allow,
    /// Requests are refused.
    Deny,
}

impl OnError {
    const NAMES: [(&str, Self); 3] = [("local", Self::Local), ("allow", Self::Allow), ("deny", Self::Deny)];

    /// The name in gateway.yaml and in token-limit's configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(_, mode)| *mode == self).map_or("", |(name, _)| name)
    }
}

/// Reads the section; `Some(None)` where there is none.
pub(super) fn read(fields: &mut Fields<'_>, sources: &Sources<'_>) -> Option<Option<Redis>> {
    let Some(section) = fields.optional("redis") else {
        return Some(None);
    };
    let mut fields = section.fields(&format!("`{{url: {EXAMPLE}}}`"))?;
    let nodes_at = fields.required("url", &format!("`url: {EXAMPLE}`"));
    let nodes = nodes_at.as_ref().and_then(nodes);
    let cluster = fields.optional("cluster");
    let cluster = cluster.map_or(Some(false), |at| yes_or_no(&at));
    let username = fields.optional("username");
    let password = fields.optional("password").map_or(Some(None), |at| secret::read(&at, sources).map(Some));
    let username = username.map_or(Some(None), |at| user(&at, password.as_ref(), sources).map(Some));
    let timeout = fields.optional("timeout").map_or(Some(TIMEOUT), |at| at.duration(TIMEOUTS));
    let on_error =
        fields.optional("on_error").map_or(Some(OnError::default()), |at| at.choice(&OnError::NAMES));
    fields.finish();
    let ((tls, nodes), cluster) = (nodes?, cluster?);
    if let (Some(at), false, 2..) = (nodes_at, cluster, nodes.len()) {
        return at.refuse(
            "has several nodes, which share keys only in a cluster; write `cluster: true` or one URL",
        );
    }
    Some(Some(Redis {
        tls,
        nodes,
        cluster,
        username: username?,
        password: password?,
        timeout: timeout?,
        on_error: on_error?,
    }))
}

/// `password` is `None` when it could not be read.
fn user(at: &Cursor<'_>, password: Option<&Option<Secret>>, sources: &Sources<'_>) -> Option<Secret> {
    if let Some(None) = password {
        return at.refuse(
            "has no password beside it, so Envoy does not log in; add `password: env:NAME` or remove it",
        );
    }
    secret::read(at, sources)
}

/// One URL or several, and whether they are spoken to over TLS.
fn nodes(at: &Cursor<'_>) -> Option<(bool, Vec<Endpoint>)> {
    let items = at.one_or_more(&format!("a URL such as {EXAMPLE}"))?;
    let read: Vec<_> = items.iter().map(node).collect();
    let read: Vec<(bool, Endpoint)> = read.into_iter().collect::<Option<_>>()?;
    let (tls, _) = *read.first()?;
    let mut nodes: Vec<Endpoint> = Vec::new();
    let mut good = Some(());
    for (at, (own, node)) in items.iter().zip(read) {
        if own != tls {
            good = at.refuse("differs from the first in its scheme, which all nodes share; write all alike");
        } else if nodes.contains(&node) {
            good = at.refuse("is in the list already; remove it");
        } else {
            nodes.push(node);
        }
    }
    good.map(|()| (tls, nodes))
}

fn node(at: &Cursor<'_>) -> Option<(bool, Endpoint)> {
    let text = at.text(&format!("a URL such as {EXAMPLE}"))?;
    parse(text).map_err(|why| at.refuse::<()>(why)).ok()
}

/// The text is not repeated: a URL may hold a password.
fn parse(text: &str) -> Result<(bool, Endpoint), String> {
    let (tls, rest) = match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("redis") => (false, rest),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("rediss") => (true, rest),
        _ => return Err(format!("does not begin with redis:// or rediss://; write a URL such as {EXAMPLE}")),
    };
    if rest.contains('@') {
        return Err("has a user or password in it; write them under `username` and `password`".into());
    }
    if rest.contains(['?', '#']) {
        return Err(format!("has a query or a fragment; write only the address such as {EXAMPLE}"));
    }
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    if !matches!(database, "" | "0") {
        return Err("names a database, but Envoy's redis_proxy knows only 0; use a Redis of its own".into());
    }
    let endpoint = url::endpoint(authority, PORT).map_err(|why| {
        let (what, _) = why.split_once("; ").unwrap_or((&why, ""));
        format!("{what}; write a URL such as {EXAMPLE}")
    })?;
    Ok((tls, endpoint))
}
