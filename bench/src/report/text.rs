//! The short form of a report, for whoever has just measured something.

use std::fmt::Write as _;

use crate::record::{BARE, Figures, GATEWAY};
use crate::stats::{median, spread};

/// A table of processor time per request for each workload of the gateway, and of what it costs beside a bare Envoy.
#[must_use]
pub fn summary(figures: &Figures) -> String {
    let mut text = String::new();
    for workload in figures.workloads(GATEWAY) {
        let _ = writeln!(text, "{workload}");
        for name in figures.names(GATEWAY, workload) {
            let Some(cpu) = spread(&figures.values(GATEWAY, workload, name, "cpu")) else { continue };
            let rate = median(&figures.values(GATEWAY, workload, name, "rate")).unwrap_or_default();
            let rss = median(&figures.values(GATEWAY, workload, name, "rss")).unwrap_or_default();
            let ratio = match spread(&figures.ratios(GATEWAY, workload, name, "cpu")) {
                Some(ratio) if name != BARE => {
                    format!("{:5.2} x ({:.2}-{:.2})", ratio.median, ratio.least, ratio.most)
                }
                _ => String::new(),
            };
            let _ = writeln!(
                text,
                "  {name:<28} {:8.1} us ({:.1}-{:.1})  {ratio:<20} {rate:7.0}/s {rss:5.0} MB",
                cpu.median, cpu.least, cpu.most
            );
        }
    }
    text
}
