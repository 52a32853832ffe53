//! `sluice replay`: under the configuration that made a log it reproduces every decision, and under another it tells
//! what changes. The logs are made by the filters themselves.

#![cfg(test)]
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests fail by panicking")]

mod bed;
mod changes;
mod traffic;
