//! The filter against a fake host: the matrix of refusals, facts, and that no key gets further.

use proptest::prelude::*;
use serde_json::{Value, json};
use sluice_core::config::RouteConfigs;
use sluice_core::context::{self, Fact};
use sluice_core::testing::FakeHost;

use super::*;

fn config(json: &Value) -> Rc<Config> {
    let env = |name: &str| (name == "MOBILE_APP_KEY").then(|| "sk-mobile-env".to_owned());
    RouteConfigs::parse(json.to_string().as_bytes(), |raw| Config::check(raw, &env)).unwrap().get("")
}

fn consumers() -> Value {
    json!({
        "consumers": [
            {"name": "mobile-app", "keys": [{"env": "MOBILE_APP_KEY"}, {"value": "sk-mobile"}], "tier": "gold",
             "models": ["gpt-*", "{o1,o3}"], "metadata": {"team": "search", "a": "\"b"}},
            {"name": "intern", "keys": [{"sha256": Digest::of(b"sk-intern").to_hex()}], "disabled": true},
            {"name": "trial", "keys": [{"value": "sk-trial"}], "expires_s": 1000},
            {"name": "office", "keys": [{"value": "sk-office"}], "from": ["10.0.0.0/8"]},
            {"name": "chat", "keys": [{"value": "sk-chat"}], "routes": ["/v1/chat/*", "batch"]},
            {"name": "everything", "keys": [{"value": "sk-everything"}], "disabled": true, "expires_s": 1,
             "from": ["192.0.2.1"], "routes": ["nowhere"]},
            {"name": "bounded", "keys": [{"value": "sk-bounded"}], "expires_s": 1, "from": ["192.0.2.1"], "routes": ["nowhere"]},
            {"name": "guest", "from": ["10.0.0.0/8"], "routes": ["/v1/*"], "models": ["small"], "expires_s": 2000},
        ],
        "key_headers": ["x-my-key"], "key_query": "key",
    })
}

fn with_guest() -> Value {
    let mut config = consumers();
    config["anonymous"] = json!("guest");
    config
}

/// A request from 10.1.2.3, at second 999.
fn request(headers: &[(&str, &str)]) -> FakeHost {
    let mut host = FakeHost::with_request(&[(":method", "POST"), (":path", "/v1/chat/completions")]);
    for (name, value) in headers {
        host.request.retain(|(known, _)| known != name || !name.starts_with(':'));
        host.request.push(((*name).to_owned(), value.as_bytes().to_vec()));
    }
    host.set_attribute("source.address", "10.1.2.3:51234");
    host.advance_ms(999_999);
    host
}

/// Runs the request; the code of the refusal, if any.
fn run(config: &Rc<Config>, host: &mut FakeHost) -> Option<String> {
    let next = ConsumerAuth::new(Rc::clone(config)).on_request_headers(host, false);
    let Next::Reply(reply) = next else {
        assert_eq!(next, Next::Pass);
        assert_eq!(context::ERROR.get(host), None);
        return None;
    };
    let error: Value = serde_json::from_str(&reply.body).unwrap();
    let code = error["error"]["code"].as_str().unwrap().to_owned();
    let header = |name| reply.headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str());
    assert_eq!(header("www-authenticate"), (reply.status == 401).then_some("Bearer"));
    assert_eq!((header("x-sluice-error"), header("x-should-retry")), (Some(code.as_str()), Some("false")));
    assert_eq!(host.counters.get(&format!("consumer_auth_refused_total;error_type={code}")), Some(&1));
    assert_eq!(context::ERROR.get(host).as_deref(), Some(code.as_str()));
    assert_eq!(host.request_header("x-mse-consumer"), None);
    assert!(!reply.body.contains("sk-"), "{}", reply.body);
    Some(format!("{} {code}", reply.status))
}

fn facts(host: &FakeHost) -> [Option<String>; 5] {
    use context::{ALLOWED_MODELS, CONSUMER, KEY_ID, METADATA, TIER};
    [CONSUMER, TIER, KEY_ID, ALLOWED_MODELS, METADATA].map(|fact: Fact| fact.get(host))
}

#[test]
fn every_series_is_declared() {
    sluice_core::testing::declare(ConsumerAuth::METRICS);
}

#[test]
fn a_known_key_tells_who_calls() {
    for (name, value) in [
        ("authorization", "Bearer sk-mobile"),
        ("authorization", "bEARER sk-mobile"),
        ("x-api-key", "sk-mobile"),
        ("api-key", "sk-mobile"),
        ("x-goog-api-key", "sk-mobile"),
        ("x-my-key", "sk-mobile"),
        (":path", "/v1/chat/completions?key=sk-mobile"),
    ] {
        let mut host = request(&[(name, value), ("x-mse-consumer", "admin")]);
        assert_eq!(run(&config(&consumers()), &mut host), None, "{name}");
        assert_eq!(host.request_header("x-mse-consumer").as_deref(), Some("mobile-app"));
        assert_eq!(host.request_header(":path").as_deref(), Some("/v1/chat/completions"));
        assert_eq!(host.request.len(), 3, "{:?}", host.request);
        let want = [
            "mobile-app",
            "gold",
            &Digest::of(b"sk-mobile").id(),
            "gpt-*,{o1,o3}",
            r#"{"a":"\"b","team":"search"}"#,
        ];
        assert_eq!(facts(&host), want.map(|value| Some(value.to_owned())));
    }
    let mut host = request(&[("authorization", "Bearer sk-mobile-env")]);
    assert_eq!(run(&config(&consumers()), &mut host), None);
}

#[test]
fn whoever_may_not_call_is_told_why() {
    let closed = config(&consumers());
    let missing = Some("401 missing_api_key");
    let bearer = |key: &str| format!("Bearer {key}");
    for (name, value, want) in [
        ("accept", "*/*".to_owned(), missing),
        ("authorization", "Basic c2s6".to_owned(), missing),
        ("authorization", "sk-mobile".to_owned(), missing),
        ("authorization", "Bearer ".to_owned(), missing),
        ("x-api-key", String::new(), missing),
        ("x-unknown-key", "sk-mobile".to_owned(), missing),
        ("authorization", bearer("sk-unknown"), Some("401 invalid_api_key")),
        ("authorization", bearer("sk-mobil"), Some("401 invalid_api_key")),
        ("authorization", bearer("sk-mobile2"), Some("401 invalid_api_key")),
        ("authorization", bearer("SK-MOBILE"), Some("401 invalid_api_key")),
        ("authorization", bearer(&Digest::of(b"sk-mobile").to_hex()), Some("401 invalid_api_key")),
        ("x-api-key", "Bearer sk-mobile".to_owned(), Some("401 invalid_api_key")),
        ("authorization", bearer("sk-intern"), Some("401 invalid_api_key")),
        ("authorization", bearer("sk-everything"), Some("401 invalid_api_key")),
        ("authorization", bearer("sk-bounded"), Some("401 expired_api_key")),
        ("authorization", bearer("sk-mobile,Bearer sk-trial"), Some("401 ambiguous_api_key")),
        ("authorization", bearer("sk-mobile,Bearer sk-unknown"), Some("401 ambiguous_api_key")),
        ("authorization", bearer("sk-mobile,Bearer sk-mobile"), None),
        ("authorization", bearer("sk-trial"), None),
        ("authorization", bearer("sk-office"), None),
        ("authorization", bearer("sk-chat"), None),
    ] {
        let mut host = request(&[(name, &value)]);
        assert_eq!(run(&closed, &mut host).as_deref(), want, "{name}: {value}");
    }
}

#[test]
fn bounds_are_held_against_clock_address_and_route() {
    let closed = config(&consumers());
    let with = |key: &str, change: &dyn Fn(&mut FakeHost)| {
        let mut host = request(&[("x-api-key", key)]);
        change(&mut host);
        let refused = run(&closed, &mut host);
        // the log tells who was refused
        assert!(context::CONSUMER.get(&host).is_some() && context::KEY_ID.get(&host).is_some());
        refused
    };
    let address =
        |address: &'static str| move |host: &mut FakeHost| host.set_attribute("source.address", address);
    assert_eq!(with("sk-trial", &|host| host.advance_ms(1)).as_deref(), Some("401 expired_api_key"));
    for (from, want) in [
        ("[::ffff:10.9.9.9]:443", None),
        ("192.0.2.1:80", Some("403 ip_not_allowed")),
        ("[2001:db8::1]:80", Some("403 ip_not_allowed")),
        ("@/tmp/socket", Some("403 ip_not_allowed")),
    ] {
        assert_eq!(with("sk-office", &address(from)).as_deref(), want, "{from}");
    }
    let unknown = with("sk-office", &|host| host.attributes.clear());
    assert_eq!(unknown.as_deref(), Some("403 ip_not_allowed"));
    for (path, route, want) in [
        ("/v1/embeddings", "other", Some("403 route_not_allowed")),
        ("/v1/embeddings", "batch", None),
        ("/v1/chat/completions?x", "other", None),
        ("/v1/chat/../files", "other", Some("403 route_not_allowed")),
    ] {
        let change = |host: &mut FakeHost| {
            host.request.retain(|(name, _)| name != ":path");
            host.request.push((":path".to_owned(), path.as_bytes().to_vec()));
            host.set_attribute("xds.route_name", route);
        };
        assert_eq!(with("sk-chat", &change).as_deref(), want, "{path}");
    }
}

#[test]
fn without_a_key_one_is_the_consumer_that_was_named_for_that() {
    let open = config(&with_guest());
    let mut host = request(&[]);
    assert_eq!(run(&open, &mut host), None);
    assert_eq!(host.request_header("x-mse-consumer").as_deref(), Some("guest"));
    assert_eq!(facts(&host), [Some("guest".to_owned()), None, None, Some("small".to_owned()), None]);
    for (headers, want) in [
        (vec![("authorization", "Bearer sk-unknown")], "401 invalid_api_key"),
        (vec![("authorization", "Bearer sk-intern")], "401 invalid_api_key"),
        (vec![("x-api-key", "a"), ("api-key", "b")], "401 ambiguous_api_key"),
        (vec![("authorization", "Basic eDp5")], "401 missing_api_key"),
        (vec![("x-api-key", "")], "401 missing_api_key"),
        (vec![(":path", "/files")], "403 route_not_allowed"),
    ] {
        assert_eq!(run(&open, &mut request(&headers)).as_deref(), Some(want), "{headers:?}");
    }
    let mut host = request(&[]);
    host.set_attribute("source.address", "192.0.2.1:1");
    assert_eq!(run(&open, &mut host).as_deref(), Some("403 ip_not_allowed"));
    let mut host = request(&[]);
    host.advance_ms(2_000_000);
    assert_eq!(run(&open, &mut host).as_deref(), Some("401 missing_api_key"));
}

#[test]
fn without_consumers_everybody_is_anonymous() {
    let open = config(&json!({"key_query": "key"}));
    for headers in [
        vec![],
        vec![("authorization", "Bearer sk-a"), ("x-api-key", "sk-b"), ("x-mse-consumer", "admin")],
        vec![("authorization", "Basic c2s6"), (":path", "/v1/chat/completions?key=sk-c")],
    ] {
        let mut host = request(&headers);
        assert_eq!(run(&open, &mut host), None);
        assert_eq!(facts(&host), [Some("anonymous".to_owned()), None, None, None, None]);
        let left: Vec<_> = host.request.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(left, [":method", ":path"]);
        assert_eq!(host.request_header(":path").as_deref(), Some("/v1/chat/completions"));
    }
}

#[test]
fn a_missing_key_is_told_where_it_belongs() {
    let mut host = request(&[]);
    let next =
        ConsumerAuth::new(config(&json!({"consumers": [{"name": "a"}]}))).on_request_headers(&mut host, true);
    let Next::Reply(reply) = next else { panic!("passed") };
    assert!(
        reply.body.contains(
            "You must send an API key: in the header `Authorization: Bearer YOUR_KEY`, or in x-api-key, api-key, x-goog-api-key."
        ),
        "{}",
        reply.body
    );
}

const NAMES: [&str; 8] = [
    "authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "x-my-key",
    "x-mse-consumer",
    "accept",
    ":path",
];

/// Headers that hold one of `keys` each, in any place, well-formed or not.
fn headers(keys: &'static [&'static str]) -> impl Strategy<Value = Vec<(&'static str, String)>> {
    let value = (proptest::sample::select(keys.to_vec()), 0..6_u8);
    let header = (proptest::sample::select(NAMES.to_vec()), value).prop_map(|(name, (key, form))| {
        match (name, form) {
            (":path", 0) => (name, format!("/v1?key={key}")),
            (":path", 1) => (name, format!("/v1?a=b&key={key}&key=")),
            (":path", _) => (name, format!("/v1?k%65y={key}&c")),
            ("accept", _) => (name, "*/*".to_owned()),
            (_, 0) => (name, format!("Bearer {key}")),
            (_, 1) => (name, key.to_owned()),
            (_, 2) => (name, format!("Bearer {key}, Bearer {key}")),
            (_, 3) => (name, format!("Basic {key}")),
            (_, 4) => (name, String::new()),
            (_, _) => (name, format!("bearer  {key} ")),
        }
    });
    proptest::collection::vec(header, 0..6)
}

proptest! {
    #[test]
    fn no_combination_of_headers_lets_an_unknown_key_in(headers in headers(&["sk-x", "sk-mobile2", "sk-intern", "sk-mobile sk-mobile"])) {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        prop_assert!(run(&config(&consumers()), &mut request(&headers)).is_some());
        let mut host = request(&headers);
        if run(&config(&with_guest()), &mut host).is_none() {
            prop_assert_eq!(context::CONSUMER.get(&host), Some("guest".to_owned()));
            prop_assert_eq!(context::KEY_ID.get(&host), None);
            let holds = |name: &str, value: &str| NAMES[..5].contains(&name) || value.contains("y=");
            prop_assert!(!headers.iter().any(|(name, value)| holds(name, value)));
        }
    }

    #[test]
    fn whatever_comes_of_it_no_key_goes_on(
        headers in headers(&["sk-canary", "sk-mobile", "sk-trial"]), open in 0..3_u8,
    ) {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut host = request(&headers);
        let config = config(&[consumers(), with_guest(), json!({"key_headers": ["x-my-key"], "key_query": "key"})][usize::from(open)]);
        let refused = run(&config, &mut host);
        for (name, value) in &host.request {
            prop_assert!(!String::from_utf8_lossy(value).contains("sk-"), "{}: {:?}", name, value);
        }
        prop_assert!(host.logs.is_empty());
        let told = format!("{:?} {refused:?}", host.facts);
        prop_assert!(!told.contains("sk-"), "{}", told);
    }
}
