use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn config(rules: Value) -> Config {
    let raw: crate::config::Raw = serde_json::from_value(json!({"rules": rules})).unwrap();
    raw.try_into().unwrap()
}

fn target(name: &str) -> Value {
    json!({"name": name, "cluster": "c"})
}

#[test]
fn a_rule_says_why_it_does_not_match() {
    let found = RequestFacts { input_tokens: 10, ..RequestFacts::default() };
    for (when, want) in [
        (json!({}), None),
        (json!({"tier": "gold"}), Some(r#"the caller's tier is not "gold""#)),
        (json!({"consumer": "bob"}), Some(r#"the consumer is not "bob""#)),
        (json!({"consumer": "ann", "headers": {"x": "y"}}), Some(r#"header x does not match "y""#)),
        (json!({"min_input_tokens": 10, "max_input_tokens": 10}), None),
        (json!({"min_input_tokens": 11}), Some("about 10 input tokens are fewer than 11")),
        (json!({"max_input_tokens": 9}), Some("about 10 input tokens are more than 9")),
        (json!({"has": ["tools"]}), Some("the request offers no tools")),
        (json!({"has": ["images"]}), Some("the request holds no images")),
    ] {
        let config = config(json!([{"match": ["m"], "when": when, "targets": [target("t")]}]));
        let caller = Caller { consumer: Some("ann"), tier: None, header: &|_| None };
        let why = |model| mismatch(&config.rules[0], model, &found, &caller).map(|why| why.to_string());
        assert_eq!(why("m").as_deref(), want);
        assert_eq!(why("n").as_deref(), Some("no glob in `match` matches the model"));
    }
}

fn picked(weights: &[u32], user: &str, request_id: &str) -> String {
    let targets: Vec<_> = weights
        .iter()
        .enumerate()
        .map(|(at, weight)| json!({"name": at.to_string(), "cluster": "c", "weight": weight}))
        .collect();
    let config = config(json!([{"match": ["*"], "sticky": "header:x-user", "targets": targets}]));
    let caller = Caller { consumer: None, tier: None, header: &|_| Some(user) };
    decide(&config, "m", &RequestFacts::default(), &caller, request_id).unwrap().target.name.clone()
}

proptest! {
    #[test]
    fn the_same_value_always_lands_on_the_same_side(user in "[a-z]{1,8}", one in ".{0,8}", other in ".{0,8}") {
        prop_assert_eq!(picked(&[90, 10], &user, &one), picked(&[90, 10], &user, &other));
    }

    #[test]
    fn a_grown_share_moves_callers_only_into_itself(user in "[a-z]{1,8}", small in 1..50_u32, by in 1..50_u32) {
        let (before, after) = (picked(&[100, small], &user, ""), picked(&[100, small.saturating_add(by)], &user, ""));
        prop_assert!(before == after || after == "1");
    }
}
