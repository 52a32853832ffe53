//! The road to Redis on a real Envoy: `redis-bridge`, `redis_proxy`, and the client of `sluice_core::redis`.
#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    reason = "tests fail by panicking, and measure real time"
)]

mod bounds;
mod clusters;
mod commands;
mod filters;
mod outages;
mod road;
