//! The ring: how many units there are, and which is the next to be overwritten.

use sluice_core::filter::Host;

use super::{KEY_BYTES, KEY_OVERHEAD_BYTES, UNIT_BYTES, UNITS_PER_BUCKET, index};

/// Key of the ring's own value.
const RING: &str = "rc.ring";

/// Bytes of it: four numbers and [`Ring::seal`].
const RING_BYTES: usize = 5 * 8;

/// Makes a seal that other values do not bear by chance.
const SEAL: u64 = u64::from_le_bytes(*b"rc.ring1");

/// Units of surplus that are emptied with each write.
const SURPLUS_PER_WRITE: u64 = 64;

/// Envoy's allocator rounds sizes up by at most this part (tcmalloc's size classes,
/// <https://google.github.io/tcmalloc/design.html>).
const ROUNDING: u64 = 8;

/// Most units, so that numbers stay within 32 bits.
const MAX_UNITS: u64 = 1 << 31;

/// Where the next entry goes. Places count up for ever; a place's unit is its remainder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ring {
    /// The next place.
    pub(super) head: u64,
    /// Units there are.
    pub(super) units: u64,
    /// The first place since there are so many; what is older cannot be found any more.
    base: u64,
    /// Units beyond those there are, up to which some may not be empty yet.
    surplus: u64,
}

/// How many units there are in so many bytes, with all that each of them costs.
pub(super) fn units(bytes: u64) -> u64 {
    const KEY: u64 = KEY_BYTES + KEY_OVERHEAD_BYTES;
    const UNIT: u64 = UNIT_BYTES + UNIT_BYTES / ROUNDING + KEY;
    const BUCKET: u64 = index::BUCKET_BYTES + index::BUCKET_BYTES / ROUNDING + KEY;
    (bytes / (UNIT * UNITS_PER_BUCKET + BUCKET)).saturating_mul(UNITS_PER_BUCKET).min(MAX_UNITS)
}

/// Key of a unit.
pub(super) fn unit_key(unit: u64) -> String {
    format!("rc.u{unit}")
}

impl Ring {
    pub(super) const fn new(units: u64) -> Self {
        Self { head: 0, units, base: 0, surplus: units }
    }

    /// Reads it, with the version to write it; none if there is none or it cannot be one.
    pub(super) fn read(host: &dyn Host) -> (Option<Self>, u32) {
        let shared = host.shared(RING);
        (Self::decode(&shared.value), shared.version)
    }

    pub(super) fn write(&self, host: &mut dyn Host, version: u32) -> bool {
        let numbers = [self.head, self.units, self.base, self.surplus, self.seal()].map(u64::to_le_bytes);
        host.set_shared(RING, numbers.as_flattened(), version).is_ok()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; RING_BYTES] = bytes.try_into().ok()?;
        let (numbers, _) = bytes.as_chunks();
        let numbers: Vec<u64> = numbers.iter().map(|number| u64::from_le_bytes(*number)).collect();
        let &[head, units, base, surplus, seal] = numbers.as_slice() else { return None };
        Some(Self { head, units, base, surplus }).filter(|ring| ring.seal() == seal)
    }

    /// Tells a ring from whatever else may stand in its place: units by the billion would be searched for nothing.
    fn seal(&self) -> u64 {
        let numbers = [self.head, self.units, self.base, self.surplus];
        numbers.iter().fold(SEAL, |seal, number| seal.rotate_left(17) ^ number.wrapping_mul(SEAL))
    }

    /// As it is with `units`; if that is another number, everything kept is forgotten, and overwritten unit by unit.
    pub(super) fn resized(self, units: u64) -> Self {
        if units == self.units {
            return self;
        }
        // The first unit comes first, as in a new ring.
        let head = self.head.checked_next_multiple_of(units.max(1)).unwrap_or(0);
        Self { head, units, base: head, surplus: self.surplus.max(units).max(self.units) }
    }

    /// As it is when the next `units` are taken.
    pub(super) fn taken(self, units: u64) -> Self {
        let surplus = self.surplus.saturating_sub(SURPLUS_PER_WRITE).max(self.units);
        Self { head: self.head.saturating_add(units), surplus, ..self }
    }

    /// Keys that `taken` no longer counts as surplus: of units, and of the buckets that go with them.
    pub(super) fn surplus_given_up(&self, taken: &Self) -> impl Iterator<Item = String> + use<> {
        let units = taken.surplus..self.surplus;
        let first = taken.surplus.div_ceil(UNITS_PER_BUCKET).max(taken.buckets());
        let buckets = first..self.surplus.div_ceil(UNITS_PER_BUCKET);
        units.map(unit_key).chain(buckets.map(index::bucket_key))
    }

    /// Unit of a place.
    pub(super) fn unit(&self, place: u64) -> u64 {
        place.checked_rem(self.units).unwrap_or(0)
    }

    /// Buckets of the index.
    pub(super) const fn buckets(&self) -> u64 {
        self.units.div_ceil(UNITS_PER_BUCKET)
    }

    /// Whether what was written at `place` may be there still.
    pub(super) const fn holds(&self, place: u64) -> bool {
        self.base <= place && place < self.head && self.head.saturating_sub(place) <= self.units
    }

    /// Whether `place` was given out after this was read.
    pub(super) fn is_ahead(&self, place: u64) -> bool {
        place.checked_sub(self.head).is_some_and(|ahead| ahead < self.units)
    }

    /// Whether what stands at `place` is among the next to be overwritten.
    pub(super) const fn is_oldest_quarter(&self, place: u64) -> bool {
        self.head.saturating_sub(place) > self.units.saturating_sub(self.units / 4)
    }
}
