use serde_json::{Value, json};

use super::*;

fn check(raw: Value) -> Result<Config, String> {
    serde_json::from_value::<Raw>(raw).map_err(|error| error.to_string())?.try_into()
}

fn target(name: &str) -> Value {
    json!({"name": name, "cluster": "c"})
}

#[test]
fn what_is_left_out_has_its_default() {
    let config = check(json!({"rules": [{"match": ["a", "b"], "targets": [target("t")]}]})).unwrap();
    let rule = &config.rules[0];
    assert_eq!(
        (config.max_body_bytes, rule.name.as_str(), &rule.sticky),
        (33_554_432, "a", &Sticky::Consumer)
    );
    assert_eq!((&rule.when, rule.targets[0].weight, rule.targets[0].attempts), (&When::default(), 1, 1));
}

#[test]
fn what_is_written_is_read_back_the_same() {
    let raw = json!({"max_body_bytes": 9, "rules": [{
        "match": ["gpt-4*"],
        "when": {"tier": "gold", "consumer": "x", "headers": {"x-team": "a*"}, "min_input_tokens": 1,
            "max_input_tokens": 9, "has": ["tools", "images"]},
        "strip_prefix": "openai/",
        "sticky": "header:x-user",
        "targets": [{"name": "openai", "cluster": "gpt-4x.openai", "weight": 90, "attempts": 4}],
    }], "limits": true});
    let read: Raw = serde_json::from_value(raw.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), raw);
    assert!(Config::try_from(read).is_ok());
}

#[test]
fn a_bad_configuration_names_the_path() {
    let rule = json!({"match": ["a"], "targets": [target("t")]});
    for (raw, want) in [
        (json!({}), "missing field `rules`"),
        (
            json!({"rules": [], "x": 1}),
            "unknown field `x`, expected one of `max_body_bytes`, `rules`, `limits`",
        ),
        (json!({"rules": []}), "rules: must hold at least one rule"),
        (json!({"rules": [rule], "max_body_bytes": 0}), "max_body_bytes: must be at least 1"),
    ] {
        assert_eq!(check(raw).unwrap_err(), want);
    }
}

/// The complaint about the second of two rules, which is good but for what `change` says.
fn complaint(change: Value) -> String {
    let good = json!({"match": ["a"], "targets": [target("t")]});
    let mut bad = good.clone();
    for (name, value) in change.as_object().unwrap() {
        bad[name] = value.clone();
    }
    check(json!({"rules": [good, bad]})).unwrap_err()
}

#[test]
fn a_bad_rule_names_the_path() {
    for (change, want) in [
        (json!({"match": []}), "match: must hold at least one glob"),
        (json!({"match": ["a", "b["]}), "match[1]: column 2: `[` is never closed"),
        (json!({"strip_prefix": ""}), "strip_prefix: must not be empty"),
        (json!({"sticky": "header:"}), r#"sticky: "header:" is none of consumer, request, header:<name>"#),
        (json!({"when": {"headers": {"x": "{"}}}), "when.headers.x: column 1: `{` is never closed"),
        (json!({"sticky": "sk-x"}), r#"sticky: "***" is none of consumer, request, header:<name>"#),
        (json!({"when": {"has": ["sk-x"]}}), r#"when.has[0]: "***" is neither tools nor images"#),
        (json!({"when": {"has": ["fun"]}}), r#"when.has[0]: "fun" is neither tools nor images"#),
        (
            json!({"when": {"min_input_tokens": 2, "max_input_tokens": 1}}),
            "when.min_input_tokens: 2 is more than max_input_tokens, 1",
        ),
    ] {
        assert_eq!(complaint(change), format!("rules[1].{want}"));
    }
}

#[test]
fn a_bad_target_names_the_path() {
    let weightless = json!({"name": "t", "cluster": "c", "weight": 0});
    for (targets, want) in [
        (json!([]), "targets: must hold at least one with a weight above 0"),
        (json!([weightless]), "targets: must hold at least one with a weight above 0"),
        (json!([target("sk-t"), target("sk-t")]), r#"targets[1].name: "***" stands twice in this rule"#),
        (json!([target("t"), target("t")]), r#"targets[1].name: "t" stands twice in this rule"#),
        (json!([target("")]), "targets[0].name: must not be empty"),
        (json!([{"name": "t", "cluster": ""}]), "targets[0].cluster: must not be empty"),
        (json!([{"name": "t", "cluster": "c", "attempts": 0}]), "targets[0].attempts: must be at least 1"),
    ] {
        assert_eq!(complaint(json!({"targets": targets})), format!("rules[1].{want}"));
    }
}
