//! Time: when a limit frees, to the millisecond, and how debt is paid.

use std::time::{Duration, Instant};

use serde_json::json;
use sluice_e2e::client::Reply;
use sluice_e2e::limits::{self, body_with};
use sluice_e2e::wait;

use crate::bed::{Limited, shared};

/// A refusal, with the moments between which it was made and when it said that asking again would help.
struct Refusal {
    reply: Reply,
    sent: Instant,
    came: Instant,
}

impl Refusal {
    fn ms(&self) -> Duration {
        let ms = self.reply.header("retry-after-ms").and_then(|ms| ms.parse().ok());
        Duration::from_millis(ms.expect("retry-after-ms"))
    }

    fn seconds(&self) -> Duration {
        let seconds = self.reply.header("retry-after").and_then(|seconds| seconds.parse().ok());
        Duration::from_secs(seconds.expect("retry-after"))
    }
}

/// Asks until admitted; returns the refusals, and when it was.
fn ask_until_admitted(bed: &Limited, model: &str) -> (Vec<Refusal>, Instant) {
    let mut refusals = Vec::new();
    let came = wait::until("the limit to free", || {
        let sent = Instant::now();
        let reply = bed.gateway.chat(&body_with(model, &json!({})));
        let came = Instant::now();
        if reply.status == 200 {
            return Some(came);
        }
        assert_eq!(reply.code(), "rate_limit_exceeded");
        refusals.push(Refusal { reply, sent, came });
        None
    });
    (refusals, came)
}

#[test]
fn retry_after_is_correct_to_the_second_and_retry_after_ms_to_the_millisecond() {
    let bed = shared();
    for (model, limit, fits) in [("gpt-three", "three", 3), ("gpt-forty", "forty", 2)] {
        let began = Instant::now();
        for _ in 0..fits {
            assert_eq!(bed.gateway.chat(&body_with(model, &json!({}))).status, 200);
        }
        limits::used(bed.gateway.address(), &[], model, limit);
        let (refusals, came) = ask_until_admitted(&bed, model);
        let tick = Duration::from_millis(1);
        for refusal in &refusals {
            assert!(came + tick > refusal.sent + refusal.ms(), "admitted before the time that was named");
            assert!(
                refusal.seconds() >= refusal.ms()
                    && refusal.seconds() < refusal.ms() + Duration::from_secs(1)
            );
        }
        let last = refusals.last().expect("a refusal");
        assert!(last.sent < last.came + last.ms(), "refused after the time that was named");
        for earlier in &refusals {
            assert!(last.sent <= earlier.came + earlier.ms() + tick, "refused though it should have freed");
        }
        assert!(came >= began + Duration::from_secs(2), "a window that slides");
        assert!(refusals[0].ms() <= Duration::from_millis(2_034), "and a 60th of it");
    }
}

#[test]
fn debt_is_paid_window_by_window_and_not_forgiven() {
    let bed = shared();
    let model = "gpt-debt-1";
    let began = Instant::now();
    let members = json!({"x_mock": {"*": {"events": 64}}});
    assert_eq!(bed.gateway.chat(&body_with(model, &members)).status, 200);
    let address = bed.gateway.address();
    assert_eq!(limits::used(address, &[], model, "debt"), 75, "11 and 64, of a limit of 30");
    let mut seen: Vec<u64> = Vec::new();
    wait::until("the debt to be paid", || {
        let level = limits::standing(address, &[], model, "debt")["used"].as_u64().expect("tokens");
        if seen.last() != Some(&level) {
            seen.push(level);
            let windows = u32::try_from((75 - level) / 30 + u64::from(level == 0)).expect("few");
            assert!(began.elapsed() >= Duration::from_secs(1) * windows, "too early: {seen:?}");
        }
        (level == 0).then_some(())
    });
    assert!(
        seen.is_sorted_by(|a, b| a > b) && seen.iter().all(|level| [75, 45, 15, 0].contains(level)),
        "{seen:?}"
    );
    let (refusals, _) = ask_until_admitted(&bed, model);
    assert_eq!(refusals.len(), 0, "all is paid");
}

#[test]
fn who_is_in_debt_is_refused_until_there_is_room() {
    let bed = shared();
    let model = "gpt-debt-2";
    let began = Instant::now();
    let members = json!({"x_mock": {"*": {"events": 64}}});
    assert_eq!(bed.gateway.chat(&body_with(model, &members)).status, 200);
    limits::used(bed.gateway.address(), &[], model, "debt");
    let (refusals, _) = ask_until_admitted(&bed, model);
    assert!(
        began.elapsed() >= Duration::from_secs(3),
        "15 are still owed in the third second, and 16 are asked for"
    );
    assert!(refusals[0].ms() > Duration::from_secs(2), "{:?}", refusals[0].reply.headers);
}
