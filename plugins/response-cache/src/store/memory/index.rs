//! The index: buckets of slots that tell where the entry of a key stands.

use sluice_core::filter::{Conflict, Host};
use sluice_core::order;

use super::ring::Ring;
use super::{Clears, TRIES};
use crate::entry::Entry;
use crate::fingerprint::Key;

/// Slots of a bucket. There is one bucket for eight units, so eight entries at most on average, and one bucket in
/// 250 overflows even then.
const SLOTS: usize = 16;

/// Bytes of a slot.
const SLOT_BYTES: usize = 16 + 3 * 8 + 3 * 4;

/// Bytes of a full bucket.
pub(super) const BUCKET_BYTES: u64 = 16 * 52;

/// Where an entry stands, and what must be known of it without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    hash: u128,
    pub(super) place: u64,
    stored_ms: u64,
    expires_ms: u64,
    consumer_tag: u32,
    model_tag: u32,
    /// Bytes of the value.
    pub(super) size: u32,
}

/// Slots with the version that they were read in.
#[derive(Debug)]
pub(super) struct Bucket {
    slots: Vec<Slot>,
    version: u32,
}

/// Key of a bucket.
pub(super) fn bucket_key(number: u64) -> String {
    format!("rc.b{number}")
}

/// Number of the bucket for `key`. Its digits are not those of [`hash`].
fn number(key: &Key, ring: &Ring) -> u64 {
    let bytes = key.bytes().last_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    bytes.checked_rem(ring.buckets()).unwrap_or(0)
}

fn hash(key: &Key) -> u128 {
    key.bytes().first_chunk().map_or(0, |bytes| u128::from_le_bytes(*bytes))
}

impl Bucket {
    pub(super) fn read(host: &dyn Host, ring: &Ring, key: &Key) -> Self {
        Self::read_number(host, number(key, ring))
    }

    pub(super) fn read_number(host: &dyn Host, number: u64) -> Self {
        let shared = host.shared(&bucket_key(number));
        let (slots, _) = shared.value.as_chunks();
        Self { slots: slots.iter().take(SLOTS).map(Slot::decode).collect(), version: shared.version }
    }

    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The slot of `key`, if what it tells of may be there still.
    pub(super) fn find(&self, key: &Key, ring: &Ring) -> Option<&Slot> {
        let hash = hash(key);
        self.slots.iter().find(|slot| slot.hash == hash && ring.holds(slot.place))
    }

    /// Puts a slot into its key's bucket, instead of an older one of the same key; where there is no room, instead of the
    /// one that would be overwritten first.
    pub(super) fn insert(host: &mut dyn Host, ring: &Ring, key: &Key, slot: Slot, ttl_ms: u64) -> bool {
        let (number, now_ms) = (number(key, ring), host.now_ms());
        (0..TRIES).any(|_| {
            let mut bucket = Self::read_number(host, number);
            bucket.add(slot, ring, now_ms, ttl_ms);
            bucket.write(host, number).is_ok()
        })
    }

    fn add(&mut self, slot: Slot, ring: &Ring, now_ms: u64, ttl_ms: u64) {
        let slots = &mut self.slots;
        let there = |place| ring.holds(place) || ring.is_ahead(place);
        slots.retain(|other| there(other.place) && other.is_fresh(now_ms, ttl_ms));
        if slots.iter().any(|other| other.hash == slot.hash && other.place > slot.place) {
            return;
        }
        slots.retain(|other| other.hash != slot.hash);
        slots.push(slot);
        order::by_key(slots, |slot| (slot.place, 0));
        let surplus = slots.len().saturating_sub(SLOTS);
        slots.drain(..surplus.min(slots.len()));
    }

    fn write(&self, host: &mut dyn Host, number: u64) -> Result<(), Conflict> {
        let mut bytes = Vec::with_capacity(SLOTS.saturating_mul(SLOT_BYTES));
        self.slots.iter().for_each(|slot| bytes.extend_from_slice(&slot.encode()));
        host.set_shared(&bucket_key(number), &bytes, self.version)
    }
}

impl Slot {
    pub(super) fn new(key: &Key, place: u64, entry: &Entry, size: u32) -> Self {
        let Entry { stored_ms, expires_ms, consumer_tag, model_tag, .. } = *entry;
        Self { hash: hash(key), place, stored_ms, expires_ms, consumer_tag, model_tag, size }
    }

    /// Whether a lookup would find its entry and give it.
    pub(super) fn is_given(&self, ring: &Ring, clears: &Clears, now_ms: u64, ttl_ms: u64) -> bool {
        let cleared = clears.hides_tagged(self.consumer_tag, self.model_tag, self.stored_ms);
        ring.holds(self.place) && self.is_fresh(now_ms, ttl_ms) && !cleared
    }

    fn is_fresh(&self, now_ms: u64, ttl_ms: u64) -> bool {
        now_ms < self.expires_ms.min(self.stored_ms.saturating_add(ttl_ms))
    }

    fn decode(bytes: &[u8; SLOT_BYTES]) -> Self {
        let (hash, rest) = bytes.split_first_chunk().unwrap_or((&[0; 16], &[]));
        let (longs, tags) = rest.as_chunks::<8>();
        let long = |n: usize| longs.get(n).map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let (shorts, _) = rest.get(24..).unwrap_or(tags).as_chunks::<4>();
        let short = |n: usize| shorts.get(n).map_or(0, |bytes| u32::from_le_bytes(*bytes));
        Self {
            hash: u128::from_le_bytes(*hash),
            place: long(0),
            stored_ms: long(1),
            expires_ms: long(2),
            consumer_tag: short(0),
            model_tag: short(1),
            size: short(2),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let longs = [self.place, self.stored_ms, self.expires_ms].map(u64::to_le_bytes);
        let shorts = [self.consumer_tag, self.model_tag, self.size].map(u32::to_le_bytes);
        [&self.hash.to_le_bytes()[..], longs.as_flattened(), shorts.as_flattened()].concat()
    }
}
