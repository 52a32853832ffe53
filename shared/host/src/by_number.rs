//! Maps by the numbers that the host, or we ourselves, give out.

use std::hash::{BuildHasherDefault, Hasher};

use hashbrown::HashMap;
use sluice_core::filter::StreamId;

/// A map by contexts and callouts.
pub(crate) type ByNumber<T> = HashMap<u32, T, BuildHasherDefault<Number>>;

/// A map by streams.
pub(crate) type ByStream<T> = HashMap<StreamId, T, BuildHasherDefault<Number>>;

/// Spreads a number over all bits; nobody outside chooses it.
#[derive(Default)]
pub(crate) struct Number(u64);

impl Hasher for Number {
    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        // Fibonacci hashing: 2^64 divided by the golden ratio.
        self.0 = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
