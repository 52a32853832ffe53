//! What limits look at in a request: who asks for what, and which buckets that makes.

use std::net::{IpAddr, Ipv6Addr};

use sluice_core::context;
use sluice_core::filter::{Headers, Host};
use sluice_core::when::{Caller, Content, Unmet};

use crate::config::{Config, Dimension, Limit};

/// Longest value of a dimension that is kept as it is, in bytes; more of it is a scan, not a name.
const MAX_VALUE: usize = 1024;

/// Who asks for what. Values are absent where nobody published them.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// Name of the caller.
    pub consumer: Option<String>,
    /// Tier of the caller.
    pub tier: Option<String>,
    /// Fingerprint of the caller's key.
    pub key: Option<String>,
    /// Model as asked.
    pub model: Option<String>,
    /// The same without the prefix that its rule takes off; `None`: there is none.
    pub base_model: Option<String>,
    /// The rule that routes.
    pub rule: Option<String>,
    /// The client's address or network, from [`address_name`].
    pub ip: Option<String>,
    /// The request's headers.
    pub headers: Headers,
    /// What is asked for.
    pub content: Content,
}

/// Why a limit does not apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Outside<'a> {
    /// None of its globs matches the model.
    #[error("no glob in `models` matches the model")]
    Model,
    /// One of its conditions does not hold.
    #[error("{0}")]
    When(Unmet<'a>),
}

impl Subject {
    /// Reads what the limits of `config` look at.
    pub fn of(host: &dyn Host, config: &Config, headers: Headers) -> Self {
        let needs = |dimension: &Dimension| config.limits.iter().any(|limit| limit.by.contains(dimension));
        let when = |asks: fn(&Limit) -> bool| config.limits.iter().any(asks);
        let fact = |fact: context::Fact, needed: bool| needed.then(|| fact.get(host)).flatten();
        let has = when(|limit| limit.when.tools || limit.when.images);
        let has = fact(context::HAS, has).unwrap_or_default();
        Self {
            consumer: fact(
                context::CONSUMER,
                needs(&Dimension::Consumer) || when(|limit| limit.when.consumer.is_some()),
            ),
            tier: fact(context::TIER, needs(&Dimension::Tier) || when(|limit| limit.when.tier.is_some())),
            key: fact(context::KEY_ID, needs(&Dimension::Key))
                .map(|id| key_of(context::CONSUMER.get(host).as_deref(), &id)),
            model: context::MODEL.get(host),
            base_model: context::BASE_MODEL.get(host),
            rule: fact(context::RULE, needs(&Dimension::Rule)),
            ip: needs(&Dimension::Ip).then(|| context::client_address(host).map(address_name)).flatten(),
            headers,
            content: Content {
                input_tokens: context::INPUT_ESTIMATE.number(host).unwrap_or(0),
                tools: has.split(',').any(|has| has == "tools"),
                images: has.split(',').any(|has| has == "images"),
            },
        }
    }

    /// The value of `dimension`; empty where there is none, so that all without one share a bucket.
    fn value(&self, dimension: &Dimension) -> &str {
        let value = match dimension {
            Dimension::Consumer => self.consumer.as_deref(),
            Dimension::Tier => self.tier.as_deref(),
            Dimension::Key => self.key.as_deref(),
            // With and without the prefix it is one model: a prefix is no way to another bucket.
            Dimension::Model => self.base_model.as_deref().or(self.model.as_deref()),
            Dimension::Rule => self.rule.as_deref(),
            Dimension::Ip => self.ip.as_deref(),
            Dimension::Header(name) => self.headers.text(name),
        };
        let value = value.unwrap_or_default();
        value.get(..value.floor_char_boundary(MAX_VALUE)).unwrap_or_default()
    }

    /// The values of `dimensions`, in their order.
    #[must_use]
    pub fn values(&self, dimensions: &[Dimension]) -> Vec<&str> {
        dimensions.iter().map(|dimension| self.value(dimension)).collect()
    }
}

/// The bucket of a key: 8 digits tell the keys of one consumer apart, but not those of 100,000.
#[must_use]
pub fn key_of(consumer: Option<&str>, key_id: &str) -> String {
    format!("{}.{key_id}", consumer.unwrap_or_default())
}

impl Limit {
    /// Why this limit does not apply to `subject`; `None` where it does.
    #[must_use]
    pub fn outside(&self, subject: &Subject) -> Option<Outside<'_>> {
        let matches = |model: &str| self.models.as_ref().is_none_or(|globs| globs.matches(model));
        let asked = matches(subject.model.as_deref().unwrap_or_default());
        if !asked && !subject.base_model.as_deref().is_some_and(matches) {
            return Some(Outside::Model);
        }
        let caller = Caller {
            consumer: subject.consumer.as_deref(),
            tier: subject.tier.as_deref(),
            header: &|name| subject.headers.text(name),
        };
        self.when.unmet(&caller, &subject.content).map(Outside::When)
    }
}

/// What stands for an address: of IPv6 its network of 64 bits, since whoever has one address has all of that
/// (RFC 4291 section 2.5.4). IPv4 in IPv6's clothes is IPv4.
#[must_use]
pub fn address_name(address: IpAddr) -> String {
    /// Bits of an interface within its network.
    const INTERFACE: u32 = 64;
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let network = Ipv6Addr::from_bits(address.to_bits() >> INTERFACE << INTERFACE);
            format!("{network}/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use sluice_core::testing::FakeHost;

    use super::*;

    #[test]
    fn who_has_an_address_of_ipv6_has_its_network() {
        for (address, want) in [
            ("10.0.0.7:1234", Some("10.0.0.7")),
            ("[::ffff:10.0.0.7]:1234", Some("10.0.0.7")),
            ("[2001:db8:0:1:2:3:4:5]:1234", Some("2001:db8:0:1::/64")),
            ("[2001:db8:0:1:ffff::]:1234", Some("2001:db8:0:1::/64")),
            ("[2001:db8:0:2::5]:1234", Some("2001:db8:0:2::/64")),
            ("[::1]:1234", Some("::/64")),
            ("/run/socket", None),
        ] {
            let mut host = FakeHost::default();
            host.set_attribute("source.address", address);
            assert_eq!(context::client_address(&host).map(address_name).as_deref(), want, "{address}");
        }
    }

    #[test]
    fn a_prefix_that_the_rule_takes_off_is_no_way_around_a_limit() {
        let limits = r#"{"limits": [{"name": "a", "by": ["model"], "models": ["gpt-*"], "requests": 1, "per_ms": 1000}]}"#;
        let config = Config::try_from(serde_json::from_str::<crate::RawConfig>(limits).unwrap()).unwrap();
        for (model, base, applies, bucket) in [
            ("gpt-4o", None, true, "gpt-4o"),
            ("openai/gpt-4o", Some("gpt-4o"), true, "gpt-4o"),
            ("openai/gpt-4o", None, false, "openai/gpt-4o"),
            ("gpt-x/o1", Some("o1"), true, "o1"),
            ("openai/o1", Some("o1"), false, "o1"),
        ] {
            let mut host = FakeHost::default();
            context::MODEL.set(&mut host, model);
            base.inspect(|base| context::BASE_MODEL.set(&mut host, base));
            let subject = Subject::of(&host, &config, Headers::default());
            assert_eq!(config.limits[0].outside(&subject).is_none(), applies, "{model} {base:?}");
            assert_eq!(subject.values(&config.limits[0].by), [bucket]);
        }
    }
}
