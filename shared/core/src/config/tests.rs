//! Overrides, refusals, and that neither they nor a secret in use ever tell one.

use proptest::prelude::*;
use serde_json::json;

use super::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    models: Vec<String>,
}

fn parse(json: &str) -> Result<RouteConfigs<Vec<String>>, ConfigError> {
    RouteConfigs::parse(json.as_bytes(), |raw: Raw| match raw.models.len() {
        0 => Err("models: must name at least one model".to_owned()),
        _ => Ok(raw.models),
    })
}

#[test]
fn an_override_replaces_what_it_names() {
    let configs = parse(r#"{"models":["a"],"routes":{"vip":{"models":["b"]}}}"#).unwrap();
    assert_eq!(*configs.get("vip"), ["b"]);
    assert_eq!(*configs.get("other"), ["a"]);
}

#[test]
fn a_bad_override_refuses_the_whole_configuration() {
    let refused = parse(r#"{"models":["a"],"routes":{"vip":{"models":[]}}}"#).unwrap_err();
    assert_eq!(refused.to_string(), r#"route "vip": models: must name at least one model"#);
}

#[test]
fn an_unknown_field_is_refused() {
    let refused = parse(r#"{"models":["a"],"modles":[]}"#).unwrap_err();
    assert_eq!(refused.to_string(), "unknown field `modles`, expected `models`");
    let refused = parse(r#"{"models":["a",1]}"#).unwrap_err();
    assert_eq!(refused.to_string(), "models[1]: invalid type: integer `1`, expected a string");
}

#[test]
fn names_of_members_may_be_those_of_an_enum_or_of_a_type_around_a_text() {
    #[derive(Deserialize, Debug, PartialEq, Eq, PartialOrd, Ord)]
    #[serde(rename_all = "snake_case")]
    enum When {
        FirstPart,
        End,
    }
    #[derive(Deserialize, Debug, PartialEq, Eq, PartialOrd, Ord)]
    struct Named(String);
    #[derive(Deserialize)]
    struct Raw {
        on: BTreeMap<When, u8>,
        by: BTreeMap<Named, u8>,
    }
    let read = |json: &str| {
        let configs = RouteConfigs::parse(json.as_bytes(), |raw: Raw| Ok((raw.on, raw.by)));
        configs.map(|configs| configs.get("")).map_err(|refused| refused.to_string())
    };
    let known = read(r#"{"on":{"first_part":1,"end":2},"by":{"x":3}}"#).unwrap();
    assert_eq!(known.0, BTreeMap::from([(When::FirstPart, 1), (When::End, 2)]));
    assert_eq!(known.1, BTreeMap::from([(Named("x".into()), 3)]));
    let refused = read(r#"{"on":{"never":1},"by":{}}"#).unwrap_err();
    assert_eq!(refused, "on: unknown variant `never`, expected one of `first_part`, `end`");
}

#[test]
fn a_secret_never_prints() {
    let secret = SecretSource::Value("sk-canary".into());
    let read = secret.read(&|_| None).unwrap();
    assert_eq!(format!("{secret:?} {read:?}"), "*** ***");
    assert_eq!(read.fingerprint().len(), 8);
}

#[test]
fn a_secret_that_cannot_be_a_header_is_refused() {
    for (source, want) in [
        (SecretSource::Env("X".into()), "environment variable X is not set"),
        (SecretSource::Value(String::new()), "secret is empty"),
        (SecretSource::Value("a\nb".into()), "secret holds a control character"),
    ] {
        assert_eq!(source.read(&|_| None).unwrap_err(), want);
    }
}

/// Every shape that a configuration takes.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shapes {
    #[serde(default)]
    keys: Vec<RawKey>,
    #[serde(default)]
    providers: BTreeMap<String, RawKey>,
    word: Option<Word>,
    number: Option<u16>,
    flag: Option<bool>,
    ratio: Option<f64>,
    signed: Option<i32>,
    either: Option<Either>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKey {
    key: SecretSource,
    weight: Option<u32>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    RoundRobin,
    Random,
    Every(u32),
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Either {
    Text(String),
    Secret(SecretSource),
}

fn shapes(json: &str) -> Result<(), String> {
    let parsed = RouteConfigs::parse(json.as_bytes(), |raw: Shapes| Ok(raw));
    parsed.map(drop).map_err(|refused| refused.to_string())
}

#[test]
fn a_refusal_says_where_and_what_but_never_repeats_a_string() {
    let secret = r#"must be {"env": NAME} or {"value": SECRET}"#;
    for (json, want) in [
        (r#""sk-canary""#, "configuration is not a JSON object: it is another kind of value".to_owned()),
        (r#"{"keys": ["sk-canary"]}"#, "keys[0]: invalid type: string, expected struct RawKey".to_owned()),
        (r#"{"keys": "sk-canary"}"#, "keys: invalid type: string, expected a sequence".to_owned()),
        (r#"{"keys": [{"key": "sk-canary"}]}"#, format!("keys[0].key: {secret}")),
        (r#"{"keys": [{"key": {"sk-canary": "x"}}]}"#, format!("keys[0].key: {secret}")),
        (r#"{"keys": [{"key": {"value": ["sk-canary"]}}]}"#, format!("keys[0].key: {secret}")),
        (r#"{"keys": [{"key": {"env": "A", "value": "sk-canary"}}]}"#, format!("keys[0].key: {secret}")),
        (r#"{"keys": [{"key": {}}]}"#, format!("keys[0].key: {secret}")),
        (
            r#"{"keys": [{"sk-canary": 1}]}"#,
            "keys[0]: unknown field, expected one of `key`, `weight`".to_owned(),
        ),
        (
            r#"{"keys": [{"wieght": 1}]}"#,
            "keys[0]: unknown field `wieght`, expected one of `key`, `weight`".to_owned(),
        ),
        (
            r#"{"keys": [{"key": {"value": "a"}, "weight": "sk-canary"}]}"#,
            "keys[0].weight: invalid type: string, expected u32".to_owned(),
        ),
        (r#"{"providers": {"a": {"weight": 1}}}"#, "providers.a: missing field `key`".to_owned()),
        (r#"{"providers": {"sk-canary": {}}}"#, "providers.***: missing field `key`".to_owned()),
        (
            r#"{"word": "sk-canary"}"#,
            "word: unknown variant, expected one of `round_robin`, `random`, `every`".to_owned(),
        ),
        (
            r#"{"word": "rond_robin"}"#,
            "word: unknown variant `rond_robin`, expected one of `round_robin`, `random`, `every`".to_owned(),
        ),
        (r#"{"number": 65536}"#, "number: invalid value: integer `65536`, expected u16".to_owned()),
        (r#"{"flag": "sk-canary"}"#, "flag: invalid type: string, expected a boolean".to_owned()),
        (r#"{"routes": "sk-canary"}"#, "routes: must be an object".to_owned()),
        (
            r#"{"routes": {"sk-canary": {"flag": "sk-canary"}}}"#,
            r#"route "***": flag: invalid type: string, expected a boolean"#.to_owned(),
        ),
    ] {
        assert_eq!(shapes(json).unwrap_err(), want, "{json}");
    }
    let untagged = shapes(r#"{"either": ["sk-canary"]}"#).unwrap_err();
    assert!(untagged.starts_with("either: ") && !untagged.contains("canary"), "{untagged}");
    let syntax = shapes(r#"{"keys": sk-canary"#).unwrap_err();
    assert!(syntax.contains("line 1 column 10") && !syntax.contains("canary"), "{syntax}");
}

#[test]
fn every_shape_is_read_as_serde_json_reads_it() {
    for json in [
        json!({}),
        json!({"keys": [{"key": {"env": "A"}, "weight": 3}, {"key": {"value": "b"}, "weight": null}]}),
        json!({"providers": {"a": {"key": {"value": "c"}}}, "word": "random", "either": "text"}),
        json!({"word": {"every": 3}, "number": 65535, "flag": true, "ratio": 0.5, "signed": -7}),
        json!({"word": null, "ratio": 1, "either": {"env": "B"}}),
        json!({"word": {"every": 3, "random": null}}),
        json!({"keys": {}}),
        json!({"number": -1}),
    ] {
        let want = serde_json::from_value::<Shapes>(json.clone()).ok();
        assert_eq!(quiet::read::<Shapes>(members(&json.to_string()).unwrap()).ok(), want, "{json}");
    }
}

/// Any JSON with a secret somewhere in it.
fn with_secret() -> impl Strategy<Value = Value> {
    let names = [
        "keys",
        "key",
        "env",
        "value",
        "weight",
        "providers",
        "word",
        "flag",
        "either",
        "routes",
        "sk-canary",
    ];
    let leaf = prop_oneof![
        2 => Just(json!("sk-canary")),
        1 => Just(json!(1)),
        1 => Just(Value::Null),
        1 => Just(json!({"value": "sk-canary"})),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map(proptest::sample::select(names.to_vec()), inner, 1..4)
                .prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    #[test]
    fn no_refusal_ever_repeats_a_secret(json in with_secret()) {
        let refused = shapes(&json.to_string()).err().unwrap_or_default();
        prop_assert!(!refused.contains("canary"), "{}", refused);
    }

    #[test]
    fn what_is_read_does_not_depend_on_whether_there_are_overrides(json in with_secret()) {
        let Value::Object(mut json) = json else { return Ok(()) };
        json.remove("routes");
        let without = shapes(&json!(json).to_string());
        json.insert("routes".to_owned(), json!({}));
        prop_assert_eq!(without, shapes(&json!(json).to_string()));
    }

    #[test]
    fn text_that_is_broken_anywhere_is_refused_and_not_repeated(
        json in with_secret(), at in any::<proptest::sample::Index>(), byte in any::<u8>(),
    ) {
        // As long as the keys of providers are, it looks like a secret still when one byte of it has changed.
        let long = format!("sk-canary{}", "0".repeat(48));
        let mut text = json.to_string().replace("sk-canary", &long).into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        let refused = RouteConfigs::parse(&text, |raw: Shapes| Ok(raw)).map(drop);
        let refused = refused.map_err(|refused| refused.to_string()).err().unwrap_or_default();
        prop_assert!(!refused.contains("canar"), "{}", refused);
    }
}

#[test]
fn text_that_serde_json_reads_only_in_part_is_refused_as_text() {
    for (text, want) in [
        (&b"{\"either\": \"\xff\"}"[..], "it is not UTF-8"),
        (br#"{"either": "\ud800"}"#, "unexpected end of hex escape at line 1 column"),
        (br#"{"ratio": 1e999}"#, "number out of range at line 1 column"),
        (br#"{"flag": true} x"#, "trailing characters at line 1 column"),
    ] {
        let refused = RouteConfigs::parse(text, |raw: Shapes| Ok(raw)).unwrap_err().to_string();
        let want = format!("configuration is not a JSON object: {want}");
        assert!(refused.starts_with(&want), "{refused}");
    }
}

#[test]
fn what_looks_like_a_secret_is_not_shown() {
    let long = "a".repeat(41);
    for (text, want) in [
        ("openai", "openai"),
        ("task-1", "task-1"),
        ("sk-canary", "***"),
        ("Bearer sk-canary", "***"),
        ("127.0.0.1:sk-canary", "***"),
        (long.as_str(), "***"),
    ] {
        assert_eq!(shown(text), want);
    }
}
