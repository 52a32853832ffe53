//! Watches gateway.yaml and every file that it reads.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// Files as they were when last looked at. They are read rather than asked for their times: editors, `kubectl` and
/// secret stores replace files in too many ways to tell a change otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Watch(Vec<(PathBuf, Option<[u8; 32]>)>);

impl Watch {
    /// Looks at gateway.yaml.
    pub(super) fn new(file: &Path) -> Self {
        Self(vec![look(file.to_path_buf())])
    }

    /// Whether any file differs from when it was last looked at.
    pub(super) fn has_changed(&self) -> bool {
        self.again() != *self
    }

    /// Looks at the same files once more.
    pub(super) fn again(&self) -> Self {
        Self(self.0.iter().map(|(path, _)| look(path.clone())).collect())
    }

    /// Watches gateway.yaml and `files`. Those that were looked at before are not looked at again: what has changed
    /// since then, while the file was being read, is still a change.
    pub(super) fn with(mut self, files: &[PathBuf]) -> Self {
        let mut known = self.0.split_off(1.min(self.0.len()));
        for path in files {
            let seen = known.iter().position(|(known, _)| known == path).map(|at| known.swap_remove(at));
            self.0.push(seen.unwrap_or_else(|| look(path.clone())));
        }
        self
    }
}

/// A file's content as a digest; `None` while it cannot be read.
fn look(path: PathBuf) -> (PathBuf, Option<[u8; 32]>) {
    let digest = std::fs::read(&path).ok().map(|content| Sha256::digest(content).into());
    (path, digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_shows_however_the_file_was_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (file, secret) = (folder.path().join("gateway.yaml"), folder.path().join("key"));
        std::fs::write(&file, "a").unwrap();
        std::fs::write(&secret, "1").unwrap();
        let mut watch = Watch::new(&file).with(std::slice::from_ref(&secret));
        assert!(!watch.has_changed());
        let changes: [&dyn Fn() -> std::io::Result<()>; 3] =
            [&|| std::fs::write(&secret, "2"), &|| std::fs::remove_file(&file), &|| {
                std::fs::write(&file, "b")
            }];
        for change in changes {
            change().unwrap();
            assert!(watch.has_changed());
            watch = watch.again();
            assert!(!watch.has_changed());
        }
    }

    #[test]
    fn a_change_while_the_file_is_read_is_not_lost() {
        let folder = tempfile::tempdir().unwrap();
        let (file, secret) = (folder.path().join("gateway.yaml"), folder.path().join("key"));
        std::fs::write(&file, "a").unwrap();
        std::fs::write(&secret, "1").unwrap();
        let looked = Watch::new(&file).with(std::slice::from_ref(&secret)).again();
        std::fs::write(&secret, "2").unwrap();
        assert!(looked.with(std::slice::from_ref(&secret)).has_changed());
    }
}
