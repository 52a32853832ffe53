//! What a configuration says: which filter, for which route, and what is wrong with it.

use std::process::Command;

use serde_json::{Value, json};
use sluice_e2e::envoy;

use crate::bed::{Bed, bed, filter, listener, socket};

#[test]
fn a_modules_filters_are_picked_by_root_id() {
    let bed = bed();
    // `outer` is the module's second filter, `inner` its first: each follows its own script.
    let path = Bed::path("plain", &json!({"outer": {"request": "watch"}, "inner": {"request": "end"}}));
    assert_eq!(bed.post(&path, "body").status, 200);
    let line = bed.line(&path);
    assert_eq!(line.only("outer")["request"]["text"], "body");
    assert_eq!(
        (&line.only("inner")["request"]["text"], &line.only("inner")["request"]["ends"]),
        (&json!(""), &json!(1))
    );
}

#[test]
fn a_route_may_have_a_configuration_of_its_own() {
    let bed = bed();
    for (route, want) in [("patched", Some("outer")), ("plain", None)] {
        assert_eq!(bed.post(&format!("/{route}/no-script"), "{}").header("x-patched"), want, "{route}");
    }
}

#[test]
fn a_bad_configuration_is_refused_in_words() {
    for (root, config, word) in [
        ("probe", json!({"as": ""}), "probe: as: must not be empty"),
        ("twin", json!({"as": "x", "colour": 1}), "unknown field `colour`"),
        ("probe", json!([]), "probe: configuration is not a JSON object"),
        (
            "probe",
            json!({"as": "x", "script": {"request": "look"}}),
            "script.request: unknown variant `look`",
        ),
        ("probe", json!({"as": "x", "routes": {"vip": {"as": ""}}}), "route \"vip\": as: must not be empty"),
        (
            "nobody",
            json!({"as": "x"}),
            "root_id \"nobody\" names no filter of this module; it holds: probe, twin",
        ),
        (
            "chain",
            json!({"filters": [{"name": "probe", "config": {"as": "x"}}, {"name": "nobody"}]}),
            "chain: filters[1].name: \"nobody\" names no filter of this module; it holds: probe, twin",
        ),
        (
            "chain",
            json!({"filters": [{"name": "probe", "config": {"as": "x"}}, {"name": "twin"}]}),
            "twin: as: must not be empty",
        ),
        ("chain", json!({"filters": []}), "chain: filters: must not be empty"),
        ("chain", json!({"as": "x"}), "chain: must be {\"filters\": "),
    ] {
        let text = validate(&[filter(root, &config)]);
        assert!(text.contains(word), "{word:?} is not in {text}");
        envoy::assert_no_trap(&text);
    }
}

/// What `envoy --mode validate` says of filters that it must refuse.
fn validate(filters: &[Value]) -> String {
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("envoy.json");
    let routes = json!([{"match": {"prefix": "/"}, "direct_response": {"status": 200}}]);
    let config = json!({"static_resources": {"listeners": [listener(&socket(0), filters, &[], &routes)]}});
    std::fs::write(&file, config.to_string()).expect("a file");
    let mut command = Command::new(envoy::binary());
    command.arg("-c").arg(&file).args(["--mode", "validate", "--use-dynamic-base-id"]);
    let output = command.output().expect("Envoy");
    assert!(!output.status.success(), "accepted");
    String::from_utf8_lossy(&output.stderr).into_owned()
}
