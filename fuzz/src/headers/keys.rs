//! Any headers: who calls has the key, and nobody behind the filter sees it.

use std::cell::LazyCell;
use std::rc::Rc;

use consumer_auth::{CONSUMER_HEADER, Config, ConsumerAuth};
use sluice_core::config::RouteConfigs;
use sluice_core::context;
use sluice_core::filter::{Filter, Next};
use sluice_core::testing::FakeHost;

/// Long enough that it stands nowhere by chance, short enough to be found by chance.
const CONFIG: &str = r#"{
    "consumers": [
        {"name": "ann", "keys": [{"value": "kA1"}], "tier": "gold", "models": ["m*"], "metadata": {"team": "x"}},
        {"name": "bob", "keys": [{"value": "kB2"}], "routes": ["/v1/*"]},
        {"name": "eve", "keys": [{"value": "kE3"}], "disabled": true}
    ],
    "key_headers": ["x-my-key"], "key_query": "key"
}"#;

const OWNERS: [(&str, &str); 3] = [("ann", "kA1"), ("bob", "kB2"), ("eve", "kE3")];

/// Where a key may stand, besides the query.
const PLACES: [&str; 5] = ["authorization", "x-api-key", "api-key", "x-goog-api-key", "x-my-key"];

thread_local! {
    static CHECKED: LazyCell<Rc<Config>> = const {
        LazyCell::new(|| {
            RouteConfigs::parse(CONFIG.as_bytes(), |raw| ConsumerAuth::check(raw, &|_| None)).unwrap().get("")
        })
    };
}

fn holds(text: &[u8], key: &str) -> bool {
    text.windows(key.len()).any(|window| window == key.as_bytes())
}

pub(crate) fn check(headers: Vec<(String, Vec<u8>)>) {
    let mut host = FakeHost { request: headers.clone(), ..FakeHost::default() };
    let next =
        CHECKED.with(|config| ConsumerAuth::new(Rc::clone(config))).on_request_headers(&mut host, true);
    assert!(!host.request.iter().any(|(name, _)| PLACES.contains(&name.as_str())), "a place is left");
    let named: Vec<_> = host.request.iter().filter(|(name, _)| name == CONSUMER_HEADER).collect();
    let caller = context::CONSUMER.get(&host);
    match next {
        Next::Pass => {
            assert_eq!(named, [&(CONSUMER_HEADER.to_owned(), caller.clone().unwrap().into_bytes())])
        }
        Next::Reply(reply) => {
            assert!(named.is_empty() && serde_json::from_str::<serde_json::Value>(&reply.body).is_ok());
            assert!(!OWNERS.iter().any(|(_, key)| holds(reply.body.as_bytes(), key)), "{}", reply.body);
        }
        other => panic!("{other:?}"),
    }
    if let Some((_, key)) = OWNERS.iter().find(|(name, _)| Some(*name) == caller.as_deref()) {
        let place = |(name, value): &&(String, Vec<u8>)| PLACES.contains(&name.as_str()) && holds(value, key);
        let in_path = |(name, _): &&(String, Vec<u8>)| name == ":path";
        assert!(headers.iter().any(|header| place(&header) || in_path(&header)), "nobody gave {key}");
    }
    let told =
        host.facts.values().map(Vec::as_slice).chain(host.logs.iter().map(|(_, line)| line.as_bytes()));
    for text in told {
        assert!(!OWNERS.iter().any(|(_, key)| holds(text, key)), "{:?} {:?}", host.facts, host.logs);
    }
}
