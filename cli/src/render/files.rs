//! Rendered files, and how they come to lie on disk.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use serde_json::{Value, json};

use super::names::digest;
use super::yaml;

/// One rendered file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Path below the directory of all.
    pub path: String,
    /// Its whole text.
    pub text: String,
    /// What Envoy reports once it has taken the file over; empty for the bootstrap.
    pub version: String,
    /// Only the owner may read it.
    pub secret: bool,
}

impl File {
    pub(super) fn new(path: &str, text: String) -> Self {
        Self { path: path.to_owned(), text, version: String::new(), secret: false }
    }

    /// A file that Envoy watches; its version is told from its content.
    pub(super) fn discovery(path: &str, resources: &[Value], secret: bool) -> Self {
        let version = digest(&json!(resources).to_string());
        let text = yaml::document(&json!({"version_info": version, "resources": resources}));
        Self { path: path.to_owned(), text, version, secret }
    }

    /// Puts the file below `directory` by a rename, which is what Envoy watches for. One that stands there already
    /// is left alone.
    ///
    /// # Errors
    /// What the file system says.
    pub fn put(&self, directory: &Path) -> io::Result<()> {
        let path = directory.join(&self.path);
        if fs::read(&path).is_ok_and(|text| text == self.text.as_bytes()) {
            return Ok(());
        }
        let new = path.with_extension("yaml.new");
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = self.open(&new)?;
        file.write_all(self.text.as_bytes())?;
        drop(file);
        fs::rename(new, path)
    }

    fn open(&self, path: &Path) -> io::Result<fs::File> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            options.mode(if self.secret { 0o600 } else { 0o644 });
        }
        options.open(path)
    }
}

/// Writes all `files` below `directory`, in their order.
///
/// # Errors
/// What the file system says, with the file at fault.
pub fn write(files: &[File], directory: &Path) -> Result<(), String> {
    for file in files {
        file.put(directory).map_err(|error| format!("{}: {error}", directory.join(&file.path).display()))?;
    }
    Ok(())
}
