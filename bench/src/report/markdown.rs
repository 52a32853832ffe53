//! The report as markdown.

use std::fmt::Write as _;

use super::charts::Chart;
use super::{CHARTS, number, tables};
use crate::goals::{self, Bound, Goal};
use crate::machine::Run;
use crate::record::{Figures, GATEWAY, MICRO, PEERS};
use crate::subject::NATIVE;
use crate::workload;

/// The whole report; `missing` says who could not be measured, one a line.
pub(super) fn report(figures: &Figures, run: &Run, charts: &[Chart], missing: &str) -> String {
    let mut text = format!(
        "# What the gateway costs\n\nWritten by `scripts/bench` from the raw figures of one run, {}; a change here is lost. How each \
         figure is taken: [docs/benchmarks.md](../docs/benchmarks.md). Envoy has one worker on one core, and every ratio is to a bare Envoy in the \
         same round: medians over the rounds, in brackets the least and the most.\n\n## Figures to reach\n\n",
        run.date
    );
    text.push_str(&goals(figures));
    for chart in charts {
        let _ = write!(text, "\n![{}]({CHARTS}/{})\n", chart.alt, chart.file);
    }
    let _ = write!(text, "\n## Machine and versions\n\n{}", machine(run));
    let _ = write!(text, "\n## Workloads\n");
    for name in figures.workloads(GATEWAY) {
        let about = workload::ALL.iter().find(|one| one.name == name).map_or("", |one| one.about);
        let about = if about.is_empty() { String::new() } else { format!(": {about}") };
        let _ = write!(text, "\n### {name}{about}\n\n{}", tables::workload(figures, GATEWAY, name));
    }
    text.push_str(&peers(figures, missing));
    if !figures.workloads(MICRO).is_empty() {
        let _ = write!(text, "\n## Pure cores, without Envoy\n\n{}", tables::micro(figures));
    }
    text
}

fn peers(figures: &Figures, missing: &str) -> String {
    let workloads = figures.workloads(PEERS);
    if workloads.is_empty() && missing.is_empty() {
        return String::new();
    }
    let mut text = String::from("\n## Other gateways, the same request\n");
    for name in workloads {
        let _ = write!(text, "\n### {name}\n\n{}", tables::workload(figures, PEERS, name));
    }
    if !missing.is_empty() {
        text.push_str("\nNot measured:\n\n");
        text.extend(missing.lines().map(|line| format!("- {line}\n")));
    }
    text
}

fn goals(figures: &Figures) -> String {
    let mut table =
        String::from("| what | reach | native | | as Wasm | |\n| --- | ---: | ---: | --- | ---: | --- |\n");
    for goal in goals::ALL {
        let [native, wasm] = [NATIVE, ""].map(|form| {
            let value = goal.value(figures, form);
            let measured =
                value.map_or_else(|| "–".to_owned(), |value| format!("{} {}", number(value), goal.unit));
            format!("{measured} | {}", verdict(goal, value))
        });
        let _ = writeln!(table, "| {} | {} | {native} | {wasm} |", goal.what, reach(goal));
    }
    table
}

fn reach(goal: &Goal) -> String {
    let (sign, bound) = match goal.bound {
        Bound::AtMost(bound) => ("≤", bound),
        Bound::AtLeast(bound) => ("≥", bound),
    };
    format!("{sign} {} {}", number(bound), goal.unit)
}

fn verdict(goal: &Goal, value: Option<f64>) -> &'static str {
    match value.map(|value| goal.bound.holds(value)) {
        Some(true) => "reached",
        Some(false) => "**missed**",
        None => "not measured",
    }
}

fn machine(run: &Run) -> String {
    let rows = [
        ("processor", format!("{}, {} cores, {} MB", run.cpu, run.cores, number(run.memory_mb as f64))),
        ("kernel", run.kernel.clone()),
        ("Envoy", run.envoy.clone()),
        ("sluice", run.commit.clone()),
        ("rustc", run.rustc.clone()),
        ("command", format!("`{}`", run.command)),
        ("load before, after", run.load.join(", ")),
    ];
    let mut table = String::from("| | |\n| --- | --- |\n");
    for (what, is) in rows {
        let _ = writeln!(table, "| {what} | {is} |");
    }
    table
}
