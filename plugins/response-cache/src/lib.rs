//! `response-cache`: answers again what was answered before, to the same caller.

pub mod form;
pub mod replay;
