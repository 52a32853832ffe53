//! The lab: measures the gateway on a real Envoy, beside a bare one in the same interleaved run, and writes the report.
//!
//! Load generator, provider and delaying proxy live in this process; each Envoy is a process of its own, so that its processor time
//! can be told from theirs. Everything is on loopback, bounded in number and time.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::disallowed_methods,
    reason = "a lab counts real time, and a figure that overflows stops no gateway"
)]

pub mod delay;
pub mod goals;
pub mod lab;
pub mod load;
pub mod machine;
pub mod process;
pub mod provider;
pub mod record;
pub mod report;
pub mod request;
pub mod stats;
pub mod subject;
pub mod wire;
pub mod workload;

/// What ends a run early: somebody did not start, or answered something else than 200.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Tells whoever waits how far it is, on standard error.
pub fn say(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{text}");
}
