//! Ten thousand mixed requests: every counter equals the count made from the access log, and the tokens that were reported
//! equal what the providers say they reported.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use serde_json::Value;
use sluice_e2e::exposition::{Metrics, Series};
use sluice_e2e::reported::Tokens;
use sluice_e2e::wait;

use crate::bed::{self, CALLS, Metered, PRICES};
use crate::client::{self, Got};
use crate::declared;
use crate::ledger::{self, Counts, Rules};
use crate::traffic::{self, Booked, GLOBBED, LITERAL, Planned};

/// Of the requests; another is `SLUICE_SEED`.
const SEED: u64 = 20_261_122;

const REQUESTS: usize = 10_000;

/// Envoy hands histograms out after each flush of its statistics, five seconds apart.
const FLUSHED: Duration = Duration::from_secs(20);

/// Prints the seed when the test fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the requests were those of SLUICE_SEED={}", self.0);
        }
    }
}

/// All requests with what came of them, and their records.
struct Run {
    bed: Metered,
    planned: Vec<Planned>,
    got: Vec<Got>,
    records: Vec<Value>,
}

#[test]
fn every_counter_of_ten_thousand_requests_is_the_logs_and_every_token_the_providers() {
    let seed = Seed(std::env::var("SLUICE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(SEED));
    let run = run(seed.0);
    assert_each_is_recorded(&run);
    assert_as_intended(&run);
    let rules = Rules { is_named: &|model| LITERAL.contains(&model) || GLOBBED.contains(&model) };
    let log = ledger::count(&rules, &run.records);
    let metrics = settled(&run.bed, &log);
    assert_tokens(&run, &metrics);
    assert_costs(&run.records);
    assert_histograms(&metrics);
    declared::assert_all_labels(&metrics);
}

fn run(seed: u64) -> Run {
    let bed = bed::start(2);
    let (first, rest) = traffic::plan(seed, REQUESTS);
    let began = Instant::now();
    let mut got: Vec<Got> = first.chunks(1).flat_map(|one| client::send(&bed, one)).collect();
    assert!(got.iter().all(|got| got.whole), "{got:?}");
    lines(&bed, first.len());
    got.extend(client::send(&bed, &rest));
    eprintln!("{REQUESTS} requests in {:?}", began.elapsed());
    let records = lines(&bed, REQUESTS);
    Run { bed, planned: first.into_iter().chain(rest).collect(), got, records }
}

/// Waits for so many records.
#[track_caller]
fn lines(bed: &Metered, count: usize) -> Vec<Value> {
    let newlines = || bed.gateway.access_text().bytes().filter(|byte| *byte == b'\n').count();
    wait::until(&format!("{count} lines of the log"), || (newlines() >= count).then_some(()));
    bed.gateway.access_log().into_iter().map(|line| line["ai_log"].clone()).collect()
}

/// One record for each request, no more.
fn assert_each_is_recorded(run: &Run) {
    assert_eq!(run.records.len(), REQUESTS);
    assert!(run.records.iter().all(Value::is_object));
    let ids: HashSet<&str> = run.records.iter().filter_map(|record| record["request_id"].as_str()).collect();
    assert_eq!(ids.len(), REQUESTS, "each has an id of its own");
}

/// The requests did what they were made for: without that, equality would prove little.
fn assert_as_intended(run: &Run) {
    let of = |kind: &str| -> Vec<&Got> {
        let both = run.planned.iter().zip(&run.got);
        both.filter(|(planned, _)| planned.kind == kind).map(|(_, got)| got).collect()
    };
    for (kind, status, code) in [
        ("missing-key", 401, "missing_api_key"),
        ("bad-key", 401, "invalid_api_key"),
        ("forbidden-model", 403, "model_not_allowed"),
        ("unknown-model", 404, "model_not_found"),
        ("bad-path", 404, "not_found"),
        ("bad-json", 400, "invalid_json"),
        ("missing-model", 400, "missing_model"),
        ("bad-type", 400, "unsupported_content_type"),
        ("too-large", 413, "request_too_large"),
        ("banned", 400, "content_policy_violation"),
        ("said", 400, "content_policy_violation"),
        ("service-blocked", 400, "content_policy_violation"),
        ("exhausted", 502, "upstream_error"),
        ("never", 404, ""),
    ] {
        let wrong = of(kind).into_iter().find(|got| got.status != status || got.code != code);
        assert!(wrong.is_none() && !of(kind).is_empty(), "{kind}: {wrong:?}");
    }
    for kind in
        ["plain", "stream", "hidden", "mask", "noted", "fallback", "keys", "dead", "first-token", "odd-name"]
    {
        let whole = of(kind).iter().filter(|got| got.whole).count();
        assert_eq!(whole, of(kind).len(), "{kind}");
    }
    for kind in ["cut", "error-event", "reset", "idle"] {
        assert!(of(kind).iter().all(|got| got.status == 200 && !got.whole), "{kind}");
    }
    let count = |kind: &str, is: &dyn Fn(&Got) -> bool| of(kind).into_iter().filter(|got| is(got)).count();
    assert!(count("cache", &|got| got.hit) > 500, "hits");
    assert_eq!(count("limited-calls", &|got| got.status == 200), 2 * CALLS - 1, "one is spent beforehand");
    for kind in ["limited-tokens", "limited-flight"] {
        for status in [200, 429] {
            assert!(count(kind, &|got| got.status == status) > 0, "{kind}: {status}");
        }
    }
}

/// Waits until the metrics say what the log says, and nothing else.
#[track_caller]
fn settled(bed: &Metered, log: &Counts) -> Metrics {
    let scrape = || Metrics::scrape(bed.gateway.admin());
    let gauges = |metrics: &Metrics| -> Vec<f64> {
        let both = ["token_limit_leases", "sluice_held_bytes"].into_iter();
        both.flat_map(|name| metrics.of(name)).map(|(_, value)| value).collect()
    };
    let found = wait::poll(FLUSHED, || {
        let metrics = scrape();
        let same = ledger::differences(log, &ledger::counted(&metrics)).is_empty();
        (same && gauges(&metrics) == [0.0, 0.0]).then_some(metrics)
    });
    if let Some(metrics) = found {
        return metrics;
    }
    let metrics = scrape();
    let differences = ledger::differences(log, &ledger::counted(&metrics));
    let shown = differences.iter().take(60).map(|line| format!("\n  {line}")).collect::<String>();
    panic!("{} series differ:{shown}\nleases, held bytes: {:?}", differences.len(), gauges(&metrics));
}

/// Tokens by the labels of the request and whether they were reported.
pub(crate) type Used = HashMap<[String; 5], Tokens>;

/// What providers and clients say was used equals the metrics, for every caller, model, provider and operation.
fn assert_tokens(run: &Run, metrics: &Metrics) {
    let unknown: HashSet<&str> = run
        .planned
        .iter()
        .filter(|one| one.booked == Booked::Unknown)
        .map(|one| one.model.as_str())
        .collect();
    let each = run.planned.iter().zip(&run.got).filter(|(one, _)| !unknown.contains(one.model.as_str()));
    let want = wanted(each, &served(&run.bed));
    let mut found = Used::new();
    for (series, value) in metrics.of("ai_log_tokens_total") {
        let key = [
            "consumer",
            "gen_ai_request_model",
            "gen_ai_provider_name",
            "gen_ai_operation_name",
            "usage_source",
        ]
        .map(|label| series.label(label).to_owned());
        if !unknown.contains(key[1].as_str()) {
            add(found.entry(key).or_default(), series, value as u64);
        }
    }
    for (key, tokens) in &want {
        assert_eq!(found.get(key), Some(tokens), "{key:?}");
    }
    assert_eq!(
        found.len(),
        want.len(),
        "{:?}",
        found.keys().filter(|key| !want.contains_key(*key)).collect::<Vec<_>>()
    );
}

/// What these requests are to be booked with.
pub(crate) fn wanted<'a>(each: impl Iterator<Item = (&'a Planned, &'a Got)>, served: &Reports) -> Used {
    let mut want = Used::new();
    for (planned, got) in each {
        if let Some((provider, source, tokens)) = used(planned, got, served) {
            let model = planned.model.replace(';', "_");
            let key = [planned.consumer, &model, provider, planned.operation, source].map(str::to_owned);
            *want.entry(key).or_default() += tokens;
        }
    }
    want
}

fn add(tokens: &mut Tokens, series: &Series, value: u64) {
    match series.label("gen_ai_token_type") {
        "input" => tokens.input += value,
        "output" => tokens.output += value,
        "cached" => tokens.cached += value,
        "reasoning" => tokens.reasoning += value,
        other => panic!("{other}"),
    }
}

/// What each user's last answer by each provider reported.
pub(crate) type Reports = HashMap<(String, &'static str), Option<Tokens>>;

/// All that the providers have reported.
pub(crate) fn served(bed: &Metered) -> Reports {
    let providers = ["a", "b", "c"].into_iter().zip(&bed.chain).chain([("k", &bed.keyed)]);
    let all =
        providers.flat_map(|(name, provider)| provider.served().into_iter().map(move |one| (name, one)));
    all.filter(|(_, served)| served.status == 200)
        .map(|(name, served)| ((served.user, name), served.tokens))
        .collect()
}

/// What a request is booked with, and at whom; `None` if with nothing, or with what nobody can foretell.
///
/// The rule: an answer that the client got whole counts what its provider reported; so does one that was withheld, for
/// the provider has given it, and one that broke off but had said until then what it used. Any other that has begun is
/// estimated, as docs/plugins/provider-adapter.md tells. A refusal, an error and what the cache gave count nothing.
fn used(planned: &Planned, got: &Got, served: &Reports) -> Option<(&'static str, &'static str, Tokens)> {
    let begun = got.status == 200 || planned.kind == "said";
    let provider = got.provider.unwrap_or("a");
    let report = served.get(&(planned.user.clone(), provider)).copied().flatten();
    match planned.booked {
        _ if !begun || got.hit || planned.operation == "other" => None,
        Booked::Unknown => None,
        Booked::Reported => Some((
            provider,
            "reported",
            report.unwrap_or_else(|| panic!("{} reported nothing", planned.kind)),
        )),
        Booked::Estimated(input, output) => {
            assert_eq!(report, None, "{}", planned.kind);
            Some((provider, "estimated", Tokens { input, output, ..Tokens::default() }))
        }
    }
}

/// The dollars of every record are its tokens at the price of the model that served; those of the estimated input where
/// the client did not wait for an answer.
pub(crate) fn assert_costs(records: &[Value]) {
    for record in records {
        let tokens = |name: &str| record[name].as_u64();
        let left = tokens("input_estimate").filter(|_| record["end"] == "client_gone");
        let input = tokens("input_tokens").or(left).unwrap_or(0);
        let [cached, output] = ["cached_tokens", "output_tokens"].map(|name| tokens(name).unwrap_or(0));
        let served = record["provider_model"].as_str().or(record["model"].as_str()).unwrap_or_default();
        let price = PRICES.iter().find(|(name, _)| served.starts_with(name)).map(|(_, price)| price);
        let want = price.filter(|_| input + output > 0).map(|[per_input, per_cached, per_output]| {
            (input - cached) * per_input + cached * per_cached + output * per_output
        });
        let cost = record["cost_usd"].as_f64().map(|usd| (usd * 1e9).round() as u64);
        assert_eq!(cost, want, "{record}");
    }
}

/// Each histogram's buckets grow and end with all there is.
fn assert_histograms(metrics: &Metrics) {
    let counts = ledger::counted(metrics);
    let mut seen = 0;
    for (count, total) in counts.iter().filter(|(series, _)| series.name.ends_with("_count")) {
        let bucket = format!("{}_bucket", count.name.trim_end_matches("_count"));
        let mut buckets: Vec<(f64, f64)> = metrics
            .of(&bucket)
            .filter(|(series, _)| {
                count.labels.iter().all(|(name, value)| series.labels.get(name) == Some(value))
            })
            .filter(|(series, _)| series.labels.len() == count.labels.len() + 1)
            .map(|(series, value)| {
                (series.label("le").replace("+Inf", "inf").parse().expect("a bound"), value)
            })
            .collect();
        buckets.sort_by(|left, right| left.0.total_cmp(&right.0));
        assert!(buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{count}: {buckets:?}");
        assert_eq!(buckets.last().map(|(_, value)| *value as u64), Some(*total), "{count}");
        seen += 1;
    }
    assert!(seen > 100, "{seen} histograms");
}
