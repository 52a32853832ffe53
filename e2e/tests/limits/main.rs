//! `token-limit`, counting in Envoy's own memory, behind a real gateway.
#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    reason = "tests fail by panicking, and measure real time"
)]

mod alone;
mod answers;
mod bed;
mod breaks;
mod charges;
mod cuts;
mod live;
mod parallel;
mod protocols;
mod scopes;
mod windows;
