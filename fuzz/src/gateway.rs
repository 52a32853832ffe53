//! Any file as gateway.yaml: every finding has its place, no plugin refuses what the file's own check has taken, and what
//! is taken can be rendered.

use std::path::Path;

use sluice::check::check as look;
use sluice::gateway::CheckOptions;
use sluice::render::{Rendering, render};

fn env(name: &str) -> Option<String> {
    (name == "KEY").then(|| "sk-from-the-environment".to_owned())
}

/// The file.
pub fn check(yaml: &[u8]) {
    let loaded = look(Path::new("gateway.yaml"), yaml, &CheckOptions { env: &env });
    let lines = yaml.split(|byte| matches!(byte, b'\n' | b'\r')).count();
    for note in loaded.report.notes() {
        assert!(!note.path.starts_with("plugin "), "{}", loaded.report);
        assert!((1..=lines + 1).contains(&note.place.line) && note.place.column >= 1, "{note:?}");
        assert!(!note.path.is_empty() && !note.text.is_empty(), "{note:?}");
        assert!(!note.text.contains("sk-from-the-environment"), "{note:?}");
    }
    assert_eq!(loaded.gateway.is_none(), loaded.report.has_mistakes());
    if let Some(gateway) = loaded.gateway {
        let (directory, module, roots) = (Path::new("/d"), Path::new("/m.wasm"), Path::new("/r.pem"));
        let rendering = Rendering { directory, module, roots, access_log: None };
        assert!(!render(&gateway, &rendering).files(&rendering).is_empty());
    }
}
