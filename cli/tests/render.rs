//! What limits, prices and redis become for Envoy.

#![cfg(test)]

use std::path::Path;

use serde_json::{Value, json};
use sluice::check::check;
use sluice::gateway::CheckOptions;
use sluice::render::{File, Rendered, Rendering, render};

const LIMIT: &str = "limits: [{name: a, requests: 5, per: 1m}]\n";

fn rendering() -> Rendering<'static> {
    let [directory, module, roots] = ["/here", "/sluice.wasm", "/ca.pem"].map(Path::new);
    Rendering { directory, module, roots, access_log: None }
}

fn rendered(more: &str) -> Rendered {
    let yaml = format!(
        "providers: {{a: {{url: http://a/v1}}}}\nmodels: [{{match: '*', targets: [{{provider: a}}]}}]\n{more}"
    );
    let options = CheckOptions { env: &|name| (name == "REDIS_PASSWORD").then(|| "sk-env".to_owned()) };
    let loaded = check(Path::new("gateway.yaml"), yaml.as_bytes(), &options);
    render(&loaded.gateway.unwrap_or_else(|| panic!("{}", loaded.report)), &rendering())
}

fn plugin<'a>(rendered: &'a Rendered, name: &str) -> &'a Value {
    &rendered.plugins.iter().find(|plugin| plugin.name == name).unwrap().config
}

fn file(rendered: &Rendered, path: &str) -> File {
    rendered.files(&rendering()).into_iter().find(|file| file.path == path).unwrap()
}

fn cluster<'a>(rendered: &'a Rendered, name: &str) -> Option<&'a Value> {
    rendered.clusters.iter().find(|cluster| cluster.name == name).map(|cluster| &cluster.resource)
}

#[test]
fn token_limit_gets_every_limit_and_price_exactly() {
    let rendered = rendered(
        "limits:\n\
         - {name: a, by: [ip, 'header:X-A'], models: [x*, y], when: {has: [tools]}, total_tokens: 100,\n\
            weighted: {input: 1, output: 4.005}, per: 1m}\n\
         - {name: b, in_flight: 3}\n\
         - {name: c, cost_usd: 8999999.999999999, per: 30d, terminal: true, message: Used up.}\n\
         prices: {'gpt-*': {input: 2.5, cached: 0.000001, output: 10}, '*': {input: 1, output: 2}}\n\
         redis: {url: redis://127.0.0.1, timeout: 20ms, on_error: deny}\n",
    );
    let want = json!({
        "limits": [
            {
                "name": "a", "by": ["ip", "header:x-a"], "models": ["x*", "y"], "when": {"has": ["tools"]},
                "total_tokens": 100, "weighted": {"input": 1, "cached": 1, "output": 4.005}, "per_ms": 60000,
            },
            {"name": "b", "by": [], "in_flight": 3},
            {
                "name": "c", "by": [], "cost_usd": 8_999_999.999_999_999_f64, "per_ms": 2_592_000_000_u64,
                "terminal": true, "message": "Used up.",
            },
        ],
        "prices": [
            {"match": "gpt-*", "input": 2.5, "cached": 0.000_001, "output": 10},
            {"match": "*", "input": 1, "cached": 1, "output": 2},
        ],
        "redis": {"cluster": "sluice.redis", "timeout_ms": 20, "on_error": "deny"},
    });
    assert_eq!(*plugin(&rendered, "token-limit"), want);
    assert_eq!(plugin(&rendered, "model-router")["limits"], true);
}

#[test]
fn without_limits_the_place_in_the_chain_is_kept() {
    let without = rendered("");
    assert!(
        plugin(&without, "token-limit").is_null() && plugin(&without, "model-router")["limits"].is_null()
    );
    let text = file(&without, "filters/token-limit.yaml").text;
    assert!(text.contains("set_metadata") && !text.contains("wasm"), "{text}");
    // so that open connections get limits, and lose them: the listener is the same
    assert_eq!(file(&without, "listeners.yaml"), file(&rendered(LIMIT), "listeners.yaml"));
}

#[test]
fn the_road_to_redis_is_there_only_with_redis() {
    let without = rendered(LIMIT);
    assert!(!file(&without, "listeners.yaml").text.contains("sluice.redis"));
    assert_eq!((cluster(&without, "sluice.redis"), cluster(&without, "sluice.redis.nodes")), (None, None));
    let with = rendered(&format!("{LIMIT}redis: {{url: redis://127.0.0.1}}"));
    let nodes = cluster(&with, "sluice.redis.nodes").unwrap();
    assert_eq!(
        (&nodes["type"], &nodes["typed_extension_protocol_options"]),
        (&json!("STATIC"), &Value::Null)
    );
    assert!(cluster(&with, "sluice.redis").is_some());
    let listeners = file(&with, "listeners.yaml").text;
    assert!(listeners.contains("internal_listener: {}") && listeners.contains("root_id: redis-bridge"));
    assert_eq!(without.bootstrap, with.bootstrap, "redis can be added live");
}

#[test]
fn a_cluster_over_tls_verifies_every_node() {
    let redis = "redis: {url: [rediss://r1.internal, 'rediss://10.0.0.2:7000'], cluster: true, timeout: 3s}";
    let rendered = rendered(&format!("{LIMIT}{redis}"));
    let nodes = cluster(&rendered, "sluice.redis.nodes").unwrap();
    assert_eq!(
        (&nodes["type"], &nodes["cluster_type"]["name"]),
        (&Value::Null, &json!("envoy.clusters.redis"))
    );
    let context = &nodes["transport_socket"]["typed_config"];
    assert_eq!(context["sni"], "r1.internal");
    assert_eq!(
        context["common_tls_context"],
        json!({"validation_context": {
            "trusted_ca": {"filename": "/ca.pem"},
            "match_typed_subject_alt_names": [
                {"san_type": "DNS", "matcher": {"exact": "r1.internal"}},
                {"san_type": "IP_ADDRESS", "matcher": {"exact": "10.0.0.2"}},
            ],
        }})
    );
    let listeners = file(&rendered, "listeners.yaml").text;
    assert!(listeners.contains("enable_redirection: true") && listeners.contains("op_timeout: \"6s\""));
}

#[test]
fn a_password_stands_in_no_file_or_in_one_of_its_owner_alone() {
    let clusters =
        |redis: &str| file(&rendered(&format!("{LIMIT}redis: {{url: redis://a, {redis}}}")), "clusters.yaml");
    let by_name = clusters("password: env:REDIS_PASSWORD");
    assert!(
        by_name.text.contains("environment_variable: REDIS_PASSWORD") && !by_name.text.contains("sk-env")
    );
    assert!(!by_name.secret);
    let literal = clusters("username: ann, password: sk-literal");
    assert!(literal.text.contains("auth_password: {inline_string: sk-literal}"), "{}", literal.text);
    assert!(literal.text.contains("auth_username: {inline_string: ann}") && literal.secret);
}
