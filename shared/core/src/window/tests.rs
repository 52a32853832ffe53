//! The ledger against simulated histories.

#![allow(
    clippy::arithmetic_side_effects,
    reason = "simulations count in small numbers; an overflow would fail the test"
)]

use proptest::prelude::*;

use super::*;

const START_MS: u64 = 1_790_000_000_123;

fn ledger(per_ms: u64, now_ms: u64) -> Ledger {
    Ledger::new(Some(Window::new(per_ms)), now_ms)
}

fn slots_of(ledger: &Ledger) -> Vec<(u64, u64)> {
    let mut bytes = &*ledger.encode();
    encoding::take_amounts(&mut bytes).unwrap().iter().collect()
}

/// One simulated request.
#[derive(Clone, Debug)]
struct Request {
    after_ms: u64, // since the one before
    wanted: u64,
    used: u64,
    lasts_ms: u64,
}

fn requests(per_ms: u64, limit: u64) -> impl Strategy<Value = Vec<Request>> {
    let one = (0..per_ms / 2 + 2, 1..=limit, 0..=limit * 3, 0..per_ms + 10)
        .prop_map(|(after_ms, wanted, used, lasts_ms)| Request { after_ms, wanted, used, lasts_ms });
    prop::collection::vec(one, 1..120)
}

fn geometry() -> impl Strategy<Value = (u64, u64)> {
    (prop_oneof![1_u64..200, 900..1100_u64, Just(60_000), Just(3_600_000), 1..10_000_000_u64], 1_u64..1000)
}

fn histories() -> impl Strategy<Value = (u64, u64, Vec<Request>)> {
    geometry().prop_flat_map(|(per_ms, limit)| (Just(per_ms), Just(limit), requests(per_ms, limit)))
}

/// What came of a history: settled amounts by time of admission and of settlement, and the ledger at the end.
struct Outcome {
    admitted: Vec<(u64, u64)>,
    settled: Vec<(u64, u64)>,
    ledger: Ledger,
    ended_ms: u64,
}

const LEASE_MS: u64 = 100_000_000_000; // renewed for as long as a request lasts

/// Runs requests through a ledger; `exact`: each uses just what it reserved.
fn run(per_ms: u64, limit: u64, requests: &[Request], exact: bool) -> Outcome {
    let mut events: Vec<(u64, u8, usize)> = Vec::new();
    let mut now = START_MS;
    for (index, request) in requests.iter().enumerate() {
        now += request.after_ms;
        events.push((now, 1, index));
        events.push((now + request.lasts_ms, 0, index));
    }
    events.sort_unstable();
    // A request that lasts no time settles after it was admitted, which the order above has the other way round.
    let mut ledger = ledger(per_ms, START_MS);
    let (mut admitted, mut settled) = (Vec::new(), Vec::new());
    let mut expires = vec![None; requests.len()];
    let mut settle = |ledger: &mut Ledger, index: usize, now: u64, expires_ms: u64| {
        let request: &Request = &requests[index];
        let used = if exact { request.wanted } else { request.used };
        ledger.release(request.wanted, expires_ms);
        ledger.book(used, limit);
        settled.push((now, used));
    };
    for (now, kind, index) in events {
        ledger.advance(now);
        let request = &requests[index];
        match (kind, expires[index]) {
            (0, Some(expires_ms)) => settle(&mut ledger, index, now, expires_ms),
            (1, _) if ledger.admits(limit, request.wanted) => {
                let expires_ms = lease_end(now, LEASE_MS);
                ledger.hold(request.wanted, expires_ms);
                expires[index] = Some(expires_ms);
                admitted.push((now, request.wanted));
                if request.lasts_ms == 0 {
                    settle(&mut ledger, index, now, expires_ms);
                }
            }
            _ => {}
        }
    }
    let ended_ms = settled.last().map_or(now, |(at, _)| *at).max(now);
    Outcome { admitted, settled, ledger, ended_ms }
}

/// The most that stands in any window of `per_ms` that begins with an event.
fn fullest(events: &[(u64, u64)], per_ms: u64) -> u64 {
    let window = |from: u64| events.iter().filter(move |(at, _)| (from..from + per_ms).contains(at));
    events.iter().map(|(from, _)| window(*from).map(|(_, amount)| amount).sum()).max().unwrap_or_default()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn no_real_window_holds_more_than_the_limit((per_ms, limit, requests) in histories()) {
        let Outcome { admitted, settled, .. } = run(per_ms, limit, &requests, true);
        prop_assert!(fullest(&admitted, per_ms) <= limit, "by admission");
        prop_assert!(fullest(&settled, per_ms) <= limit, "by settlement");
    }

    #[test]
    fn after_settlement_the_slots_hold_the_true_usage((per_ms, limit, requests) in histories()) {
        let per_ms = per_ms.max(1_000_000) * 1000; // nothing expires
        let Outcome { settled, ledger, .. } = run(per_ms, limit, &requests, false);
        prop_assert_eq!(ledger.held(), 0);
        prop_assert_eq!(ledger.level(), settled.iter().map(|(_, used)| used).sum::<u64>());
    }

    #[test]
    fn no_window_is_charged_more_than_the_limit((per_ms, limit, requests) in histories()) {
        // Debt is moved to where there is room, so what is charged in any window stays within the limit although what
        // is used does not.
        let window = Window::new(per_ms);
        let Outcome { ledger, ended_ms, .. } = run(per_ms, limit, &requests, false);
        let horizon = window.slot_at(ended_ms) + window.span_ms() * MAX_DEBT_WINDOWS;
        let slots: Vec<_> = slots_of(&ledger).into_iter().filter(|(at, _)| *at < horizon).collect();
        prop_assert!(fullest(&slots, window.span_ms()) <= limit);
    }

    #[test]
    fn debt_is_paid_at_one_limit_per_window(
        (per_ms, limit) in geometry(), used in 0_u64..60_000, offset in 0_u64..10_000_000,
    ) {
        let window = Window::new(per_ms);
        let now = START_MS + offset;
        let mut ledger = ledger(per_ms, now);
        ledger.book(used, limit);
        prop_assert_eq!(ledger.level(), used);
        let first_end = window.end_of(window.slot_at(now));
        for windows in 0..MAX_DEBT_WINDOWS {
            ledger.advance(first_end + windows * window.span_ms() - 1);
            prop_assert_eq!(ledger.level(), used.saturating_sub(windows * limit), "before window {} ends", windows);
        }
        ledger.advance(first_end + MAX_DEBT_WINDOWS * window.span_ms());
        prop_assert_eq!(ledger.level(), 0);
    }

    #[test]
    fn a_retry_is_admitted_when_the_ledger_said_and_not_before(
        (per_ms, limit, requests) in histories(), amount in 1_u64..2000,
    ) {
        let Outcome { mut ledger, ended_ms, .. } = run(per_ms, limit, &requests, false);
        ledger.advance(ended_ms);
        let frees_in = ledger.frees_in_ms(limit, amount);
        prop_assert_eq!(frees_in == 0, ledger.admits(limit, amount));
        if frees_in > 0 {
            let mut early = ledger.clone();
            early.advance(ended_ms + frees_in - 1);
            prop_assert!(!early.admits(limit, amount));
            ledger.advance(ended_ms + frees_in);
            prop_assert!(ledger.admits(limit, amount));
        }
    }

    #[test]
    fn a_retry_finds_room_where_all_that_was_held_is_settled_at_once(
        (per_ms, limit, requests) in histories(), held in 1_u64..1000,
    ) {
        let Outcome { mut ledger, ended_ms, .. } = run(per_ms, limit, &requests, false);
        ledger.advance(ended_ms);
        let (held, expires_ms) = (held.min(limit), lease_end(ended_ms, 30_000));
        ledger.hold(held, expires_ms);
        let (frees_in, resets_in) = (ledger.frees_in_ms(limit, limit), ledger.resets_in_ms());
        ledger.release(held, expires_ms);
        ledger.book(held, u64::MAX);
        prop_assert_eq!(ledger.frees_in_ms(limit, limit), frees_in);
        ledger.advance(ended_ms + resets_in);
        prop_assert_eq!(ledger.level(), 0);
    }

    #[test]
    fn a_ledger_is_empty_when_it_said((per_ms, limit, requests) in histories(), held in 0_u64..5) {
        let Outcome { mut ledger, ended_ms, .. } = run(per_ms, limit, &requests, false);
        ledger.advance(ended_ms);
        ledger.hold(held, ended_ms + held * 77);
        let empty_at = ledger.expires_at_ms();
        if empty_at > 0 {
            ledger.advance(empty_at - 1);
            prop_assert!(ledger.level() > 0);
            ledger.advance(empty_at);
        }
        prop_assert_eq!(ledger.encode(), [0, 0]);
    }

    #[test]
    fn encoding_keeps_everything((per_ms, limit, requests) in histories(), held in 0_u64..50) {
        let Outcome { mut ledger, ended_ms, .. } = run(per_ms, limit, &requests, false);
        ledger.advance(ended_ms);
        ledger.hold(held, ended_ms + 1 + held);
        let window = Some(Window::new(per_ms));
        prop_assert_eq!(Ledger::decode(&ledger.encode(), window, ended_ms), Some(ledger));
    }

    #[test]
    fn a_clock_that_goes_back_a_little_loses_nothing(
        steps in prop::collection::vec((-500_i64..1000, 0_u64..300), 1..100),
    ) {
        let (per_ms, limit) = (10_000_000, 1000);
        let mut ledger = ledger(per_ms, START_MS);
        let (mut now, mut sum) = (START_MS, 0);
        for (step, used) in steps {
            now = now.saturating_add_signed(step);
            ledger.advance(now);
            let expires_ms = lease_end(now, 30_000_000);
            ledger.hold(used, expires_ms);
            prop_assert_eq!(ledger.level(), sum + used);
            ledger.release(used, expires_ms);
            ledger.book(used, limit);
            sum += used;
            prop_assert_eq!(ledger.level(), sum);
        }
        ledger.advance(ledger.expires_at_ms());
        prop_assert_eq!(ledger.level(), 0);
    }

    #[test]
    fn garbage_is_no_ledger_and_harms_nobody(bytes in prop::collection::vec(any::<u8>(), 0..200), now in any::<u64>()) {
        for window in [None, Some(Window::new(60_000))] {
            if let Some(mut ledger) = Ledger::decode(&bytes, window, now) {
                ledger.book(u64::MAX, 1000);
                ledger.hold(u64::MAX, u64::MAX);
                let _ = (ledger.frees_in_ms(1000, 1), ledger.resets_in_ms(), ledger.expires_at_ms());
                ledger.advance(u64::MAX);
                prop_assert_eq!(ledger.level(), 0);
            }
        }
    }

    #[test]
    fn no_number_is_too_large(
        per_ms in any::<u64>(), limit in any::<u64>(), amount in any::<u64>(), now in any::<u64>(), until in any::<u64>(),
    ) {
        let mut ledger = ledger(per_ms, now);
        for _ in 0..3 {
            ledger.hold(amount, until);
            ledger.extend(amount, until, lease_end(now, until));
            ledger.book(amount, limit);
            prop_assert!(ledger.level() <= MAX_AMOUNT);
            let _ = (ledger.frees_in_ms(limit, amount), ledger.resets_in_ms(), ledger.expires_at_ms());
        }
    }
}

#[test]
fn slots_cover_the_window_and_are_few() {
    for (per_ms, slot_ms, span_ms) in
        [(1, 1, 1), (59, 1, 59), (60, 1, 60), (61, 2, 62), (1000, 17, 1003), (60_000, 1000, 60_000)]
    {
        let window = Window::new(per_ms);
        assert_eq!((window.slot_ms(), window.span_ms()), (slot_ms, span_ms), "{per_ms}");
        let mut ledger = ledger(per_ms, START_MS);
        for now in START_MS..START_MS + 3 * per_ms {
            ledger.advance(now);
            ledger.book(1, u64::MAX);
        }
        assert!(slots_of(&ledger).len() <= 61, "{per_ms}");
    }
    assert_eq!(Window::new(0).per_ms(), 1);
    assert_eq!(Window::new(u64::MAX).per_ms(), MAX_PER_MS);
}

#[test]
fn what_is_used_counts_for_a_window_and_at_most_a_slot_longer() {
    let mut ledger = ledger(60_000, START_MS);
    ledger.book(7, 10);
    assert_eq!(ledger.frees_in_ms(10, 3), 0);
    assert!(!ledger.admits(10, 4));
    let frees_in = ledger.frees_in_ms(10, 4);
    assert!((60_001..=61_000).contains(&frees_in), "{frees_in}");
    assert_eq!(ledger.resets_in_ms(), frees_in);
    ledger.advance(START_MS + 60_000);
    assert_eq!(ledger.level(), 7);
    ledger.advance(START_MS + frees_in);
    assert_eq!(ledger.level(), 0);
}

#[test]
fn an_empty_ledger_admits_everything() {
    for (limit, amount) in [(0, 0), (1, 1), (10, 11), (10, u64::MAX), (u64::MAX, u64::MAX)] {
        assert!(ledger(1000, START_MS).admits(limit, amount), "{limit} {amount}");
    }
}

#[test]
fn debt_beyond_a_hundred_windows_is_due_with_the_last() {
    let mut ledger = ledger(60_000, START_MS);
    ledger.book(1_000_000, 10);
    assert_eq!(ledger.level(), 1_000_000);
    let slots = slots_of(&ledger);
    assert_eq!(slots.len(), 101);
    assert_eq!(slots.last().unwrap().1, 1_000_000 - 1000);
    assert_eq!(slots.last().unwrap().0 - slots[0].0, 100 * 60_000);
    ledger.book(5, 10);
    assert_eq!(slots_of(&ledger).last().unwrap().1, 1_000_000 - 1000 + 5);
}

#[test]
fn new_debt_comes_after_old_debt() {
    let mut ledger = ledger(60_000, START_MS);
    let slot = Window::new(60_000).slot_at(START_MS);
    ledger.book(125, 100);
    ledger.advance(START_MS + 10_000);
    ledger.book(130, 100);
    let want = [(slot, 100), (slot + 60_000, 100), (slot + 120_000, 55)];
    assert_eq!(slots_of(&ledger), want);
}

#[test]
fn a_lease_is_given_back_until_it_expires() {
    let mut ledger = ledger(1000, START_MS);
    ledger.hold(5, START_MS + 100);
    ledger.hold(3, START_MS + 100);
    ledger.hold(4, START_MS + 200);
    assert_eq!((ledger.held(), ledger.level()), (12, 12));
    ledger.release(3, START_MS + 100);
    assert_eq!(ledger.held(), 9);
    ledger.advance(START_MS + 100);
    assert_eq!(ledger.held(), 4);
    ledger.release(5, START_MS + 100);
    assert_eq!(ledger.held(), 4, "an expired lease takes nothing from others");
    ledger.release(9, START_MS + 150);
    assert_eq!(ledger.held(), 4, "nor does one that never was");
    ledger.release(9, START_MS + 200);
    assert_eq!(ledger.held(), 0, "no more is given back than is held");
}

#[test]
fn a_renewal_moves_the_end_or_begins_anew() {
    let mut ledger = ledger(1000, START_MS);
    ledger.hold(5, START_MS + 100);
    ledger.extend(5, START_MS + 100, START_MS + 200);
    for _ in 0..2 {
        ledger.extend(5, START_MS + 200, START_MS + 200);
        assert_eq!(ledger.held(), 5, "renewing to the same end changes nothing");
    }
    ledger.advance(START_MS + 200);
    assert_eq!(ledger.held(), 0);
    ledger.extend(5, START_MS + 200, START_MS + 300);
    assert_eq!(ledger.held(), 5);
    ledger.extend(5, START_MS + 300, START_MS + 50);
    assert_eq!(ledger.held(), 0, "an end that is past holds nothing");
}

#[test]
fn many_ends_of_leases_are_joined_and_expire_all_the_same() {
    let mut ledger = Ledger::new(None, START_MS);
    for end in 1..=1000 {
        ledger.hold(1, START_MS + end);
    }
    assert_eq!(ledger.held(), 1000);
    assert!(ledger.encode().len() < 250);
    ledger.release(1, START_MS + 1000);
    assert_eq!(ledger.held(), 999);
    ledger.advance(START_MS + 1000);
    assert_eq!(ledger.held(), 0);
}

#[test]
fn a_lease_that_expired_before_the_clock_went_back_takes_nothing_from_others() {
    let mut ledger = Ledger::new(None, START_MS);
    ledger.hold(5, START_MS + 100);
    ledger.hold(4, START_MS + 200);
    ledger.advance(START_MS + 100);
    ledger.advance(START_MS + 90);
    ledger.release(5, START_MS + 100);
    assert_eq!(ledger.held(), 4);
}

#[test]
fn without_a_window_only_what_is_in_flight_counts() {
    let mut ledger = Ledger::new(None, START_MS);
    ledger.book(100, 1);
    assert_eq!(ledger.level(), 0);
    ledger.hold(1, START_MS + 100);
    ledger.hold(1, START_MS + 200);
    assert_eq!((ledger.frees_in_ms(2, 1), ledger.frees_in_ms(2, 2), ledger.resets_in_ms()), (100, 200, 200));
    ledger.release(1, START_MS + 100);
    assert!(ledger.admits(2, 1));
}

#[test]
fn a_window_may_change_under_a_ledger() {
    let mut minute = ledger(60_000, START_MS);
    minute.book(250, 100);
    let bytes = minute.encode();
    let at =
        |per_ms: Option<u64>| Ledger::decode(&bytes, per_ms.map(Window::new), START_MS + 61_000).unwrap();
    assert_eq!(at(Some(60_000)).level(), 150);
    assert_eq!(at(Some(3_600_000)).level(), 250);
    assert_eq!(at(Some(1000)).level(), 50, "only what is dated ahead is left");
    assert_eq!(at(None).level(), 0);
}

#[test]
fn leases_end_on_few_dates() {
    let ends: std::collections::BTreeSet<_> =
        (0..30_000).map(|ms| lease_end(START_MS + ms, 30_000)).collect();
    assert!(ends.len() <= 31);
    assert!(ends.iter().all(|end| end % 1000 == 0));
    for now in [0, START_MS, u64::MAX] {
        for lease_ms in [0, 1, 30_000, 3_600_000, u64::MAX] {
            assert!(lease_end(now, lease_ms) >= now.saturating_add(lease_ms) || lease_ms == u64::MAX);
        }
    }
}
