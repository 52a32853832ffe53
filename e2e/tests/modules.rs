//! Every plugin as a module of its own, loaded into Envoy by hand with its documented configuration.
#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use std::process::Command;

use serde_json::{Value, json};
use sluice_e2e::client::{self, Reply};
use sluice_e2e::envoy::{self, Envoy};
use sluice_e2e::script::Script;
use sluice_e2e::sse;
use sluice_e2e::upstream::Upstream;

const CHAT: &str = "/v1/chat/completions";

/// A filter that is `dist/<plugin>.wasm` in a VM of its own.
fn filter(plugin: &str, config: &Value) -> Value {
    json!({"name": plugin, "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": {
            "name": plugin, "root_id": plugin, "allow_on_headers_stop_iteration": true,
            "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": config.to_string()},
            "vm_config": {
                "vm_id": plugin, "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": envoy::module(plugin)}},
            },
        },
    }})
}

/// An endpoint at priority `n`, described as `sluice render` does.
fn endpoint(n: usize, provider: &Upstream, attempts: usize) -> Value {
    let name = provider.name();
    let target = json!({"provider": name, "host": provider.address().to_string(), "path": "/v1", "attempts": attempts});
    json!({"priority": n, "lb_endpoints": [{
        "endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": provider.address().port()}}},
        "metadata": {"filter_metadata": {"sluice": {"target": target.to_string()}}},
    }]})
}

/// A configuration with one cluster, `chain`, whose priorities are `providers` in this order.
fn config(gateway: Vec<Value>, provider: Vec<Value>, providers: &[&Upstream], routed: bool) -> String {
    let plain = |name: &str, kind: &str| json!({"name": name, "typed_config": {"@type": format!("type.googleapis.com/{kind}")}});
    let codec = "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec";
    let upstream = [provider, vec![plain("envoy.filters.http.upstream_codec", codec)]].concat();
    let mut router = plain("envoy.filters.http.router", "envoy.extensions.filters.http.router.v3.Router");
    router["typed_config"]["upstream_http_filters"] = json!(upstream);
    let target = if routed { json!({"cluster_header": "x-ai-cluster"}) } else { json!({"cluster": "chain"}) };
    let mut route = json!({"timeout": "0s", "retry_policy": {
        "retry_on": "reset,connect-failure,retriable-headers", "num_retries": 3,
        "retriable_headers": [{"name": "x-ai-retry", "present_match": true}],
        "retry_back_off": {"base_interval": "0.001s"},
        "retry_priority": {"name": "envoy.retry_priorities.previous_priorities", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
            "update_frequency": 1,
        }},
    }});
    route.as_object_mut().expect("an object").extend(target.as_object().expect("an object").clone());
    let filters = [gateway, vec![router]].concat();
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "modules",
        "access_log": [{"name": "envoy.access_loggers.stderr", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StderrAccessLog",
            "log_format": {"text_format_source": {"inline_string": "RECORD %FILTER_STATE(wasm.ai_log:PLAIN)%\n"}},
        }}],
        "route_config": {"virtual_hosts": [{
            "name": "all", "domains": ["*"], "include_request_attempt_count": true,
            "routes": [{"match": {"prefix": "/"}, "route": route}],
        }]},
        "http_filters": filters,
    });
    let endpoints: Vec<Value> =
        providers.iter().enumerate().map(|(n, provider)| endpoint(n, provider, providers.len())).collect();
    let socket = |port: &str| json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    json!({
        "admin": {"address": socket("{admin}")},
        "static_resources": {
            "listeners": [{"address": socket("{listen}"), "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}]}],
            "clusters": [{"name": "chain", "load_assignment": {"cluster_name": "chain", "endpoints": endpoints}}],
        },
    })
    .to_string()
    .replace("\"{admin}\"", "{admin}")
    .replace("\"{listen}\"", "{listen}")
}

fn router_config() -> Value {
    json!({"max_body_bytes": 1_048_576,
           "rules": [{"match": ["gpt-*"], "targets": [{"name": "a", "cluster": "chain", "attempts": 2}]}]})
}

fn keys_config() -> Value {
    json!({"providers": {"a": {"keys": [{"key": {"value": "sk-a1"}}, {"key": {"value": "sk-a2"}}]},
                         "b": {"keys": [{"key": {"value": "sk-b"}}]}}})
}

fn fallback_config() -> Value {
    json!({"retry_on": [429, 503], "hold": {"until": "first_content", "max_ms": 2_000, "max_bytes": 65_536}})
}

fn ask(envoy: &Envoy, model: &str, stream: bool) -> Reply {
    client::post(envoy.address(), CHAT, &json!({"model": model, "messages": [], "stream": stream}))
}

#[test]
fn single_modules_make_the_same_gateway() {
    let (a, b) = (Upstream::start("a"), Upstream::start("b"));
    a.script(Script::json(json!({"error_after": 0})));
    let gateway = vec![filter("ai-log", &json!({})), filter("model-router", &router_config())];
    let provider = vec![
        filter("fallback", &fallback_config()),
        filter("key-rotation", &keys_config()),
        filter("provider-adapter", &json!({})),
    ];
    let envoy = Envoy::start(&config(gateway, provider, &[&a, &b], true));
    let reply = ask(&envoy, "gpt-4o", true);
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(sse::text(&reply.events()), "Hello from b, café 你好 🚰 2 3 4");
    assert!(!reply.text().contains("usage"));
    assert_eq!((a.requests()[0].key(), b.requests()[0].key()), (Some("sk-a1"), Some("sk-b")));
    let record = record(&envoy);
    assert_eq!((&record["input_tokens"], &record["provider"]), (&json!(11), &json!("b")), "{record}");
    assert_eq!(ask(&envoy, "unknown", true).code(), "model_not_found");
}

/// The first record in Envoy's log.
fn record(envoy: &Envoy) -> Value {
    envoy.wait_log("RECORD {");
    let log = envoy.log();
    let line = log.lines().find_map(|line| line.strip_prefix("RECORD ")).expect("a record");
    serde_json::from_str(line).expect("JSON")
}

#[test]
fn ai_log_alone_meters_and_records() {
    let a = Upstream::start("a");
    let envoy = Envoy::start(&config(vec![filter("ai-log", &json!({}))], vec![], &[&a], false));
    assert_eq!(ask(&envoy, "m", false).status, 200);
    let record = record(&envoy);
    assert_eq!((&record["status"], &record["output_tokens"]), (&json!(200), &json!(5)), "{record}");
}

#[test]
fn model_router_alone_picks_the_cluster() {
    let a = Upstream::start("a");
    let envoy = Envoy::start(&config(vec![filter("model-router", &router_config())], vec![], &[&a], true));
    assert_eq!(ask(&envoy, "gpt-4o", true).status, 200);
    assert_eq!(ask(&envoy, "other", false).code(), "model_not_found");
}

#[test]
fn fallback_alone_hands_a_bad_attempt_to_the_next() {
    let (a, b) = (Upstream::start("a"), Upstream::start("b"));
    let envoy = Envoy::start(&config(vec![], vec![filter("fallback", &fallback_config())], &[&a, &b], false));
    for script in [json!({"status": 503}), json!({"error_first": true}), json!({"empty": true})] {
        a.script(Script::json(script.clone()));
        let reply = ask(&envoy, "m", true);
        let text = sse::text(&reply.events());
        assert_eq!(text, "Hello from b, café 你好 🚰 2 3 4", "{script}: {} {}", reply.status, reply.text());
    }
    b.script(Script::status(503));
    let reply = ask(&envoy, "m", true);
    assert_eq!((reply.status, reply.code().as_str()), (502, "upstream_error"), "{}", reply.text());
}

#[test]
fn key_rotation_alone_puts_the_providers_keys_on() {
    let a = Upstream::start("a");
    let envoy = Envoy::start(&config(vec![], vec![filter("key-rotation", &keys_config())], &[&a], false));
    for _ in 0..4 {
        assert_eq!(ask(&envoy, "m", false).status, 200);
    }
    let keys: Vec<_> = a.requests().iter().filter_map(|seen| seen.key().map(str::to_owned)).collect();
    assert_eq!(keys, ["sk-a1", "sk-a2", "sk-a1", "sk-a2"]);
}

#[test]
fn provider_adapter_alone_asks_for_usage_and_takes_it_out() {
    let a = Upstream::start("a");
    let envoy = Envoy::start(&config(vec![], vec![filter("provider-adapter", &json!({}))], &[&a], false));
    let reply = ask(&envoy, "m", true);
    assert!(sse::is_done(&reply.events()) && !reply.text().contains("usage"), "{}", reply.text());
    assert_eq!(a.requests()[0].json()["stream_options"]["include_usage"], true);
}

#[test]
fn response_cache_alone_answers_again() {
    let a = Upstream::start("a");
    let gateway = vec![filter("response-cache", &json!({"scope": "everyone"}))];
    let envoy = Envoy::start(&config(gateway, vec![], &[&a], false));
    for stream in [true, false] {
        let replies = [ask(&envoy, "m", stream), ask(&envoy, "m", stream)];
        assert_eq!(replies[1].header("x-ai-cache"), Some("hit"), "{}", replies[1].text());
        assert!(!stream || replies[0].body == replies[1].body, "{}", replies[1].text());
    }
    assert_eq!(a.requests().len(), 1, "a stream is given as a document, too");
}

#[test]
fn content_guard_alone_masks_and_puts_back() {
    let a = Upstream::start("a");
    let check = json!({"name": "names", "keywords": ["Hello"], "on": ["response"], "action": "mask"});
    let envoy = Envoy::start(&config(
        vec![filter("content-guard", &json!({"checks": [check]}))],
        vec![],
        &[&a],
        false,
    ));
    let reply = ask(&envoy, "m", true);
    assert!(sse::is_done(&reply.events()), "{}", reply.text());
    assert_eq!(sse::text(&reply.events()), "[NAMES_1] from a, café 你好 🚰 2 3 4");
    let check = json!({"name": "banned", "keywords": ["café 你好"]});
    let envoy = Envoy::start(&config(
        vec![filter("content-guard", &json!({"checks": [check]}))],
        vec![],
        &[&a],
        false,
    ));
    assert_eq!(ask(&envoy, "m", false).code(), "content_policy_violation");
}

#[test]
fn a_bad_configuration_is_refused_in_words() {
    for (plugin, config_json, word) in [
        ("ai-log", json!({"colour": 1}), "colour"),
        (
            "model-router",
            json!({"rules": [{"match": ["a["], "targets": [{"name": "a", "cluster": "c"}]}]}),
            "match",
        ),
        ("model-router", json!({"rules": "none"}), "rules"),
        (
            "key-rotation",
            json!({"providers": {"a": {"keys": [{"key": {"env": "NOT_SET_ANYWHERE"}}]}}}),
            "NOT_SET_ANYWHERE",
        ),
        (
            "key-rotation",
            json!({"providers": {"a": {"keys": [{"key": {"value": "sk-canary\n"}}]}}}),
            "control character",
        ),
        ("key-rotation", json!({"providers": {"a": {"keys": ["sk-canary"]}}}), "keys[0]"),
        ("key-rotation", json!({"providers": {"a": {"keys": [{"key": "sk-canary"}]}}}), "keys[0].key"),
        ("key-rotation", json!({"providers": {"a": {"keys": [{"sk-canary": 1}]}}}), "keys[0]"),
        ("provider-adapter", json!({"providers": []}), "providers"),
        ("fallback", json!({"retry_on": [999]}), "retry_on"),
        (
            "consumer-auth",
            json!({"consumers": [{"name": "a", "keys": ["sk-canary"]}]}),
            "consumers[0].keys[0]",
        ),
        (
            "consumer-auth",
            json!({"consumers": [{"name": "a", "keys": [{"value": "sk-canary"}], "from": ["sk-canary"]}]}),
            "consumers[0].from[0]",
        ),
        ("token-limit", json!({"limits": [{"name": "a", "requests": 1}]}), "limits[0].per_ms"),
        ("token-limit", json!({"limits": [{"name": "a", "in_flight": 1, "by": ["sk-canary"]}]}), "by[0]"),
        ("content-guard", json!({"checks": [{"name": "a"}]}), "checks[0]"),
        (
            "content-guard",
            json!({"checks": [{"name": "a", "service": {"key": "sk-canary"}}]}),
            "checks[0].service.key",
        ),
        ("response-cache", json!({"scope": "team"}), "scope"),
        ("response-cache", json!({"ttl_ms": 10}), "ttl_ms"),
    ] {
        let text = validate(&config(vec![filter(plugin, &config_json)], vec![], &[], false));
        assert!(text.contains(word), "{plugin}: {word:?} is not in {text}");
        assert!(!text.contains("sk-canary"), "a refusal never shows a secret");
    }
}

/// What `envoy --mode validate` says of a configuration that it must refuse.
fn validate(config: &str) -> String {
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("envoy.yaml");
    std::fs::write(&file, config.replace("{admin}", "0").replace("{listen}", "0")).expect("a file");
    let mut command = Command::new(envoy::binary());
    command.arg("-c").arg(&file).args(["--mode", "validate", "--use-dynamic-base-id"]);
    let output = command.output().expect("Envoy");
    assert!(!output.status.success(), "accepted");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn modules_name_only_what_stock_envoy_offers() {
    for plugin in [
        "ai-log",
        "consumer-auth",
        "model-router",
        "token-limit",
        "content-guard",
        "response-cache",
        "fallback",
        "key-rotation",
        "provider-adapter",
        "redis-bridge",
        "sluice",
    ] {
        let module = std::fs::read(envoy::module(plugin)).expect("a module");
        assert_eq!(module.get(..4), Some(b"\0asm".as_slice()), "{plugin}");
        assert!(module.len() < 3 * 1024 * 1024, "{plugin} has {} bytes", module.len());
        let text = String::from_utf8_lossy(&module);
        for foreign in ["proxy_redis", "sock_accept", "path_open"] {
            assert!(!text.contains(foreign), "{plugin} imports {foreign}");
        }
    }
}
