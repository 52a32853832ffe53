//! What a configuration must not say.

use serde_json::{Value, json};

use super::*;

fn check(json: Value) -> Result<Config, String> {
    Config::check(serde_json::from_value(json).map_err(|error| error.to_string())?)
}

#[test]
fn a_configuration_that_does_not_hold_is_refused_with_its_place() {
    let many = vec!["x-team"; 33];
    for (config, want) in [
        (json!({"max_chars": 0}), "max_chars: must be 1 to 1000000"),
        (json!({"headers": many}), "headers: must be at most 32"),
        (
            json!({"headers": ["x-team", "cookie"]}),
            "headers[1]: carries a credential, by its name: it is never recorded",
        ),
        (json!({"headers": ["X-Team"]}), "headers[0]: must be the name of a header in lower case"),
        (json!({"headers": [":path"]}), "headers[0]: must be the name of a header in lower case"),
        (json!({"headers": [""]}), "headers[0]: must be the name of a header in lower case"),
        (json!({"prices": [{"match": "*", "input": -1, "output": 1}]}), "prices[0].input: must be 0 or more"),
        (json!({"metrics": {"max_models": 0}}), "metrics.max_models: must be 1 to 100000"),
        (json!({"metrics": {"max_label_sets": 1_000_001}}), "metrics.max_label_sets: must be 1 to 1000000"),
        (json!({"metrics": {"max": 1}}), "unknown field `max`"),
        (json!({"prompt": "full"}), "unknown field `prompt`"),
    ] {
        let refused = check(config.clone()).map(|_| ()).unwrap_err();
        assert!(refused.starts_with(want), "{config}: {refused}");
    }
}

#[test]
fn no_header_that_carries_a_credential_can_be_recorded() {
    for name in CREDENTIALS.into_iter().chain([
        "proxy-authorization",
        "set-cookie",
        "x-api-key",
        "api-key",
        "x_api_key",
        "x-goog-api-key",
        "x-auth-token",
        "x-amz-security-token",
        "ocp-apim-subscription-key",
        "x-hub-signature",
    ]) {
        assert!(check(json!({"headers": [name]})).is_err(), "{name}");
    }
    for name in ["x-team", "x-author", "x-max-tokens", "x-keyboard", "x-session-id", "x-request-id"] {
        assert!(!carries_credential(name), "{name}");
    }
    let config = check(json!({"headers": ["x-team", "user-agent", "x-team"]})).unwrap();
    assert_eq!(config.headers.iter().map(|name| &**name).collect::<Vec<_>>(), ["user-agent", "x-team"]);
}
