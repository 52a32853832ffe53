//! A shard: the ledgers of those buckets that share one value of shared data.
//!
//! As bytes: a format byte, then per bucket its id, when its ledger is empty and the ledger's length (both in four
//! bytes little-endian and six, see [`Shard::encode`]), and the ledger.

use sha2::{Digest, Sha256};
use sluice_core::window::{Ledger, Window};

/// First byte of a shard. A module of another version may run in the same process while a new one is loaded.
const FORMAT: u8 = 1;

/// Most buckets in a shard. Shared data never forgets a key, so this times the number of shards bounds the memory.
pub(super) const MAX_BUCKETS: usize = 64;

/// Names a bucket: the start of the SHA-256 of its key, since keys hold what clients send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id([u8; 16]);

impl Id {
    pub(super) fn of(key: &str) -> Self {
        let digest = Sha256::digest(key.as_bytes());
        let (start, _) = digest.split_first_chunk().map_or(([0; 16], ()), |(start, _)| (*start, ()));
        Self(start)
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
pub(super) struct Shard(Vec<Bucket>);

impl Shard {
    /// Reads what [`Self::encode`] wrote. Of anything else, what comes before the first mistake.
    pub(super) fn decode(bytes: &[u8]) -> Self {
        let mut shard = Self::default();
        let Some(mut rest) = bytes.strip_prefix(&[FORMAT]) else { return shard };
        while let Some(bucket) = take_bucket(&mut rest) {
            shard.0.push(bucket);
        }
        shard
    }

    /// As bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        for bucket in &self.0 {
            out.extend_from_slice(&bucket.id.0);
            out.extend_from_slice(&bucket.empty_at_ms.to_le_bytes());
            out.extend_from_slice(&u32::try_from(bucket.ledger.len()).unwrap_or_default().to_le_bytes());
            out.extend_from_slice(&bucket.ledger);
        }
        out
    }

    /// The ledger of a bucket; an empty one if it has none.
    pub(super) fn ledger(&self, id: Id, window: Option<Window>, now_ms: u64) -> Ledger {
        let bucket = self.0.iter().find(|bucket| bucket.id == id);
        bucket
            .and_then(|bucket| Ledger::decode(&bucket.ledger, window, now_ms))
            .unwrap_or_else(|| Ledger::new(window, now_ms))
    }

    /// Puts a bucket's ledger in the place of the one it has.
    pub(super) fn put(&mut self, id: Id, ledger: &Ledger) {
        self.0.retain(|bucket| bucket.id != id);
        self.0.push(Bucket { id, empty_at_ms: ledger.expires_at_ms(), ledger: ledger.encode() });
    }

    /// Drops the ledgers that are empty by now and, while there are too many, those that are empty soonest. Returns
    /// how many still had something in them.
    pub(super) fn tidy(&mut self, now_ms: u64) -> u64 {
        self.0.retain(|bucket| bucket.empty_at_ms > now_ms);
        let surplus = self.0.len().saturating_sub(MAX_BUCKETS);
        if surplus > 0 {
            self.0.sort_by_key(|bucket| bucket.empty_at_ms);
            self.0.drain(..surplus);
        }
        u64::try_from(surplus).unwrap_or_default()
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
