//! `fallback`.
