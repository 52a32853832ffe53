//! `sluice check` from outside: mistakes and their exact words, good files, any bytes.

#![cfg(test)]

mod bytes;
mod good;
mod mistakes;
mod plugins;
mod schema;

use std::path::Path;

use sluice::check::check;
use sluice::file::Report;
use sluice::gateway::{CheckOptions, Gateway};

/// An environment with two keys, an empty one, and keys that nobody guesses.
fn env(name: &str) -> Option<String> {
    match name {
        "LONG_KEY" | "LONG_TOO" | "KEY_LONG_3" | "KEY_LONG_4" | "KEY_LONG_5" => {
            Some(format!("sk-{name}-0123456789"))
        }
        "KEY_1" => Some("sk-1".into()),
        "KEY_2" => Some("sk-2".into()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

/// What the check says. Whatever stands in the file, no plugin refuses what the file's own check has taken: it
/// would have no better place than the file's beginning.
fn checked(yaml: &[u8]) -> (Option<Gateway>, Report) {
    let loaded = check(Path::new("gateway.yaml"), yaml, &CheckOptions { env: &env });
    let refused = loaded.report.notes().iter().any(|note| note.path.starts_with("plugin "));
    assert!(!refused, "{}{}", loaded.report, String::from_utf8_lossy(yaml));
    (loaded.gateway, loaded.report)
}
