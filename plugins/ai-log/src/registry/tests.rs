//! The same names on every worker, and never more than may be.

use std::cell::Cell;

use proptest::prelude::*;
use sluice_core::testing::FakeHost;

use super::*;

fn admitted(registry: &mut Registry, host: &mut FakeHost, names: impl Iterator<Item = usize>) -> usize {
    names.filter(|name| registry.admits(host, &name.to_string())).count()
}

fn stored(host: &FakeHost) -> usize {
    host.shared.values().map(|page| page.value.len() / 8).sum()
}

#[test]
fn fifty_thousand_names_leave_as_many_as_may_be() {
    for max in [1, 100, 1024, 1025, 3000] {
        let mut host = FakeHost::default();
        let mut registry = Registry::new("r", max);
        assert_eq!(admitted(&mut registry, &mut host, 0..50_000), max);
        assert_eq!(admitted(&mut registry, &mut host, 0..50_000), max, "the same ones");
        assert_eq!(stored(&host), max);
        assert_eq!(host.shared.len(), max.div_ceil(1024));
    }
}

#[test]
fn a_new_worker_knows_what_the_others_know() {
    let mut host = FakeHost::default();
    let mut first = Registry::new("r", 5000);
    admitted(&mut first, &mut host, 0..4000);
    let mut second = Registry::new("r", 5000);
    assert!(second.knows(&host, "3999") && !second.knows(&host, "4000"));
    assert_eq!(admitted(&mut second, &mut host, 0..9000), 5000);
    assert_eq!(admitted(&mut first, &mut host, 0..9000), 5000);
    assert_eq!(stored(&host), 5000);
}

#[test]
fn a_full_list_costs_no_host_call() {
    let mut host = FakeHost::default();
    let mut registry = Registry::new("r", 2);
    admitted(&mut registry, &mut host, 0..2);
    host.shared.clear();
    assert!(!registry.admits(&mut host, "2") && !registry.knows(&host, "3") && registry.knows(&host, "1"));
    assert!(host.shared.is_empty());
}

#[test]
fn lists_that_are_garbage_or_longer_than_may_be_harm_nobody() {
    for value in [vec![1, 2, 3], vec![7; 8 * 1024 + 4], vec![7; 9000]] {
        let mut host = FakeHost::default();
        host.set_shared("r/0", &value, 0).unwrap();
        let mut registry = Registry::new("r", 3);
        assert!(admitted(&mut registry, &mut host, 0..50) <= 3);
    }
}

proptest! {
    #[test]
    fn workers_agree_whatever_the_order(asked in prop::collection::vec((0_usize..3, 0_usize..40), 0..200), max in 1_usize..30) {
        let mut host = FakeHost::default();
        let mut workers = [(); 3].map(|()| Registry::new("r", max));
        let last = Cell::new(0);
        for (worker, name) in &asked {
            workers[*worker].admits(&mut host, &name.to_string());
            prop_assert!(stored(&host) >= last.replace(stored(&host)) && stored(&host) <= max);
        }
        let known = workers.map(|mut worker| (0..40).filter(|n| worker.knows(&host, &n.to_string())).collect::<Vec<_>>());
        prop_assert!(known[0] == known[1] && known[1] == known[2]);
        prop_assert_eq!(known[0].len(), stored(&host));
    }
}
