//! What the filters make on a real Envoy is what they declare: names, kinds and labels.

use std::collections::{BTreeMap, BTreeSet};

use sluice_core::metric::{Family, HELD_BYTES, Kind};
use sluice_e2e::exposition::{Metrics, Series};

/// What all of Envoy's own metrics begin with.
const ENVOYS: &str = "envoy_";

/// A histogram's series, by what they add to its name.
const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];

/// Labels that no series has: a request that a limit refuses is no provider's yet.
const ABSENT: [(&str, &str); 1] = [("ai_log_limit_refusals_total", "gen_ai_provider_name")];

/// Fails on a metric of the filters that none of them declares, or not so. What is left are the labels that each declared
/// family has in any of its series.
#[track_caller]
pub(crate) fn assert_declared(metrics: &Metrics) -> BTreeMap<&'static str, BTreeSet<&str>> {
    let mut found = BTreeMap::new();
    for (series, _) in metrics.iter().filter(|(series, _)| !series.name.starts_with(ENVOYS)) {
        let family = family_of(series).unwrap_or_else(|| panic!("nobody declares {series}"));
        assert_eq!(metrics.type_of(family.name), type_of(family.kind), "{series}");
        let labels = found.entry(family.name).or_insert_with(BTreeSet::new);
        let is_bound = |label: &str| label == "le" && series.name.ends_with("_bucket");
        for label in series.labels.keys().filter(|label| !is_bound(label)) {
            assert!(names(&family).any(|name| name == label), "{series}: {label}");
            labels.insert(label.as_str());
        }
    }
    found
}

/// As [`assert_declared`], where each family that there is has been counted by each label that it can have.
#[track_caller]
pub(crate) fn assert_all_labels(metrics: &Metrics) {
    let found = assert_declared(metrics);
    let mut absent = Vec::new();
    for family in families() {
        let Some(labels) = found.get(family.name) else { continue };
        absent
            .extend(names(&family).filter(|label| !labels.contains(label)).map(|label| (family.name, label)));
    }
    assert_eq!(absent, ABSENT);
}

fn families() -> impl Iterator<Item = Family> {
    let plugins = suite::metrics::METRICS.into_iter().flat_map(|(_, families)| families);
    plugins.copied().chain([HELD_BYTES])
}

fn family_of(series: &Series) -> Option<Family> {
    families().find(|family| match (family.kind, series.name.strip_prefix(family.name)) {
        (Kind::Histogram, Some(part)) => PARTS.contains(&part),
        (_, rest) => rest == Some(""),
    })
}

fn names(family: &Family) -> impl Iterator<Item = &'static str> {
    family.labels.iter().map(|label| label.name())
}

const fn type_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    }
}
