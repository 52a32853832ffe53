//! A log of mixed traffic, replayed under the configuration that made it.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::bed::{Answer, Ask, Bed, START_US, replayed};

const FILE: &str = "
providers:
  a: {url: http://a/v1}
  b: {url: http://b/v1}
consumers:
  - {name: app, tier: gold, keys: [sk-app-0123456789abcdef, sk-app-second-0123456789]}
  - {name: bot, keys: [sk-bot-0123456789abcdef], models: ['gpt-*', 'openai/*'], from: [127.0.0.0/8]}
  - {name: old, keys: [sk-old-0123456789abcdef], expires: 2023-11-14T22:14:00Z}
  - {name: gone, keys: [sk-gone-0123456789abcdef], disabled: true}
models:
  - match: gpt-4*
    when: {headers: {x-team: s*}}
    sticky: header:x-user
    targets: [{provider: a, weight: 2}, {provider: b, model: big, weight: 1}]
  - match: [gpt-*, openai/gpt-*]
    strip_prefix: openai/
    targets: [{provider: a, weight: 3}, {provider: b, weight: 1}]
    fallback: [{provider: b, model: small}]
  - {match: o1, sticky: request, targets: [{provider: a, weight: 1}, {provider: b, weight: 1}]}
retry: {per_target: 1}
limits:
  - {name: pace, by: [consumer], requests: 5, per: 10s}
  - {name: tokens, by: [consumer, model], total_tokens: 280, per: 20s}
  - {name: weighted, by: [ip], total_tokens: 1200, weighted: {cached: 0.1, output: 4}, per: 20s}
  - {name: budget, by: [tier], cost_usd: 0.006, per: 30s, terminal: true}
  - {name: team, by: ['header:x-team'], when: {headers: {x-team: '*'}}, input_tokens: 120, per: 15s}
  - {name: now, by: [key], in_flight: 2}
prices:
  small: {input: 0.15, output: 0.6}
  b/*: {input: 3, output: 12}
  '*': {input: 2.5, cached: 1.25, output: 10}
cache: {ttl: 30s, scope: tier}
";

/// A request that comes, or what becomes of one that waits.
fn step() -> impl Strategy<Value = (u64, usize, Ask, Answer)> {
    let keys = [
        Some("sk-app-0123456789abcdef"),
        Some("sk-app-second-0123456789"),
        Some("sk-bot-0123456789abcdef"),
        Some("sk-bot-0123456789abcdef"),
        Some("sk-old-0123456789abcdef"),
        Some("sk-gone-0123456789abcdef"),
        Some("sk-nobodys"),
        None,
    ];
    let models = ["gpt-4o", "gpt-4o", "gpt-3", "openai/gpt-3", "o1", "nobody-serves-it"];
    let ask = (
        prop::sample::select(keys.to_vec()),
        prop::sample::select(models.to_vec()),
        0_usize..3,
        prop::option::of(prop::sample::select(vec!["search", "shop"])),
        0_u32..9,
        prop::option::weighted(0.2, 1_u64..40),
        prop::sample::select(vec!["127.0.0.1", "127.0.0.2", "10.0.0.1"]),
    );
    let ask = ask.prop_map(|(key, model, text, team, user, max, from)| Ask {
        key,
        model,
        text: "word ".repeat(text * 3),
        headers: team
            .map(|team| ("x-team", team.to_owned()))
            .into_iter()
            .chain([("x-user", user.to_string())])
            .collect(),
        members: max.map_or(json!({}), |max| json!({"max_tokens": max})),
        from,
    });
    let finishes = prop::sample::select(vec!["stop", "stop", "tool_calls", "length"]);
    let answer = (1_u64..80, 0_u64..90, finishes, prop::bool::weighted(0.1))
        .prop_map(|(input, output, finish, no_store)| Answer { input, output, finish, no_store });
    (0_u64..700, 0_usize..20, ask, answer)
}

/// Plays `steps`; the log.
fn log(steps: &[(u64, usize, Ask, Answer)]) -> Vec<String> {
    let mut bed = Bed::new(FILE);
    for (ms, what, ask, answer) in steps {
        bed.advance_ms(*ms);
        bed.now_us += 1; // no two things happen at the same moment
        let waiting = bed.waiting();
        let one = waiting.get(what % waiting.len().max(1)).copied();
        match (what, one) {
            (0..8, Some(id)) => settle(&mut bed, id, *what, *answer),
            _ => drop(bed.ask(ask)),
        }
    }
    bed.advance_ms(500);
    while let Some(id) = bed.waiting().first().copied() {
        settle(&mut bed, id, 0, Answer::default());
    }
    bed.lines
}

/// What the providers do, as the target that was picked has it.
fn settle(bed: &mut Bed, id: u64, what: usize, answer: Answer) {
    let (target, chain) = bed.route(id);
    match what {
        0..5 => bed.answer(id, &chain[..1], answer),
        5 if chain.len() > 1 => bed.answer(id, &chain, answer),
        6 => bed.fail(id, &chain),
        7 => bed.leave(id, &chain[..1]),
        _ => bed.answer(id, &[target], answer),
    }
}

fn records(log: &[String]) -> Vec<Value> {
    log.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()["ai_log"].clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn every_decision_is_reproduced(steps in prop::collection::vec(step(), 1..160)) {
        let log = log(&steps);
        let report = replayed(&log, FILE);
        prop_assert_eq!(report.requests, u64::try_from(log.len()).unwrap());
        prop_assert_eq!(report.changed(), 0, "{}\n{}", report, log.concat());
        prop_assert_eq!(report.cost.before, report.cost.after);
        for both in [report.caches.hits, report.caches.misses, report.caches.bypasses] {
            prop_assert_eq!(both.before, both.after, "{}\n{}", report, log.concat());
        }
    }
}

#[test]
fn the_traffic_meets_every_kind_of_decision() {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let steps = prop::collection::vec(step(), 3_000).new_tree(&mut runner).unwrap().current();
    let log = log(&steps);
    let records = records(&log);
    let count = |name: &str, value: &str| records.iter().filter(|record| record[name] == value).count();
    let has = |name: &str, value: &str| count(name, value) > 0;
    let limits = ["pace", "tokens", "weighted", "budget", "team", "now"];
    let refused = limits.map(|limit| (limit, count("limit", &format!("refused:{limit}"))));
    assert!(refused.iter().all(|(_, count)| *count > 0), "{refused:?}");
    for error in [
        "missing_api_key",
        "invalid_api_key",
        "expired_api_key",
        "ip_not_allowed",
        "model_not_allowed",
        "model_not_found",
        "upstream_error",
        "rate_limit_exceeded",
        "concurrency_limit_exceeded",
        "insufficient_quota",
    ] {
        assert!(has("error", error), "{error}");
    }
    for (name, value) in
        [("cache", "hit"), ("cache", "hit; reason=coalesced"), ("cache", "miss"), ("end", "client_gone")]
    {
        assert!(has(name, value), "{name} {value}");
    }
    let report = replayed(&log, FILE);
    assert_eq!(report.changed(), 0, "{report}");
    assert!(report.caches.hits.before > 20 && report.cost.before > 0, "{report}");
    assert_eq!(
        (report.caches.hits.before, report.cost.before),
        (report.caches.hits.after, report.cost.after)
    );
    assert!(report.span_us.unwrap().0 >= START_US);
}
