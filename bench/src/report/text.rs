//! The short form of a report, for whoever has just measured something.

use super::tables;
use crate::record::{Figures, GATEWAY};

/// A table for each workload of the gateway.
#[must_use]
pub fn summary(figures: &Figures) -> String {
    let table = |name: &str| format!("{name}\n\n{}\n", tables::workload(figures, GATEWAY, name));
    figures.workloads(GATEWAY).into_iter().map(table).collect()
}
