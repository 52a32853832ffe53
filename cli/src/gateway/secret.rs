//! Secrets: `env:NAME`, `file:PATH` or, for trying things out, the secret itself. No message repeats one.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use sluice_core::config::{SecretSource, shown};

use super::Sources;
use crate::file::Cursor;

/// Largest file that is taken for a secret or a chain of certificates, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// A secret that was readable when the configuration was checked. `Debug` prints `***` or `env:NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    source: SecretSource,
    literal: bool,
}

impl Secret {
    /// What a plugin's configuration says: `Env` stands in no rendered file, `Value` does.
    #[must_use]
    pub fn source(&self) -> &SecretSource {
        &self.source
    }

    /// Whether gateway.yaml itself holds it.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        self.literal
    }
}

/// Reads a secret and makes sure that it can be had and can be a header's value.
pub(super) fn read(at: &Cursor<'_>, sources: &Sources<'_>) -> Option<Secret> {
    let text = at.text("env:NAME, file:PATH or the secret itself")?;
    let secret = match text.split_once(':') {
        Some(("env", name)) => from_env(at, name),
        Some(("file", path)) => from_file(at, path, sources),
        Some(("sha256", _)) => at.refuse(
            "is a hash, but this secret is sent and must be readable; write env:NAME or file:PATH \
             (sha256: is for consumers' keys)",
        ),
        _ => Some(Secret { source: SecretSource::Value(text.to_owned()), literal: true }),
    }?;
    let checked = secret.source.read(&|name| (sources.env)(name));
    match checked {
        Ok(_) => Some(secret),
        Err(why) => at.refuse(format!("{why}; {}", advice(&secret.source))),
    }
}

fn advice(source: &SecretSource) -> String {
    match source {
        SecretSource::Env(name) => format!("set {}, or write file:PATH", shown(name)),
        SecretSource::Value(_) => "write one line of text".to_owned(),
    }
}

fn from_env(at: &Cursor<'_>, name: &str) -> Option<Secret> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(plain) || name.starts_with(|c: char| c.is_ascii_digit()) {
        return at.refuse(
            "has no name of an environment variable after env: (letters, digits and _); write env:OPENAI_KEY",
        );
    }
    Some(Secret { source: SecretSource::Env(name.to_owned()), literal: false })
}

fn from_file(at: &Cursor<'_>, path: &str, sources: &Sources<'_>) -> Option<Secret> {
    if path.is_empty() {
        return at.refuse("has no path after file:; write file:PATH");
    }
    let path = resolve(path, sources);
    let text = match content(&path, sources) {
        Ok(text) => text,
        Err(why) => {
            return at.refuse(format!("{} {why}; write file: and the path of a text file", path.display()));
        }
    };
    warn_if_readable_by_others(at, &path);
    let text = text.trim_end_matches(['\n', '\r']).to_owned();
    Some(Secret { source: SecretSource::Value(text), literal: false })
}

/// The text of an ordinary file: `/dev/zero` has no end. One that cannot be read is noted all the same: it may come.
///
/// # Errors
/// Why it cannot be read, as the end of a sentence.
pub(super) fn content(path: &Path, sources: &Sources<'_>) -> Result<String, String> {
    sources.note(path);
    let file = std::fs::metadata(path).map_err(|error| why(&error))?;
    if !file.is_file() {
        return Err("is no ordinary file".into());
    }
    if file.len() > MAX_FILE {
        return Err(format!("is larger than {}", crate::file::show_size(MAX_FILE)));
    }
    std::fs::read_to_string(path).map_err(|error| why(&error))
}

/// A path in gateway.yaml starts from the directory of gateway.yaml.
pub(super) fn resolve(path: &str, sources: &Sources<'_>) -> PathBuf {
    sources.directory.join(path)
}

/// Why a file could not be read, as the end of a sentence.
pub(super) fn why(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "does not exist".into(),
        ErrorKind::PermissionDenied => "may not be read by this user".into(),
        ErrorKind::InvalidData => "is not UTF-8".into(),
        ErrorKind::IsADirectory => "is a directory".into(),
        _ => format!("cannot be read ({error})"),
    }
}

/// Warns when every user of the machine can read a file that holds a secret.
pub(super) fn warn_if_readable_by_others(at: &Cursor<'_>, path: &Path) {
    if readable_by_others(path) {
        let path = path.display();
        at.warn(format!("{path} can be read by every user of this machine; run chmod 600 on it"));
    }
}

#[cfg(unix)]
pub(super) fn readable_by_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
pub(super) fn readable_by_others(_: &Path) -> bool {
    false
}
