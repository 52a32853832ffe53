//! Names are such as Prometheus takes, the same family is declared alike everywhere, and the tables of the manual hold it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sluice_core::metric::{HELD_BYTES, Kind};
use sluice_core::redis;

use super::*;

const CLIENT: [Family; 4] = [redis::CALLS, redis::FAILURES, redis::BREAKER_OPENED, redis::CALL_MS];

/// The labels that tables of `more labels` leave out.
const COMMON: [&str; 5] =
    ["consumer", "route", "gen_ai_request_model", "gen_ai_provider_name", "gen_ai_operation_name"];

/// Name, kind and labels of a family.
type Told = (String, Kind, Vec<String>);

#[test]
fn a_name_stands_for_one_family_alone() {
    let mut known = BTreeMap::from([(HELD_BYTES.name, HELD_BYTES)]);
    for (plugin, families) in METRICS {
        let names: BTreeSet<&str> = families.iter().map(|family| family.name).collect();
        assert_eq!(names.len(), families.len(), "{plugin} declares one twice");
        for family in families {
            let same = known.entry(family.name).or_insert(*family);
            assert_eq!(same, family, "{plugin}");
        }
    }
    for family in known.values() {
        let plain = family.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        assert!(plain && !family.name.is_empty(), "{}", family.name);
        assert_eq!(family.name.ends_with("_total"), family.kind == Kind::Counter, "{}", family.name);
        let labels: BTreeSet<&str> = family.labels.iter().map(|label| label.name()).collect();
        assert_eq!(labels.len(), family.labels.len(), "{}", family.name);
    }
}

#[test]
fn the_manual_tells_of_every_family_and_of_no_other() {
    for (plugin, families) in METRICS {
        let own = families.iter().filter(|family| !CLIENT.contains(family));
        let client = CLIENT.iter().filter(|_| plugin == redis_bridge::RedisBridge::NAME);
        let declared: BTreeSet<Told> = own.chain(client).map(written).collect();
        assert_eq!(told(&manual(plugin)), declared, "{plugin}");
    }
}

fn written(family: &Family) -> Told {
    let labels = family.labels.iter().map(|label| label.name().to_owned()).collect();
    (family.name.to_owned(), family.kind, labels)
}

fn manual(plugin: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/plugins");
    std::fs::read_to_string(folder.join(format!("{plugin}.md"))).unwrap()
}

/// The families in the tables of a page, and in a sentence that begins with `Counted as`.
fn told(page: &str) -> BTreeSet<Told> {
    let mut all = BTreeSet::new();
    let mut head = Vec::new();
    for line in page.lines() {
        let row = cells(line);
        if row.is_empty() {
            head.clear();
        } else if head.is_empty() {
            head = row;
        } else if ["metric", "counter", "histogram"].contains(&head[0]) {
            all.extend(quoted(row[0]).map(|family| of_row(family, &head, &row)));
        }
    }
    let sentence = page.split_once("Counted as ").map_or("", |(_, rest)| rest);
    let counted = quoted(sentence.split('.').next().unwrap()).map(split);
    all.extend(counted.map(|(name, labels)| (name, Kind::Counter, labels)));
    all
}

fn of_row(family: &str, head: &[&str], row: &[&str]) -> Told {
    let (name, mut labels) = split(family);
    if head[1] == "more labels" {
        let common = COMMON.iter().filter(|_| !row[1].contains("none of the common ones"));
        labels.extend(common.map(|label| (*label).to_owned()));
        labels.extend(quoted(row[1].split(':').next().unwrap()).map(str::to_owned));
    }
    let is = |kind: &str| head[0] == kind || row[1].starts_with(kind);
    let kind = match (is("gauge"), is("histogram")) {
        (true, _) => Kind::Gauge,
        (_, true) => Kind::Histogram,
        _ => Kind::Counter,
    };
    (name, kind, labels)
}

/// `name{label, label}`.
fn split(family: &str) -> (String, Vec<String>) {
    let (name, labels) = family.trim_end_matches('}').split_once('{').unwrap_or((family, ""));
    let labels = labels.split(", ").filter(|label| !label.is_empty());
    (name.to_owned(), labels.map(str::to_owned).collect())
}

fn cells(line: &str) -> Vec<&str> {
    let inside = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |"));
    inside.map_or(Vec::new(), |inside| inside.split('|').map(str::trim).collect())
}

/// What stands in backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}
