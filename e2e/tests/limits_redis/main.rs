//! token-limit with Redis, on a real Envoy by way of `sluice run`: several gateways, outages, a cluster, live changes.
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
mod live;
mod outages;
mod sharing;
mod trips;
