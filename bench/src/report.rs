//! The report: goals first, then charts, then tables; and a short form for whoever has just measured something.

mod chart;
mod charts;
mod markdown;
mod tables;
mod text;

use std::path::Path;

use crate::Failure;
use crate::machine::Run;
use crate::record::Figures;

pub use text::summary;

/// File of a results folder: whom the runner of other gateways could not measure, and why, one a line.
const MISSING: &str = "peers-missing.txt";

/// Folder of the charts, beside the report.
const CHARTS: &str = "charts";

/// Makes `report.md` and its charts in `folder` of what the results folder `results` holds.
///
/// # Errors
/// Results cannot be read, or the report not be written.
pub fn write(results: &Path, folder: &Path) -> Result<(), Failure> {
    let (figures, run) = (Figures::read(results)?, Run::read(results)?);
    let missing = std::fs::read_to_string(results.join(MISSING)).unwrap_or_default();
    let charts = charts::all(&figures);
    std::fs::create_dir_all(folder.join(CHARTS))?;
    for chart in &charts {
        std::fs::write(folder.join(CHARTS).join(chart.file), &chart.svg)?;
    }
    Ok(std::fs::write(folder.join("report.md"), markdown::report(&figures, &run, &charts, &missing))?)
}

/// A number with as many digits as tell something.
fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 1_000.0 {
        thousands(value)
    } else if size >= 100.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 { format!("-{text}") } else { text }
}

/// A unit as people write it.
fn unit(name: &str) -> &str {
    match name {
        "us" => "µs",
        "1/s" => "/s",
        other => other,
    }
}

#[cfg(test)]
mod tests;
