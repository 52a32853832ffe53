//! The filter against a fake host: one attempt after the other, on several workers.

use sluice_core::config::RouteConfigs;
use sluice_core::context::{PROVIDER_KEY, TRIED_KEYS};
use sluice_core::filter::Level;
use sluice_core::target::{self, Target};
use sluice_core::testing::FakeHost;

use super::*;
use crate::rest::Rests;

const CANARY: &str = "sk-canary";

fn load(json: &str) -> Result<RouteConfigs<Config>, String> {
    let env = |name: &str| name.strip_prefix("SET_").map(|rest| format!("{CANARY}-{rest}"));
    RouteConfigs::parse(json.as_bytes(), |raw| KeyRotation::check(raw, &env))
        .map_err(|error| error.to_string())
}

/// A worker of its own: own counters, shared data as in the host.
fn worker(json: &str) -> Rc<Config> {
    load(json).unwrap().get("")
}

fn two_keys() -> Rc<Config> {
    worker(
        r#"{"providers": {"openai": {"keys": [{"key": {"env": "SET_1"}}, {"key": {"env": "SET_2"}}]}, "local": {}},
            "cooldown_ms": 500, "max_cooldown_ms": 60000, "quarantine_ms": 600000}"#,
    )
}

/// A new request to `provider` by a client that sends its own key; shared data, clock and logs stay.
fn request(host: &mut FakeHost, provider: &str) {
    host.facts.clear();
    retry(host, provider);
}

/// A further attempt: headers are pristine again, facts stay.
fn retry(host: &mut FakeHost, provider: &str) {
    host.request = FakeHost::with_request(&[(":path", "/v1/x"), ("authorization", "Bearer client")]).request;
    let target = Target { provider: provider.to_owned(), ..Target::default() };
    host.set_attribute(&target::ATTRIBUTE.join("."), &target.to_metadata());
}

/// One attempt up to the response; which key it carried.
fn attempt(config: &Rc<Config>, host: &mut FakeHost) -> (KeyRotation, String) {
    let mut filter = KeyRotation::new(Rc::clone(config));
    assert_eq!(filter.on_request_headers(host, false), Next::Pass);
    let key = host.request_header("authorization").unwrap_or_default();
    (filter, key.trim_start_matches("Bearer sk-canary-").to_owned())
}

fn answer(filter: &mut KeyRotation, host: &mut FakeHost, headers: &[(&str, &str)], body: &str) {
    host.respond(headers);
    let next = filter.on_response_headers(host, body.is_empty());
    if next != Next::Pass {
        assert_eq!(next, Next::Whole { max_bytes: MAX_ERROR_BYTES });
        assert_eq!(filter.on_response_body(host, body.as_bytes(), true), Next::Pass);
    }
    filter.on_done(host);
}

/// The keys that the next `count` requests carry.
fn next_keys(config: &Rc<Config>, host: &mut FakeHost, count: usize) -> Vec<String> {
    (0..count)
        .map(|_| {
            request(host, "openai");
            let (mut filter, key) = attempt(config, host);
            answer(&mut filter, host, &[(":status", "200")], "{}");
            key
        })
        .collect()
}

#[test]
fn every_series_is_declared() {
    sluice_core::testing::declare(KeyRotation::METRICS);
}

#[test]
fn each_attempt_carries_a_key_of_its_own_provider_and_never_the_clients() {
    let config = two_keys();
    for (provider, want) in [("openai", Some("Bearer sk-canary-1")), ("local", None), ("unknown", None)] {
        let mut host = FakeHost::default();
        request(&mut host, provider);
        let _ = attempt(&config, &mut host);
        assert_eq!(host.request_header("authorization").as_deref(), want, "{provider}");
        let fingerprint = host.facts[PROVIDER_KEY.0].clone();
        assert_eq!(fingerprint.len(), if want.is_some() { 8 } else { 0 }, "{provider}");
    }
}

#[test]
fn an_attempt_without_a_target_carries_no_key() {
    let mut host = FakeHost::with_request(&[("authorization", "Bearer client")]);
    let _ = attempt(&two_keys(), &mut host);
    assert_eq!(host.request_header("authorization"), None);
}

#[test]
fn what_the_provider_answers_decides_for_how_long_the_key_rests() {
    let quota = r#"{"error":{"message":"…","type":"insufficient_quota","code":null}}"#;
    let coded = r#"{"error":{"message":"…","type":"x","code":"insufficient_quota"}}"#;
    for (name, headers, body, want_ms) in [
        ("success", &[(":status", "200")][..], "{}", 0),
        ("no content", &[(":status", "204")], "", 0),
        ("the client's fault", &[(":status", "400"), ("retry-after", "9")], "{}", 0),
        ("not found", &[(":status", "404")], "{}", 0),
        ("a timeout", &[(":status", "408"), ("retry-after", "9")], "", 0),
        ("the provider's fault", &[(":status", "500")], "{}", 0),
        ("busy", &[(":status", "503"), ("retry-after", "9")], "{}", 0),
        ("overloaded", &[(":status", "529"), ("retry-after", "9")], "{}", 0),
        ("a limit", &[(":status", "429")], "{}", 500),
        ("a limit without a body", &[(":status", "429")], "", 500),
        ("a limit that says when", &[(":status", "429"), ("retry-after", "2")], "{}", 2_000),
        ("a limit that says when, exactly", &[(":status", "429"), ("retry-after-ms", "12")], "{}", 12),
        ("a limit by its reset", &[(":status", "429"), ("x-ratelimit-reset-tokens", "1m0s")], "{}", 60_000),
        ("a limit beyond the cap", &[(":status", "429"), ("retry-after", "86400")], "{}", 60_000),
        ("a limit that ends now", &[(":status", "429"), ("retry-after", "0")], "{}", 500),
        ("a limit with an odd body", &[(":status", "429")], "<html>", 500),
        ("a limit with an odd code", &[(":status", "429")], r#"{"error":{"code":429}}"#, 500),
        ("no credit", &[(":status", "429")], quota, 600_000),
        ("no credit, by its code", &[(":status", "429"), ("retry-after", "2")], coded, 600_000),
        ("no credit, by its status", &[(":status", "402")], "{}", 600_000),
        ("not accepted", &[(":status", "401")], "{}", 600_000),
        ("not allowed", &[(":status", "403")], quota, 600_000),
        ("no status", &[], "", 0),
    ] {
        let (config, mut host) = (two_keys(), FakeHost { now_ns: 7_000_000, ..FakeHost::default() });
        request(&mut host, "openai");
        let (mut filter, _) = attempt(&config, &mut host);
        let key = PROVIDER_KEY.get(&host).unwrap();
        answer(&mut filter, &mut host, headers, body);
        let until_ms = Rests::read(&host, "openai").until_ms(&key, host.now_ms());
        assert_eq!(until_ms.unwrap_or(7), want_ms + 7, "{name}");
    }
}

#[test]
fn the_next_attempt_takes_another_key_whatever_the_failure() {
    let (config, mut host) = (two_keys(), FakeHost::default());
    request(&mut host, "openai");
    let mut used = Vec::new();
    for status in ["500", "503", "500"] {
        let (mut filter, _) = attempt(&config, &mut host);
        used.push(PROVIDER_KEY.get(&host).unwrap());
        answer(&mut filter, &mut host, &[(":status", status)], "");
    }
    assert_ne!(used[0], used[1]);
    assert_eq!(TRIED_KEYS.get(&host).unwrap(), format!("{},{}", used[0], used[1]), "both, and neither twice");
}

#[test]
fn a_limit_whose_body_does_not_come_is_passed_on_by_its_headers() {
    let (config, mut host) = (two_keys(), FakeHost::default());
    request(&mut host, "openai");
    let (mut filter, _) = attempt(&config, &mut host);
    host.respond(&[(":status", "429")]);
    assert_eq!(filter.on_response_headers(&mut host, false), Next::Whole { max_bytes: MAX_ERROR_BYTES });
    assert_eq!(host.wake_after, Some(500));
    assert_eq!(filter.on_wake(&mut host), Some(Next::Pass));
    assert_eq!(filter.on_wake(&mut host), None);

    request(&mut host, "openai");
    let (mut filter, _) = attempt(&config, &mut host);
    host.respond(&[(":status", "429")]);
    filter.on_response_headers(&mut host, false);
    filter.on_response_body(&mut host, b"{}", true);
    assert_eq!(filter.on_wake(&mut host), None, "the body was in time");
}

#[test]
fn a_rate_limited_key_is_left_alone_by_every_worker_for_as_long_as_it_asks() {
    let (one, other, mut host) = (two_keys(), two_keys(), FakeHost::default());
    request(&mut host, "openai");
    let (mut filter, key) = attempt(&one, &mut host);
    assert_eq!(key, "1");
    answer(&mut filter, &mut host, &[(":status", "429"), ("retry-after", "2")], "{}");
    retry(&mut host, "openai");
    assert_eq!(attempt(&one, &mut host).1, "2", "the next attempt of the same request");
    for _ in 0..20 {
        assert_eq!(next_keys(&one, &mut host, 1), ["2"]);
        assert_eq!(next_keys(&other, &mut host, 1), ["2"]);
        host.advance_ms(99);
    }
    host.advance_ms(20);
    assert_eq!(next_keys(&one, &mut host, 2), ["1", "2"]);
    assert_eq!(next_keys(&other, &mut host, 2), ["1", "2"]);
}

#[test]
fn a_key_that_failed_in_this_request_is_not_used_again_while_another_is_free() {
    let (config, mut host) = (two_keys(), FakeHost::default());
    request(&mut host, "openai");
    let (mut filter, key) = attempt(&config, &mut host);
    answer(&mut filter, &mut host, &[(":status", "429"), ("retry-after-ms", "1")], "");
    host.advance_ms(5); // it is free again
    retry(&mut host, "openai");
    assert_ne!(attempt(&config, &mut host).1, key);
}

#[test]
fn a_quarantine_warns_once_however_many_streams_and_workers_meet_it() {
    let (one, other, mut host) = (two_keys(), two_keys(), FakeHost::default());
    let mut open = Vec::new();
    for config in [&one, &one, &one, &other, &other, &other] {
        request(&mut host, "openai");
        open.push(attempt(config, &mut host).0);
    }
    for mut filter in open {
        answer(&mut filter, &mut host, &[(":status", "401")], "{}");
        host.advance_ms(3);
    }
    let warnings: Vec<_> = host.logs.iter().filter(|(level, _)| *level == Level::Warn).collect();
    assert_eq!(warnings.len(), 2, "one for each key: {warnings:?}");
    assert!(warnings[0].1.starts_with("provider openai: key ") && warnings[0].1.contains("401"));
    assert_eq!(rests_counted(&host), [("refused", 2)]);
}

/// How many rests were counted, by their reason.
fn rests_counted(host: &FakeHost) -> Vec<(&str, u64)> {
    let prefix = "key_rotation_rests_total;gen_ai_provider_name=openai;reason=";
    host.counters.iter().filter_map(|(name, count)| Some((name.strip_prefix(prefix)?, *count))).collect()
}

#[test]
fn a_rest_is_counted_once_by_its_reason() {
    let credit = r#"{"error":{"code":"insufficient_quota"}}"#;
    for (name, status, body, want) in [
        ("a limit, longer each time", "429", "{}", &[("limited", 1)][..]),
        ("a refusal", "403", "{}", &[("refused", 1)]),
        ("no credit by its status", "402", "{}", &[("spent", 1)]),
        ("no credit by the body of a limit", "429", credit, &[("limited", 1), ("spent", 1)]),
        ("the provider's fault", "500", "{}", &[]),
    ] {
        let (config, mut host) = (one_key(), FakeHost::default());
        for _ in 0..3 {
            request(&mut host, "openai");
            let (mut filter, _) = attempt(&config, &mut host);
            answer(&mut filter, &mut host, &[(":status", status)], body);
            host.advance_ms(1);
        }
        assert_eq!(rests_counted(&host), want, "{name}");
    }
}

fn one_key() -> Rc<Config> {
    worker(r#"{"providers": {"openai": {"keys": [{"key": {"env": "SET_1"}}]}}, "cooldown_ms": 500}"#)
}

#[test]
fn attempts_that_find_every_key_resting_are_counted() {
    for (name, config, refusals) in [("one key", one_key(), 1), ("two keys", two_keys(), 2)] {
        let mut host = FakeHost::default();
        let exhausted = |host: &FakeHost| {
            host.counters.get("key_rotation_exhausted_total;gen_ai_provider_name=openai").copied()
        };
        for _ in 0..refusals {
            request(&mut host, "openai");
            let (mut filter, _) = attempt(&config, &mut host);
            assert_eq!(exhausted(&host), None, "{name}");
            answer(&mut filter, &mut host, &[(":status", "429")], "{}");
        }
        next_keys(&config, &mut host, 3);
        assert_eq!(exhausted(&host), Some(3), "{name}");
        host.advance_ms(500);
        next_keys(&config, &mut host, 3);
        assert_eq!(exhausted(&host), Some(3), "{name}: they are back");
        request(&mut host, "local");
        let _ = attempt(&config, &mut host);
        assert_eq!(exhausted(&host), Some(3), "{name}: a provider without keys has none to exhaust");
    }
}

#[test]
fn a_key_without_credit_warns_once() {
    let (config, mut host) = (two_keys(), FakeHost::default());
    for _ in 0..3 {
        request(&mut host, "openai");
        let (mut filter, _) = attempt(&config, &mut host);
        answer(&mut filter, &mut host, &[(":status", "429")], r#"{"error":{"code":"insufficient_quota"}}"#);
    }
    let warnings = host.logs.iter().filter(|(level, _)| *level == Level::Warn).count();
    assert_eq!(warnings, 2, "one for each key: {:?}", host.logs);
}

#[test]
fn a_key_rests_though_the_body_of_its_429_never_comes() {
    let (config, mut host) = (two_keys(), FakeHost::default());
    request(&mut host, "openai");
    let (mut filter, key) = attempt(&config, &mut host);
    host.respond(&[(":status", "429")]);
    filter.on_response_headers(&mut host, false);
    filter.on_done(&mut host);
    assert!(!next_keys(&config, &mut host, 4).contains(&key));
}

#[test]
fn rests_outlive_a_change_of_the_configuration() {
    let (config, mut host) = (two_keys(), FakeHost::default());
    request(&mut host, "openai");
    let (mut filter, _) = attempt(&config, &mut host);
    answer(&mut filter, &mut host, &[(":status", "401")], "");
    let changed = worker(
        r#"{"providers": {"openai": {"keys": [
            {"key": {"env": "SET_3"}}, {"key": {"env": "SET_2"}}, {"key": {"env": "SET_1"}}]}}}"#,
    );
    assert_eq!(next_keys(&changed, &mut host, 4), ["3", "2", "3", "2"]);
}

#[test]
fn a_stream_counts_as_open_until_it_is_done_and_not_longer() {
    let config = worker(
        r#"{"providers": {"openai": {"rotation": "least_used", "keys": [
            {"key": {"env": "SET_1"}}, {"key": {"env": "SET_2"}}]}}}"#,
    );
    let mut host = FakeHost::default();
    request(&mut host, "openai");
    let (mut first, _) = attempt(&config, &mut host);
    assert_eq!(next_keys(&config, &mut host, 3), ["2", "2", "2"]);
    first.on_done(&mut host);
    first.on_done(&mut host);
    drop(first);
    assert_eq!(next_keys(&config, &mut host, 2), ["1", "2"]);
    let (abandoned, key) = attempt(&config, &mut host);
    assert_eq!(key, "1");
    drop(abandoned);
    assert_eq!(next_keys(&config, &mut host, 2), ["2", "1"]);
}

#[test]
fn keys_stand_in_no_log_fact_shared_data_or_debug_print() {
    let (config, mut host) = (two_keys(), FakeHost::default());
    for (status, body) in [
        ("429", r#"{"error":{"code":"insufficient_quota"}}"#),
        ("401", r#"{"error":{"message":"Incorrect API key provided: sk-canary-1"}}"#),
        ("403", "sk-canary-2"),
        ("429", "sk-canary-2"),
    ] {
        request(&mut host, "openai");
        let (mut filter, _) = attempt(&config, &mut host);
        answer(&mut filter, &mut host, &[(":status", status), ("retry-after", CANARY)], body);
        host.advance_ms(700_000);
    }
    host.request.clear();
    host.response.clear();
    assert!(host.logs.len() >= 4, "{:?}", host.logs);
    for (_, shared) in std::mem::take(&mut host.shared) {
        let text = String::from_utf8(shared.value).unwrap();
        assert!(!text.contains("canary"), "{text}");
    }
    for (name, fact) in std::mem::take(&mut host.facts) {
        let text = String::from_utf8(fact).unwrap();
        assert!(!text.contains("canary"), "{name}: {text}");
    }
    assert!(!format!("{:?} {config:?}", host.logs).contains("canary"));
}

#[test]
fn a_bad_configuration_is_refused_with_its_path_and_without_its_keys() {
    let openai = |rest: &str| format!(r#"{{"providers": {{"openai": {{{rest}}}}}}}"#);
    for (config, want) in [
        (r#"{"provider": {}}"#.to_owned(), "unknown field `provider`"),
        (openai(r#""key": []"#), "unknown field `key`"),
        (openai(r#""keys": [{"key": {"env": "SET_1"}, "wait": 1}]"#), "unknown field `wait`"),
        (openai(r#""keys": [{"weight": 1}]"#), "missing field `key`"),
        (openai(r#""rotation": "robin""#), "unknown variant `robin`"),
        (
            openai(r#""keys": [{"key": {"env": "SET_1"}}, {"key": {"env": "X"}}]"#),
            "providers.openai.keys[1].key: environment variable X is not set",
        ),
        (openai(r#""keys": [{"key": {"value": ""}}]"#), "providers.openai.keys[0].key: secret is empty"),
        (
            openai(r#""keys": [{"key": {"env": "SET_1"}}, {"key": {"value": "sk-canary-1"}}]"#),
            "providers.openai.keys[1].key: is the same key as keys[0]",
        ),
        (
            openai(r#""keys": [{"key": {"env": "SET_1"}, "weight": 2}]"#),
            "providers.openai.keys[0].weight: counts only with \"rotation\": \"weighted\"",
        ),
        (
            openai(r#""rotation": "weighted", "keys": [{"key": {"env": "SET_1"}, "weight": 0}]"#),
            "providers.openai.keys[0].weight: must be 1 to 1000, not 0",
        ),
        (
            openai(r#""rotation": "weighted", "keys": [{"key": {"env": "SET_1"}, "weight": 1001}]"#),
            "providers.openai.keys[0].weight: must be 1 to 1000, not 1001",
        ),
        (r#"{"cooldown_ms": 0}"#.to_owned(), "cooldown_ms: must be at least 1"),
        (r#"{"quarantine_ms": 0}"#.to_owned(), "quarantine_ms: must be at least 1"),
        (
            r#"{"cooldown_ms": 9, "max_cooldown_ms": 8}"#.to_owned(),
            "max_cooldown_ms: must be at least cooldown_ms",
        ),
    ] {
        let refused = load(&config).err().unwrap_or_else(|| panic!("accepted: {config}"));
        assert!(refused.contains(want), "{config}: {refused}");
        assert!(!refused.contains("canary"), "{refused}");
    }
}

#[test]
fn the_smallest_configurations_are_accepted() {
    for config in ["", "{}", r#"{"providers": {"local": {}}}"#, r#"{"providers": {"local": {"keys": []}}}"#] {
        assert!(load(config).is_ok(), "{config}");
    }
}
