//! `token-limit` as the only filter of a plain Envoy, and how long what it holds stays held.

use std::time::Instant;

use serde_json::{Value, json};
use sluice_e2e::client::{self, Reply};
use sluice_e2e::envoy::{self, Envoy};
use sluice_e2e::limits::{self, Running, body, body_with};
use sluice_e2e::upstream::Upstream;

/// An Envoy with one filter, one route and one cluster.
fn start(config: &Value, provider: &Upstream) -> Envoy {
    let typed = |name: &str, kind: &str| json!({"name": name, "typed_config": {"@type": format!("type.googleapis.com/envoy.extensions.{kind}")}});
    let mut filter = typed("token-limit", "filters.http.wasm.v3.Wasm");
    filter["typed_config"]["config"] = json!({
        "name": "token-limit", "root_id": "token-limit", "allow_on_headers_stop_iteration": true,
        "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": config.to_string()},
        "vm_config": {
            "vm_id": "token-limit", "runtime": "envoy.wasm.runtime.v8",
            "code": {"local": {"filename": envoy::module("token-limit")}},
        },
    });
    let mut manager = typed("hcm", "filters.network.http_connection_manager.v3.HttpConnectionManager");
    let route = json!({"match": {"prefix": "/"}, "route": {"cluster": "a", "timeout": "0s"}});
    manager["typed_config"]["stat_prefix"] = json!("alone");
    manager["typed_config"]["route_config"] =
        json!({"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]});
    manager["typed_config"]["http_filters"] =
        json!([filter, typed("router", "filters.http.router.v3.Router")]);
    let socket = |port: &str| json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    let endpoint = json!({"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": provider.address().port()}}}});
    let config = json!({
        "admin": {"address": socket("{admin}")},
        "static_resources": {
            "listeners": [{"address": socket("{listen}"), "filter_chains": [{"filters": [manager]}]}],
            "clusters": [{"name": "a", "load_assignment": {"cluster_name": "a", "endpoints": [{"lb_endpoints": [endpoint]}]}}],
        },
    });
    let text = config.to_string();
    Envoy::start(&text.replace("\"{admin}\"", "{admin}").replace("\"{listen}\"", "{listen}"))
}

fn ask(envoy: &Envoy, members: &Value) -> Reply {
    limits::chat(envoy.address(), &[], &body_with("m", members))
}

#[test]
fn alone_it_limits_meters_and_tells() {
    let provider = Upstream::start("a");
    let config = json!({"limits": [
        {"name": "tokens", "total_tokens": 100, "per_ms": 3_600_000},
        {"name": "team", "by": ["header:x-team"], "requests": 4, "per_ms": 3_600_000},
    ]});
    let envoy = start(&config, &provider);
    let used = |name: &str| limits::used(envoy.address(), &[], "m", name);
    for (n, path, stream) in
        [(1, "/v1/chat/completions", false), (2, "/v1/responses", true), (3, "/v1/embeddings", false)]
    {
        let mut body = body("m");
        body["stream"] = json!(stream);
        let reply = client::post(envoy.address(), path, &body);
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.header("x-ratelimit-limit-requests"), Some("4"));
        assert_eq!(used("team"), n);
    }
    assert_eq!(used("tokens"), 16 + 16 + 11);
    let hidden = ask(&envoy, &json!({"stream": true, "x_mock": {"*": {"say": "word ".repeat(100)}}}));
    assert_eq!(hidden.status, 200, "nobody asks for usage here");
    assert_eq!(used("tokens"), 43 + 125, "so it is estimated; without a router nobody knows the input");
    let refused = ask(&envoy, &json!({}));
    assert_eq!((refused.status, refused.code().as_str()), (429, "rate_limit_exceeded"));
    assert_eq!(provider.requests().len(), 4);
}

#[test]
fn a_stream_that_is_longer_than_its_lease_keeps_what_it_holds() {
    let provider = Upstream::start("a");
    let config = json!({"lease_ms": 1_000, "limits": [
        {"name": "flight", "in_flight": 1},
        {"name": "tokens", "total_tokens": 10_000, "per_ms": 3_600_000},
    ]});
    let envoy = start(&config, &provider);
    let began = Instant::now();
    let long = body_with("m", &json!({"x_mock": {"*": {"events": 40, "gap_ms": 100, "usage": "finish"}}}));
    let mut stream = Running::begin(envoy.address(), &[], &long);
    let standing = |name: &str| limits::standing(envoy.address(), &[], "m", name);
    let held = standing("tokens")["held"].clone();
    for n in 2..40 {
        stream.read_until(&format!("\" {n}\""), 1);
        assert_eq!(
            (&standing("flight")["held"], &standing("tokens")["held"]),
            (&json!(1), &held),
            "event {n}"
        );
        let reply = ask(&envoy, &json!({}));
        assert_eq!(reply.code(), "concurrency_limit_exceeded", "event {n}");
    }
    assert!(began.elapsed().as_secs() >= 3, "several leases");
    stream.finish();
    assert_eq!(limits::used(envoy.address(), &[], "m", "flight"), 0);
    assert_eq!(limits::used(envoy.address(), &[], "m", "tokens"), 51);
    assert_eq!(ask(&envoy, &json!({})).status, 200);
}
