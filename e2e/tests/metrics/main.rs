//! What the gateway says of itself: its counters are exact, their number is bounded, and nothing it writes anywhere tells
//! a prompt, an answer or a key.
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
mod canaries;
mod client;
mod declared;
mod draft;
mod ends;
mod kinds;
mod ledger;
mod mixed;
mod names;
mod soak;
mod traffic;
