//! The wire form of a header map: a count, the sizes, then names and values, each closed by a NUL.

/// Reads a map; `None` if the bytes do not hold what they announce. A name that is not UTF-8 is left out.
pub(crate) fn decode(bytes: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let number = |at: usize| -> Option<usize> {
        let raw: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(raw)).ok()
    };
    let count = number(0)?;
    let mut sizes = 4_usize;
    let mut data = count.checked_mul(8)?.checked_add(4)?;
    let mut pairs = Vec::with_capacity(count.min(bytes.len()));
    for _ in 0..count {
        let name_end = data.checked_add(number(sizes)?)?;
        let value_start = name_end.checked_add(1)?;
        let value_end = value_start.checked_add(number(sizes.checked_add(4)?)?)?;
        let value = bytes.get(value_start..value_end)?;
        if let Ok(name) = std::str::from_utf8(bytes.get(data..name_end)?) {
            pairs.push((name.to_owned(), value.to_vec()));
        }
        sizes = sizes.checked_add(8)?;
        data = value_end.checked_add(1)?;
    }
    Some(pairs)
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
        let decoded = decode(&encode(&pairs)).unwrap();
        let decoded: Vec<_> = decoded
            .iter()
            .map(|(name, value)| (name.as_str(), std::str::from_utf8(value).unwrap()))
            .collect();
        assert_eq!(decoded, pairs);
    }

    #[test]
    fn truncated_bytes_are_no_map() {
        let bytes = encode(&[("a", "b"), ("c", "d")]);
        for end in 0..bytes.len() - 1 {
            assert_eq!(decode(&bytes[..end]), None, "{end}");
        }
        assert_eq!(decode(&[255; 16]), None);
    }

    #[test]
    fn a_value_need_not_be_utf8() {
        let mut bytes = encode(&[("a", "b")]);
        let at = bytes.len() - 2;
        bytes[at] = 0xff;
        assert_eq!(decode(&bytes), Some(vec![("a".to_owned(), vec![0xff])]));
    }
}
