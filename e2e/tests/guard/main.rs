//! `content-guard` behind a real gateway, with moderation services that do as they are told.
#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::as_conversions,
    reason = "tests fail by panicking, and measure real time"
)]

mod answers;
mod bed;
mod evasion;
mod faults;
mod live;
mod masks;
mod matrix;
mod places;
mod records;
mod requests;
mod services;
mod speech;
mod streams;
mod together;
