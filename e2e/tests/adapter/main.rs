//! The adapter (`shared/host`) on a real Envoy: what a filter is shown, and what becomes of what it decides.
#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    reason = "tests fail by panicking, and measure real time"
)]

mod bed;
mod bodies;
mod callouts;
mod changes;
mod config;
mod ends;
mod held;
mod replies;
mod shared;
mod traps;
mod waits;
mod wakes;
