//! Answers kept in the process's shared data, for all workers of one Envoy, within a bound in bytes that counts all.
//!
//! Shared data has no eviction, no listing and no removal; all one can do is write a value empty, which frees all but
//! its key. So entries lie on a ring of units, overwritten oldest first, each one value under the key of its first
//! unit; and an index of buckets finds them by the hash of their key. The value repeats the whole key and its place,
//! so whatever was overwritten, torn or put there by somebody else is a miss. An entry that is used when it has come to
//! the oldest quarter is written again at the head: what is used stays.
//!
//! Before an entry is written, all its units but the first are emptied, and the first is overwritten. Places are given out
//! in order, so a value goes before anything else lies where it lay, and the sum of all values stays below the ring's
//! size. Workers that write at the same moment can exceed that by an entry each; room is kept for one.

mod index;
mod ring;
#[cfg(test)]
mod tests;

use std::cell::Cell;

use sluice_core::filter::Host;

use self::index::{Bucket, Slot};
use self::ring::{Ring, unit_key};
use super::clear::{Clear, Clears};
use crate::entry::Entry;
use crate::fingerprint::Key;

/// Bytes that a place in the ring stands for.
const UNIT_BYTES: u64 = 1024;

/// What Envoy keeps per key besides its text and value: a node of a hash map, two strings' heads, a version, and the
/// blocks they lie in.
const KEY_OVERHEAD_BYTES: u64 = 128;

/// Longest key, `rc.u4294967295`.
const KEY_BYTES: u64 = 14;

/// Units per bucket of the index.
const UNITS_PER_BUCKET: u64 = 8;

/// Bytes of the values that there is one of: the ring's and the clears'.
const FIXED_BYTES: u64 = 4096;

/// Of memory, the part that one entry may take.
const ENTRY_PART: u64 = 8;

/// Key and place, before an entry.
const HEAD_BYTES: usize = 32 + 8;

/// How often a change is tried. Each failure is another worker's success, which takes microseconds.
const TRIES: usize = 1000;

/// Key of the rules of what was cleared.
const CLEARS: &str = "rc.clear";

/// A worker's way to the entries.
#[derive(Debug)]
pub struct Memory {
    units: u64,
    max_entry_bytes: u64,
    ttl_ms: u64,
    /// The ring has been told how large this configuration wants it; from then on its own number counts, which may be that
    /// of a later configuration.
    told: Cell<bool>,
}

/// How full a store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Entries that would be given.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that there is room for, the rest of the memory being keys, index and rounding.
    pub capacity_bytes: u64,
}

impl Memory {
    /// A store of at most `memory_bytes`, keys, index and Envoy's own overhead included, for entries of at most
    /// `max_entry_bytes` that are given for at most `ttl_ms`.
    #[must_use]
    pub fn new(memory_bytes: u64, max_entry_bytes: u64, ttl_ms: u64) -> Self {
        let max_entry_bytes = max_entry_bytes.min(memory_bytes / ENTRY_PART);
        let ring_bytes = memory_bytes.saturating_sub(FIXED_BYTES).saturating_sub(max_entry_bytes);
        Self { units: ring::units(ring_bytes), max_entry_bytes, ttl_ms, told: Cell::new(false) }
    }

    /// Largest entry that is taken, in bytes as encoded: what was asked for, or an eighth of the memory.
    #[must_use]
    pub const fn max_entry_bytes(&self) -> u64 {
        self.max_entry_bytes
    }

    /// The entry of this very key, if it may still be given.
    pub fn get(&self, host: &mut dyn Host, key: &Key) -> Option<Entry> {
        let (ring, _) = self.ring(host)?;
        let bucket = Bucket::read(host, &ring, key);
        let slot = *bucket.find(key, &ring)?;
        let entry = read_entry(host, &ring, key, slot.place)?;
        if !entry.is_fresh(host.now_ms(), self.ttl_ms) || clears(host).hides(&entry) {
            return None;
        }
        if ring.is_oldest_quarter(slot.place) {
            self.write(host, key, &entry);
        }
        Some(entry)
    }

    /// Keeps an entry in place of the one that its key may have; `false` if it is too large, or if other workers were
    /// faster each time.
    pub fn put(&self, host: &mut dyn Host, key: &Key, entry: &Entry) -> bool {
        let size = u64::try_from(entry.size()).unwrap_or(u64::MAX);
        size <= self.max_entry_bytes && self.write(host, key, entry)
    }

    /// Clears what is kept at this moment; `false` if others were faster each time.
    pub fn clear(&self, host: &mut dyn Host, clear: Clear) -> bool {
        (0..TRIES).any(|_| {
            let shared = host.shared(CLEARS);
            let mut clears = Clears::decode(&shared.value);
            clears.add(clear, host.now_ms(), self.ttl_ms);
            host.set_shared(CLEARS, &clears.encode(), shared.version).is_ok()
        })
    }

    /// Counts what is kept. Reads the whole index, about a millisecond for every 10 MB of memory.
    pub fn stats(&self, host: &dyn Host) -> Stats {
        let Some(ring) = Ring::read(host).0 else { return Stats::default() };
        let (clears, now_ms) = (clears(host), host.now_ms());
        let mut stats = Stats { capacity_bytes: ring.units.saturating_mul(UNIT_BYTES), ..Stats::default() };
        for number in 0..ring.buckets() {
            let bucket = Bucket::read_number(host, number);
            let given = |slot: &&Slot| slot.is_given(&ring, &clears, now_ms, self.ttl_ms);
            for slot in bucket.slots().iter().filter(given) {
                stats.entries = stats.entries.saturating_add(1);
                stats.bytes = stats.bytes.saturating_add(slot.size.into());
            }
        }
        stats
    }

    /// The ring with the version to write it; made if there is none, or remade if this configuration has not been heard
    /// yet.
    fn ring(&self, host: &mut dyn Host) -> Option<(Ring, u32)> {
        for _ in 0..TRIES {
            let (ring, version) = Ring::read(host);
            let wanted = match ring {
                Some(ring) if self.told.get() => ring,
                Some(ring) => ring.resized(self.units),
                None => Ring::new(self.units),
            };
            if ring == Some(wanted) {
                self.told.set(true);
                return Some((wanted, version));
            }
            if wanted.write(host, version) {
                self.told.set(true); // read again for its new version
            }
        }
        None
    }

    fn write(&self, host: &mut dyn Host, key: &Key, entry: &Entry) -> bool {
        let mut value = Vec::with_capacity(entry.size().saturating_add(HEAD_BYTES));
        value.extend_from_slice(key.bytes());
        value.extend([0; 8]);
        entry.encode_to(&mut value);
        let size = u64::try_from(value.len()).unwrap_or(u64::MAX);
        let Some((ring, place)) = self.allocate(host, size.div_ceil(UNIT_BYTES)) else { return false };
        let place_bytes = value.iter_mut().skip(key.bytes().len()).take(8);
        place_bytes.zip(place.to_le_bytes()).for_each(|(byte, place)| *byte = place);
        let first = unit_key(ring.unit(place));
        // Read first: whoever writes here while the rest is emptied is a whole round ahead.
        let version = host.shared(&first).version;
        for n in 1..size.div_ceil(UNIT_BYTES) {
            empty(host, &unit_key(ring.unit(place.saturating_add(n))));
        }
        if host.set_shared(&first, &value, version).is_err() {
            return false;
        }
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        Bucket::insert(host, &ring, key, Slot::new(key, place, entry, size), self.ttl_ms)
    }

    /// Takes `units` at the head, and empties some of what a larger ring has left behind.
    fn allocate(&self, host: &mut dyn Host, units: u64) -> Option<(Ring, u64)> {
        for _ in 0..TRIES {
            let (ring, version) = self.ring(host)?;
            if units > ring.units {
                return None;
            }
            let taken = ring.taken(units);
            if taken.write(host, version) {
                for key in ring.surplus_given_up(&taken) {
                    empty(host, &key);
                }
                return Some((taken, ring.head));
            }
        }
        None
    }
}

fn clears(host: &dyn Host) -> Clears {
    Clears::decode(&host.shared(CLEARS).value)
}

/// Frees a value, unless there is none or somebody writes it at this moment.
fn empty(host: &mut dyn Host, key: &str) {
    let shared = host.shared(key);
    if !shared.value.is_empty() {
        // Whoever was faster has a place further on, so this one is lost anyway.
        let _ = host.set_shared(key, &[], shared.version);
    }
}

fn read_entry(host: &dyn Host, ring: &Ring, key: &Key, place: u64) -> Option<Entry> {
    let value = host.shared(&unit_key(ring.unit(place))).value;
    let (own_key, rest) = value.split_first_chunk::<32>()?;
    let (own_place, entry) = rest.split_first_chunk::<8>()?;
    let same = own_key == key.bytes() && u64::from_le_bytes(*own_place) == place;
    if same { Entry::decode(entry) } else { None }
}
