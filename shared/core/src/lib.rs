//! Policy logic shared by every plugin. No host, no clock, no I/O.

pub mod breaker;
pub mod chain;
pub mod config;
pub mod content;
pub mod context;
pub mod detect;
pub mod digits;
pub mod filter;
pub mod form;
pub mod glob;
pub mod headers;
pub mod json;
pub mod meter;
pub mod metric;
pub mod network;
pub mod openai;
pub mod order;
pub mod pick;
pub mod price;
pub mod redis;
pub mod retry_after;
pub mod sse;
pub mod target;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod texts;
pub mod when;
pub mod window;
