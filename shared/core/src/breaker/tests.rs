//! The breaker over any sequence of calls, outcomes and pauses.
#![allow(clippy::arithmetic_side_effects, reason = "the times of a test are small")]

use proptest::prelude::*;

use super::*;

/// Fails often enough that it opens at `now_ms`.
fn opened(now_ms: u64) -> Breaker {
    let mut breaker = Breaker::default();
    for n in 1..=FAILURES {
        let ticket = breaker.admit(now_ms).unwrap();
        assert_eq!(breaker.report(ticket, false, now_ms), n == FAILURES);
    }
    breaker
}

#[test]
fn it_opens_after_five_failures_in_a_row() {
    let mut breaker = Breaker::default();
    for good in [false, false, false, false, true, false, false, false, false] {
        let ticket = breaker.admit(0).unwrap();
        assert!(!breaker.report(ticket, good, 0));
    }
    let ticket = breaker.admit(0).unwrap();
    assert!(breaker.report(ticket, false, 0));
    assert_eq!(breaker.admit(0), None);
}

#[test]
fn probes_come_after_pauses_that_double_to_ten_seconds() {
    let mut breaker = opened(1_000);
    let mut now_ms = 1_000;
    for pause_ms in [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000] {
        assert_eq!(breaker.admit(now_ms + pause_ms - 1), None, "{pause_ms}");
        now_ms += pause_ms;
        let probe = breaker.admit(now_ms).unwrap();
        assert_eq!(breaker.admit(now_ms), None, "one probe at a time");
        assert!(!breaker.report(probe, false, now_ms));
    }
}

#[test]
fn a_good_probe_closes_it_and_forgets_the_past() {
    let mut breaker = opened(0);
    let probe = breaker.admit(500).unwrap();
    breaker.report(probe, true, 510);
    assert_eq!(breaker, Breaker { closed: 1, ..Breaker::default() });
}

#[test]
fn a_probe_that_nobody_reports_on_is_followed_by_another() {
    let mut breaker = opened(0);
    let lost = breaker.admit(500).unwrap();
    assert_eq!(breaker.admit(999), None);
    let next = breaker.admit(1_000).unwrap();
    breaker.report(lost, true, 1_001);
    assert_eq!(breaker.admit(1_001), None, "only the last probe counts");
    breaker.report(next, true, 1_001);
    assert!(breaker.admit(1_001).is_some());
}

#[test]
fn calls_from_before_it_opened_change_nothing() {
    let early = Breaker::default().admit(0).unwrap();
    let mut breaker = opened(0);
    let was = breaker.clone();
    assert!(!breaker.report(early, true, 1) && !breaker.report(early, false, 1));
    assert_eq!(breaker, was);
}

#[test]
fn calls_that_end_after_it_has_closed_again_tell_of_what_is_over() {
    let mut breaker = Breaker::default();
    let early: Vec<Ticket> = (0..2 * FAILURES).map(|_| breaker.admit(0).unwrap()).collect();
    let (seen, late) = early.split_at(5);
    assert_eq!(seen.iter().filter(|ticket| breaker.report(**ticket, false, 1)).count(), 1);
    let probe = breaker.admit(501).unwrap();
    breaker.report(probe, true, 502);
    assert!(late.iter().all(|ticket| !breaker.report(*ticket, false, 503)));
    let now = breaker.admit(504).unwrap();
    assert!(!breaker.report(now, false, 505));
    assert!(breaker.admit(506).is_some());
}

proptest! {
    #[test]
    fn while_everything_fails_few_calls_are_made(pauses in prop::collection::vec(0u64..3_000, 1..300)) {
        let (mut breaker, mut now_ms, mut made) = (Breaker::default(), 0, 0u64);
        for pause in pauses {
            now_ms += pause;
            if let Some(ticket) = breaker.admit(now_ms) {
                made += 1;
                breaker.report(ticket, false, now_ms);
            }
        }
        // Five to open, five while the pause doubles, then one in ten seconds.
        prop_assert!(made <= 11 + now_ms / MAX_BACK_OFF_MS);
    }

    #[test]
    fn whatever_came_before_it_heals(steps in prop::collection::vec((0u64..20_000, any::<bool>(), any::<bool>()), 0..100)) {
        let (mut breaker, mut now_ms) = (Breaker::default(), 0);
        for (pause, reported, good) in steps {
            now_ms += pause;
            if let Some(ticket) = breaker.admit(now_ms).filter(|_| reported) {
                breaker.report(ticket, good, now_ms);
            }
        }
        now_ms += MAX_BACK_OFF_MS;
        let ticket = breaker.admit(now_ms);
        prop_assert!(ticket.is_some());
        breaker.report(ticket.unwrap(), true, now_ms);
        let closed = breaker.closed;
        prop_assert_eq!(breaker, Breaker { closed, ..Breaker::default() });
    }
}
