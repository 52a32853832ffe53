//! Holds every record that a test's gateway writes against the schema that is published: `docs/ai_log.schema.json`.

use std::sync::OnceLock;

use jsonschema::Validator;
use serde_json::Value;

use crate::envoy;

/// The schema that readers of the log are promised.
#[must_use]
pub fn schema() -> Value {
    let path = envoy::checkout().join("docs/ai_log.schema.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("a schema is JSON")
}

/// Fails unless `record` is as the schema says.
#[track_caller]
pub fn assert_valid(record: &Value) {
    static VALIDATOR: OnceLock<Validator> = OnceLock::new();
    let validator =
        VALIDATOR.get_or_init(|| jsonschema::validator_for(&schema()).expect("a schema of draft 2020-12"));
    let mistakes: Vec<String> =
        validator.iter_errors(record).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(mistakes.is_empty(), "not as docs/ai_log.schema.json says: {mistakes:?} in {record}");
}

/// Fails unless the record of every line of an access log is as the schema says; lines without one, of what reached no
/// filter, are let pass.
#[track_caller]
pub fn assert_lines(lines: &str) {
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        if let Some(record) = line.get("ai_log").filter(|record| !record.is_null()) {
            assert_valid(record);
        }
    }
}
