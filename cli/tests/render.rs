//! What limits, prices, redis, cache, guard, metrics and tracing become for Envoy.

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
    rendered_as(more, &rendering())
}

fn rendered_as(more: &str, rendering: &Rendering<'_>) -> Rendered {
    let yaml = format!(
        "providers: {{a: {{url: http://a/v1}}}}\nmodels: [{{match: '*', targets: [{{provider: a}}]}}]\n{more}"
    );
    let options = CheckOptions {
        env: &|name| matches!(name, "REDIS_PASSWORD" | "GUARD_KEY").then(|| "sk-env".to_owned()),
    };
    let loaded = check(Path::new("gateway.yaml"), yaml.as_bytes(), &options);
    render(&loaded.gateway.unwrap_or_else(|| panic!("{}", loaded.report)), rendering)
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

const SEPARATE: &str = "filters: separate\n";

#[test]
fn without_limits_the_place_of_a_separate_filter_is_kept() {
    let without = rendered(SEPARATE);
    assert!(
        plugin(&without, "token-limit").is_null() && plugin(&without, "model-router")["limits"].is_null()
    );
    let text = file(&without, "filters/token-limit.yaml").text;
    assert!(text.contains("set_metadata") && !text.contains("wasm"), "{text}");
    // so that open connections get limits, and lose them: the listener is the same
    assert_eq!(
        file(&without, "listeners.yaml"),
        file(&rendered(&[SEPARATE, LIMIT].concat()), "listeners.yaml")
    );
}

/// The configuration of the chain of a stage.
fn chain(rendered: &Rendered, name: &str) -> Value {
    rendered.filters().into_iter().find(|filter| filter.name == name).unwrap().config
}

#[test]
fn the_plugins_of_a_stage_are_one_filter_in_which_only_those_in_use_stand() {
    let names = |chain: &Value| -> Vec<String> {
        let filters = chain["filters"].as_array().unwrap().iter();
        filters.map(|filter| filter["name"].as_str().unwrap().to_owned()).collect()
    };
    let (without, with) = (rendered(""), rendered(&[LIMIT, GUARD, "cache: {}\n"].concat()));
    assert_eq!(names(&chain(&without, "gateway")), ["ai-log", "consumer-auth", "model-router"]);
    let all = ["ai-log", "consumer-auth", "model-router", "token-limit", "content-guard", "response-cache"];
    assert_eq!(names(&chain(&with, "gateway")), all);
    for rendered in [&without, &with] {
        let provider = chain(rendered, "provider");
        assert_eq!(names(&provider), ["fallback", "key-rotation", "provider-adapter"]);
        let text = file(rendered, "filters/provider.yaml").text;
        assert!(text.contains("root_id: chain") && text.contains("key-rotation"), "{text}");
    }
    assert_eq!(chain(&with, "gateway")["filters"][3]["config"], *plugin(&with, "token-limit"));
    assert_eq!(file(&without, "listeners.yaml"), file(&rendered(LIMIT), "listeners.yaml"));
}

#[test]
fn facts_are_published_as_far_as_envoy_reads_them() {
    let plain = &chain(&rendered(""), "gateway")["publish"];
    assert_eq!(*plain, json!(["ai.tried", "ai_log"]));
    let traced = rendered("tracing: {url: 'http://127.0.0.1:4318/v1/traces'}\n");
    let published = chain(&traced, "provider")["publish"].to_string();
    for fact in ["ai_log", "ai.error", "ai.provider", "ai.usage.input", "ai.stream_end"] {
        assert!(published.contains(&format!("{fact:?}")), "{fact}: {published}");
    }
}

/// Everything that can be in use at once.
const ALL: &str = "limits: [{name: a, requests: 5, per: 1m}]
cache: {}
redis: {url: redis://127.0.0.1}
guard: {checks: [{name: b, url: 'http://a/moderations', key: env:GUARD_KEY}]}
tracing: {url: 'http://127.0.0.1:4318/v1/traces'}
";

const NATIVE: &str = "filters: native\n";

#[test]
fn native_filters_are_the_same_chains_in_a_shared_object() {
    let (together, native) = (rendered(ALL), rendered(&[NATIVE, ALL].concat()));
    for name in ["gateway", "provider"] {
        assert_eq!(chain(&native, name), chain(&together, name));
        let text = file(&native, &format!("filters/{name}.yaml")).text;
        for part in [
            "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter\n",
            "local: {filename: /sluice.wasm}\n",
            "do_not_close: true\n",
            "metrics_namespace: wasmcustom\n",
            "filter_name: chain\n",
            "\"@type\": type.googleapis.com/google.protobuf.StringValue\n",
        ] {
            assert_eq!(text.matches(part).count(), 1, "{part}: {text}");
        }
        assert!(!text.contains("host_env_keys"), "{text}");
    }
    let paths = |rendered: &Rendered| -> Vec<(String, bool)> {
        rendered.files(&rendering()).into_iter().map(|file| (file.path, file.secret)).collect()
    };
    assert_eq!(paths(&native), paths(&together));
}

/// Takes what is called `name` out of all lists in `value`; how many there were.
fn take(value: &mut Value, name: &str) -> usize {
    match value {
        Value::Object(members) => members.values_mut().map(|member| take(member, name)).sum(),
        Value::Array(items) => {
            let taken = items.extract_if(.., |item| item["name"] == name).count();
            items.iter_mut().fold(taken, |taken, item| taken.saturating_add(take(item, name)))
        }
        _ => 0,
    }
}

#[test]
fn what_stands_around_native_filters_is_as_it_is_around_others() {
    let (together, native) = (rendered(ALL), rendered(&[NATIVE, ALL].concat()));
    let wasm = "envoy.extensions.filters.http.wasm.v3.Wasm";
    let module = "envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter";
    let listener = native.listener.to_string();
    assert_eq!(listener.matches(module).count(), 2);
    assert_eq!(listener.replace(module, wasm), together.listener.to_string());
    assert_eq!(file(&native, "routes.yaml"), file(&together, "routes.yaml"));
    let clusters = |rendered: &Rendered| -> Vec<Value> {
        rendered.clusters.iter().map(|cluster| cluster.resource.clone()).collect()
    };
    let mut of_native = json!(clusters(&native));
    assert_eq!(take(&mut of_native, "sluice.redis.main"), 1);
    assert_eq!(of_native, json!(clusters(&together)));
    let listeners = file(&native, "listeners.yaml").text;
    for (kind, name) in [("network", "redis-bridge"), ("http", "response-cache")] {
        let (_, filter) = listeners.split_once(&format!("- name: {name}\n")).unwrap();
        let (filter, _) = filter.split_once("\n                    - name: ").unwrap_or((filter, ""));
        assert!(filter.contains(&format!("envoy.extensions.filters.{kind}.dynamic_modules.v3.")), "{filter}");
        assert!(filter.contains(&format!("filter_name: {name}\n")), "{filter}");
    }
    let setting = "envoy.reloadable_features.dynamic_modules_strip_custom_stat_prefix";
    let layer = |rendered: &Rendered| {
        rendered.bootstrap["layered_runtime"]["layers"][0]["static_layer"][setting].clone()
    };
    assert_eq!((layer(&native), layer(&together)), (json!(true), Value::Null));
}

#[test]
fn native_filters_are_rendered_as_the_documentation_shows() {
    let text = file(&rendered(NATIVE), "filters/provider.yaml").text;
    let document = include_str!("../../docs/chain.md");
    let (_, shown) = document.split_once("```yaml\n").unwrap();
    let (shown, _) = shown.split_once("```").unwrap();
    let is_own = |line: &&str| !line.contains("filename: ") && !line.trim_start().starts_with('{');
    let lines: Vec<&str> = shown.lines().filter(is_own).collect();
    assert_eq!(lines.len(), 10, "{shown}");
    let mut rest = text.as_str();
    for line in lines {
        (_, rest) = rest.split_once(&format!("    {line}\n")).unwrap_or_else(|| panic!("{line}: {text}"));
    }
}

#[test]
fn nothing_of_native_filters_is_wasm_but_the_names_of_facts_and_metrics() {
    let directory = Path::new("/here");
    let rendering = Rendering { module: Path::new("/libsluice.so"), directory, ..rendering() };
    for file in rendered_as(&[NATIVE, ALL].concat(), &rendering).files(&rendering) {
        let text = file.text.replace("wasmcustom", "").replace("wasm.ai", "").to_lowercase();
        for word in ["wasm", "v8", "root_id", "vm_", "a trap"] {
            assert!(!text.contains(word), "{word} in {}: {text}", file.path);
        }
    }
}

#[test]
fn a_chain_with_a_secret_in_it_is_its_owners_alone() {
    let secret = |yaml: &str| {
        ["gateway", "provider"].map(|name| file(&rendered(yaml), &format!("filters/{name}.yaml")).secret)
    };
    assert_eq!(secret(LIMIT), [false, false]);
    assert_eq!(
        secret("guard: {checks: [{name: a, url: 'http://a/moderations', key: sk-literal-0123456789}]}\n"),
        [true, false]
    );
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
    let callouts = cluster(&with, "sluice.redis").unwrap();
    let options = &callouts["typed_extension_protocol_options"]["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"];
    assert_eq!(
        options["common_http_protocol_options"]["idle_timeout"], "1s",
        "no way to a trapped VM is kept"
    );
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

const GUARD: &str = "guard: {checks: [{name: a, detect: [email]}]}\n";

#[test]
fn the_chain_of_separate_filters_is_the_same_whatever_of_it_is_used() {
    let without = rendered(SEPARATE);
    let names: Vec<&str> = without.plugins.iter().map(|plugin| plugin.name).collect();
    assert_eq!(
        names,
        [
            "ai-log",
            "consumer-auth",
            "model-router",
            "token-limit",
            "content-guard",
            "response-cache",
            "fallback",
            "key-rotation",
            "provider-adapter",
        ]
    );
    for name in ["content-guard", "response-cache"] {
        assert!(plugin(&without, name).is_null());
        let text = file(&without, &format!("filters/{name}.yaml")).text;
        assert!(text.contains("set_metadata") && !text.contains("wasm"), "{text}");
    }
    assert_eq!(
        file(&without, "listeners.yaml"),
        file(&rendered(&[SEPARATE, GUARD].concat()), "listeners.yaml")
    );
    let with = rendered(&[SEPARATE, "cache: {}"].concat());
    assert_eq!(with.listener, without.listener, "only the listener for operators comes");
    assert_eq!((without.listeners(), with.listeners()), (1, 2));
}

#[test]
fn ai_log_is_told_of_prompts_only_where_they_are_wanted() {
    for (section, mut want) in [
        ("", json!({})),
        ("log: {prompts: off, max_chars: 9}", json!({})),
        ("log: {prompts: truncated}", json!({"prompts": "truncated", "max_chars": 2000})),
        ("log: {prompts: truncated, max_chars: 9}", json!({"prompts": "truncated", "max_chars": 9})),
        ("log: {prompts: full}", json!({"prompts": "full"})),
    ] {
        want["metrics"] = json!({"max_models": 100, "max_label_sets": 1000});
        assert_eq!(*plugin(&rendered(section), "ai-log"), want, "{section}");
    }
}

#[test]
fn response_cache_gets_the_section_and_the_way_to_redis() {
    let with = rendered(
        "cache: {ttl: 2h, scope: everyone, models: [a*, b], max_entry: 2MiB, coalesce_streams: true, max_wait: 5s}\n\
         redis: {url: redis://127.0.0.1, timeout: 20ms}",
    );
    let want = json!({
        "ttl_ms": 7_200_000, "scope": "everyone", "models": ["a*", "b"], "max_entry_bytes": 2_097_152,
        "memory_bytes": 67_108_864, "coalesce_streams": true, "max_wait_ms": 5000, "max_body_bytes": 33_554_432,
        "redis": {"cluster": "sluice.redis", "timeout_ms": 20},
    });
    assert_eq!(*plugin(&with, "response-cache"), want);
    let bridge = &with.bridge.as_ref().unwrap().plugin.config;
    assert_eq!(bridge["max_reply_bytes"], (2 << 20) + (64 << 10), "an answer passes the bridge");
    assert_eq!(bridge["max_request_bytes"], bridge["max_reply_bytes"]);
    let small = rendered("cache: {max_entry: 1KiB}\nredis: {url: redis://127.0.0.1}");
    assert_eq!(small.bridge.unwrap().plugin.config["max_reply_bytes"], 1 << 20);
    assert_eq!(
        *plugin(&rendered("cache: {}"), "response-cache").get("redis").unwrap_or(&Value::Null),
        Value::Null
    );
}

#[test]
fn operators_have_a_listener_on_this_machine_alone() {
    let with = rendered("cache: {}");
    let operator = with.operator.as_ref().unwrap();
    let mut config = operator.config.clone();
    assert_eq!(config.as_object_mut().unwrap().shift_remove("operator"), Some(json!(true)));
    assert_eq!(config, *plugin(&with, "response-cache"), "the same store");
    let listeners = file(&with, "listeners.yaml").text;
    let (_, own) = listeners.split_once("name: sluice.operator").unwrap();
    assert!(own.contains("socket_address: {address: \"127.0.0.1\", port_value: 0}"), "{own}");
    assert!(own.contains("root_id: response-cache") && own.contains("\"operator\": true"), "{own}");
    assert!(rendered("").operator.is_none());
}

const SERVICES: &str = "guard:
  on_error: allow
  max_hold: 2s
  checks:
    - {name: words, on: request, keywords: [a, b], whole_words: true, models: 'x*', when: {has: [tools]}, action: mask}
    - {name: ids, on: [response], regex: ['a\\b'], action: log}
    - {name: openai, url: 'https://api.openai.com/v1/moderations', key: env:GUARD_KEY, model: omni, min_risk: high}
    - {name: own, url: 'http://10.0.0.1:9200/check?v=1', protocol: generic, timeout: 90ms}
    - {name: keys, detect: [api_key, jwt]}
  refusal: {as: completion, message: No.}
timeouts: {connect: 200ms}
";

#[test]
fn content_guard_gets_every_check() {
    let with = rendered(SERVICES);
    let service = |at: usize| &plugin(&with, "content-guard")["checks"][at]["service"];
    let clusters = [2, 3].map(|at| service(at)["cluster"].as_str().unwrap());
    let both = ["request", "response"];
    let want = json!({
        "on_error": "allow", "max_body_bytes": 33_554_432, "max_hold_ms": 2000,
        "checks": [
            {
                "name": "words", "on": ["request"], "models": ["x*"], "when": {"has": ["tools"]},
                "keywords": ["a", "b"], "whole_words": true, "action": "mask",
            },
            {"name": "ids", "on": ["response"], "regex": ["a\\b"], "action": "log"},
            {
                "name": "openai", "on": both,
                "service": {
                    "cluster": clusters[0], "authority": "api.openai.com", "path": "/v1/moderations",
                    "protocol": "openai", "timeout_ms": 500, "key": {"env": "GUARD_KEY"}, "model": "omni",
                },
                "min_risk": "high", "action": "block",
            },
            {
                "name": "own", "on": both,
                "service": {
                    "cluster": clusters[1], "authority": "10.0.0.1:9200", "path": "/check?v=1",
                    "protocol": "generic", "timeout_ms": 90,
                },
                "action": "block",
            },
            {"name": "keys", "on": both, "detect": ["api_key", "jwt"], "action": "block"},
        ],
        "refusal": {"as": "completion", "message": "No."},
    });
    assert_eq!(*plugin(&with, "content-guard"), want);
}

#[test]
fn a_service_has_a_cluster_that_another_content_never_alters() {
    let with = rendered(SERVICES);
    let find = |rendered: &Rendered, name: &str| -> Value {
        let own =
            rendered.clusters.iter().find(|cluster| cluster.name.starts_with(&format!("guard.{name}.")));
        own.unwrap().resource.clone()
    };
    let openai = find(&with, "openai");
    assert_eq!((&openai["type"], &openai["connect_timeout"]), (&json!("STRICT_DNS"), &json!("0.2s")));
    let tls = &openai["transport_socket"]["typed_config"];
    assert_eq!(tls["sni"], "api.openai.com");
    let validation = &tls["common_tls_context"]["validation_context"];
    assert_eq!(validation["trusted_ca"]["filename"], "/ca.pem");
    assert_eq!(validation["match_typed_subject_alt_names"][0]["matcher"]["exact"], "api.openai.com");
    let own = find(&with, "own");
    assert_eq!((&own["type"], &own["connect_timeout"]), (&json!("STATIC"), &json!("0.09s")));
    assert_eq!(own["transport_socket"], Value::Null);
    let moved = find(&rendered(&SERVICES.replace("10.0.0.1", "10.0.0.2")), "own");
    assert_ne!(moved["name"], own["name"]);
    let same = find(&rendered(&SERVICES.replace("v=1", "v=2")), "own");
    assert_eq!(same["name"], own["name"], "what is asked for is no matter of the cluster");
}

#[test]
fn a_key_of_a_service_stands_in_no_file_or_in_one_of_its_owner_alone() {
    let guard = |key: &str| {
        let yaml = format!("guard: {{checks: [{{name: a, url: 'http://a/moderations', {key}}}]}}\n");
        let with = rendered(&yaml);
        (file(&with, "filters/gateway.yaml"), with.environment)
    };
    let (by_name, environment) = guard("key: env:GUARD_KEY");
    assert!(by_name.text.contains("\"env\":\"GUARD_KEY\"") && !by_name.secret, "{}", by_name.text);
    assert!(by_name.text.contains("host_env_keys: [GUARD_KEY]"), "{}", by_name.text);
    assert_eq!(environment, ["GUARD_KEY"]);
    for literal in ["key: sk-literal-0123456789", "headers: {x-key: sk-literal-0123456789}"] {
        let (file, environment) = guard(literal);
        assert!(file.secret && file.text.contains("sk-literal-0123456789") && environment.is_empty());
    }
}

#[test]
fn ai_log_is_told_what_decides_and_what_it_costs() {
    let rendered = rendered(
        "credentials: {headers: X-My-Key}\n\
         limits: [{name: a, by: ['header:X-User'], when: {headers: {x-My-key: s*, X-Team: a}}, requests: 5, per: 1m}]\n\
         guard: {checks: [{name: c, detect: [email], when: {headers: {x-team: b, authorization: c*}}}]}\n\
         prices: {'gpt-*': {input: 2.5, output: 10}}\n\
         metrics: {max_models: 7}\n",
    );
    let want = json!({
        "headers": ["x-team", "x-user"],
        "prices": [{"match": "gpt-*", "input": 2.5, "cached": 2.5, "output": 10}],
        "metrics": {"max_models": 7, "max_label_sets": 1000},
    });
    assert_eq!(*plugin(&rendered, "ai-log"), want);
}

#[test]
fn models_that_rules_name_are_told_to_ai_log() {
    let yaml = "providers: {a: {url: http://a/v1}}\n\
                models: [{match: ['{gpt-4o,o3}', 'b\\*', 'c*'], sticky: header:X-Side, targets: [{provider: a}]}, \
                {match: o3-mini, when: {headers: {x-a: b}}, targets: [{provider: a}]}]";
    let loaded = check(Path::new("gateway.yaml"), yaml.as_bytes(), &CheckOptions { env: &|_| None });
    let gateway = loaded.gateway.unwrap_or_else(|| panic!("{}", loaded.report));
    let rendered = render(&gateway, &rendering());
    let config = plugin(&rendered, "ai-log");
    assert_eq!(config["models"], json!(["b*", "gpt-4o", "o3", "o3-mini"]));
    assert_eq!(config["headers"], json!(["x-a", "x-side"]));
}

const TRACING: &str =
    "tracing: {url: 'https://collector:4318/v1/traces', sample: 12.5, service: edge, timeout: 2s";

/// What the connection manager says.
fn manager(rendered: &Rendered) -> &Value {
    &rendered.listener["filter_chains"][0]["filters"][0]["typed_config"]
}

#[test]
fn tracing_goes_to_a_cluster_of_its_own() {
    let rendered = rendered(&format!("{TRACING}}}"));
    let tracing = &manager(&rendered)["tracing"];
    assert_eq!(
        (&tracing["random_sampling"], &tracing["max_path_tag_length"]),
        (&json!({"value": 100}), &json!(0))
    );
    let tracer = &tracing["provider"]["typed_config"];
    assert_eq!(tracer["service_name"], "edge");
    let sampler = &tracer["sampler"]["typed_config"]["wrapped_sampler"]["typed_config"];
    assert_eq!(sampler["sampling_percentage"], json!({"numerator": 1250, "denominator": "TEN_THOUSAND"}));
    let uri = json!({"uri": "https://collector:4318/v1/traces", "cluster": "sluice.traces", "timeout": "2s"});
    assert_eq!(tracer["http_service"]["http_uri"], uri);
    let cluster = cluster(&rendered, "sluice.traces").unwrap();
    assert_eq!((&cluster["type"], &cluster["connect_timeout"]), (&json!("STRICT_DNS"), &json!("2s")));
    assert_eq!(cluster["transport_socket"]["typed_config"]["sni"], "collector");
    assert_eq!(cluster["load_assignment"]["cluster_name"], "sluice.traces");
    let line = manager(&rendered)["access_log"].to_string();
    assert_eq!(line.matches(r#"\"trace_id\":\"%TRACE_ID%\""#).count(), 1, "{line}");
}

#[test]
fn every_answer_names_its_record_and_the_providers_own_id() {
    let rendered = rendered("");
    assert_eq!(manager(&rendered)["always_set_request_id_in_response"], true);
    let added = &rendered.routes["virtual_hosts"][0]["response_headers_to_add"];
    assert_eq!(added[0]["header"], json!({"key": "x-provider-request-id", "value": "%RESP(x-request-id)%"}));
}

#[test]
fn without_tracing_there_is_none_but_it_can_be_added_live() {
    let (without, with) = (rendered(""), rendered(&format!("{TRACING}}}")));
    assert!(manager(&without)["tracing"].is_null() && cluster(&without, "sluice.traces").is_none());
    assert!(!manager(&without)["access_log"].to_string().contains("TRACE"));
    assert_eq!(without.bootstrap, with.bootstrap);
    let filters = |rendered: &Rendered| manager(rendered)["http_filters"].clone();
    assert_eq!(filters(&without), filters(&with));
}

#[test]
fn a_collectors_secret_stands_in_no_file_or_in_one_of_its_owner_alone() {
    let listeners =
        |headers: &str| file(&rendered(&format!("{TRACING}, headers: {{{headers}}}}}")), "listeners.yaml");
    let by_name = listeners("authorization: env:GUARD_KEY");
    assert!(by_name.text.contains("%ENVIRONMENT(GUARD_KEY)%") && !by_name.text.contains("sk-env"));
    assert!(!by_name.secret);
    let literal = listeners("x-key: 'sk-100%literal'");
    assert!(literal.text.contains("sk-100%%literal") && literal.secret, "{}", literal.text);
    let query =
        file(&rendered(&format!("{TRACING}}}").replace("/traces", "/traces?key=sk-query")), "listeners.yaml");
    assert!(query.text.contains("sk-query") && query.secret, "{}", query.text);
}
