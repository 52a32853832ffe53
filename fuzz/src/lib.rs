//! What holds for any bytes from outside, as functions that panic where it does not.
//!
//! `libfuzzer/` makes a program of each that looks for such bytes; `tests/corpus.rs` shows each what was found before.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::missing_panics_doc,
    reason = "a fuzz target reports what is wrong by panicking"
)]

pub mod answer;
pub mod cache;
pub mod config;
pub mod corpus;
mod exchange;
pub mod form;
pub mod gateway;
pub mod guard;
pub mod headers;
pub mod json;
pub mod logs;
pub mod meter;
mod parts;
pub mod patterns;
pub mod record;
pub mod redis;
pub mod router;
pub mod sse;
pub mod texts;

/// Something that holds for any input.
pub type Target = fn(&[u8]);

/// Every target by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("answer", answer::check),
    ("cache", cache::check),
    ("config", config::check),
    ("form", form::check),
    ("gateway", gateway::check),
    ("guard", guard::check),
    ("headers", headers::check),
    ("json", json::check),
    ("logs", logs::check),
    ("meter", meter::check),
    ("patterns", patterns::check),
    ("record", record::check),
    ("redis", redis::check),
    ("router", router::check),
    ("sse", sse::check),
    ("texts", texts::check),
];
