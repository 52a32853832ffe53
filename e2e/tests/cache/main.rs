//! `response-cache`, keeping answers in Envoy's own memory, behind a real gateway.
#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    reason = "tests fail by panicking, and measure real time"
)]

mod bed;
mod faults;
mod flights;
mod forms;
mod kept;
mod leaks;
mod live;
mod memory;
mod operator;
