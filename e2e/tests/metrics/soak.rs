//! Mixed traffic for as long as one likes, through a gateway that keeps limits and answers itself and one that shares them
//! in Redis, with changes of gateway.yaml under load: the ledger balances after every round, and nothing grows.
//!
//! `scripts/soak` runs it; `SLUICE_SOAK_MINUTES` says how long, `SLUICE_SOAK_OUT` where the samples go.

mod load;
mod round;
mod samples;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sluice_e2e::redis::{self, Redis};

use self::load::Pace;
use self::round::Soaked;
use self::samples::Samples;

/// Requests each second through each of the two gateways.
const RATE: u32 = 20;

/// A round lasts a tenth of the whole, but no longer than this: after each, traffic rests and everything is counted.
const LONGEST_ROUND: Duration = Duration::from_secs(60);

/// A variable of the environment, or else what stands in for it.
fn variable(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// Ends the run of the other gateway when that of one fails.
struct Failure<'a>(&'a AtomicBool);

impl Drop for Failure<'_> {
    fn drop(&mut self) {
        self.0.fetch_or(std::thread::panicking(), Ordering::Relaxed);
    }
}

#[test]
#[ignore = "runs for minutes: scripts/soak"]
fn nothing_grows_and_the_ledger_balances() {
    let minutes: u32 = variable("SLUICE_SOAK_MINUTES", "2").parse().expect("a number of minutes");
    let length = Duration::from_secs(60) * minutes;
    let pace = Pace { rate: RATE, round: (length / 10).min(LONGEST_ROUND) };
    let samples = Samples::create(&PathBuf::from(variable("SLUICE_SOAK_OUT", "soak.jsonl")));
    let redis = Redis::start(&redis::Options::default());
    let shared = format!("redis: {{url: \"redis://{}\", on_error: local}}\n", redis.address());
    let samples = &samples;
    // One after the other: two that compile their plugins at once take too long on a small machine.
    let both =
        [Soaked::start("local", "", None, samples), Soaked::start("redis", &shared, Some(&redis), samples)];
    let (began, failed) = (Instant::now(), &AtomicBool::new(false));
    std::thread::scope(|scope| {
        for mut soaked in both {
            scope.spawn(move || {
                let _failure = Failure(failed);
                while began.elapsed() < length && !failed.load(Ordering::Relaxed) {
                    soaked.round(&pace);
                }
            });
        }
    });
    samples.judge(length);
}
