//! Tables of the report: for every workload who needed what.

use std::fmt::Write as _;

use super::{number, unit};
use crate::record::{BARE, Figure, Figures, MICRO};
use crate::stats::{Spread, spread};

/// A table for a workload of `suite`: one row for everybody, one column for each metric, the ratio of processor time to bare.
pub(super) fn workload(figures: &Figures, suite: &str, workload: &str) -> String {
    let columns = metrics(figures, suite, workload);
    let names = figures.names(suite, workload);
    let with_ratio =
        columns.iter().any(|(metric, _)| *metric == "cpu") && names.contains(&BARE) && names.len() > 1;
    let mut table = String::from("| |");
    for (metric, in_unit) in &columns {
        let _ = write!(table, " {metric}, {} |", unit(in_unit));
    }
    table.push_str(if with_ratio { " CPU × bare |\n| --- |" } else { "\n| --- |" });
    table.push_str(&" ---: |".repeat(columns.len() + usize::from(with_ratio)));
    table.push('\n');
    for name in names {
        let _ = write!(table, "| {name}{} |", version(figures, suite, workload, name));
        for (metric, _) in &columns {
            let values = figures.values(suite, workload, name, metric);
            let _ = write!(
                table,
                " {} |",
                spread(&values).map_or_else(String::new, |values| cell(values, *metric == "cpu"))
            );
        }
        if with_ratio {
            let ratio = spread(&figures.ratios(suite, workload, name, "cpu"));
            let _ = write!(table, " {} |", ratio.map_or_else(String::new, |ratio| cell(ratio, name != BARE)));
        }
        table.push('\n');
    }
    table
}

/// One table of all pure cores, by name.
pub(super) fn micro(figures: &Figures) -> String {
    let mut table = String::from("| | native | in wasm | native ÷ wasm |\n| --- | ---: | ---: | ---: |\n");
    let mut workloads = figures.workloads(MICRO);
    workloads.sort_unstable();
    for workload in workloads {
        let of = |name: &str| {
            let figure = figures
                .all()
                .iter()
                .find(|one| one.suite == MICRO && one.workload == workload && one.name == name)?;
            let values = spread(&figures.values(MICRO, workload, name, &figure.metric))?;
            Some((values.median, figure.unit.as_str()))
        };
        let (native, wasm) = (of("native"), of("wasm"));
        let told = |value: Option<(f64, &str)>| {
            value.map_or_else(String::new, |(value, in_unit)| format!("{} {}", number(value), unit(in_unit)))
        };
        let ratio =
            native.zip(wasm).map(|((native, _), (wasm, _))| number(native / wasm)).unwrap_or_default();
        let _ = writeln!(table, "| {workload} | {} | {} | {ratio} |", told(native), told(wasm));
    }
    table
}

/// The median; with the least and the most of the rounds where they tell how far to trust it.
fn cell(values: Spread, with_range: bool) -> String {
    if with_range && values.least < values.most {
        format!("{} ({}–{})", number(values.median), number(values.least), number(values.most))
    } else {
        number(values.median)
    }
}

fn version(figures: &Figures, suite: &str, workload: &str, name: &str) -> String {
    let is_it =
        |figure: &&Figure| figure.suite == suite && figure.workload == workload && figure.name == name;
    let version = figures.all().iter().filter(is_it).find_map(|figure| figure.version.as_deref());
    version.map(|version| format!(" {version}")).unwrap_or_default()
}

/// Metrics of a workload with their units, as they were first measured.
fn metrics<'a>(figures: &'a Figures, suite: &str, workload: &str) -> Vec<(&'a str, &'a str)> {
    let mut columns: Vec<(&str, &str)> = Vec::new();
    for figure in figures.all().iter().filter(|figure| figure.suite == suite && figure.workload == workload) {
        if !columns.iter().any(|(metric, _)| *metric == figure.metric) {
            columns.push((&figure.metric, &figure.unit));
        }
    }
    columns
}
