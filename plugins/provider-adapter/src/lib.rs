//! `provider-adapter`.
