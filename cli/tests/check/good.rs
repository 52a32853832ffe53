//! Good files, and what they become.

use std::time::Duration;

use sluice::gateway::{
    Action, Amount, Balance, Cache, Contract, Failure, Finder, Form, Gateway, OnError, Origin, Risk,
    Rotation, Scheme, Scope, Sticky,
};

use sluice_core::detect::Detector;

use super::checked;

const WHOLE: &str = include_str!("whole.yaml");
const EXAMPLE: &str = include_str!("example.yaml");
const LEAST: &str = "providers: {a: {url: http://a/v1}}\nmodels: [{match: \"*\", targets: [{provider: a}]}]";

fn good(yaml: &str) -> Gateway {
    let (gateway, report) = checked(yaml.as_bytes());
    gateway.unwrap_or_else(|| panic!("{report}"))
}

#[test]
fn everything_but_providers_and_models_has_a_default() {
    let gateway = good(LEAST);
    assert_eq!(gateway.listen.to_string(), "127.0.0.1:10000");
    assert_eq!(gateway.admin.to_string(), "127.0.0.1:9901");
    assert_eq!(gateway.tls, None);
    assert_eq!(gateway.max_request_body, 32 * 1024 * 1024);
    let times = &gateway.timeouts;
    let seconds = [times.connect, times.first_token, times.idle, times.request].map(|time| time.as_secs());
    assert_eq!(seconds, [3, 15, 60, 600]);
    assert_eq!((gateway.retry.per_target, gateway.retry.attempts), (2, None));
    assert_eq!(gateway.retry.on, [408, 429, 500, 502, 503, 504, 529]);
    assert_eq!(gateway.retry.backoff, Duration::from_millis(50));
    assert_eq!((gateway.hold.until.as_str(), gateway.hold.max.as_secs()), ("first_content", 15));
    assert_eq!(gateway.hold.max_bytes, 256 * 1024);
    assert_eq!((gateway.log.prompts.as_str(), gateway.log.max_chars), ("off", 2000));
    let provider = gateway.provider("a").unwrap();
    assert_eq!((provider.rotation, provider.balance), (Rotation::RoundRobin, Balance::LeastRequest));
    assert_eq!(gateway.models[0].sticky, Sticky::Request);
    assert_eq!(gateway.attempts(&gateway.models[0]), 2);
}

#[test]
fn every_field_is_read() {
    let gateway = good(WHOLE);
    assert_eq!(gateway.listen.to_string(), "0.0.0.0:8443");
    assert_eq!(gateway.admin.to_string(), "[::1]:9999");
    let pai = gateway.provider("pai").unwrap();
    let hosts: Vec<String> = pai.endpoints.iter().map(|replica| replica.authority(pai.scheme)).collect();
    assert_eq!(hosts, ["10.0.0.8:8000", "[fd00::9]", "pai.internal."]);
    assert_eq!((pai.scheme, pai.path.as_str(), pai.balance), (Scheme::Http, "/v1", Balance::RingHash));
    let openai = gateway.provider("openai").unwrap();
    assert_eq!((openai.rotation, openai.endpoints[0].port), (Rotation::Weighted, 443));
    assert_eq!(openai.keys.iter().map(|key| key.weight).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(openai.headers.keys().collect::<Vec<_>>(), ["x-secret", "x-team"]);
    let rule = &gateway.models[0];
    assert_eq!(rule.when.headers["x-team"], "s*");
    assert_eq!((rule.when.min_input_tokens, rule.when.max_input_tokens), (Some(1), Some(90)));
    assert_eq!(rule.sticky, Sticky::Header("x-user".into()));
    assert_eq!(rule.targets.iter().map(|target| target.weight).collect::<Vec<_>>(), [90, 10]);
    assert_eq!(rule.fallback[0].model.as_deref(), Some("qwen-max"));
    assert_eq!(gateway.models[1].strip_prefix.as_deref(), Some("openai/"));
    assert_eq!(gateway.retry.on, [429, 503]);
    assert_eq!(gateway.attempts(rule), 7);
}

#[test]
fn metrics_are_bounded_and_spans_go_nowhere_unless_told() {
    let gateway = good(LEAST);
    assert_eq!((gateway.metrics.max_models, gateway.metrics.max_label_sets), (100, 1000));
    assert_eq!(gateway.tracing, None);
    let gateway = good(WHOLE);
    assert_eq!((gateway.metrics.max_models, gateway.metrics.max_label_sets), (500, 20_000));
    let tracing = gateway.tracing.unwrap();
    assert_eq!(tracing.endpoint.authority(tracing.scheme), "collector.internal:4318");
    assert_eq!((tracing.path.as_str(), tracing.sample.to_string().as_str()), ("/v1/traces", "12.5"));
    assert_eq!((tracing.service.as_str(), tracing.timeout.as_secs()), ("edge", 2));
    assert_eq!(tracing.headers.keys().collect::<Vec<_>>(), ["authorization", "x-tenant"]);
    let least = good(&format!("{LEAST}\ntracing: {{url: http://a/v1/traces}}")).tracing.unwrap();
    assert_eq!((least.sample.to_string().as_str(), least.service.as_str()), ("100", "sluice"));
    assert_eq!((least.timeout, least.headers.len()), (Duration::from_secs(1), 0));
}

#[test]
fn the_annotated_example_has_no_mistake() {
    let gateway = good(EXAMPLE);
    assert_eq!((gateway.providers.len(), gateway.models.len()), (3, 3));
    assert_eq!(gateway.attempts(&gateway.models[0]), 6);
}

#[test]
fn any_number_of_aliases_stand_in_a_file() {
    let names =
        (0..200).map(|n| format!("  - {{name: n{n}, keys: [sk-0123456789abcdef-{n}], models: *m}}\n"));
    let consumers: String = names.collect();
    let gateway = good(&format!("{LEAST}\nconsumers:\n  - {{name: a, models: &m [\"gpt-*\"]}}\n{consumers}"));
    assert_eq!(gateway.consumers.len(), 201);
    assert!(gateway.consumers.iter().all(|consumer| consumer.models == ["gpt-*"]));
}

#[test]
fn consumers_are_read_whole() {
    let gateway = good(WHOLE);
    let [app, guest] = &gateway.consumers[..] else { panic!("{:?}", gateway.consumers) };
    assert_eq!((app.name.as_str(), app.tier.as_deref(), app.disabled), ("mobile-app", Some("gold"), true));
    assert_eq!(app.keys[0].origin, Origin::Env("LONG_KEY".into()));
    assert_eq!(app.keys[1].origin, Origin::Nowhere);
    assert!(app.keys[1].sha256.starts_with("5e884898da"));
    assert_eq!((&app.models, &app.routes), (&vec!["gpt-*".to_owned()], &vec!["/v1/chat/*".to_owned()]));
    let from: Vec<String> = app.from.iter().map(ToString::to_string).collect();
    assert_eq!(from, ["10.0.0.0/8", "127.0.0.1/32", "fd00::/8"]);
    assert_eq!(app.expires_s, Some(32_487_696_000));
    assert_eq!(app.metadata["team"], "search");
    assert_eq!((gateway.anonymous.as_deref(), guest.keys.len()), (Some("guest"), 0));
    assert_eq!(gateway.credentials.headers, ["x-my-key"]);
    assert_eq!(gateway.credentials.query.as_deref(), Some("key"));
    assert_eq!(gateway.models[0].when.tier.as_deref(), Some("gold"));
    assert_eq!(gateway.models[1].sticky, Sticky::Consumer);
}

#[test]
fn limits_prices_and_redis_are_read_whole() {
    let gateway = good(WHOLE);
    let [whole, _, _, _, at_once, budget] = &gateway.limits[..] else { panic!("{:?}", gateway.limits) };
    let by: Vec<String> = whole.by.iter().map(ToString::to_string).collect();
    assert_eq!(by, ["consumer", "tier", "key", "model", "rule", "ip", "header:x-user"]);
    assert_eq!(
        (&whole.models[..], whole.when.tier.as_deref()),
        (&["gpt-*", "openai/*"].map(String::from)[..], Some("gold"))
    );
    let Amount::Weighted(100_000, weights) = &whole.amount else { panic!("{:?}", whole.amount) };
    assert_eq!([weights.input, weights.output].map(|weight| weight.units()), [1000, 4000]);
    assert_eq!(weights.cached.map(|weight| weight.units()), Some(100));
    assert_eq!((whole.per, at_once.per), (Some(Duration::from_mins(1)), None));
    assert!(matches!(&budget.amount, Amount::CostUsd(most) if most.units() == 50_000_000_001));
    assert!(budget.terminal && budget.message.is_some() && !whole.terminal && whole.message.is_none());
    let globs: Vec<&str> = gateway.prices.iter().map(|price| price.models.as_str()).collect();
    assert_eq!(globs, ["gpt-4*", "pai/*", "*"], "in the order of the file");
    assert_eq!(
        (gateway.prices[0].cached.map(|price| price.units()), gateway.prices[1].cached),
        (Some(1_250_000), None)
    );
    let redis = gateway.redis.unwrap();
    let nodes: Vec<(String, u16)> =
        redis.nodes.iter().map(|node| (node.host.to_string(), node.port)).collect();
    assert_eq!(nodes, [("r1.internal".to_owned(), 6379), ("fd00::1".to_owned(), 7000)]);
    assert_eq!(
        (redis.tls, redis.cluster, redis.timeout, redis.on_error),
        (true, true, Duration::from_millis(20), OnError::Deny)
    );
}

#[test]
fn without_a_redis_nothing_is_assumed_of_one() {
    let gateway = good(LEAST);
    assert_eq!((gateway.limits.len(), gateway.prices.len(), gateway.redis), (0, 0, None));
    let redis = good(&format!("redis: {{url: redis://a}}\n{LEAST}")).redis.unwrap();
    assert_eq!(
        (redis.timeout, redis.on_error, redis.nodes[0].port),
        (Duration::from_millis(50), OnError::Local, 6379)
    );
}

#[test]
fn the_cache_is_read_whole() {
    let cache = good(WHOLE).cache.unwrap();
    assert_eq!((cache.ttl, cache.max_wait), (Duration::from_mins(30), Duration::from_secs(5)));
    assert_eq!((cache.scope, cache.coalesce_streams), (Scope::Tier, true));
    assert_eq!((cache.max_entry, cache.memory), (512 << 10, 32 << 20));
    assert_eq!(cache.models, ["gpt-*", "openai/*"]);
    let default = good(&format!("cache: {{}}\n{LEAST}")).cache.unwrap();
    assert_eq!(default, Cache::default());
    assert_eq!(
        (default.ttl.as_secs(), default.scope, default.models),
        (3600, Scope::Consumer, vec!["*".to_owned()])
    );
    assert_eq!((default.max_entry, default.memory, default.max_wait.as_secs()), (1 << 20, 64 << 20, 30));
    assert_eq!(good(LEAST).cache, None);
}

#[test]
fn the_guard_is_read_whole() {
    let guard = good(WHOLE).guard.unwrap();
    assert_eq!((guard.on_error, guard.max_hold.as_secs()), (Failure::Allow, 2));
    assert_eq!((guard.refusal.form, guard.refusal.message.as_str()), (Form::Completion, "No."));
    let [banned, tickets, pii, moderation, own] = &guard.checks[..] else { panic!("{:?}", guard.checks) };
    let directions = [banned, pii, own].map(|check| (check.requests, check.responses));
    assert_eq!(directions, [(true, true), (true, false), (false, true)]);
    assert_eq!((banned.when.tier.as_deref(), &banned.models[..]), (Some("gold"), &["gpt-*".to_owned()][..]));
    let actions = [banned, tickets, pii].map(|check| check.action);
    assert_eq!(actions, [Action::Block, Action::Log, Action::Mask]);
    let words = vec!["internal codename".to_owned()];
    assert_eq!(banned.finder, Finder::Keywords { words, whole_words: true });
    assert_eq!(tickets.finder, Finder::Regex(vec!["TICKET-[0-9]{4,8}".to_owned()]));
    assert_eq!(pii.finder, Finder::Detect(vec![Detector::Email, Detector::Phone]));
    let services: Vec<_> = guard.services().collect();
    let [(_, openai), (name, generic)] = services[..] else { panic!("{services:?} {moderation:?}") };
    let address =
        |service: &sluice::gateway::Service| service.endpoint.authority(service.scheme) + &service.path;
    assert_eq!(address(openai), "moderation.internal:8443/v1/moderations?v=1");
    assert_eq!((name, address(generic)), ("own", "[fd00::7]:9200/".to_owned()));
    assert_eq!(
        (openai.protocol, openai.timeout, openai.min_risk),
        (Contract::Openai, Duration::from_millis(300), Some(Risk::High))
    );
    assert_eq!(openai.headers.keys().collect::<Vec<_>>(), ["x-secret", "x-team"]);
    assert_eq!((openai.secrets().count(), openai.model.as_deref()), (3, Some("omni-moderation-latest")));
    assert_eq!(
        (generic.protocol, generic.timeout.as_millis(), &generic.key),
        (Contract::Generic, 500, &None)
    );
}

#[test]
fn a_guard_needs_no_more_than_a_check() {
    let guard = good(&format!("guard: {{checks: [{{name: a, detect: jwt}}]}}\n{LEAST}")).guard.unwrap();
    assert_eq!(
        (guard.on_error, guard.max_hold.as_secs(), guard.refusal.form),
        (Failure::Deny, 1, Form::Error)
    );
    assert_eq!(guard.refusal.message, "This request cannot be answered.");
    let check = &guard.checks[0];
    assert_eq!((check.requests, check.responses, check.action), (true, true, Action::Block));
    assert_eq!(good(LEAST).guard, None);
}

#[test]
fn an_alias_stands_for_its_anchor() {
    let gateway = good(&format!("timeouts: {{connect: &t 2s, idle: *t, first_token: *t}}\n{LEAST}"));
    assert_eq!(gateway.timeouts.idle, Duration::from_secs(2));
}

#[test]
fn line_ends_and_a_byte_order_mark_do_not_matter() {
    assert_eq!(good(&format!("\u{feff}{}", WHOLE.replace('\n', "\r\n"))), good(WHOLE));
}

#[test]
fn no_secret_is_printed_with_the_configuration() {
    let yaml = "providers: {a: {url: http://a/v1, keys: [sk-canary], headers: {x-key: sk-canary}}}\n\
                models: [{match: '*', targets: [{provider: a}]}]\nconsumers: [{name: x, keys: [sk-canary]}]";
    let (gateway, report) = checked(yaml.as_bytes());
    assert!(!format!("{gateway:?} {report:?} {report}").contains("canary"));
}

/// Every way to write a key that is not quite one.
#[test]
fn no_message_repeats_what_stands_where_a_key_belongs() {
    for keys in [
        "sk-canary",
        "{sk-canary: 1}",
        "[{sk-canary}]",
        "[{key: [sk-canary]}]",
        "[{key: env:sk-canary}]",
        "[{sk-canary: 1, sk-canary: 2}]",
        "[sk-canary, sk-canary]",
        "[[sk-canary]]",
        "[sha256:canary]",
        "[\"sk\\ncanary\"]",
        "[*canary]",
        "[!canary x]",
        "[sk-canary",
        "['sk-canary]",
        "[\"\\canary\"]",
        "[sk-canary: a: b]",
        "[&canary ]]",
        "[{key: sk-canary, weight: sk}]",
        "[%canary]",
        "[@canary]",
    ] {
        for field in ["keys", "url", "headers", "rotation", "balance", "protocol", "sk-canary"] {
            let yaml = format!("providers: {{a: {{url: http://a/v1, {field}: {keys}}}}}\nmodels: []");
            let (_, report) = checked(yaml.replacen("url: http://a/v1, url", "url", 1).as_bytes());
            assert!(!report.to_string().contains("canary"), "{report}");
        }
        for field in ["keys", "metadata", "sk-canary"] {
            let yaml = format!("{LEAST}\nconsumers: [{{name: a, {field}: {keys}}}]\n");
            let (_, report) = checked(yaml.as_bytes());
            assert!(!report.to_string().contains("canary"), "{report}");
        }
    }
}

/// A key in any value or name of the file: pasted into the wrong line, or behind a slip of the indentation.
#[test]
fn no_message_repeats_a_key_wherever_it_stands() {
    let long = format!("canary{}", "x".repeat(40));
    for key in ["sk-canary", "\"Bearer sk-canary\"", "sk-canary*", "sk-canary[", long.as_str()] {
        let words = WHOLE.split_inclusive([' ', ',', '{', '}', '[', ']', ':', '\n']);
        let words: Vec<&str> = words.collect();
        for at in 0..words.len() {
            let is_text = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let Some(end) = words[at].rfind(is_text) else { continue };
            let mut changed = words.clone();
            let word = format!("{key}{}", &words[at][end + 1..]);
            changed[at] = &word;
            let (_, report) = checked(changed.concat().as_bytes());
            assert!(!report.to_string().contains("canary"), "{report}");
        }
    }
}
