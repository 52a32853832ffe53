//! `gateway::check` from outside: mistakes and their exact words, good files, any bytes.

#![cfg(test)]

mod bytes;
mod good;
mod mistakes;
mod schema;

use std::path::Path;

use sluice::file::Report;
use sluice::gateway::{CheckOptions, Gateway, check};

/// An environment with two keys and an empty one.
fn env(name: &str) -> Option<String> {
    match name {
        "KEY_1" => Some("sk-1".into()),
        "KEY_2" => Some("sk-2".into()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

fn checked(yaml: &[u8]) -> (Option<Gateway>, Report) {
    check(Path::new("gateway.yaml"), yaml, &CheckOptions { env: &env })
}
