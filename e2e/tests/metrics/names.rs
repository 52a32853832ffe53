//! Fifty thousand names that nobody has heard of make no series of their own.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use sluice_e2e::client::{self, Connection};
use sluice_e2e::exposition::Metrics;
use sluice_e2e::gateway::{Gateway, Options};
use sluice_e2e::upstream::Upstream;
use sluice_e2e::wait;

/// Names in each half: of ten, eight match no rule, one is answered and one is unknown to its provider.
const HALF: usize = 25_000;

/// Names that a client takes at a time. It asks for one after the other: Envoy ends a connection on which more than two
/// answers wait.
const BATCH: usize = 50;

const CLIENTS: usize = 4;

/// As configured below.
const MAX_MODELS: usize = 20;
const MAX_LABEL_SETS: usize = 60;

/// What the configuration allows each label of a request, absence included: nobody, ann and bob; no rule and two; no
/// provider and two; the operations that are asked for.
const ROUTES: usize = 3;
const PROVIDERS: usize = 3;
const OPERATIONS: usize = 2;

/// Most different label sets: those that are registered, and where they are used up, one for each route, provider and
/// operation.
const SETS: usize = MAX_LABEL_SETS + ROUTES * PROVIDERS * OPERATIONS;

/// Most series of one metric for each label set: kinds of tokens by source, of errors, results, findings, buckets.
const OWN: usize = 24;

/// What Envoy may take more of memory after the second half than before: its allocator's slack, not 25,000 names.
const SLACK: u64 = 12 << 20;

const YAML: &str = "
models:
  - {match: [o3, \"gpt-*\"], targets: [{provider: a}], fallback: [{provider: b}]}
  - {match: \"text-*\", targets: [{provider: a}]}
consumers: [{name: ann, keys: [sk-ann]}, {name: bob, keys: [sk-bob]}]
metrics: {max_models: 20, max_label_sets: 60}
";

struct Crowd {
    gateway: Gateway,
    _providers: [Upstream; 2],
}

impl Crowd {
    fn start() -> Self {
        let providers = ["a", "b"].map(Upstream::start);
        for provider in &providers {
            provider.remember_nothing();
        }
        let [a, b] = providers.each_ref().map(Upstream::url);
        let yaml = format!("providers: {{a: {{url: \"{a}\"}}, b: {{url: \"{b}\"}}}}{YAML}");
        let gateway = Options::default().workers(2).start(&yaml);
        Self { gateway, _providers: providers }
    }

    /// Asks for the names from `first` on.
    fn ask(&self, first: usize) {
        let next = AtomicUsize::new(first);
        std::thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    let mut client = Connection::open(self.gateway.address()).expect("the gateway listens");
                    loop {
                        let from = next.fetch_add(BATCH, Ordering::Relaxed);
                        if from >= first + HALF {
                            return;
                        }
                        batch(&mut client, from);
                    }
                });
            }
        });
        let all = first + HALF;
        let recorded = || self.gateway.folder().join("access.log");
        wait::until(&format!("{all} records"), || {
            let log = std::fs::read(recorded()).expect("a log");
            (log.iter().filter(|byte| **byte == b'\n').count() == all).then_some(())
        });
    }

    fn metrics(&self) -> Metrics {
        Metrics::scrape(self.gateway.admin())
    }
}

fn batch(client: &mut Connection, from: usize) {
    for n in from..from + BATCH {
        client.write(&request(n)).expect("a request");
        let want = if n % 10 == 8 { 200 } else { 404 };
        let reply = client.read().expect("an answer");
        assert_eq!(reply.status, want, "{n}: {}", reply.text());
    }
}

fn request(n: usize) -> Vec<u8> {
    let (path, model) = match (n % 10, n % 3) {
        (8 | 9, 0) => ("/v1/embeddings", format!("text-made-up-{n}")),
        (8 | 9, _) => ("/v1/chat/completions", format!("gpt-made-up-{n}")),
        _ => ("/v1/chat/completions", format!("llama-made-up-{n}")),
    };
    let status = if n % 10 == 9 { 404 } else { 200 };
    let body = json!({"model": model, "input": "x", "messages": [], "x_mock": {"*": {"status": status, "events": 1}}});
    let key = if n.is_multiple_of(2) { "Bearer sk-ann" } else { "Bearer sk-bob" };
    let headers = [("content-type", "application/json"), ("authorization", key)];
    client::request("POST", path, &headers, body.to_string().as_bytes())
}

#[test]
fn made_up_names_make_no_series_without_bound() {
    let crowd = Crowd::start();
    crowd.ask(0);
    let (half, memory) = (crowd.metrics().iter().count(), crowd.gateway.envoy_memory());
    crowd.ask(HALF);
    let metrics = crowd.metrics();
    let grown = crowd.gateway.envoy_memory().saturating_sub(memory);
    let (all, ours) = (metrics.iter().count(), by_metric(&metrics));
    eprintln!("series: {half}, then {all}; memory: {memory} bytes, then {grown} more");
    assert!(grown < SLACK, "{grown} bytes more");

    for (name, series) in &ours {
        assert!(*series <= SETS * OWN, "{name}: {series} series");
    }
    assert!(ours["ai_log_requests_total"] <= SETS, "{ours:?}");
    let total: usize = ours.values().sum();
    assert!(total <= ours.len() * SETS * OWN, "{total}");
    assert!(all <= half + half / 50, "{half} series after one half, {all} after the other");
    assert_names(&metrics);
    assert_sums(&metrics);
}

/// How many series each metric of ai-log has.
fn by_metric(metrics: &Metrics) -> std::collections::BTreeMap<String, usize> {
    let mut ours = std::collections::BTreeMap::new();
    for (series, _) in
        metrics.iter().filter(|(series, _)| series.labels.contains_key("gen_ai_operation_name"))
    {
        *ours.entry(series.name.clone()).or_default() += 1;
    }
    ours
}

/// So many names have series of their own as may, all of them such as were answered.
fn assert_names(metrics: &Metrics) {
    let all = metrics.iter().filter_map(|(series, _)| series.labels.get("gen_ai_request_model"));
    let names: std::collections::BTreeSet<&str> = all.map(String::as_str).collect();
    assert!(names.contains("other"), "{names:?}");
    assert!(names.len() <= MAX_MODELS + 2, "{names:?}");
    let made_up: Vec<&str> = names.into_iter().filter(|name| name.contains("made-up")).collect();
    assert!(!made_up.is_empty() && made_up.iter().all(|name| name.ends_with('8')), "{made_up:?}");
}

/// Nothing is lost: all requests are counted, and each label that gave way.
fn assert_sums(metrics: &Metrics) {
    let sum = |label: &str, value: &str| -> f64 {
        let found = metrics.of("ai_log_requests_total").filter(|(series, _)| series.label(label) == value);
        found.map(|(_, value)| value).sum()
    };
    let replaced = |kind: &str| -> f64 {
        let found =
            metrics.of("ai_log_labels_replaced_total").filter(|(series, _)| series.label("label") == kind);
        found.map(|(_, value)| value).sum()
    };
    let requests = 2.0 * HALF as f64;
    assert_eq!(metrics.sum("ai_log_requests_total"), requests);
    let (models, sets) = (replaced("model"), replaced("set"));
    assert_eq!(sum("consumer", "other"), sets);
    let others = sum("gen_ai_request_model", "other");
    assert!(models <= others && others <= models + sets, "{models}, {sets}, {others}");
    assert!(models >= requests * 0.9, "{models} of {requests} names gave way");
    assert_eq!(sum("route", "") + sum("route", "o3") + sum("route", "text-*"), requests);
}
