//! Any file as gateway.yaml: every finding has its place, no plugin refuses what the file's own check has taken, and what
//! is taken can be rendered.

use std::path::Path;

use sluice::check::check as look;
use sluice::gateway::CheckOptions;
use sluice::render::{Rendering, render};

/// What the environment holds as `KEY`.
const SECRET: &str = "sk-from-the-environment";

fn env(name: &str) -> Option<String> {
    (name == "KEY").then(|| SECRET.to_owned())
}

/// An environment that holds another.
fn other(name: &str) -> Option<String> {
    (name == "KEY").then(|| "sk-of-other-surroundings".to_owned())
}

/// Whether the file's own text, and no environment, has the check say this.
fn is_own(yaml: &[u8], text: &str) -> bool {
    let loaded = look(Path::new("gateway.yaml"), yaml, &CheckOptions { env: &other });
    loaded.report.notes().iter().any(|note| note.text == text)
}

/// The file.
pub fn check(yaml: &[u8]) {
    let loaded = look(Path::new("gateway.yaml"), yaml, &CheckOptions { env: &env });
    let lines = yaml.split(|byte| matches!(byte, b'\n' | b'\r')).count();
    for note in loaded.report.notes() {
        assert!(!note.path.starts_with("plugin "), "{}", loaded.report);
        assert!((1..=lines + 1).contains(&note.place.line) && note.place.column >= 1, "{note:?}");
        assert!(!note.path.is_empty() && !note.text.is_empty(), "{note:?}");
        assert!(!note.text.contains(SECRET) || is_own(yaml, &note.text), "{note:?}");
    }
    assert_eq!(loaded.gateway.is_none(), loaded.report.has_mistakes());
    if let Some(gateway) = loaded.gateway {
        let (directory, module, roots) = (Path::new("/d"), Path::new("/m.wasm"), Path::new("/r.pem"));
        let rendering = Rendering { directory, module, roots, access_log: None };
        assert!(!render(&gateway, &rendering).files(&rendering).is_empty());
    }
}
