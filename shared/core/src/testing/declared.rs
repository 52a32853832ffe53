//! Holds every series that the fake hosts of a process are given to what is declared.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::metric::{self, Family, Kind};

static LEDGER: Mutex<Ledger> = Mutex::new(Ledger { declared: None, before: BTreeSet::new() });

/// A kind of metric, and a series without the values of its labels.
type Shape = (Kind, String);

#[derive(Default)]
struct Ledger {
    declared: Option<&'static [Family]>,
    before: BTreeSet<Shape>, // until something is declared
}

impl Ledger {
    /// Declares; the result is what was noted before and is of none of these families.
    fn declare(&mut self, families: &'static [Family]) -> Vec<Shape> {
        self.declared = Some(families);
        let before = std::mem::take(&mut self.before).into_iter();
        before.filter(|(kind, series)| !is_of(families, *kind, series)).collect()
    }

    /// Notes a series; whether it may be.
    fn note(&mut self, kind: Kind, series: &str) -> bool {
        let Some(families) = self.declared else {
            self.before.insert((kind, shape(series)));
            return true;
        };
        is_of(families, kind, series)
    }
}

fn is_of(families: &[Family], kind: Kind, series: &str) -> bool {
    families.iter().any(|family| family.holds(kind, series))
}

fn shape(series: &str) -> String {
    let (metric, labels) = metric::parse(series);
    let mut shape = metric.to_owned();
    for (label, _) in labels {
        shape.push(';');
        shape.push_str(label);
    }
    shape
}

fn ledger() -> MutexGuard<'static, Ledger> {
    LEDGER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Declares all families that this process counts by. One test of each plugin does, whenever it runs: what fake hosts were
/// given before is held to it here, and each later series in the test that makes it.
///
/// # Panics
/// When a series is of none of these families.
#[track_caller]
pub fn declare(families: &'static [Family]) {
    let undeclared = ledger().declare(families);
    assert!(undeclared.is_empty(), "no family declares {undeclared:?}");
}

/// A fake host was given this series.
pub(super) fn note(kind: Kind, series: &str) {
    let is_declared = ledger().note(kind, series);
    assert!(is_declared, "no family declares the {kind:?} {}", shape(series));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Label;

    const FAMILIES: &[Family] =
        &[Family::counter("a_total", &[Label::Limit, Label::Kind]), Family::gauge("b", &[])];

    /// Kind and series, and whether [`FAMILIES`] hold it.
    const GIVEN: [(Kind, &str, bool); 6] = [
        (Kind::Counter, "a_total;limit=x;kind=y", true),
        (Kind::Counter, "a_total;kind=y", true),
        (Kind::Gauge, "b", true),
        (Kind::Counter, "c_total", false),
        (Kind::Histogram, "b", false),
        (Kind::Counter, "a_total;limit=x;check=y", false),
    ];

    #[test]
    fn what_is_given_later_is_judged_at_once() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.declare(FAMILIES), []);
        for (kind, series, want) in GIVEN {
            assert_eq!(ledger.note(kind, series), want, "{series}");
        }
    }

    #[test]
    fn what_was_given_before_is_judged_when_families_are_declared() {
        let mut ledger = Ledger::default();
        for (kind, series, _) in GIVEN {
            assert!(ledger.note(kind, series), "{series}");
        }
        let mut undeclared = ledger.declare(FAMILIES);
        undeclared.sort();
        let want =
            [(Kind::Counter, "a_total;limit;check"), (Kind::Counter, "c_total"), (Kind::Histogram, "b")];
        assert_eq!(undeclared, want.map(|(kind, series)| (kind, series.to_owned())));
    }
}
