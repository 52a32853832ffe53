//! The endpoint chosen for an attempt, as the cluster's endpoint metadata describes it.
//!
//! Envoy hands an upstream filter the metadata of the host it picked. `sluice render` writes one JSON string,
//! so that one read (1.3 µs) tells everything and an attempt can never mix two providers:
//!
//! ```yaml
//! metadata: {filter_metadata: {sluice: {target: '{"provider":"openai","host":"api.openai.com","path":"/v1"}'}}}
//! ```

use std::cell::RefCell;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

/// Attribute that holds the chosen endpoint's description.
pub const ATTRIBUTE: &[&str] = &["xds", "upstream_host_metadata", "filter_metadata", "sluice", "target"];

/// Most descriptions that a worker remembers: those of the endpoints that are in use at a time.
const MAX_KNOWN: usize = 32;

thread_local! {
    /// Descriptions that this worker has read, with what they say: there are few, and every attempt reads one.
    static KNOWN: RefCell<Vec<(Vec<u8>, Rc<Target>)>> = const { RefCell::new(Vec::new()) };
}

/// Where an attempt goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Provider name.
    pub provider: String,
    /// Model to send; absent: the model as asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Value of `host` / `:authority`, with the port if it is not the scheme's own.
    pub host: String,
    /// What replaces the client's `/v1`, without a closing slash; may be empty.
    #[serde(default)]
    pub path: String,
    /// Attempts that the whole chain allows a request; 0: not known.
    #[serde(default)]
    pub attempts: u32,
}

impl Target {
    /// Reads the description of an endpoint.
    #[must_use]
    pub fn parse(metadata: Vec<u8>) -> Option<Rc<Self>> {
        KNOWN.with_borrow_mut(|known| {
            if let Some((_, target)) = known.iter().find(|(read, _)| *read == metadata) {
                return Some(Rc::clone(target));
            }
            let target: Rc<Self> = Rc::new(serde_json::from_slice(&metadata).ok()?);
            if known.len() >= MAX_KNOWN {
                known.clear();
            }
            known.push((metadata, Rc::clone(&target)));
            Some(target)
        })
    }

    /// The description to put into the endpoint's metadata.
    #[must_use]
    pub fn to_metadata(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Host as _;
    use crate::testing::FakeHost;

    #[test]
    fn a_target_survives_its_metadata() {
        let target = Target {
            provider: "pai".into(),
            model: Some("deepseek-r1".into()),
            host: "10.0.0.8:8000".into(),
            path: "/v1".into(),
            attempts: 4,
        };
        let mut host = FakeHost::default();
        assert_eq!(host.target(), None);
        host.set_attribute(&ATTRIBUTE.join("."), &target.to_metadata());
        assert_eq!(host.target().as_deref(), Some(&target));
    }

    #[test]
    fn many_targets_are_told_apart() {
        let mut host = FakeHost::default();
        for number in (0..100).chain(0..100) {
            let target = Target { provider: format!("p{number}"), ..Target::default() };
            host.set_attribute(&ATTRIBUTE.join("."), &target.to_metadata());
            for _ in 0..2 {
                assert_eq!(host.target().as_deref(), Some(&target));
            }
        }
        host.set_attribute(&ATTRIBUTE.join("."), "nothing");
        assert_eq!(host.target(), None);
    }
}
