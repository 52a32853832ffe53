//! `response-cache`: answers again what was answered before, to the same caller.

pub mod entry;
pub mod fingerprint;
pub mod form;
pub mod replay;
pub mod store;
