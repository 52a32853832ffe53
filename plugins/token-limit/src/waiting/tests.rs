use std::thread;

use sluice_core::testing::FakeHost;
use sluice_core::window::Window;

use super::*;
use crate::settlement::UnderWay;
use crate::store::Owed;

fn settlement(actual: u64, since_ms: u64) -> Settlement {
    let owed = Owed { key: "sluice:{a}:l:a", window: Some(Window::new(60_000)), limit: 9, held: 5, actual };
    Settlement::new("lease", std::iter::once(("l", owed)), since_ms)
}

fn waiting() -> &'static Waiting {
    Box::leak(Box::default())
}

fn given_up(waiting: &Waiting) -> Option<u64> {
    let mut host = FakeHost::default();
    waiting.wake(&mut host);
    host.counters.get(UNSETTLED).copied()
}

#[test]
fn what_books_nothing_takes_no_place_of_what_is_owed() {
    let waiting = waiting();
    (0..MAX_WAITING).for_each(|_| waiting.add(settlement(0, 0)));
    assert_eq!(waiting.sent().len(), MAX_WAITING / 2);
    (0..MAX_WAITING / 2).for_each(|_| waiting.add(settlement(3, 0)));
    assert_eq!((waiting.sent().len(), given_up(waiting)), (MAX_WAITING, None));
    waiting.add(settlement(3, 0));
    assert_eq!((waiting.sent().len(), given_up(waiting)), (MAX_WAITING, Some(1)));
    assert_eq!(given_up(waiting), None, "each is counted once");
}

#[test]
fn neither_what_is_dropped_nor_what_is_put_back_goes_beyond_the_bound() {
    let waiting = waiting();
    (0..MAX_WAITING).for_each(|_| waiting.add(settlement(3, 0)));
    drop(UnderWay::new(settlement(3, 0), waiting));
    assert_eq!((waiting.sent().len(), waiting.sent().last()), (MAX_WAITING, Some(&true)));
    waiting.put_back(settlement(3, 0));
    assert_eq!((waiting.sent().len(), given_up(waiting)), (MAX_WAITING, Some(2)));
}

#[test]
fn only_what_is_dropped_under_way_waits() {
    let waiting = waiting();
    assert!(UnderWay::new(settlement(3, 0), waiting).take().is_some_and(|settlement| !settlement.sent));
    assert!(waiting.sent().is_empty());
}

#[test]
fn what_is_put_back_is_the_next_again() {
    let waiting = waiting();
    [1, 2].into_iter().for_each(|since_ms| waiting.add(settlement(3, since_ms)));
    let first = waiting.next().unwrap();
    waiting.put_back(first);
    assert_eq!([waiting.next(), waiting.next()].map(|next| next.unwrap().since_ms), [1, 2]);
    assert!(waiting.next().is_none());
}

#[test]
fn racing_workers_lose_none() {
    let waiting = waiting();
    let work = |number: u64| {
        for turn in 0..500 {
            waiting.add(settlement(3, number * 500 + turn));
            if let Some(taken) = waiting.next() {
                if turn % 2 == 0 { waiting.put_back(taken) } else { drop(UnderWay::new(taken, waiting)) }
            }
        }
    };
    thread::scope(|scope| {
        (0..4).for_each(|number| {
            scope.spawn(move || work(number));
        });
    });
    let mut ages: Vec<_> =
        std::iter::from_fn(|| waiting.next()).map(|settlement| settlement.since_ms).collect();
    ages.sort_unstable();
    assert!(ages.into_iter().eq(0..2_000));
}

#[test]
fn a_thread_that_died_with_them_harms_no_other() {
    let waiting = waiting();
    waiting.add(settlement(3, 0));
    let died = thread::spawn(|| waiting.with(|_| panic!("on purpose")));
    assert!(died.join().is_err());
    drop(UnderWay::new(settlement(3, 0), waiting));
    assert_eq!(waiting.sent(), [false, true]);
}
