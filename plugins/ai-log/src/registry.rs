//! Names that have a series of their own: as many as may be, the same ones on every worker.
//!
//! Shared data holds their digests, in pages that fill one after the other; each worker keeps a copy. Once it is full, no
//! name costs a host call any more.

use std::collections::HashSet;

use hashbrown::HashTable;
use sha2::{Digest as _, Sha256};
use sluice_core::filter::{Host, Shared};
use xxhash_rust::xxh3::xxh3_64;

/// Size of a full page, of eight bytes a name: what is read and written to add one.
const PAGE_BYTES: usize = 8 * 1024;

/// Most writes that are lost to other workers before a name goes without, this once.
const MAX_TRIES: usize = 16;

/// This worker's copy of one list of names.
#[derive(Debug)]
pub(crate) struct Registry {
    key: &'static str,
    max: usize,
    known: HashSet<u64>,
    names: HashTable<Box<str>>, // of these, the ones that this worker has met: they cost no digest
    page: usize,                // the first that is not known to be full
}

impl Registry {
    /// The list under `key` in shared data, of at most `max` names.
    pub(crate) fn new(key: &'static str, max: usize) -> Self {
        Self { key, max, known: HashSet::new(), names: HashTable::new(), page: 0 }
    }

    /// Whether `name` is in the list.
    pub(crate) fn knows(&mut self, host: &dyn Host, name: &str) -> bool {
        if self.has_met(name) {
            return true;
        }
        let hash = digest(name);
        while !self.known.contains(&hash) && self.known.len() < self.max {
            if self.read(host).value.len() < PAGE_BYTES {
                break;
            }
        }
        self.meet(name, hash)
    }

    /// Whether `name` is in the list; it is added if there is room.
    pub(crate) fn admits(&mut self, host: &mut dyn Host, name: &str) -> bool {
        if self.has_met(name) {
            return true;
        }
        let hash = digest(name);
        let mut tries = 0_usize;
        while tries < MAX_TRIES && !self.known.contains(&hash) && self.known.len() < self.max {
            let page = self.page;
            self.add(host, hash);
            tries = tries.saturating_add(usize::from(page == self.page));
        }
        self.meet(name, hash)
    }

    fn has_met(&self, name: &str) -> bool {
        self.names.find(place(name), |known| **known == *name).is_some()
    }

    /// Whether the name of this digest is in the list, which is then remembered.
    fn meet(&mut self, name: &str, hash: u64) -> bool {
        let is_known = self.known.contains(&hash);
        if is_known {
            self.names.insert_unique(place(name), name.into(), |known| place(known));
        }
        is_known
    }

    /// Adds the hash, if there is room where there may be some.
    fn add(&mut self, host: &mut dyn Host, hash: u64) {
        let key = self.page_key();
        let mut page = self.read(host);
        let is_full = page.value.len() >= PAGE_BYTES || self.known.len() >= self.max;
        if is_full || self.known.contains(&hash) {
            return;
        }
        page.value.extend(hash.to_le_bytes());
        if host.set_shared(&key, &page.value, page.version).is_ok() {
            self.known.insert(hash);
        }
    }

    /// Learns what is in the first page that was not full, and goes on to the next if it is now.
    fn read(&mut self, host: &dyn Host) -> Shared {
        let page = host.shared(&self.page_key());
        let (hashes, _) = page.value.as_chunks::<8>();
        self.known.extend(hashes.iter().map(|hash| u64::from_le_bytes(*hash)));
        if page.value.len() >= PAGE_BYTES {
            self.page = self.page.saturating_add(1);
        }
        page
    }

    fn page_key(&self) -> String {
        format!("{}/{}", self.key, self.page)
    }
}

/// Where a name stands in a worker's table.
fn place(name: &str) -> u64 {
    xxh3_64(name.as_bytes())
}

/// A digest of which nobody finds another name: clients make some of them up, and one that is taken for another has series
/// of its own.
fn digest(name: &str) -> u64 {
    let digest: [u8; 32] = Sha256::digest(name).into();
    let (words, _) = digest.as_chunks::<8>();
    words.first().copied().map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
mod tests;
