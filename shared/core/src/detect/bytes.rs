//! Looking around in bytes.

/// How many bytes right before `at` satisfy `wanted`, counting no further than `most`.
pub(super) fn run_before(text: &[u8], at: usize, most: usize, wanted: fn(u8) -> bool) -> usize {
    let before = text.get(..at).unwrap_or_default();
    before.iter().rev().take(most).take_while(|byte| wanted(**byte)).count()
}

/// How many bytes from `at` on satisfy `wanted`, counting no further than `most`.
pub(super) fn run_after(text: &[u8], at: usize, most: usize, wanted: fn(u8) -> bool) -> usize {
    let after = text.get(at..).unwrap_or_default();
    after.iter().take(most).take_while(|byte| wanted(**byte)).count()
}

/// The byte `back` before `at`; 1 is the one right before it.
pub(super) fn before(text: &[u8], at: usize, back: usize) -> Option<u8> {
    text.get(at.checked_sub(back)?).copied()
}

/// The byte at `at`.
pub(super) fn after(text: &[u8], at: usize) -> Option<u8> {
    text.get(at).copied()
}

/// Letters, digits and `_`: what a word of a program is made of.
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Letters, digits, `_` and `-`: what keys and tokens are made of.
pub(super) fn is_token(byte: u8) -> bool {
    is_word(byte) || byte == b'-'
}

/// Where each `needle` begins in `text`, from `from` on.
pub(super) fn each<'a>(text: &'a [u8], from: usize, needle: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    memchr::memmem::find_iter(text.get(from..).unwrap_or_default(), needle)
        .map(move |at| at.saturating_add(from))
}
