//! Every configuration that is refused, with its path; and that what is written is what is read.

use proptest::prelude::*;
use sluice_core::config::RouteConfigs;

use super::*;
use crate::config::RawConsumer;

fn parse(json: &str) -> Result<(), String> {
    let env = |name: &str| match name {
        "A" | "SAME_AS_A" => Some("canary-a".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    let parsed = RouteConfigs::parse(json.as_bytes(), |raw| Config::check(raw, &env));
    parsed.map(drop).map_err(|refused| refused.to_string())
}

/// SHA-256 of `hello`.
const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

#[test]
fn a_mistake_in_a_consumer_is_refused_with_its_path_and_without_any_secret() {
    let key = r#"must be {"sha256": 64 HEX DIGITS}, {"env": NAME} or {"value": KEY}"#;
    let one = |member: &str| format!(r#"{{"consumers": [{{"name": "a", {member}}}]}}"#);
    let two = |first: &str, second: &str| {
        format!(
            r#"{{"consumers": [{{"name": "a", "keys": [{first}]}}, {{"name": "b", "keys": [{second}]}}]}}"#
        )
    };
    let hello = format!(r#"{{"sha256": "{HELLO}"}}"#);
    let long = "n".repeat(129);
    for (json, want) in [
        (r#"{"consumers": "sk-canary"}"#.to_owned(), "consumers: invalid type: string, expected a sequence".to_owned()),
        (r#"{"consumers": [{}]}"#.to_owned(), "consumers[0]: missing field `name`".to_owned()),
        (r#"{"consumers": [{"name": ""}]}"#.to_owned(), "consumers[0].name: must not be empty".to_owned()),
        (r#"{"consumers": [{"name": "a\nb"}]}"#.to_owned(), "consumers[0].name: must not hold a control character".to_owned()),
        (r#"{"consumers": [{"name": "a "}]}"#.to_owned(), "consumers[0].name: must not begin or end with a space".to_owned()),
        (format!(r#"{{"consumers": [{{"name": "{long}"}}]}}"#), "consumers[0].name: must not be longer than 128 bytes".to_owned()),
        (
            r#"{"consumers": [{"name": "a"}, {"name": "b"}, {"name": "a"}, {"name": ""}]}"#.to_owned(),
            "consumers[2].name: \"a\" is also the name of consumers[0]".to_owned(),
        ),
        (one(r#""tier": """#), "consumers[0].tier: must not be empty".to_owned()),
        (one(r#""kyes": []"#), "consumers[0]: unknown field `kyes`, expected one of `name`, `keys`, `tier`, `models`, `routes`, `from`, `expires_s`, `disabled`, `metadata`".to_owned()),
        (one(r#""keys": ["sk-canary"]"#), format!("consumers[0].keys[0]: {key}")),
        (one(r#""keys": [{"sha256": "sk-canary"}]"#), format!("consumers[0].keys[0]: {key}")),
        (one(&format!(r#""keys": [{hello}, {{"sha256": "{HELLO}", "env": "A"}}]"#)), format!("consumers[0].keys[1]: {key}")),
        (one(r#""keys": [{"value": ["sk-canary"]}]"#), "consumers[0].keys[0].value: invalid type: sequence, expected a string".to_owned()),
        (one(r#""keys": [{"value": " sk-canary"}]"#), "consumers[0].keys[0]: must not begin or end with a space: no request could hold it so".to_owned()),
        (one(r#""keys": [{"value": ""}]"#), "consumers[0].keys[0]: secret is empty".to_owned()),
        (one(r#""keys": [{"value": "sk-canary\n"}]"#), "consumers[0].keys[0]: secret holds a control character".to_owned()),
        (one(r#""keys": [{"env": "NOPE"}]"#), "consumers[0].keys[0]: environment variable NOPE is not set".to_owned()),
        (one(r#""keys": [{"env": "EMPTY"}]"#), "consumers[0].keys[0]: environment variable EMPTY is empty".to_owned()),
        (two(&hello, r#"{"value": "hello"}"#), "consumers[1].keys[0]: is also a key of consumers[0]".to_owned()),
        (two(r#"{"env": "A"}"#, r#"{"value": "canary-a"}"#), "consumers[0].keys[0]: is also a key of consumers[1]".to_owned()),
        (two(r#"{"env": "A"}, {"env": "SAME_AS_A"}"#, ""), "consumers[0].keys[1]: is the same key as another of this consumer".to_owned()),
        (two(&format!("{hello}, {hello}"), ""), "consumers[0].keys[1]: is the same key as another of this consumer".to_owned()),
        (one(r#""models": ["a", "[b"]"#), "consumers[0].models[1]: column 1: `[` is never closed".to_owned()),
        (one(r#""routes": []"#), "consumers[0].routes: must hold at least one glob; leave it out to allow all".to_owned()),
        (one(r#""from": ["10.0.0.0/40"]"#), "consumers[0].from[0]: \"10.0.0.0/40\" is no network such as 10.0.0.0/8 or 2001:db8::/32".to_owned()),
        (one(r#""expires_s": "sk-canary""#), "consumers[0].expires_s: invalid type: string, expected u64".to_owned()),
        (one(&format!(r#""metadata": {{"a": "{}"}}"#, "x".repeat(2048))), "consumers[0].metadata: must not be longer than 2048 bytes as JSON".to_owned()),
        (one(r#""metadata": {"a": 1}"#), "consumers[0].metadata.a: invalid type: integer `1`, expected a string".to_owned()),
    ] {
        assert_eq!(parse(&json), Err(want), "{json}");
    }
}

#[test]
fn a_mistake_beside_the_consumers_is_refused() {
    for (json, want) in [
        (r#"{"anonymous": "sk-canary"}"#, "anonymous: no consumer is named \"***\""),
        (r#"{"consumers": [{"name": "a"}], "anonymous": "b"}"#, "anonymous: no consumer is named \"b\""),
        (r#"{"key_headers": ["x y"]}"#, "key_headers[0]: \"x y\" is no name of a header"),
        (r#"{"key_headers": ["x-a", ":path"]}"#, "key_headers[1]: \":path\" is no name of a header"),
        (r#"{"key_headers": ["Authorization"]}"#, "key_headers[0]: \"authorization\" has another meaning"),
        (r#"{"key_query": ""}"#, "key_query: must not be empty"),
        (
            r#"{"routes": {"vip": {"consumers": [{"name": ""}]}}}"#,
            "route \"vip\": consumers[0].name: must not be empty",
        ),
    ] {
        assert_eq!(parse(json), Err(want.to_owned()), "{json}");
    }
}

#[test]
fn a_whole_configuration_is_taken() {
    for json in [
        String::new(),
        "{}".to_owned(),
        format!(
            r#"{{"consumers": [
                {{"name": "mobile-app", "keys": [{{"sha256": "{HELLO}"}}, {{"env": "A"}}, {{"value": "b"}}],
                  "tier": "gold", "models": ["gpt-*"], "routes": ["/v1/chat/*", "batch"], "from": ["10.0.0.0/8", "::1"],
                  "expires_s": 1814313600, "disabled": true, "metadata": {{"team": "search"}}}},
                {{"name": "guest", "keys": []}}],
              "anonymous": "guest", "key_headers": ["X-My-Key", "x-api-key"], "key_query": "key"}}"#
        ),
    ] {
        assert_eq!(parse(&json), Ok(()), "{json}");
    }
}

#[test]
fn a_consumer_is_written_as_it_is_read() {
    let json = format!(
        r#"{{"name":"a","keys":[{{"sha256":"{HELLO}"}},{{"env":"A"}}],"models":["m"],"disabled":false,"metadata":{{"k":"v"}}}}"#
    );
    let consumer: RawConsumer = serde_json::from_str(&json).unwrap();
    assert_eq!(serde_json::to_string(&consumer).unwrap(), json);
}

proptest! {
    #[test]
    fn no_refusal_repeats_what_stands_where_a_key_does(
        place in prop_oneof![
            Just(r#""keys": [CANARY]"#), Just(r#""keys": [{"sha256": CANARY}]"#), Just(r#""keys": CANARY"#),
            Just(r#""keys": [{CANARY: "x"}]"#), Just(r#""tier": [CANARY]"#), Just(r#""from": [CANARY]"#),
            Just(r#""expires_s": CANARY"#), Just(r#""keys": [{"value": CANARY}, {"value": CANARY}]"#),
        ],
        canary in "canary[a-f0-9]{0,70}",
    ) {
        let json = format!(r#"{{"consumers": [{{"name": "a", {place}}}]}}"#).replace("CANARY", &format!("\"sk-{canary}\""));
        let refused = parse(&json).unwrap_err();
        prop_assert!(!refused.contains("canary"), "{}", refused);
    }
}
