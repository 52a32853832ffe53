//! Telephone numbers, in forms that hardly anything else has.
//!
//! | form | example |
//! | --- | --- |
//! | E.164, with or without separators | `+44 20 7946 0958`, `+14155552671` |
//! | mainland China, mobile | `13812345678`, `138 1234 5678`, `86-13812345678` |
//! | mainland China, fixed line with area code | `010-12345678`, `(0755) 12345678` |
//! | North America, with separators | `(415) 555-2671`, `415-555-2671`, `1.415.555.2671` |
//!
//! Bare runs of ten digits, and national forms of other countries, are no numbers to it: too much else looks so.
//! Sources: <https://www.itu.int/rec/T-REC-E.164> (at most 15 digits), <https://en.wikipedia.org/wiki/Telephone_numbers_in_China>,
//! <https://www.nanpa.com/numbering/area-codes> (area code and exchange begin with 2 to 9).

use super::bytes::{after, before, run_after};
use super::digits::{Group, groups, is_clear_after, is_clear_before, of, shaped};

const MAX_DIGITS: usize = 15;
const MIN_DIGITS: usize = 8;

/// Where the telephone number that begins at `at` ends.
pub(super) fn at(text: &[u8], at: usize) -> Option<usize> {
    let first = run_after(text, at, 12, |byte| byte.is_ascii_digit());
    if !matches!(first, 0..=4 | 11) || !is_clear_before(text, at) || is_price(text, at) {
        return None;
    }
    let end = match after(text, at) {
        Some(b'+') => international(text, at.saturating_add(1)),
        Some(b'(') => bracketed(text, at),
        _ => chinese(text, at).or_else(|| american(text, at)),
    };
    end.filter(|end| is_clear_after(text, *end))
}

/// Whether a currency sign stands before `at`: `$`, `£`, `¥` or `€` (their last bytes in UTF-8).
fn is_price(text: &[u8], at: usize) -> bool {
    matches!(
        (before(text, at, 2), before(text, at, 1)),
        (_, Some(b'$')) | (Some(0xc2), Some(0xa3 | 0xa5)) | (Some(0x82), Some(0xac))
    )
}

/// What follows a `+`.
fn international(text: &[u8], at: usize) -> Option<usize> {
    if matches!(before(text, at, 2), Some(b'+')) || matches!(after(text, at), Some(b'0')) {
        return None;
    }
    let mut ends = [None; MAX_DIGITS + 1];
    let (mut start, mut count, mut last) = (at, 0_usize, None);
    loop {
        let len = run_after(text, start, MAX_DIGITS + 1, |byte| byte.is_ascii_digit());
        // Only a country code, and an area code right behind it, may be a single digit.
        if len == 0 || (len == 1 && count > 3) {
            break;
        }
        count = count.saturating_add(len);
        let Some(slot) = ends.get_mut(count) else { break };
        let end = start.saturating_add(len);
        *slot = Some(end);
        last = Some((count, end));
        let Some(next) = skip(text, end) else { break };
        start = next;
    }
    let digits = of(text, at, last?.1);
    let exact = match digits.as_slice() {
        [1, ..] => Some(11),
        [8, 6, 1, 3..=9, ..] => Some(13),
        _ => None,
    };
    match exact {
        Some(count) => ends.get(count).copied().flatten(),
        None => last.filter(|(count, _)| *count >= MIN_DIGITS).map(|(_, end)| end),
    }
}

/// Where the next group begins behind at most two separators: a blank, dot, hyphen, or a bracket of an area code.
fn skip(text: &[u8], end: usize) -> Option<usize> {
    let len = run_after(text, end, 3, |byte| matches!(byte, b' ' | b'.' | b'-' | b'(' | b')'));
    let next = end.saturating_add(len);
    let more = after(text, next).is_some_and(|byte| byte.is_ascii_digit());
    ((1..=2).contains(&len) && more).then_some(next)
}

/// `(415) 555-2671`, `(0755) 12345678`.
fn bracketed(text: &[u8], at: usize) -> Option<usize> {
    let start = at.saturating_add(1);
    let area = groups(text, start, |_| false).first().copied()?;
    if after(text, area.end) != Some(b')') {
        return None;
    }
    let rest = match after(text, area.end.saturating_add(1)) {
        Some(b' ' | b'-' | b'.') => area.end.saturating_add(2),
        _ => area.end.saturating_add(1),
    };
    let number = groups(text, rest, is_separator);
    let first = number.first()?;
    if is_area_of_china(text, start, area) && matches!(first.len, 7 | 8) {
        return Some(first.end);
    }
    let american = area.len == 3 && is_2_to_9(text, start) && is_2_to_9(text, rest);
    shaped(&number, &[3, 4]).filter(|_| american)
}

fn chinese(text: &[u8], at: usize) -> Option<usize> {
    let groups = groups(text, at, is_separator);
    let first = groups.first()?;
    if is_area_of_china(text, at, *first) {
        let rest = groups.get(1).filter(|rest| rest.separator == b'-' && matches!(rest.len, 7 | 8));
        return rest.map(|rest| rest.end);
    }
    let coded = first.len == 2 && text.get(at..).is_some_and(|rest| rest.starts_with(b"86"));
    let start = if coded { first.end.saturating_add(1) } else { at };
    let groups = if coded { groups.get(1..)? } else { &*groups };
    mobile(text, start, groups)
}

fn mobile(text: &[u8], at: usize, groups: &[Group]) -> Option<usize> {
    if after(text, at) != Some(b'1') || !matches!(after(text, at.saturating_add(1)), Some(b'3'..=b'9')) {
        return None;
    }
    let alone = groups.first().filter(|group| group.len == 11).map(|group| group.end);
    alone.or_else(|| shaped(groups, &[3, 4, 4]))
}

/// Whether the group at `at` is an area code of mainland China: `010`, `02x`, or `0` and three digits from 3 on.
fn is_area_of_china(text: &[u8], at: usize, group: Group) -> bool {
    let second = after(text, at.saturating_add(1));
    let fits = match group.len {
        3 => matches!(second, Some(b'1' | b'2')),
        4 => matches!(second, Some(b'3'..=b'9')),
        _ => false,
    };
    after(text, at) == Some(b'0') && fits
}

fn american(text: &[u8], at: usize) -> Option<usize> {
    let groups = groups(text, at, is_separator);
    let first = groups.first()?;
    let coded = first.len == 1 && after(text, at) == Some(b'1');
    let start = if coded { first.end.saturating_add(1) } else { at };
    let groups = if coded { groups.get(1..)? } else { &*groups };
    let [area, exchange, number, ..] = groups else { return None };
    let lens = (area.len, exchange.len, number.len) == (3, 3, 4);
    // Blanks alone also stand between numbers that are none of a telephone.
    let joined = number.separator != b' ' || exchange.separator != b' ';
    let plausible = is_2_to_9(text, start) && is_2_to_9(text, area.end.saturating_add(1));
    (lens && joined && plausible).then_some(number.end)
}

fn is_2_to_9(text: &[u8], at: usize) -> bool {
    matches!(after(text, at), Some(b'2'..=b'9'))
}

fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b'-' | b'.')
}
