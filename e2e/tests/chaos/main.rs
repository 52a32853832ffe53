//! Chaos, bounded: providers, services, Redis, Envoy's workers, its configuration and its clients misbehave one after the
//! other on a real gateway, and after each of it the books balance.
#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::as_conversions,
    reason = "tests fail by panicking, and measure real time"
)]

mod bed;
mod books;
mod client;
mod outages;
mod overload;
mod providers;
mod reloads;
mod traffic;
mod traps;
