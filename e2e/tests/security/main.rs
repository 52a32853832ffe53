//! What outsiders might try: requests that servers read in different ways, headers, paths and bodies in disguise, answers of
//! providers that overstep, requests of many at once. docs/threat-model.md says which test guards what.
#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests fail by panicking"
)]

mod answers;
mod bed;
mod bodies;
mod facts;
mod frames;
mod model;
mod paths;
mod raw;
mod sinks;
mod smuggling;
