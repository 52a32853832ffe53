//! Who called, told from the log: consumer-auth's own policy over what a record holds of a key.

use std::collections::HashMap;

use consumer_auth::bounds::Circumstances;
use consumer_auth::places::Presented;
use consumer_auth::{Config, Identity};
use sluice_core::openai::error::Code;

use super::record::{Entry, Record};

/// Codes by which a caller is refused of whom the record tells no name.
const NAMELESS: [Code; 3] = [Code::MissingApiKey, Code::InvalidApiKey, Code::AmbiguousApiKey];

/// The callers of a configuration.
pub(super) struct Callers<'a> {
    config: &'a Config,
    names: HashMap<String, Identity<'a>>,     // each by one of its keys
    keys: HashMap<String, Vec<Identity<'a>>>, // by fingerprint
}

/// Whom a record is of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller<'a> {
    /// As the configuration has it.
    pub(super) identity: Identity<'a>,
    /// The configuration does not have the key: the caller is told by the name alone.
    pub(super) by_name: bool,
}

impl<'a> Callers<'a> {
    pub(super) fn new(config: &'a Config) -> Self {
        let mut callers = Self { config, names: HashMap::new(), keys: HashMap::new() };
        for identity in config.by_key() {
            callers.names.entry(identity.name().to_owned()).or_insert(identity);
            callers.keys.entry(identity.key_id().unwrap_or_default()).or_default().push(identity);
        }
        callers
    }

    /// Who called. The key itself is in no log, but its fingerprint is; where nobody has such a key any more, who
    /// called then is looked up by name, for keys change oftener than callers do.
    ///
    /// # Errors
    /// The code to refuse with.
    pub(super) fn identify(&self, record: &Record) -> Result<Caller<'a>, &'static str> {
        let nobody = || self.config.identify(&Presented::Nothing).map_err(Code::name);
        let alone = |identity| Caller { identity, by_name: false };
        let unknown = NAMELESS.into_iter().find(|code| record.error.as_deref() == Some(code.name()));
        match (record.consumer.as_deref(), record.key_id.as_deref(), unknown) {
            _ if self.config.is_open() => nobody().map(alone),
            (None, _, Some(code)) if code != Code::MissingApiKey => Err(code.name()),
            (Some(name), Some(key_id), _) => self.find(name, key_id).ok_or(Code::InvalidApiKey.name()),
            _ => nobody().map(alone),
        }
    }

    fn find(&self, name: &str, key_id: &str) -> Option<Caller<'a>> {
        let having = self.keys.get(key_id).map(Vec::as_slice).unwrap_or_default();
        let same = having.iter().find(|identity| identity.name() == name).or_else(|| having.first());
        match same {
            Some(identity) => Some(Caller { identity: *identity, by_name: false }),
            None => self.names.get(name).map(|identity| Caller { identity: *identity, by_name: true }),
        }
    }
}

impl Caller<'_> {
    /// Whether the caller might call so, then.
    ///
    /// # Errors
    /// The code to refuse with.
    pub(super) fn admit(&self, Entry { client, record }: &Entry) -> Result<(), &'static str> {
        let admitted = self.identity.admit(&Circumstances {
            path: &record.path,
            route: &|| None, // of all that `sluice run` renders, nobody goes by Envoy's routes
            address: &|| *client,
            now_s: &|| record.times.started_us / 1_000_000,
        });
        admitted.map_err(Code::name)
    }
}

#[cfg(test)]
mod tests {
    use sluice_core::filter::Filter as _;

    use super::*;

    fn config(json: serde_json::Value) -> Config {
        consumer_auth::ConsumerAuth::check(serde_json::from_value(json).unwrap(), &|_| None).unwrap()
    }

    fn consumers() -> Config {
        config(serde_json::json!({"anonymous": "guest", "consumers": [
            {"name": "app", "keys": [{"value": "sk-app"}, {"value": "sk-app-2"}], "expires_s": 100, "from": ["10.0.0.0/8"]},
            {"name": "bot", "keys": [{"value": "sk-bot"}], "disabled": true},
            {"name": "guest"},
        ]}))
    }

    fn id(key: &str) -> String {
        consumer_auth::Digest::of(key.as_bytes()).id()
    }

    fn entry(consumer: Option<&str>, key: Option<&str>, error: Option<&str>) -> Entry {
        let owned = |text: &str| text.to_owned();
        let times = super::super::record::Times { started_us: 99_999_999, ..Default::default() };
        let record = Record {
            consumer: consumer.map(owned),
            key_id: key.map(id),
            error: error.map(owned),
            times,
            ..Record::default()
        };
        Entry { client: "10.1.1.1".parse().ok(), record }
    }

    fn judged(config: &Config, entry: &Entry) -> Result<(String, bool), &'static str> {
        let caller = Callers::new(config).identify(&entry.record)?;
        caller.admit(entry).map(|()| (caller.identity.name().to_owned(), caller.by_name))
    }

    #[test]
    fn callers_are_known_by_the_fingerprint_of_their_key_else_by_name() {
        let config = consumers();
        let known = |name: &str, by_name| Ok((name.to_owned(), by_name));
        for (name, key, error, want) in [
            (Some("app"), Some("sk-app-2"), None, known("app", false)),
            (Some("renamed"), Some("sk-app"), None, known("app", false)),
            (Some("app"), Some("sk-gone"), None, known("app", true)),
            (Some("gone"), Some("sk-gone"), None, Err("invalid_api_key")),
            (Some("bot"), Some("sk-bot"), None, Err("invalid_api_key")),
            (Some("bot"), Some("sk-gone"), None, Err("invalid_api_key")),
            (Some("anonymous"), None, None, known("guest", false)),
            (None, None, Some("missing_api_key"), known("guest", false)),
            (None, None, Some("invalid_api_key"), Err("invalid_api_key")),
            (None, None, Some("ambiguous_api_key"), Err("ambiguous_api_key")),
        ] {
            assert_eq!(judged(&config, &entry(name, key, error)), want, "{name:?} {key:?} {error:?}");
        }
    }

    #[test]
    fn bounds_are_those_of_the_time_of_the_request() {
        let config = consumers();
        let mut late = entry(Some("app"), Some("sk-app"), None);
        late.record.times.started_us = 100_000_000;
        assert_eq!(judged(&config, &late), Err("expired_api_key"));
        let mut far = entry(Some("app"), Some("sk-app"), None);
        far.client = "192.0.2.1".parse().ok();
        assert_eq!(judged(&config, &far), Err("ip_not_allowed"));
    }

    #[test]
    fn without_consumers_everybody_may_call() {
        let open = config(serde_json::json!({}));
        for (name, key, error) in [(Some("app"), Some("sk-app"), None), (None, None, Some("invalid_api_key"))]
        {
            assert_eq!(judged(&open, &entry(name, key, error)), Ok(("anonymous".to_owned(), false)));
        }
    }
}
