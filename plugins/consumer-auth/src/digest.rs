//! The SHA-256 of a key: all that the plugin keeps of one.

use std::fmt;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// SHA-256 of a key. Prints as its id.
#[derive(Clone, Copy)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Hashes `key`.
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// Reads 64 hex digits of either case.
    #[must_use]
    pub fn from_hex(hex: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        let mut digits = hex.bytes().map(|digit| char::from(digit).to_digit(16));
        for byte in &mut bytes {
            let (high, low) = (digits.next()??, digits.next()??);
            *byte = u8::try_from(high.checked_mul(16)?.checked_add(low)?).ok()?;
        }
        digits.next().is_none().then_some(Self(bytes))
    }

    /// All 64 hex digits, in lower case: for a configuration, not for a log.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex(&self.0)
    }

    /// Names the key in logs without telling it: its first 8 hex digits.
    #[must_use]
    pub fn id(&self) -> String {
        hex(self.0.get(..4).unwrap_or_default())
    }

    /// Picks a slot of a hash table. Any part of a digest will do: nobody can choose one.
    pub(crate) fn slot_hash(&self) -> u64 {
        self.0.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(bytes.len().saturating_mul(2));
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    hex.extend(digits.filter_map(|digit| char::from_digit(digit.into(), 16)));
    hex
}

/// In constant time: how many bytes of a guess are right is nobody's business.
impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Digest {}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    #[test]
    fn hex_reads_as_the_digest_it_writes() {
        let digest = Digest::of(b"hello");
        for hex in [HELLO.to_owned(), HELLO.to_uppercase()] {
            assert_eq!(Digest::from_hex(&hex), Some(digest));
        }
        assert_eq!(digest.to_hex(), HELLO);
        assert_eq!((digest.id().as_str(), format!("{digest:?}").as_str()), ("2cf24dba", "2cf24dba…"));
    }

    #[test]
    fn what_is_not_64_hex_digits_is_no_digest() {
        for hex in ["", "2cf2", &HELLO[1..], &format!("{HELLO}0"), &HELLO.replace('2', "g"), &"é".repeat(32)]
        {
            assert_eq!(Digest::from_hex(hex), None, "{hex}");
        }
    }
}
