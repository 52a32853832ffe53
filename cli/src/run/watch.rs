//! Watches gateway.yaml and every file that it reads.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::gateway::Gateway;

/// The files as they were when last read. They are read rather than asked for their times: editors, `kubectl` and
/// secret stores replace files in too many ways to tell a change otherwise.
#[derive(Debug)]
pub(super) struct Watch {
    files: Vec<PathBuf>,
    seen: [u8; 32],
}

impl Watch {
    pub(super) fn new(file: &Path, gateway: &Gateway) -> Self {
        let mut files = vec![file.to_path_buf()];
        files.extend(gateway.files.iter().cloned());
        let seen = digest(&files);
        Self { files, seen }
    }

    /// Whether any file differs from when it was last looked at.
    pub(super) fn has_changed(&self) -> bool {
        digest(&self.files) != self.seen
    }

    /// Takes the files as they are for seen.
    pub(super) fn look_again(&mut self) {
        self.seen = digest(&self.files);
    }
}

fn digest(files: &[PathBuf]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for file in files {
        let content = std::fs::read(file);
        hash.update(
            content.as_ref().map_or(u64::MAX, |bytes| u64::try_from(bytes.len()).unwrap_or(0)).to_le_bytes(),
        );
        hash.update(content.unwrap_or_default());
    }
    hash.finalize().into()
}
