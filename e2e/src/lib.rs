//! Harness of the end-to-end tests: a real Envoy under `sluice run`, a provider that misbehaves as told, and
//! clients that can misbehave too.
//!
//! `ENVOY_BIN` names the Envoy to test. `SLUICE_BIN` names the `sluice` command; left out, it is the one that
//! `cargo build -p sluice` puts beside the tests, and the modules are those that `scripts/build-wasm` puts into
//! `dist/`. What is missing fails a test, it never skips one. Logs are printed only when a test fails.
//! `SLUICE_FILTERS` is the `filters` of every gateway: `together`, unless told, `separate` or `native`, which is the
//! module that `scripts/build-native` puts there.
//!
//! Everything is threads and blocking sockets on loopback: misbehaving on purpose is easiest to read that way.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::disallowed_methods,
    clippy::missing_panics_doc,
    reason = "a test harness reports what is wrong by panicking, and measures real time"
)]

pub mod answer;
pub mod bed;
pub mod cache;
pub mod client;
pub mod envoy;
pub mod exposition;
pub mod gateway;
pub mod http2;
pub mod limits;
pub mod moderation;
pub mod otlp;
pub mod ports;
pub mod process;
pub mod prometheus;
pub mod records;
pub mod redis;
pub mod reported;
pub mod script;
pub mod sse;
pub mod tls;
pub mod upstream;
pub mod wait;
pub mod wild;
pub mod wire;
