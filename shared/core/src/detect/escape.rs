//! One escape of a JSON string.
//!
//! Source: <https://www.rfc-editor.org/rfc/rfc8259#section-7>

/// What a backslash begins.
pub(super) enum First {
    /// An escape of `len` bytes that stands for `char`.
    Char { char: char, len: usize },
    /// What could be an escape, were the text longer.
    Cut,
    /// No escape.
    None,
}

/// Reads the escape that `bytes` begin with.
pub(super) fn first(bytes: &[u8]) -> First {
    let char = match bytes.get(1) {
        None => return First::Cut,
        Some(b'u') => return unit(bytes),
        Some(b'n' | b'r' | b't' | b'b' | b'f') => ' ',
        Some(&byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
        Some(_) => return First::None,
    };
    First::Char { char, len: 2 }
}

fn unit(bytes: &[u8]) -> First {
    let high = match hex(bytes, 2) {
        Ok(high) => high,
        Err(end) => return end,
    };
    if !(0xd800..0xdc00).contains(&high) {
        return char::from_u32(high).map_or(First::None, |char| First::Char { char, len: 6 });
    }
    match (bytes.get(6), bytes.get(7)) {
        (None, _) | (Some(b'\\'), None) => return First::Cut,
        (Some(b'\\'), Some(b'u')) => {}
        _ => return First::None,
    }
    match hex(bytes, 8) {
        Ok(low) if (0xdc00..0xe000).contains(&low) => pair(high, low),
        Ok(_) => First::None,
        Err(end) => end,
    }
}

fn pair(high: u32, low: u32) -> First {
    let code = (high & 0x3ff).checked_shl(10).unwrap_or(0) | (low & 0x3ff);
    char::from_u32(code.saturating_add(0x1_0000)).map_or(First::None, |char| First::Char { char, len: 12 })
}

/// Four hexadecimal digits from `at` on.
fn hex(bytes: &[u8], at: usize) -> Result<u32, First> {
    let mut value = 0_u32;
    for index in at..at.saturating_add(4) {
        let Some(&byte) = bytes.get(index) else { return Err(First::Cut) };
        let digit = char::from(byte).to_digit(16).ok_or(First::None)?;
        value = value.checked_shl(4).unwrap_or(0) | digit;
    }
    Ok(value)
}
