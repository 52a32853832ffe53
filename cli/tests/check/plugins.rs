//! What the file's own check takes, every plugin takes: over files that are good or nearly so.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::checked;

/// Fewest good files among all: with fewer the property would say little.
const GOOD: u32 = 100;
const CASES: u32 = 1024;

fn text(pattern: &'static str) -> impl Strategy<Value = Value> {
    pattern.prop_map(Value::from)
}

fn key() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => Just(json!("env:KEY_1")),
        2 => (1_u32..=1000).prop_map(|weight| json!({"key": "env:KEY_2", "weight": weight})),
        1 => (0_u32..=1001).prop_map(|weight| json!({"key": "sk-literal", "weight": weight})),
    ]
}

fn header_name() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "[A-Za-z][A-Za-z0-9!#$%&'*+.^_`|~-]{0,20}",
        1 => proptest::sample::select(vec![
            "Cookie", "set-cookie", "accept-encoding", "connection", "content-length", "host", "transfer-encoding",
            "upgrade", "authorization", "content-type", "accept", "te", "keep-alive", "x-api-key",
        ]).prop_map(str::to_owned),
    ]
}

fn provider() -> impl Strategy<Value = Value> {
    let rotation = proptest::sample::select(vec!["weighted", "weighted", "weighted", "random"]);
    let keys = proptest::collection::vec(key(), 1..3);
    let headers = proptest::collection::btree_map(header_name(), text("[ -~é]{1,20}|env:KEY_1"), 0..3);
    (keys, proptest::option::of(rotation), headers).prop_map(|(keys, rotation, headers)| {
        let mut provider = json!({"url": "http://a/v1", "keys": keys, "headers": headers});
        if let Some(rotation) = rotation {
            provider["rotation"] = rotation.into();
        }
        provider
    })
}

/// A rule whose optional fields are each there or not.
fn rule() -> impl Strategy<Value = Value> {
    let glob = || prop_oneof![9 => text("[a-c*?/é]{1,6}"), 1 => text("[a-c*?!\\[\\]{},\\\\-]{1,6}")];
    let target = (0_u32..=3, text("[ -~é]{1,12}"))
        .prop_map(|(weight, model)| json!({"provider": "a", "model": model, "weight": weight}));
    let sticky =
        prop_oneof![Just(json!("consumer")), header_name().prop_map(|n| json!(format!("header:{n}")))];
    let when = (proptest::collection::btree_map(header_name(), glob(), 1..3), 1_u64..9, 1_u64..=u64::from(u32::MAX))
        .prop_map(|(headers, min, max)| {
            json!({"headers": headers, "min_input_tokens": min, "max_input_tokens": max, "has": ["tools"]})
        });
    let optional = (proptest::option::of(sticky), proptest::option::of(when), proptest::bool::weighted(0.2));
    let targets = proptest::collection::vec(target, 1..4);
    (proptest::collection::vec(glob(), 1..3), targets, optional).prop_map(|(globs, targets, optional)| {
        let mut rule =
            json!({"match": globs, "targets": targets, "fallback": [{"provider": "a", "model": "m"}]});
        let prefix = optional.2.then(|| json!("a"));
        for (name, value) in [("sticky", optional.0), ("when", optional.1), ("strip_prefix", prefix)] {
            if let Some(value) = value {
                rule[name] = value;
            }
        }
        rule
    })
}

/// A consumer whose optional fields are each there or not; of 26 names some are alike.
fn consumer() -> impl Strategy<Value = Value> {
    let name = prop_oneof![9 => text("[a-z]"), 1 => text("[ -~é]{1,3}")];
    let key = prop_oneof![
        9 => "[0-9a-f]{64}".prop_map(|hex| json!(format!("sha256:{hex}"))),
        1 => text("env:LONG_KEY|[ -~é]{1,20}"),
    ];
    let texts = |pattern| proptest::collection::vec(text(pattern), 1..3);
    let lists = (
        texts("[a-c*?,{}\\\\]{1,5}"),
        texts("/[a-c*/.%]{0,5}"),
        texts("10\\.0\\.0\\.[0-9]/(8|24|32)|::ffff:10\\.0\\.0\\.1/104"),
    );
    let expires = proptest::sample::select(vec!["2999-01-01", "1969-12-31", "2020-02-02T02:02:02.5+08:00"]);
    let metadata = proptest::collection::btree_map("[ -~é]{1,4}", text("[ -~é]{1,9}"), 1..3);
    let which = proptest::collection::vec(proptest::bool::weighted(0.3), 7);
    (name, proptest::collection::vec(key, 0..3), lists, expires, metadata, which).prop_map(
        |(name, keys, (models, routes, from), expires, metadata, which)| {
            let mut consumer = json!({"name": name, "keys": keys});
            let fields = [
                ("tier", name.clone()),
                ("models", json!(models)),
                ("routes", json!(routes)),
                ("from", json!(from)),
                ("expires", json!(expires)),
                ("disabled", json!(true)),
                ("metadata", json!(metadata)),
            ];
            for ((field, value), _) in fields.into_iter().zip(which).filter(|(_, is_there)| *is_there) {
                consumer[field] = value;
            }
            consumer
        },
    )
}

/// `credentials` or nothing.
fn credentials() -> impl Strategy<Value = Value> {
    let headers = proptest::collection::vec(header_name(), 1..3);
    prop_oneof![
        3 => Just(Value::Null),
        1 => (headers, text("[a-zA-Z._~-]{1,5}")).prop_map(|(headers, query)| json!({"headers": headers, "query": query})),
    ]
}

/// `consumers`, `anonymous` and `credentials`, each there or not.
fn callers() -> impl Strategy<Value = Value> {
    let consumers = proptest::collection::vec(consumer(), 0..4);
    (consumers, proptest::bool::ANY, credentials()).prop_map(|(consumers, anonymous, credentials)| {
        let mut callers = json!({});
        if let (Some(first), true) = (consumers.first(), anonymous) {
            callers["anonymous"] = first["name"].clone();
        }
        if !consumers.is_empty() {
            callers["consumers"] = consumers.into();
        }
        if !credentials.is_null() {
            callers["credentials"] = credentials;
        }
        callers
    })
}

/// [`checked`] holds the plugins to it.
#[test]
fn consumers_that_the_check_takes_consumer_auth_takes() {
    let good = Cell::new(0_u32);
    let look = |mut file: Value| {
        file["providers"] = json!({"a": {"url": "http://a/v1"}});
        file["models"] = json!([{"match": "*", "targets": [{"provider": "a"}]}]);
        let (gateway, _) = checked(file.to_string().as_bytes());
        good.set(good.get() + u32::from(gateway.is_some_and(|gateway| !gateway.consumers.is_empty())));
        Ok(())
    };
    TestRunner::new(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })
        .run(&callers(), look)
        .unwrap();
    assert!(good.get() >= GOOD, "{} good files", good.get());
}

/// An amount near a bound, or anywhere.
fn amount() -> impl Strategy<Value = Value> {
    prop_oneof![0_u64..3, (1_u64 << 53) - 3..(1 << 53) + 1, any::<u64>()].prop_map(Value::from)
}

/// A decimal number as text, so that it stands in the file as it is.
fn decimal(places: u32) -> impl Strategy<Value = Value> {
    let whole = prop_oneof![Just(0_u64), Just(1), 999_999_u64..1_000_001, 8_999_999_u64..9_000_001];
    (whole, 0..=10_u64.pow(places)).prop_map(move |(whole, rest)| {
        json!(format!("{whole}.{rest:0places$}", places = usize::try_from(places).unwrap()))
    })
}

/// A limit of which little is wrong.
fn limit() -> impl Strategy<Value = Value> {
    let measure = proptest::sample::select(vec![
        "total_tokens",
        "weighted",
        "input_tokens",
        "output_tokens",
        "requests",
        "in_flight",
        "cost_usd",
    ]);
    let by = proptest::sample::subsequence(
        vec!["consumer", "tier", "key", "model", "rule", "ip", "header:X-A"],
        0..=7,
    );
    let models = proptest::option::of(proptest::collection::vec(text("[a-c*?/é]{1,6}"), 1..3));
    let amounts = (amount(), decimal(9), 1_u64..9_000_000_000_001, decimal(3), decimal(3));
    let rest = (text("[a-zA-Z0-9._-]{1,64}"), text("[ -~é]{1,20}"), proptest::bool::ANY, 1_u64..366 * 24);
    (measure, by, models, amounts, rest).prop_map(
        |(measure, by, models, amounts, (name, message, terminal, hours))| {
            let mut limit = json!({"name": name, "by": by, "message": message, "terminal": terminal});
            match measure {
                "cost_usd" => limit[measure] = amounts.1,
                "weighted" => {
                    limit["total_tokens"] = amounts.2.into();
                    limit[measure] = json!({"input": amounts.3, "cached": amounts.4});
                }
                measure => limit[measure] = amounts.0,
            }
            if measure != "in_flight" {
                limit["per"] = format!("{hours}h").into();
            }
            if let Some(models) = models {
                limit["models"] = models.into();
            }
            limit
        },
    )
}

/// [`checked`] holds the plugins to it.
#[test]
fn limits_that_the_check_takes_token_limit_takes() {
    let good = Cell::new(0_u32);
    let look = |(limits, [input, output]): (Vec<Value>, [Value; 2])| {
        let file = json!({
            "providers": {"a": {"url": "http://a/v1"}},
            "models": [{"match": "*", "targets": [{"provider": "a"}]}],
            "limits": limits,
            "prices": {"*": {"input": input, "output": output}},
            "redis": {"url": "redis://a"},
        });
        let (gateway, _) = checked(file.to_string().as_bytes());
        good.set(good.get() + u32::from(gateway.is_some_and(|gateway| !gateway.limits.is_empty())));
        Ok(())
    };
    TestRunner::new(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })
        .run(&(proptest::collection::vec(limit(), 1..3), [decimal(6), decimal(6)]), look)
        .unwrap();
    assert!(good.get() >= GOOD, "{} good files", good.get());
}

/// A cache of which little is wrong.
fn cache() -> impl Strategy<Value = Value> {
    let scope = proptest::sample::select(vec!["consumer", "tier", "everyone"]);
    let models = proptest::option::of(proptest::collection::vec(text("[a-c*?/é\\[]{1,6}"), 1..3));
    let sizes = (1_u64..70_000, 1_u64..20_000);
    (scope, models, sizes, 1_u64..10_000, 1_u64..700_000, proptest::bool::ANY).prop_map(
        |(scope, models, (entry, memory), hours, wait, streams)| {
            let mut cache = json!({
                "ttl": format!("{hours}h"), "scope": scope, "max_entry": format!("{entry}KiB"),
                "memory": format!("{memory}MiB"), "max_wait": format!("{wait}ms"), "coalesce_streams": streams,
            });
            if let Some(models) = models {
                cache["models"] = models.into();
            }
            cache
        },
    )
}

/// A check of which little is wrong.
fn check() -> impl Strategy<Value = Value> {
    let words = || proptest::collection::vec(text("[a-zäß中ｗ -]{1,12}|[ -~é]{1,300}"), 1..4);
    let regexes =
        proptest::collection::vec(text("[a-c.*+?|()\\[\\]^$0-9{},-]{1,9}|\\(\\?i\\)é|\\\\[dwbsSpn]+x"), 1..3);
    let detect = proptest::sample::subsequence(
        vec!["email", "phone", "card", "cn_id", "api_key", "jwt", "private_key"],
        1..=7,
    );
    let url = "http://[a-z0-9.-]{1,9}(:[0-9]{1,5})?(/[!-~]{0,9})?|https://\\[::1\\]/moderations";
    let headers = proptest::collection::btree_map(header_name(), text("[ -~é]{1,9}|env:KEY_1"), 0..2);
    let key = proptest::option::of(text("env:KEY_1|sk-[ -~é]{0,9}"));
    let generic =
        (proptest::bool::ANY, 1_u64..31_000, proptest::sample::select(vec!["low", "medium", "high"]));
    let service = (url, headers, key, generic).prop_map(|(url, headers, key, (generic, timeout, risk))| {
        let mut service = json!({
            "url": url, "headers": headers, "timeout": format!("{timeout}ms"), "min_risk": risk,
            "protocol": if generic { "generic" } else { "openai" },
        });
        if let Some(key) = key {
            service["key"] = key;
        }
        if !generic {
            service["model"] = "omni".into();
        }
        service
    });
    let finder = prop_oneof![
        (words(), proptest::bool::ANY)
            .prop_map(|(words, whole)| json!({"keywords": words, "whole_words": whole})),
        regexes.prop_map(|regexes| json!({"regex": regexes})),
        detect.prop_map(|detect| json!({"detect": detect})),
        service,
    ];
    let action = proptest::sample::select(vec!["block", "mask", "log"]);
    let on = proptest::sample::subsequence(vec!["request", "response"], 1..=2);
    (text("[a-zA-Z0-9_-]{1,66}"), on, action, finder).prop_map(|(name, on, action, mut check)| {
        check["name"] = name;
        check["on"] = on.into();
        check["action"] = action.into();
        check
    })
}

/// [`checked`] holds the plugins to it.
#[test]
fn caches_and_guards_that_the_check_takes_their_plugins_take() {
    let (caches, guards) = (Cell::new(0_u32), Cell::new(0_u32));
    let base = json!({
        "providers": {"a": {"url": "http://a/v1"}}, "models": [{"match": "*", "targets": [{"provider": "a"}]}],
        "redis": {"url": "redis://a"},
    });
    let look = |(cache, checks, message, hold): (Value, Vec<Value>, Value, u64)| {
        let mut file = base.clone();
        file["cache"] = cache;
        caches.set(caches.get() + u32::from(checked(file.to_string().as_bytes()).0.is_some()));
        let mut file = base.clone();
        file["guard"] =
            json!({"checks": checks, "max_hold": format!("{hold}ms"), "refusal": {"message": message}});
        guards.set(guards.get() + u32::from(checked(file.to_string().as_bytes()).0.is_some()));
        Ok(())
    };
    let checks = proptest::collection::vec(check(), 1..3);
    TestRunner::new(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })
        .run(&(cache(), checks, text("[ -~é]{1,500}"), 1_u64..31_000), look)
        .unwrap();
    assert!(caches.get() >= GOOD && guards.get() >= GOOD, "{} caches, {} guards", caches.get(), guards.get());
}

fn file() -> impl Strategy<Value = Value> {
    let retry = (1_u32..=100, 1_u32..=1000, proptest::collection::vec(300_u16..=600, 0..3));
    let hold = (proptest::sample::select(vec!["first_content", "headers"]), 1_u32..=60, 1_u32..=65536);
    let rules = proptest::collection::vec(rule(), 1..3);
    let idle = proptest::sample::select(vec!["1ms", "60s", "1h"]);
    (provider(), rules, retry, hold, idle, 1_u32..=1024).prop_map(|(provider, rules, retry, hold, idle, body)| {
        json!({
            "providers": {"a": provider},
            "models": rules,
            "max_request_body": format!("{body}MiB"),
            "timeouts": {"first_token": idle, "idle": idle},
            "retry": {"per_target": retry.0, "attempts": retry.1, "on": retry.2},
            "hold": {"until": hold.0, "max": format!("{}m", hold.1), "max_bytes": format!("{}KiB", hold.2)},
        })
    })
}

/// [`checked`] holds the plugins to it.
#[test]
fn what_the_check_takes_every_plugin_takes() {
    let good = Cell::new(0_u32);
    let look = |file: Value| {
        let (gateway, _) = checked(file.to_string().as_bytes());
        good.set(good.get() + u32::from(gateway.is_some()));
        Ok(())
    };
    TestRunner::new(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })
        .run(&file(), look)
        .unwrap();
    assert!(good.get() >= GOOD, "{} good files", good.get());
}

/// The bounds of every number, and every word that can be chosen.
#[test]
fn every_plugin_takes_every_bound() {
    for more in [
        "max_request_body: 1KiB",
        "max_request_body: 1GiB",
        "retry: {per_target: 100, attempts: 1000, on: []}",
        "retry: {per_target: 1, attempts: 1, on: [300, 399, 401, 402, 403, 499, 599], backoff: 1ms}",
        "hold: {until: headers}",
        "hold: {max: 1ms, max_bytes: 1KiB}",
        "hold: {max: 1h, max_bytes: 64MiB}",
        "timeouts: {connect: 1ms, first_token: 1ms, idle: 1ms, request: 1ms}",
        "timeouts: {connect: 1h, first_token: 1h, idle: 1h, request: 24h}",
        "log: {prompts: off, max_chars: 1000000}",
        "log: {prompts: truncated, max_chars: 1}",
        "log: {prompts: truncated, max_chars: 1000000}",
        "log: {prompts: full}",
        "limits: [{name: a, total_tokens: 1, per: 1s}, {name: b, total_tokens: 9007199254740991, per: 366d, models: x}]",
        "limits: [{name: a, in_flight: 1}, {name: b, in_flight: 9007199254740991, models: x}]",
        "limits: [{name: a, total_tokens: 9000000000000, weighted: {input: 0.001, cached: 0, output: 1000000}, per: 1s}]",
        "limits: [{name: a, cost_usd: 0.000000001, per: 1s}, {name: b, cost_usd: 9000000, per: 1s, models: x}]\n\
         prices: {a: {input: 0.000001, cached: 0, output: 1000000}, '*': {input: 0, output: 1}}",
        "limits: [{name: a, requests: 1, per: 1s}]\nredis: {url: redis://a, timeout: 1ms}",
        "cache: {ttl: 1s, max_entry: 1KiB, memory: 1MiB, max_wait: 10ms}",
        "cache: {ttl: 366d, max_entry: 64MiB, memory: 16GiB, max_wait: 10m, coalesce_streams: true}",
        "cache: {}\nredis: {url: redis://a, timeout: 5s}",
        "max_request_body: 1KiB\nguard: {max_hold: 10ms, checks: [{name: a, url: 'http://a', protocol: generic, timeout: 1ms}]}",
        "max_request_body: 1GiB\nguard: {max_hold: 30s, checks: [{name: a, url: 'http://a', protocol: generic, timeout: 30s}]}",
        "limits: [{name: a, requests: 1, per: 1s}]\nredis: {url: [rediss://a, rediss://b], cluster: true, timeout: 5s}",
    ] {
        let file = format!(
            "providers: {{a: {{url: http://a/v1, keys: [{{key: env:KEY_1, weight: 1}}, {{key: env:KEY_2, weight: 1000}}]}}}}\n\
             models: [{{match: '*', targets: [{{provider: a, weight: 1000000}}, {{provider: a, model: m, weight: 0}}]}}]\n{more}"
        );
        let (gateway, report) = checked(file.as_bytes());
        assert!(gateway.is_some(), "{report}");
    }
}
