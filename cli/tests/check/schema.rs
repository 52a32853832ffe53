//! The JSON Schema agrees with the check about good files and about plain mistakes.

use std::rc::Rc;

use serde_json::{Value, json};
use sluice::file::Report;
use sluice::file::tree::{Content, Node, parse};
use sluice::schema::GATEWAY;

/// As an editor reads it: plain numbers are numbers.
fn json(node: &Rc<Node>) -> Value {
    match &node.content {
        Content::Null => Value::Null,
        Content::Scalar(text) => number(text).unwrap_or_else(|| json!(text)),
        Content::List(items) => items.iter().map(json).collect(),
        Content::Map(entries) => {
            entries.iter().map(|entry| (entry.name.clone(), json(&entry.value))).collect()
        }
    }
}

fn number(text: &str) -> Option<Value> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse::<u64>()
        .map(Value::from)
        .or_else(|_| text.parse::<f64>().map(Value::from))
        .ok()
        .filter(|_| plain)
}

fn is_valid(yaml: &str) -> bool {
    let report = Report::new("gateway.yaml".as_ref());
    let node = parse(yaml.as_bytes(), &report).unwrap_or_else(|| panic!("{report}"));
    let schema: Value = serde_json::from_str(GATEWAY).unwrap();
    jsonschema::validator_for(&schema).unwrap().is_valid(&json(&node))
}

#[test]
fn the_schema_takes_what_the_check_takes() {
    for yaml in [include_str!("whole.yaml"), include_str!("example.yaml")] {
        assert!(is_valid(yaml), "{yaml}");
    }
}

/// Every field that may be written, by name.
fn fields(schema: &Value, found: &mut Vec<String>) {
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        found.extend(properties.keys().cloned());
    }
    match schema {
        Value::Object(members) => members.values().for_each(|member| fields(member, found)),
        Value::Array(items) => items.iter().for_each(|item| fields(item, found)),
        _ => {}
    }
}

#[test]
fn the_reference_names_every_field_and_its_example_is_good() {
    let reference = include_str!("../../../docs/gateway.md");
    let mut names = Vec::new();
    fields(&serde_json::from_str(GATEWAY).unwrap(), &mut names);
    for name in names.iter().filter(|name| *name != "address") {
        let named = [format!("`{name}`"), format!("{{{name}:"), format!(" {name}:"), format!("{name}, ")];
        assert!(named.iter().any(|named| reference.contains(named)), "{name}");
    }
    let (_, example) = reference.split_once("```yaml\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let example = example.replace("OPENAI_KEY_", "KEY_");
    assert!(is_valid(&example));
    let (gateway, report) = crate::checked(example.as_bytes());
    assert!(gateway.is_some() && report.notes().is_empty(), "{report}");
}

/// Sections that are wrong.
const SECTIONS: &[&str] = &[
    "version: 2",
    "listen: localhost:1",
    "max_request_body: 32MB",
    "consumers: []",
    "consumers: [{keys: [env:A]}]",
    "consumers: [{name: a b}]",
    "consumers: [{name: deny}]",
    "consumers: [{name: a, keys: env:A}]",
    "consumers: [{name: a, keys: [sha256:00]}]",
    "consumers: [{name: a, from: [localhost]}]",
    "consumers: [{name: a, routes: [v1/chat]}]",
    "consumers: [{name: a, expires: 30d}]",
    "consumers: [{name: a, models: []}]",
    "consumers: [{name: a, quota: 1}]",
    "anonymous: deny",
    "credentials: {cookie: key}",
    "limits: [{total_tokens: 1, per: 1m}]",
    "limits: [{name: a b, total_tokens: 1, per: 1m}]",
    "limits: [{name: a, per: 1m}]",
    "limits: [{name: a, requests: 1}]",
    "limits: [{name: a, requests: 0, per: 1m}]",
    "limits: [{name: a, requests: 1, total_tokens: 1, per: 1m}]",
    "limits: [{name: a, in_flight: 1, per: 1m}]",
    "limits: [{name: a, cost_usd: 0, per: 1m}]",
    "limits: [{name: a, requests: 1, weighted: {input: 2}, per: 1m}]",
    "limits: [{name: a, by: consumer, requests: 1, per: 1m}]",
    "limits: [{name: a, by: [team], requests: 1, per: 1m}]",
    "prices: {a: {input: 1}}",
    "prices: {a: {input: -1, output: 1}}",
    "redis: {}",
    "redis: redis://a",
    "redis: {url: http://a}",
    "redis: {url: redis://:sk@a}",
    "redis: {url: redis://a/1}",
    "redis: {url: redis://a, username: a}",
    "redis: {url: redis://a, on_error: fail}",
    "cache: 1h",
    "cache: {ttl: 60}",
    "cache: {scope: user}",
    "cache: {models: []}",
    "cache: {max_entry: 1MB}",
    "cache: {size: 1MiB}",
    "guard: {}",
    "guard: {checks: []}",
    "guard: {checks: [{detect: [email]}]}",
    "guard: {checks: [{name: a b, detect: [email]}]}",
    "guard: {checks: [{name: a}]}",
    "guard: {checks: [{name: a, detect: [mail]}]}",
    "guard: {checks: [{name: a, keywords: [x], detect: [email]}]}",
    "guard: {checks: [{name: a, detect: [email], whole_words: true}]}",
    "guard: {checks: [{name: a, detect: [email], timeout: 1s}]}",
    "guard: {checks: [{name: a, url: ftp://a}]}",
    "guard: {checks: [{name: a, detect: [email], on: [answer]}]}",
    "guard: {checks: [{name: a, detect: [email]}], refusal: {as: x}}",
    "timeouts: {connect: 3}",
    "retry: {on: [200]}",
    "retry: {on: [400]}",
    "retry: {per_target: 0}",
    "hold: {until: x}",
    "unknown: 1",
    "log: {prompts: all}",
    "tls: {cert: a}",
    "metrics: 100",
    "metrics: {max_models: 0}",
    "metrics: {max_label_sets: 1000001}",
    "metrics: {models: 1}",
    "tracing: {}",
    "tracing: http://a/v1/traces",
    "tracing: {url: grpc://a:4317}",
    "tracing: {url: http://a/v1/traces, sample: 101}",
    "tracing: {url: http://a/v1/traces, headers: {host: a}}",
    "tracing: {url: http://a/v1/traces, timeout: 1}",
    "tracing: {url: http://a/v1/traces, sampling: 1}",
];

#[test]
fn the_schema_refuses_what_an_editor_can_see() {
    let with = |more: &str| {
        format!(
            "providers: {{a: {{url: http://a/v1}}}}\nmodels: [{{match: x, targets: [{{provider: a}}]}}]\n{more}"
        )
    };
    assert!(is_valid(&with("")));
    for more in SECTIONS {
        assert!(!is_valid(&with(more)), "{more}");
    }
    for provider in [
        "{}",
        "{url: ftp://a}",
        "{url: http://a, keys: [sha256:00]}",
        "{url: http://a, keys: [{key: a, weight: 0}]}",
        "{url: http://a, keys: [{key: a, weight: 1001}]}",
        "{url: http://a, headers: {cookie: a=b}}",
        "{url: http://a, rotation: x}",
    ] {
        assert!(!is_valid(&with("").replace("{url: http://a/v1}", provider)), "{provider}");
    }
}
