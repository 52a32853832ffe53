//! Envoy's admin interface.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

/// Longest wait for an answer: the interface is on this machine, but Envoy's main thread may be busy loading.
const ANSWER: Duration = Duration::from_secs(5);

/// A client of one Envoy's admin interface.
pub(crate) struct Admin {
    agent: ureq::Agent,
    base: String,
}

impl Admin {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self::at(&format!("http://{}", reachable(address)))
    }

    /// The interface at a URL without a path.
    pub(crate) fn at(url: &str) -> Self {
        let agent = ureq::Agent::config_builder().timeout_global(Some(ANSWER)).proxy(None).build().into();
        Self { agent, base: url.trim_end_matches('/').to_owned() }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &str {
        &self.base
    }

    /// The text of a page of at most `max` bytes, or why there is none.
    pub(crate) fn text(&self, path: &str, max: u64) -> Result<String, ureq::Error> {
        self.agent
            .get(format!("{}{path}", self.base))
            .call()?
            .body_mut()
            .with_config()
            .limit(max)
            .read_to_string()
    }

    /// The text of a page; `None` while Envoy does not answer.
    fn page(&self, path: &str) -> Option<String> {
        self.agent.get(format!("{}{path}", self.base)).call().ok()?.body_mut().read_to_string().ok()
    }

    /// Statistics whose name matches `filter` (a regular expression), quotes taken off texts.
    pub(crate) fn stats(&self, filter: &str) -> BTreeMap<String, String> {
        let page = self.page(&format!("/stats?filter={filter}")).unwrap_or_default();
        let pairs = page.lines().filter_map(|line| line.split_once(": "));
        pairs.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned())).collect()
    }

    /// One statistic as a number.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.stats(&format!("^{}$", name.replace('.', "%5C."))).get(name)?.parse().ok()
    }

    /// A page in JSON; `None` while Envoy does not answer, or answers something else.
    pub(crate) fn json(&self, path: &str) -> Option<Value> {
        serde_json::from_str(&self.page(path)?).ok()
    }

    /// Asks for something to be done.
    pub(crate) fn post(&self, path: &str) {
        // whether it was done shows in the statistics
        let _ = self.agent.post(format!("{}{path}", self.base)).send_empty();
    }
}

/// An interface that listens on every address is reached on loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}
