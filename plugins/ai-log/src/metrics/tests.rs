//! Each metric is what the records come to.

use std::collections::BTreeMap;
use std::rc::Rc;

use proptest::prelude::*;
use serde_json::{Value, json};
use sluice_core::config::RouteConfigs;
use sluice_core::context::{self, Fact};
use sluice_core::filter::Filter as _;
use sluice_core::price::{NANO, scaled};
use sluice_core::testing::FakeHost;

use crate::{AiLog, Config};

const COMMON: &str =
    ";consumer=bob;route=gpt-*;gen_ai_request_model=gpt-4o;gen_ai_provider_name=b;gen_ai_operation_name=chat";

const USUAL: &[(Fact, &str)] = &[
    (context::OPERATION, "chat"),
    (context::CONSUMER, "bob"),
    (context::MODEL, "gpt-4o"),
    (context::STREAM, "true"),
    (context::RULE, "gpt-*"),
    (context::PROVIDER, "b"),
    (context::ATTEMPT_START, "1100"),
    (context::METER, "provider-adapter"),
    (context::USAGE_SOURCE, "reported"),
    (context::INPUT_TOKENS, "100"),
    (context::OUTPUT_TOKENS, "11"),
    (context::TTFT_MS, "100"),
    (context::STREAM_END, "complete"),
];

fn config(json: &Value) -> Rc<Config> {
    let checked = RouteConfigs::parse(json.to_string().as_bytes(), |raw| AiLog::check(raw, &|_| None));
    checked.unwrap().get("")
}

/// One request of 500 ms with these facts, answered with `status`; its record.
fn request(host: &mut FakeHost, config: &Rc<Config>, facts: &[&[(Fact, &str)]], status: u64) -> Value {
    host.request =
        vec![(":method".into(), b"POST".to_vec()), (":path".into(), b"/v1/chat/completions".to_vec())];
    host.facts.clear();
    host.now_ns = 1_000_000_000;
    let mut filter = AiLog::new(Rc::clone(config));
    filter.on_request_headers(host, false);
    for (fact, value) in facts.concat() {
        fact.set(host, value);
    }
    host.respond(&[(":status", &status.to_string())]);
    host.attributes.insert("response.code".to_owned(), status.to_le_bytes().to_vec());
    host.set_attribute("response.code_details", "via_upstream");
    host.advance_ms(500);
    filter.on_done(host);
    serde_json::from_slice(&host.facts[context::AI_LOG.0]).unwrap()
}

/// A request that has nothing behind it.
fn once(json: &Value, facts: &[&[(Fact, &str)]], status: u64) -> (FakeHost, Value) {
    let mut host = FakeHost::default();
    let record = request(&mut host, &config(json), facts, status);
    (host, record)
}

/// Counters by the part of their names that is not common.
fn counters(host: &FakeHost) -> BTreeMap<String, u64> {
    host.counters.iter().map(|(name, count)| (name.replacen(COMMON, "", 1), *count)).collect()
}

fn sum(host: &FakeHost, metric: &str) -> u64 {
    let of = |name: &&String| name.split(';').next() == Some(metric);
    host.counters.keys().filter(of).map(|name| host.counters[name]).sum()
}

#[test]
fn a_good_request_is_counted() {
    let prices = json!({"prices": [{"match": "gpt-4o", "input": 2.5, "cached": 1, "output": 10}]});
    let more =
        [(context::CACHED_TOKENS, "40"), (context::REASONING_TOKENS, "4"), (context::RECEIVED_US, "1005000")];
    let (host, record) = once(&prices, &[USUAL, &more], 200);
    let want = [
        ("ai_log_attempts_total;verdict=ok", 1),
        ("ai_log_cost_nanodollars_total", 60 * 2_500 + 40 * 1_000 + 11 * 10_000),
        ("ai_log_requests_total", 1),
        ("ai_log_tokens_total;gen_ai_token_type=cached;usage_source=reported", 40),
        ("ai_log_tokens_total;gen_ai_token_type=input;usage_source=reported", 100),
        ("ai_log_tokens_total;gen_ai_token_type=output;usage_source=reported", 11),
        ("ai_log_tokens_total;gen_ai_token_type=reasoning;usage_source=reported", 4),
    ];
    assert_eq!(counters(&host), want.map(|(name, count)| (name.to_owned(), count)).into());
    let histograms = [
        ("ai_log_gateway_milliseconds", "", 95),
        ("ai_log_output_tokens_per_second", "", 25),
        ("gen_ai_client_operation_duration_milliseconds", "", 500),
        ("gen_ai_client_token_usage", ";gen_ai_token_type=input", 100),
        ("gen_ai_client_token_usage", ";gen_ai_token_type=output", 11),
        ("gen_ai_server_time_per_output_token_microseconds", "", 40_000),
        ("gen_ai_server_time_to_first_token_milliseconds", "", 100),
    ];
    let want = histograms.map(|(name, more, value)| (format!("{name}{COMMON}{more}"), vec![value]));
    assert_eq!(host.histograms, want.into());
    assert_eq!(record["cost_usd"].to_string(), "0.0003");
}

#[test]
fn what_has_no_output_tells_nothing_of_how_long_answers_are() {
    let (host, _) = once(&json!({}), &[USUAL, &[(context::OUTPUT_TOKENS, "0")]], 200);
    let usage = host.histograms.keys().filter(|name| name.starts_with("gen_ai_client_token_usage"));
    assert_eq!(usage.map(|name| name.rsplit('=').next()).collect::<Vec<_>>(), [Some("input")]);
}

#[test]
fn what_the_filters_decided_is_counted() {
    for (name, facts, status, want) in [
        (
            "nearly used",
            &[(context::LIMIT, "admitted"), (context::LIMIT_FILL, "90:team")][..],
            200,
            &["ai_log_limits_nearly_used_total;limit=team"][..],
        ),
        ("not nearly", &[(context::LIMIT, "admitted"), (context::LIMIT_FILL, "89:team")], 200, &[]),
        (
            "refused by a limit",
            &[
                (context::LIMIT, "refused:team"),
                (context::LIMIT_FILL, "100:team"),
                (context::ERROR, "rate_limit_exceeded"),
            ],
            429,
            &[
                "ai_log_errors_total;error_class=limit;error_type=rate_limit_exceeded",
                "ai_log_limit_refusals_total;limit=team",
            ],
        ),
        ("a hit", &[(context::CACHE, "hit")], 200, &["ai_log_cache_total;result=hit"]),
        (
            "a miss",
            &[(context::CACHE, "miss; reason=no-cache")],
            200,
            &["ai_log_cache_total;result=miss;reason=no-cache"],
        ),
        (
            "an error event",
            &[(context::STREAM_END, "error_event")],
            200,
            &["ai_log_errors_total;error_class=provider;error_type=error_event"],
        ),
    ] {
        let (host, _) = once(&json!({"models": ["gpt-4o"]}), &[USUAL, facts], status);
        let usual = ["ai_log_requests", "ai_log_tokens", "ai_log_attempts"];
        let mut counted = counters(&host);
        counted.retain(|name, _| !usual.iter().any(|usual| name.starts_with(usual)));
        assert_eq!(counted, want.iter().map(|name| ((*name).to_owned(), 1)).collect(), "{name}");
    }
}

#[test]
fn findings_are_counted_by_their_counts_and_name_no_more_than_64_categories() {
    let config = config(&json!({}));
    let mut host = FakeHost::default();
    let finding = |category: &str, count: u64| json!({"check": "pii", "on": "request", "category": category, "risk": "high", "action": "mask", "count": count});
    for n in 0..100 {
        let list = json!([finding("E-Mail, private", 2), finding(&format!("made up {n}"), 1)]).to_string();
        request(&mut host, &config, &[USUAL, &[(context::GUARD, &list)]], 200);
    }
    let name = |category| {
        format!("ai_log_guard_findings_total{COMMON};check=pii;on=request;category={category};action=mask")
    };
    assert_eq!(host.counters[&name("e-mail__private")], 200);
    assert_eq!(host.counters[&name("made_up_62")], 1);
    assert_eq!(host.counters[&name("other")], 37);
    assert_eq!(host.counters["ai_log_labels_replaced_total;label=category"], 37);
}

#[test]
fn costs_are_those_that_limits_book() {
    let not_read = [(context::INPUT_ESTIMATE, "7"), (context::OUTPUT_TOKENS, ""), (context::STREAM_END, "")];
    let failed = [(context::ATTEMPTS, r#"[{"provider":"b","status":500,"verdict":"status_500","ms":1}]"#)];
    let unseen = [(context::ATTEMPTS, r#"[{"provider":"b","status":0,"verdict":"connect_failure","ms":1}]"#)];
    let prices = json!({"prices": [{"match": "b/qwen", "input": 1, "output": 2}, {"match": "free", "input": 0, "output": 0}]});
    let served = [(context::PROVIDER_MODEL, "qwen")];
    for (name, facts, status, nano, unpriced) in [
        ("priced", &[&served[..]][..], 200, Some(122_000), 0),
        ("no price", &[], 200, None, 1),
        ("nothing to pay", &[&[(context::PROVIDER_MODEL, "free")]], 200, Some(0), 0),
        ("the cache's", &[&served, &[(context::USAGE_SOURCE, "cache")]], 200, None, 0),
        ("an error", &[&served, &[(context::ERROR, "upstream_error")]], 502, None, 0),
        ("withheld", &[&served, &[(context::ERROR, "content_policy_violation")]], 400, Some(122_000), 0),
        (
            "refused",
            &[&served, &[(context::ERROR, "content_policy_violation"), (context::METER, "")]],
            400,
            None,
            0,
        ),
        ("not waited for", &[&served, &not_read, &failed], 0, Some(7_000), 0),
        ("not reached", &[&served, &not_read, &unseen], 0, None, 0),
    ] {
        let (host, record) = once(&prices, &[&[USUAL], facts].concat(), status);
        let cost = record.get("cost_usd").and_then(Value::as_f64);
        assert_eq!(cost.map(|cost| scaled(cost, NANO)), nano.map(Some), "{name}");
        let counted =
            ["ai_log_cost_nanodollars_total", "ai_log_unpriced_requests_total"].map(|name| sum(&host, name));
        assert_eq!(counted, [nano.unwrap_or(0), unpriced], "{name}");
    }
    let (host, record) = once(&json!({}), &[USUAL], 200);
    assert_eq!(
        (record.get("cost_usd"), sum(&host, "ai_log_unpriced_requests_total")),
        (None, 0),
        "no prices"
    );
}

#[test]
fn a_cost_is_exact_to_the_last_place() {
    let prices = json!({"prices": [{"match": "*", "input": 0.000001, "output": 9007199254.0}]});
    let tokens = [(context::INPUT_TOKENS, "499"), (context::OUTPUT_TOKENS, "1")];
    let (host, record) = once(&prices, &[USUAL, &tokens], 200);
    assert_eq!(sum(&host, "ai_log_cost_nanodollars_total"), 9_007_199_254_000);
    assert_eq!(record["cost_usd"].to_string(), "9007.199254");
    let tokens = [(context::INPUT_TOKENS, "500"), (context::OUTPUT_TOKENS, "0")];
    let (_, record) = once(&prices, &[USUAL, &tokens], 200);
    assert_eq!(record["cost_usd"].to_string(), "1e-9");
}

#[test]
fn only_whole_reported_streams_have_a_pace() {
    for (name, fact, value, status) in [
        ("estimated", context::USAGE_SOURCE, "estimated", 200),
        ("one token", context::OUTPUT_TOKENS, "1", 200),
        ("broken", context::STREAM_END, "unterminated", 200),
        ("no stream", context::STREAM, "false", 200),
        ("no first token", context::TTFT_MS, "", 200),
    ] {
        let (host, _) = once(&json!({}), &[USUAL, &[(fact, value)]], status);
        assert!(!host.histograms.keys().any(|series| series.contains("per_")), "{name}");
    }
    let (host, _) = once(&json!({}), &[USUAL, &[(context::TTFT_MS, "500")]], 200);
    let paced: Vec<_> = host.histograms.iter().filter(|(series, _)| series.contains("per_")).collect();
    assert_eq!(paced.len(), 1, "no tokens per no time");
    assert_eq!(paced[0].1, &[0]);
}

#[test]
fn fifty_thousand_made_up_models_leave_the_series_bounded() {
    let config = config(&json!({"models": ["gpt-4o"], "metrics": {"max_models": 20, "max_label_sets": 30}}));
    let mut host = FakeHost::default();
    for n in 0..50_000_u32 {
        let name = format!("made-up-{n}");
        let facts = match n % 5 {
            0 => vec![(context::RULE, "")],         // no rule matches
            1 => vec![(context::CONSUMER, &*name)], // not even consumers are
            _ => vec![],
        };
        let status = if n % 5 == 2 { 500 } else { 200 };
        request(&mut host, &config, &[USUAL, &[(context::MODEL, &name)], &facts], status);
    }
    assert_eq!(sum(&host, "ai_log_requests_total"), 50_000);
    let requests = |name: &&String| name.starts_with("ai_log_requests_total");
    let sets = host.counters.keys().filter(requests).count();
    assert!((30..=34).contains(&sets), "{sets}");
    assert!(host.counters.len() < 200 && host.histograms.len() < 400, "{}", host.histograms.len());
    // A third of a fifth of the models are named before the list is full.
    assert!(host.counters["ai_log_labels_replaced_total;label=model"] >= 49_900);
    assert!(host.counters["ai_log_labels_replaced_total;label=set"] >= 9_000);
}

#[test]
fn a_model_is_named_by_a_rule_or_once_it_was_answered() {
    let config = config(&json!({"models": ["named"]}));
    let mut host = FakeHost::default();
    for (model, rule, status, want) in [
        ("named", "", 404, "named"),
        ("tried", "gpt-*", 500, "other"),
        ("tried", "gpt-*", 200, "tried"),
        ("tried", "gpt-*", 500, "tried"),
        ("tried", "", 404, "other"),
        ("", "", 200, ""),
    ] {
        host.counters.clear();
        request(&mut host, &config, &[USUAL, &[(context::MODEL, model), (context::RULE, rule)]], status);
        let label = model_label(&host);
        assert_eq!(label, want, "{model} {rule} {status}");
        let replaced = host.counters.contains_key("ai_log_labels_replaced_total;label=model");
        assert_eq!(replaced, want == "other", "{model} {rule} {status}");
    }
}

/// The label of the one request counted.
fn model_label(host: &FakeHost) -> &str {
    let name = host.counters.keys().find(|name| name.starts_with("ai_log_requests_total")).unwrap();
    name.split("gen_ai_request_model=").nth(1).map_or("", |rest| rest.split(';').next().unwrap())
}

#[test]
fn a_good_answer_that_no_model_gave_names_none() {
    let config = config(&json!({}));
    let mut host = FakeHost::default();
    for (name, provider, source, want) in [
        ("how its limits stand, or a refusal in its words", "", "", "other"),
        ("an image", "b", "", "an image"),
        ("from the cache", "", "cache", "from the cache"),
        ("metered here", "", "reported", "metered here"),
    ] {
        host.counters.clear();
        let facts = [(context::MODEL, name), (context::PROVIDER, provider), (context::USAGE_SOURCE, source)];
        request(&mut host, &config, &[USUAL, &facts], 200);
        assert_eq!(model_label(&host), want);
    }
}

#[test]
fn models_that_are_alike_as_far_as_a_label_goes_take_one_place() {
    let config = config(&json!({"metrics": {"max_models": 2}}));
    let mut host = FakeHost::default();
    for n in 0..9 {
        let name = format!("{}-{n}", "m".repeat(128));
        request(&mut host, &config, &[USUAL, &[(context::MODEL, &name)]], 200);
    }
    request(&mut host, &config, &[USUAL], 200);
    assert_eq!(host.counters.get("ai_log_labels_replaced_total;label=model"), None);
}

#[test]
fn providers_that_answer_with_any_number_leave_the_series_bounded() {
    let config = config(&json!({"models": ["gpt-4o"]}));
    let mut host = FakeHost::default();
    for status in 400..1000 {
        let list =
            json!([{"provider": "b", "status": status, "verdict": format!("status_{status}"), "ms": 1}]);
        let facts = [(context::ATTEMPTS, &*list.to_string()), (context::ATTEMPT_START, "")];
        request(&mut host, &config, &[USUAL, &facts], status);
    }
    for (metric, label) in
        [("ai_log_errors_total", "error_class=provider;error_type"), ("ai_log_attempts_total", "verdict")]
    {
        let count = |name: &str| host.counters[&format!("{metric}{COMMON};{label}={name}")];
        assert_eq!((count("status_400"), count("status_431"), count("other")), (1, 1, 568));
        assert_eq!(sum(&host, metric), 600);
    }
    assert_eq!(host.counters["ai_log_labels_replaced_total;label=status"], 568);
    assert!(host.histograms.len() < 50, "{}", host.histograms.len());
}

#[test]
fn an_ordinary_request_asks_the_host_no_more_than_it_must() {
    let json = json!({"models": ["gpt-4o"], "prices": [{"match": "*", "input": 1, "output": 2}]});
    let more = [
        (context::TIER, "gold"),
        (context::KEY_ID, "5e6f7a8b"),
        (context::INPUT_ESTIMATE, "90"),
        (context::TARGET, "b"),
        (context::PROVIDER_MODEL, "gpt-4o"),
        (context::PROVIDER_KEY, "0a1b2c3d"),
        (context::RESPONSE_MODEL, "gpt-4o"),
        (context::FINISH_REASON, "stop"),
        (context::RECEIVED_US, "1005000"),
        (context::LIMIT, "admitted"),
        (context::LIMIT_FILL, "3:team"),
        (context::LIMITED_US, "1005000"),
    ];
    let (config, mut host) = (config(&json), FakeHost::default());
    request(&mut host, &config, &[USUAL, &more], 200);
    host.reads.set(0);
    request(&mut host, &config, &[USUAL, &more], 200);
    // A build that traps when told to looks for being told.
    let want = 38 + u64::from(cfg!(feature = "trap"));
    assert_eq!(host.reads.get(), want, "each costs a microsecond");
}

#[test]
fn attempts_count_for_their_own_providers() {
    let list = json!([
        {"provider": "a", "status": 429, "verdict": "status_429", "ms": 1},
        {"provider": "a", "status": 503, "verdict": "status_503", "ms": 1},
        {"provider": "a", "model": "m", "status": 200, "verdict": "empty", "ms": 1},
    ]);
    let (host, record) = once(&json!({}), &[USUAL, &[(context::ATTEMPTS, &list.to_string())]], 200);
    assert_eq!(record["attempts"].as_array().map(Vec::len), Some(4));
    let at = |metric: &str, provider: &str, more: &str| {
        let common = COMMON.replace("name=b", &format!("name={provider}"));
        host.counters.get(&format!("{metric}{common}{more}")).copied()
    };
    for (metric, provider, more) in [
        ("ai_log_attempts_total", "a", ";verdict=status_429"),
        ("ai_log_attempts_total", "a", ";verdict=status_503"),
        ("ai_log_attempts_total", "a", ";verdict=empty"),
        ("ai_log_attempts_total", "b", ";verdict=ok"),
        ("ai_log_fallbacks_total", "a", ";to=a;reason=status_503"),
        ("ai_log_fallbacks_total", "a", ";to=b;reason=empty"),
    ] {
        assert_eq!(at(metric, provider, more), Some(1), "{metric} {provider} {more}");
    }
    assert_eq!(sum(&host, "ai_log_fallbacks_total"), 2, "the same provider and model again is none");
}

proptest! {
    #[test]
    fn every_attempt_is_counted_once(
        list in prop::collection::vec(("[ab;\u{e9}]{0,3}", prop::option::of("[mn]"), 0_u64..600, "[a-z_]{1,8}"), 0..20),
        running: bool,
    ) {
        let attempt = |(provider, model, status, verdict): &(String, Option<String>, u64, String)| {
            json!({"provider": provider, "model": model, "key": null, "status": status, "verdict": verdict, "ms": 3})
        };
        let fact = Value::from(list.iter().map(attempt).collect::<Vec<_>>()).to_string();
        let start = if running { "1100" } else { "" };
        let (host, record) = once(&json!({}), &[USUAL, &[(context::ATTEMPTS, &fact), (context::ATTEMPT_START, start)]], 200);
        let attempts = record.get("attempts").map_or(0, |list| list.as_array().unwrap().len());
        prop_assert_eq!(attempts.saturating_sub(usize::from(running)), list.len());
        prop_assert_eq!(sum(&host, "ai_log_attempts_total"), u64::try_from(attempts).unwrap());
        prop_assert!(sum(&host, "ai_log_fallbacks_total") <= u64::try_from(attempts.saturating_sub(1)).unwrap());
    }

    #[test]
    fn tokens_add_up_exactly(requests in prop::collection::vec([0_u64..5_000_000_000, 0..5_000_000_000, 0..9, 0..9], 1..20)) {
        let config = config(&json!({}));
        let mut host = FakeHost::default();
        let mut recorded = [0_u64; 4];
        for tokens in &requests {
            let [input, output, cached, reasoning] = tokens.map(|tokens| tokens.to_string());
            let facts = [
                (context::INPUT_TOKENS, &*input),
                (context::OUTPUT_TOKENS, &output),
                (context::CACHED_TOKENS, &cached),
                (context::REASONING_TOKENS, &reasoning),
            ];
            let record = request(&mut host, &config, &[USUAL, &facts], 200);
            for (sum, kind) in recorded.iter_mut().zip(["input", "output", "cached", "reasoning"]) {
                *sum = sum.saturating_add(record[format!("{kind}_tokens")].as_u64().unwrap());
            }
        }
        for (kind, sum) in ["input", "output", "cached", "reasoning"].into_iter().zip(recorded) {
            let name = format!("ai_log_tokens_total{COMMON};gen_ai_token_type={kind};usage_source=reported");
            prop_assert_eq!(host.counters.get(&name).copied().unwrap_or(0), sum);
        }
    }
}
