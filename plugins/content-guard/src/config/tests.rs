use serde_json::{Value, json};

use super::*;
use crate::services::Risk;

fn check(raw: Value) -> Result<Config, String> {
    let raw = serde_json::from_value(raw).map_err(|error| error.to_string())?;
    Config::check(raw, &|name| (name == "KEY").then(|| "sk-canary".to_owned()))
}

fn service() -> Value {
    json!({"cluster": "guard.mod", "authority": "127.0.0.1:9200", "path": "/v1/moderations"})
}

#[test]
fn a_check_looks_both_ways_and_blocks_unless_told_otherwise() {
    let config = check(json!({"checks": [{"name": "a", "keywords": ["x y"]}]})).unwrap();
    let check = &config.checks[0];
    assert_eq!(check.on, [Direction::Request, Direction::Response]);
    assert_eq!((check.action, config.on_error), (Action::Block, OnError::Deny));
    assert_eq!((config.max_hold_ms, config.window_chars), (MAX_HOLD_MS, WINDOW_CHARS));
    assert_eq!(config.refusal, Refusal { form: Form::Error, message: MESSAGE.to_owned() });
}

#[test]
fn what_is_written_can_be_written_again() {
    let raw = json!({"on_error": "allow", "max_body_bytes": 1, "max_answer_bytes": 2048, "max_hold_ms": 10, "window_chars": 50,
        "checks": [
            {"name": "a", "on": ["request"], "models": ["gpt-*"], "when": {"tier": "gold"}, "action": "log", "keywords": ["x"],
             "whole_words": true},
            {"name": "b", "when": {}, "action": "mask", "detect": ["email", "cn_id"]},
            {"name": "c", "when": {}, "action": "block", "min_risk": "medium",
             "service": {"cluster": "c", "authority": "a", "path": "/", "protocol": "generic", "timeout_ms": 5,
                         "key": {"env": "KEY"}, "headers": {"x": "y", "z": {"env": "KEY"}}}}],
        "refusal": {"as": "completion", "message": "No."}});
    let read: RawConfig = serde_json::from_value(raw.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), raw);
    assert_eq!(check(raw).unwrap().checks.len(), 3);
}

#[test]
fn a_key_is_in_no_message_and_in_no_dump() {
    let mut with_key = service();
    with_key["key"] = json!({"env": "KEY"});
    with_key["headers"] = json!({"x-key": {"value": "sk-canary"}});
    let config = check(json!({"checks": [{"name": "m", "service": with_key}]})).unwrap();
    assert!(!format!("{config:?}").contains("canary"));
    with_key["key"] = json!("sk-canary");
    let error = check(json!({"checks": [{"name": "m", "service": with_key}]})).unwrap_err();
    assert!(!error.contains("canary"), "{error}");
}

#[test]
fn a_mistake_is_named_with_its_path() {
    let one = |check: Value| json!({"checks": [check]});
    for (raw, want) in [
        (json!({"checks": []}), "checks: must hold at least one check"),
        (one(json!({"name": "sk-x"})), "checks[0].***: exactly one of"),
        (one(json!({"name": "a"})), "checks[0].a: exactly one of keywords, regex, detect, service is needed"),
        (one(json!({"name": "a", "keywords": ["x"], "detect": ["email"]})), "checks[0].a: exactly one of"),
        (one(json!({"name": "a b", "keywords": ["x"]})), "checks[0].name: must be"),
        (one(json!({"name": "a", "keywords": []})), "checks[0].keywords: must not be empty"),
        (one(json!({"name": "a", "regex": []})), "checks[0].regex: must not be empty"),
        (one(json!({"name": "a", "regex": ["("]})), "checks[0]"),
        (one(json!({"name": "a", "detect": []})), "checks[0].detect: must not be empty"),
        (one(json!({"name": "a", "detect": ["iban"]})), "unknown variant"),
        (one(json!({"name": "a", "on": [], "keywords": ["x"]})), "checks[0].on: must name"),
        (one(json!({"name": "a", "models": ["["], "keywords": ["x"]})), "checks[0].models[0]: "),
        (one(json!({"name": "a", "when": {"has": ["x"]}, "keywords": ["x"]})), "checks[0].when.has[0]: "),
        (one(json!({"name": "a", "regex": ["x"], "whole_words": true})), "checks[0].whole_words: "),
        (one(json!({"name": "a", "regex": ["x"], "min_risk": "low"})), "checks[0].min_risk: "),
        (
            json!({"checks": [{"name": "a", "keywords": ["x"]}, {"name": "A", "keywords": ["x"]}]}),
            "checks[1].name: stands twice",
        ),
        (json!({"checks": [{"name": "a", "keywords": ["x"]}], "max_hold_ms": 9}), "max_hold_ms: "),
        (json!({"checks": [{"name": "a", "keywords": ["x"]}], "window_chars": 1}), "window_chars: "),
        (json!({"checks": [{"name": "a", "keywords": ["x"]}], "max_answer_bytes": 1}), "max_answer_bytes: "),
        (json!({"checks": [{"name": "a", "keywords": ["x"]}], "max_body_bytes": 0}), "max_body_bytes: "),
        (
            json!({"checks": [{"name": "a", "keywords": ["x"]}], "refusal": {"message": ""}}),
            "refusal.message: ",
        ),
        (json!({"checks": [{"name": "a", "keywords": ["x"]}], "refusal": {"as": "x"}}), "unknown variant"),
    ] {
        let error = check(raw.clone()).unwrap_err();
        assert!(error.contains(want), "{raw}: {error}");
    }
}

#[test]
fn a_mistake_in_a_service_is_named_with_its_path() {
    let with = |member: &str, value: Value| {
        let mut service = service();
        service[member] = value;
        json!({"checks": [{"name": "m", "service": service}]})
    };
    for (raw, want) in [
        (with("cluster", json!("")), "checks[0].service.cluster: "),
        (with("authority", json!("")), "checks[0].service.authority: "),
        (with("path", json!("v1")), "checks[0].service.path: "),
        (with("timeout_ms", json!(0)), "checks[0].service.timeout_ms: "),
        (with("key", json!({"env": "NONE"})), "checks[0].service.key: environment variable NONE is not set"),
        (with("headers", json!({"host": "x"})), "checks[0].service.headers.host: is reserved"),
        (with("headers", json!({"a b": "x"})), "checks[0].service.headers: "),
        (with("headers", json!({"x": "a\nb"})), "checks[0].service.headers.x: "),
        (with("colour", json!("x")), "unknown field"),
        (with("protocol", json!("grpc")), "unknown variant"),
    ] {
        let error = check(raw.clone()).unwrap_err();
        assert!(error.contains(want), "{raw}: {error}");
    }
    let one = |check: Value| json!({"checks": [check]});
    let mut generic = service();
    generic["protocol"] = json!("generic");
    generic["model"] = json!("x");
    let error = check(one(json!({"name": "a", "service": generic}))).unwrap_err();
    assert_eq!(error, "checks[0].service.model: is not sent by protocol generic");
    let error = check(one(json!({"name": "a", "action": "mask", "service": service()}))).unwrap_err();
    assert!(error.starts_with("checks[0].action: mask needs protocol generic"), "{error}");
}

#[test]
fn actions_and_risks_are_in_order() {
    assert!(Action::Log < Action::Mask && Action::Mask < Action::Block);
    assert!(Risk::None < Risk::Low && Risk::Low < Risk::Medium && Risk::Medium < Risk::High);
}
