//! Who may call: consumers on a real Envoy, through gateway.yaml and `sluice run`.
#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    reason = "tests fail by panicking, and measure real time"
)]

mod live;
mod many;
mod people;
mod places;
mod records;
mod refusals;
mod secrets;
mod sides;
mod spoofs;
