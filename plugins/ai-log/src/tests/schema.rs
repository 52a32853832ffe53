//! The record is as its published schema says, and the documentation names the same members.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;

use jsonschema::Validator;
use sluice_core::openai::Operation;
use sluice_core::openai::error::Code;

use super::*;
use crate::outcome::End;
use crate::usage::Source;

static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| jsonschema::validator_for(&schema()).unwrap());

fn docs(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)).unwrap()
}

fn schema() -> Value {
    serde_json::from_str(&docs("ai_log.schema.json")).unwrap()
}

fn valid(record: &str) -> bool {
    VALIDATOR.is_valid(&serde_json::from_str(record).unwrap())
}

/// Fails if the record is not as the schema says.
#[track_caller]
pub(super) fn assert_valid(record: &str) {
    let json: Value = serde_json::from_str(record).unwrap();
    let errors: Vec<_> = VALIDATOR.iter_errors(&json).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}: {record}");
}

#[test]
fn every_closed_list_is_in_the_schema() {
    let schema = schema();
    let all = |member: &str| -> Vec<String> {
        serde_json::from_value(schema["properties"][member]["enum"].clone()).unwrap()
    };
    let operations = ["chat", "text_completion", "embeddings", "responses", "messages", "other"];
    assert!(operations.iter().all(|name| Operation::from_name(name).name() == *name));
    assert_eq!(all("operation"), operations);
    assert_eq!(all("error"), Code::ALL.map(Code::name));
    assert_eq!(all("usage_source"), [Source::Reported, Source::Estimated, Source::Cache].map(Source::name));
    let ends = [
        End::Complete,
        End::ErrorEvent,
        End::Unterminated,
        End::ClientGone,
        End::ProviderReset,
        End::Timeout,
        End::Refused,
    ];
    assert_eq!(all("end"), ends.map(End::name));
}

/// Members by name, with what the schema says of each; those of members that are objects too.
fn described(object: &Value, found: &mut Vec<(String, bool)>) {
    for (name, member) in object["properties"].as_object().into_iter().flatten() {
        found.push((name.clone(), member["description"].as_str().is_some_and(|text| text.ends_with('.'))));
        described(member, found);
        described(&member["items"], found);
    }
}

#[test]
fn every_member_is_described() {
    let mut found = Vec::new();
    described(&schema(), &mut found);
    assert!(found.len() > 60, "{}", found.len());
    for (name, is_described) in found {
        assert!(is_described, "{name}");
    }
}

#[test]
fn the_documentation_names_the_members_of_the_schema() {
    let schema = schema();
    let members: BTreeSet<&str> =
        schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    let page = docs("plugins/ai-log.md");
    let table = page.split("| member | meaning |").nth(1).unwrap().split("\n\n").next().unwrap();
    let cells = table.lines().skip(2).filter_map(|row| row.strip_prefix("| ")?.split(" | ").next());
    let documented: BTreeSet<&str> =
        cells.flat_map(|cell| cell.split(", ")).map(|name| name.trim_matches('`')).collect();
    assert_eq!(documented, members);
    let lines = page.lines().filter(|line| line.starts_with("{\"version\"") && !line.contains('…'));
    assert_eq!(lines.inspect(|example| assert_valid(example)).count(), 1);
}

#[test]
fn a_record_with_anything_else_is_not_as_the_schema_says() {
    let good = r#"{"version":1,"times":{"ended_us":1},"status":200,"end":"complete"}"#;
    assert!(valid(good));
    for (old, new) in [
        ("\"version\":1", "\"version\":2"),
        ("\"status\":200", "\"status\":\"200\""),
        ("\"status\":200", "\"status\":200,\"more\":1"),
        ("complete", "finished"),
        ("\"status\":200", "\"status\":200,\"cost_usd\":-1"),
        ("\"status\":200", "\"status\":200,\"limit\":\"refused\""),
        ("\"status\":200", "\"status\":200,\"guard\":[{}]"),
        ("\"times\":{\"ended_us\":1},", ""),
    ] {
        assert!(!valid(&good.replace(old, new)), "{new}");
    }
}
