//! A shard: the ledgers of those buckets that share one value of shared data.
//!
//! As bytes: a format byte, then per bucket its id (16 bytes), when its ledger is empty (8, little-endian), the length of
//! the ledger (4) and the ledger.

use std::cell::RefCell;

use hashbrown::HashTable;
use sha2::{Digest, Sha256};
use sluice_core::window::{Ledger, Window};
use xxhash_rust::xxh3::xxh3_64;

/// First byte of a shard. A module of another version may run in the same process while a new one is loaded.
const FORMAT: u8 = 1;

/// Most buckets in a shard. Shared data never forgets a key, so this times the number of shards bounds the memory.
pub(super) const MAX_BUCKETS: usize = 64;

/// Bytes of a bucket before its ledger.
const HEAD_BYTES: usize = 16 + 8 + 4;

/// Most ids that a worker remembers. Beyond, it begins anew.
const MAX_KNOWN: usize = 1024;

thread_local! {
    /// Ids with their keys: who has asked asks again, and a digest costs more than finding one.
    static KNOWN: RefCell<HashTable<(Box<str>, Id)>> = const { RefCell::new(HashTable::new()) };
}

/// Names a bucket: the start of the SHA-256 of its key, since keys hold what clients send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id([u8; 16]);

impl Id {
    pub(super) fn of(key: &str) -> Self {
        let place = |key: &str| xxh3_64(key.as_bytes());
        KNOWN.with_borrow_mut(|known| {
            if let Some((_, id)) = known.find(place(key), |(known, _)| **known == *key) {
                return *id;
            }
            let id = Self::digest(key);
            if known.len() >= MAX_KNOWN {
                known.clear();
            }
            known.insert_unique(place(key), (key.into(), id), |(known, _)| place(known));
            id
        })
    }

    fn digest(key: &str) -> Self {
        let digest = Sha256::digest(key.as_bytes());
        Self(digest.first_chunk().copied().unwrap_or_default())
    }

    /// Which of `shards` shards it lives in.
    pub(super) fn shard(self, shards: u16) -> u16 {
        let [low, high, ..] = self.0;
        u16::from_le_bytes([low, high]).checked_rem(shards).unwrap_or_default()
    }
}

/// A bucket as it is kept: only what is asked for is decoded.
struct Bucket {
    id: Id,
    empty_at_ms: u64,
    ledger: Vec<u8>,
}

/// The buckets of one shard.
#[derive(Default)]
pub(super) struct Shard {
    buckets: Vec<Bucket>,
    evicted: u64,
}

impl Shard {
    /// Reads what [`Self::encode`] wrote. Of anything else, what comes before the first mistake.
    pub(super) fn decode(bytes: &[u8]) -> Self {
        let mut shard = Self::default();
        let Some(mut rest) = bytes.strip_prefix(&[FORMAT]) else { return shard };
        while let Some(bucket) = take_bucket(&mut rest) {
            shard.buckets.push(bucket);
        }
        shard
    }

    /// As bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let size = |size: usize, bucket: &Bucket| {
            size.saturating_add(HEAD_BYTES).saturating_add(bucket.ledger.len())
        };
        let mut out = Vec::with_capacity(self.buckets.iter().fold(1, size));
        out.push(FORMAT);
        for bucket in &self.buckets {
            out.extend_from_slice(&bucket.id.0);
            out.extend_from_slice(&bucket.empty_at_ms.to_le_bytes());
            out.extend_from_slice(&u32::try_from(bucket.ledger.len()).unwrap_or_default().to_le_bytes());
            out.extend_from_slice(&bucket.ledger);
        }
        out
    }

    /// The ledger of a bucket; an empty one if it has none.
    pub(super) fn ledger(&self, id: Id, window: Option<Window>, now_ms: u64) -> Ledger {
        let bucket = self.buckets.iter().find(|bucket| bucket.id == id);
        bucket
            .and_then(|bucket| Ledger::decode(&bucket.ledger, window, now_ms))
            .unwrap_or_else(|| Ledger::new(window, now_ms))
    }

    /// Puts a bucket's ledger in the place of the one it has, and drops the ledgers that are empty by now. A new bucket
    /// in a full shard takes the place of the one that is empty soonest: were the new one itself passed over, nothing
    /// would limit it.
    pub(super) fn put(&mut self, id: Id, ledger: &Ledger, now_ms: u64) {
        self.buckets.retain(|bucket| bucket.id != id && bucket.empty_at_ms > now_ms);
        let empty_at_ms = ledger.expires_at_ms();
        if empty_at_ms <= now_ms {
            return;
        }
        if self.buckets.len() >= MAX_BUCKETS {
            self.evict();
        }
        self.buckets.push(Bucket { id, empty_at_ms, ledger: ledger.encode() });
    }

    /// How many ledgers with something in them were dropped since the shard was read.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    fn evict(&mut self) {
        let soonest = self.buckets.iter().enumerate().min_by_key(|(_, bucket)| bucket.empty_at_ms);
        if let Some((index, _)) = soonest {
            self.buckets.swap_remove(index);
            self.evicted = self.evicted.saturating_add(1);
        }
    }
}

fn take_bucket(rest: &mut &[u8]) -> Option<Bucket> {
    let id = Id(take(rest)?);
    let empty_at_ms = u64::from_le_bytes(take(rest)?);
    let length = usize::try_from(u32::from_le_bytes(take(rest)?)).ok()?;
    let (ledger, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(Bucket { id, empty_at_ms, ledger: ledger.to_vec() })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*first)
}
