//! Grafana's board and Prometheus' alerts on a real gateway: whatever they ask for is there, to the last label.
#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

mod bed;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sluice_e2e::envoy;
use sluice_e2e::gateway;
use sluice_e2e::process;
use sluice_e2e::prometheus::Prometheus;
use sluice_e2e::prometheus::selector::{Selector, selectors};
use sluice_e2e::wait;

use crate::bed::Bed;

/// One query of the board.
struct Query {
    /// The panel that shows it.
    panel: String,
    /// With the board's variables filled in.
    expr: String,
    /// Labels that its legend names.
    legend: BTreeSet<String>,
}

fn board() -> Value {
    let path = envoy::checkout().join("monitoring/grafana/dashboards/sluice.json");
    serde_json::from_str(&process::read(&path)).expect("a board is JSON")
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

/// `expr` as Grafana sends it while everything is chosen. What is no variable of the board fails the test.
fn filled(board: &Value, expr: &str) -> String {
    let mut expr = expr.replace("$__range", "5m").replace("$interval", "1m");
    for variable in list(&board["templating"], "list") {
        if let Some(all) = variable["allValue"].as_str() {
            expr = expr.replace(&format!("\"${}\"", text(variable, "name")), &format!("\"{all}\""));
        }
    }
    assert!(!expr.contains('$'), "an unknown variable: {expr}");
    expr
}

fn queries(board: &Value) -> Vec<Query> {
    let mut queries = Vec::new();
    for panel in list(board, "panels") {
        for target in list(panel, "targets") {
            let legend = text(target, "legendFormat");
            queries.push(Query {
                panel: text(panel, "title").to_owned(),
                expr: filled(board, text(target, "expr")),
                legend: legend
                    .split("{{")
                    .skip(1)
                    .filter_map(|rest| Some(rest.split_once("}}")?.0.to_owned()))
                    .collect(),
            });
        }
    }
    queries
}

/// What is wrong with a query's results.
fn judge(query: &Query, prometheus: &Prometheus) -> Result<(), String> {
    let found = prometheus.query(&query.expr)?;
    let finite = |one: &&Value| {
        one["value"][1].as_str().and_then(|value| value.parse().ok()).is_some_and(f64::is_finite)
    };
    if found.iter().filter(finite).count() == 0 {
        return Err(format!("no number: {found:?}"));
    }
    let labels: BTreeSet<&String> =
        found.iter().filter_map(|one| one["metric"].as_object()).flat_map(|labels| labels.keys()).collect();
    match query.legend.iter().find(|label| !labels.contains(label)) {
        Some(label) => Err(format!("its legend names {label}, its results have {labels:?}")),
        None => Ok(()),
    }
}

/// What is wrong with what a query selects: a metric, label or value that no series has.
fn missing(selector: &Selector, prometheus: &Prometheus) -> Result<(), String> {
    let series = prometheus.series(&selector.text)?;
    if series.is_empty() {
        return Err("selects nothing".to_owned());
    }
    let all = prometheus.series(&selector.metric)?;
    let has =
        |label: &&String| all.iter().any(|series: &BTreeMap<String, String>| series.contains_key(*label));
    match selector.labels.iter().find(|label| !has(label)) {
        Some(label) => Err(format!("no series of {} has a label {label}", selector.metric)),
        None => Ok(()),
    }
}

/// Waits until `judge` finds nothing wrong with any of `all`; else says with which, and what.
#[track_caller]
fn all_good<T>(all: &[T], name: impl Fn(&T) -> String, judge: impl Fn(&T) -> Result<(), String>) {
    let wrong = || -> Vec<String> {
        all.iter().filter_map(|one| Some(format!("{}: {}", name(one), judge(one).err()?))).collect()
    };
    let good = wait::poll(wait::PATIENCE, || wrong().is_empty().then_some(()));
    assert!(good.is_some(), "{:#?}", wrong());
}

#[test]
fn everything_that_board_and_alerts_ask_for_is_there() {
    let bed = Bed::start();
    let prometheus = Prometheus::start(bed.gateway.admin());
    let board = board();
    bed.happen(1);
    wait::until("the first requests to be scraped", || {
        let seen = prometheus.query("ai_log_gateway_milliseconds_count > 0").ok()?;
        (!seen.is_empty()).then_some(())
    });
    bed.happen(2); // a rate needs something before it
    bed.crowd();
    bed.lose_redis();

    let queries = queries(&board);
    all_good(&queries, |query| format!("{}: {}", query.panel, query.expr), |query| judge(query, &prometheus));

    let alerts = prometheus.alerts();
    assert!(alerts.len() >= 8, "{alerts:?}");
    let expressions = alerts.iter().map(|alert| text(alert, "query"));
    let mut selected: Vec<Selector> =
        queries.iter().map(|query| query.expr.as_str()).chain(expressions).flat_map(selectors).collect();
    for variable in list(&board["templating"], "list") {
        let query = filled(&board, variable["query"]["query"].as_str().unwrap_or_default());
        if let Some((selector, label)) =
            query.strip_prefix("label_values(").and_then(|rest| rest.rsplit_once(", "))
        {
            let mut selector = selectors(selector).remove(0);
            selector.labels.push(label.trim_end_matches(')').to_owned());
            selected.push(selector);
        }
    }
    selected.sort_by(|a, b| a.text.cmp(&b.text));
    selected.dedup();
    all_good(&selected, |selector| selector.text.clone(), |selector| missing(selector, &prometheus));
    assert!(alerts.iter().all(|alert| alert["health"] != "err"), "{alerts:?}");
}

#[test]
fn every_panel_has_a_query_a_unit_and_a_place() {
    let board = board();
    let panels = list(&board, "panels");
    let (mut titles, mut cells) = (BTreeSet::new(), BTreeSet::new());
    let mut row = "";
    for panel in panels {
        if panel["type"] == "row" {
            row = text(panel, "title");
            continue;
        }
        assert!(titles.insert((row, text(panel, "title"))), "twice: {panel}");
        assert!(!list(panel, "targets").is_empty(), "no query: {panel}");
        assert!(!text(&panel["fieldConfig"]["defaults"], "unit").is_empty());
        for target in list(panel, "targets") {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{target}");
        }
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|name| panel["gridPos"][name].as_u64().expect("a place"));
        assert!(x + w <= 24, "too wide: {panel}");
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(cells.insert(cell), "over another: {panel}");
        }
    }
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "each has an id of its own");
}

#[test]
fn what_an_envoy_by_hand_needs_is_told_as_it_is_rendered() {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let gateway = folder.path().join("gateway.yaml");
    let yaml = "providers: {a: {url: \"http://127.0.0.1:1/v1\"}}\nmodels: [{match: \"*\", targets: [{provider: a}]}]\n";
    std::fs::write(&gateway, yaml).expect("a file in the test's folder");
    let mut command = std::process::Command::new(gateway::binary());
    command.current_dir(envoy::checkout()).arg("render").arg(&gateway).arg("-o").arg(folder.path());
    assert!(command.output().expect("sluice runs").status.success());
    let rendered = process::read(&folder.path().join("envoy.yaml"));
    let config = rendered.split_inclusive('\n').skip_while(|line| !line.starts_with("stats_config:"));
    let inside = |line: &&str| line.starts_with("stats_config:") || line.starts_with(' ');
    let config: String = config.take_while(inside).collect();
    assert!(config.contains("histogram_bucket_settings"), "{rendered}");
    let page = process::read(&envoy::checkout().join("docs/monitoring.md"));
    assert!(
        page.contains(&format!("```yaml\n{config}```")),
        "docs/monitoring.md does not tell of:\n{config}"
    );
}

#[test]
fn every_alert_says_what_to_do() {
    let rules = process::read(&envoy::checkout().join("monitoring/prometheus/alerts.yml"));
    let page = process::read(&envoy::checkout().join("docs/monitoring.md"));
    let tests = process::read(&envoy::checkout().join("monitoring/prometheus/alerts_test.yml"));
    for alert in rules.split("- alert: ").skip(1) {
        let name = alert.lines().next().unwrap_or_default();
        for wanted in ["severity: ", "summary: ", "description: "] {
            assert!(alert.contains(wanted), "{name} has no {wanted}");
        }
        let runbook = format!("runbook: docs/monitoring.md#{}", name.to_lowercase());
        assert!(alert.contains(&runbook), "{name} has no {runbook}");
        assert!(page.contains(&format!("\n### {name}\n")), "docs/monitoring.md does not tell of {name}");
        assert!(tests.contains(&format!("alertname: {name}\n")), "no test lets {name} fire");
        assert!(tests.contains(&format!("{{alertname: {name}, ")), "no test has {name} keep still");
    }
}
