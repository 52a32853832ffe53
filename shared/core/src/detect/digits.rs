//! What numbers of people have in common: where they may stand, and how their digits are grouped.

use std::ops::Range;

use super::bytes::{after, before, is_word, run_after, run_before};

/// The longest number that a detector takes, with separators and what must follow it, in bytes.
const LONGEST: usize = 48;
/// More groups than any number has.
const MAX_GROUPS: usize = 8;

/// Tells where the number ends, if one does, that begins at its second argument.
pub(super) type Shape = fn(&[u8], usize) -> Option<usize>;

/// Tries every shape wherever a number may begin; `found` is given the index of the shape and the number.
pub(super) fn find<const N: usize>(
    text: &[u8],
    from: usize,
    shapes: [Option<Shape>; N],
    mut found: impl FnMut(usize, Range<usize>),
) {
    let mut free = [from; N];
    let mut at = from;
    while let Some(skip) = next(text.get(at..).unwrap_or_default()) {
        at = at.saturating_add(skip);
        for (index, (shape, free)) in shapes.iter().zip(&mut free).enumerate() {
            let shape = shape.filter(|_| at >= *free);
            if let Some(end) = shape.and_then(|shape| shape(text, at)) {
                *free = end;
                found(index, at..end);
            }
        }
        // A run of digits has one beginning.
        at = at.saturating_add(run_after(text, at, usize::MAX, |byte| byte.is_ascii_digit()).max(1));
    }
}

/// Where the text that could become part of a number begins.
pub(super) fn open(text: &[u8]) -> usize {
    let run = run_before(text, text.len(), LONGEST, is_part);
    let start = text.len().saturating_sub(run);
    let skip = text.get(start..).unwrap_or_default().iter().position(|byte| begins(*byte)).unwrap_or(run);
    start.saturating_add(skip)
}

/// Whether a number may begin at `at`: not in a word, a decimal fraction, or a longer row such as a UUID.
pub(super) fn is_clear_before(text: &[u8], at: usize) -> bool {
    match before(text, at, 1) {
        None => true,
        Some(byte) if is_word(byte) => false,
        Some(b'.') => !before(text, at, 2).is_some_and(|byte| byte.is_ascii_digit()),
        Some(b'-') => {
            let end = at.saturating_sub(1);
            let len = run_before(text, end, 12, |byte| byte.is_ascii_alphanumeric());
            let word = text.get(end.saturating_sub(len)..end).unwrap_or_default();
            word.is_empty()
                || !(word.iter().any(u8::is_ascii_digit) || word.iter().all(u8::is_ascii_hexdigit))
        }
        Some(_) => true,
    }
}

/// Whether a number may end at `end`.
pub(super) fn is_clear_after(text: &[u8], end: usize) -> bool {
    let next = after(text, end.saturating_add(1));
    match after(text, end) {
        None => true,
        Some(byte) if is_word(byte) => false,
        Some(b'.') => !next.is_some_and(|byte| byte.is_ascii_digit()),
        Some(b'-') => !next.is_some_and(|byte| byte.is_ascii_alphanumeric()),
        Some(_) => true,
    }
}

/// Digits in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// How many digits.
    pub(super) len: usize,
    /// Where the last one ends.
    pub(super) end: usize,
    /// What stands before it: 0 for the first group.
    pub(super) separator: u8,
}

/// Groups of digits in a row, no more than any number has.
pub(super) struct Groups {
    list: [Group; MAX_GROUPS],
    len: usize,
}

impl std::ops::Deref for Groups {
    type Target = [Group];

    fn deref(&self) -> &[Group] {
        self.list.get(..self.len).unwrap_or_default()
    }
}

/// The groups of digits from `at` on, each one separator (as `is_separator` says) from the last.
pub(super) fn groups(text: &[u8], at: usize, is_separator: fn(u8) -> bool) -> Groups {
    let mut groups = Groups { list: [Group { len: 0, end: 0, separator: 0 }; MAX_GROUPS], len: 0 };
    let (mut start, mut separator) = (at, 0);
    while let Some(slot) = groups.list.get_mut(groups.len) {
        let len = run_after(text, start, LONGEST, |byte| byte.is_ascii_digit());
        if len == 0 {
            break;
        }
        let end = start.saturating_add(len);
        *slot = Group { len, end, separator };
        groups.len = groups.len.saturating_add(1);
        match after(text, end) {
            Some(byte) if is_separator(byte) => separator = byte,
            _ => break,
        }
        start = end.saturating_add(1);
    }
    groups
}

/// Where the groups end if their first ones have exactly these lengths, all with the same separator, and the row
/// does not go on.
pub(super) fn shaped(groups: &[Group], lens: &[usize]) -> Option<usize> {
    let head = groups.get(..lens.len())?;
    let fits = head.iter().zip(lens).all(|(group, len)| group.len == *len);
    let separator = head.get(1).map_or(0, |group| group.separator);
    let alike = head.iter().skip(1).all(|group| group.separator == separator);
    let goes_on = lens.len() > 1
        && groups.get(lens.len()).is_some_and(|next| next.separator == separator && next.len == 4);
    head.last().filter(|_| fits && alike && !goes_on).map(|group| group.end)
}

/// The digits of `text` between `start` and `end`, separators left out.
pub(super) fn of(text: &[u8], start: usize, end: usize) -> Vec<u8> {
    let part = text.get(start..end).unwrap_or_default();
    part.iter().filter(|byte| byte.is_ascii_digit()).map(|byte| byte.wrapping_sub(b'0')).collect()
}

/// Where the first byte stands that a number may begin with. Most text has none for long: it is skipped by blocks,
/// which compiles to SIMD.
fn next(text: &[u8]) -> Option<usize> {
    const BLOCK: usize = 32;
    let empty =
        |block: &&[u8]| block.len() == BLOCK && !block.iter().fold(false, |any, byte| any | begins(*byte));
    let skip = text.chunks(BLOCK).take_while(empty).count().saturating_mul(BLOCK);
    let rest = text.get(skip..).unwrap_or_default();
    Some(skip.saturating_add(rest.iter().position(|byte| begins(*byte))?))
}

fn begins(byte: u8) -> bool {
    byte.is_ascii_digit() | (byte == b'+') | (byte == b'(')
}

fn is_part(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b' ' | b'-' | b'.' | b'(' | b')' | b'+' | b'x' | b'X')
}
