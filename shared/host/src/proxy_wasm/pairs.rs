//! The wire form of a header map: a count, the sizes, then names and values, each closed by a NUL.

use std::ops::Range;

use sluice_core::filter::Headers;

/// Where the names and values of a map lie; `None` if the bytes do not hold what they announce.
fn places(bytes: &[u8]) -> Option<Vec<(Range<usize>, Range<usize>)>> {
    let number = |at: usize| -> Option<usize> {
        let raw: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(raw)).ok()
    };
    let count = number(0)?;
    let mut sizes = 4_usize;
    let mut data = count.checked_mul(8)?.checked_add(4)?;
    let mut places = Vec::with_capacity(count.min(bytes.len()));
    for _ in 0..count {
        let name = data..data.checked_add(number(sizes)?)?;
        let start = name.end.checked_add(1)?;
        let value = start..start.checked_add(number(sizes.checked_add(4)?)?)?;
        sizes = sizes.checked_add(8)?;
        data = value.end.checked_add(1)?;
        places.push((name, value));
    }
    (data <= bytes.len()).then_some(places)
}

/// Reads a map; one that does not hold what it announces is empty. A name that is not UTF-8 is left out.
pub(crate) fn decode(bytes: Vec<u8>) -> Headers {
    let places = places(&bytes).unwrap_or_default();
    Headers::lying_in(bytes, places.into_iter())
}

/// Writes a map.
pub(crate) fn encode(pairs: &[(&str, &str)]) -> Vec<u8> {
    let size = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = size(pairs.len()).to_vec();
    for (name, value) in pairs {
        bytes.extend(size(name.len()));
        bytes.extend(size(value.len()));
    }
    for (name, value) in pairs {
        for part in [name, value] {
            bytes.extend(part.as_bytes());
            bytes.push(0);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_survives_the_wire() {
        let pairs = [(":path", "/v1/chat"), ("x-empty", ""), ("x-utf8", "grüße")];
        let decoded = decode(encode(&pairs));
        let decoded: Vec<_> =
            decoded.iter().map(|(name, value)| (name, std::str::from_utf8(value).unwrap())).collect();
        assert_eq!(decoded, pairs);
    }

    #[test]
    fn truncated_bytes_are_no_map() {
        let bytes = encode(&[("a", "b"), ("c", "d")]);
        for end in 0..bytes.len() - 1 {
            assert_eq!(decode(bytes[..end].to_vec()).iter().count(), 0, "{end}");
        }
        assert_eq!(decode(vec![255; 16]).iter().count(), 0);
    }

    #[test]
    fn a_value_need_not_be_utf8() {
        let mut bytes = encode(&[("a", "b")]);
        let at = bytes.len() - 2;
        bytes[at] = 0xff;
        assert_eq!(decode(bytes).get("a"), Some(&[0xff][..]));
    }
}
