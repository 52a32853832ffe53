//! `response-cache` with Redis, on a real Envoy by way of `sluice run`: several gateways, outages, a cluster.
#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    reason = "tests fail by panicking, and measure real time"
)]

mod bed;
mod clusters;
mod outages;
mod sharing;
