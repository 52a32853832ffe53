//! Chinese resident identity numbers.
//!
//! Source: GB 11643-1999: six digits of a region (GB/T 2260), eight of the date of birth, three of a sequence, and a
//! check character by ISO 7064 MOD 11-2.

use super::bytes::{after, run_after};
use super::digits::{Group, groups, is_clear_after, is_clear_before, of};

/// Of the first seventeen digits.
const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
/// Check characters by the remainder of the weighted sum.
const CHECKS: [u8; 11] = *b"10X98765432";

/// Where the number that begins at `at` ends: in one piece, or as region, date and rest with the same separator.
pub(super) fn at(text: &[u8], at: usize) -> Option<usize> {
    let first = run_after(text, at, 20, |byte| byte.is_ascii_digit());
    if !matches!(first, 6 | 17 | 18) || !is_clear_before(text, at) {
        return None;
    }
    let groups = groups(text, at, |byte| matches!(byte, b' ' | b'-'));
    let end = end(text, &groups)?;
    let digits = of(text, at, end);
    let check = after(text, end.saturating_sub(1))?.to_ascii_uppercase();
    let plausible = has_region(&digits) && has_date(digits.get(6..14)?);
    (is_clear_after(text, end) && plausible && checked(&digits) == Some(check)).then_some(end)
}

fn end(text: &[u8], groups: &[Group]) -> Option<usize> {
    let last = match groups {
        [one, ..] if one.len >= 17 => one,
        [region, date, rest, ..] if (region.len, date.len, date.separator) == (6, 8, rest.separator) => rest,
        _ => return None,
    };
    let digits = if groups.first() == Some(last) { 17 } else { 3 };
    let written_x = matches!(after(text, last.end), Some(b'x' | b'X'));
    match last.len.checked_sub(digits)? {
        0 if written_x => Some(last.end.saturating_add(1)),
        1 => Some(last.end),
        _ => None,
    }
}

/// Whether the first two digits name a province.
fn has_region(digits: &[u8]) -> bool {
    let [first, second, ..] = digits else { return false };
    matches!(
        (first, second),
        (1, 1..=5) | (2, 1..=3) | (3, 1..=7) | (4, 1..=6) | (5, 0..=4) | (6, 1..=5) | (7, 1) | (8, 1..=3)
    )
}

fn has_date(digits: &[u8]) -> bool {
    let number = |digits: &[u8]| {
        digits.iter().fold(0_u32, |sum, digit| sum.saturating_mul(10).saturating_add(u32::from(*digit)))
    };
    let (Some(year), Some(month), Some(day)) = (digits.get(..4), digits.get(4..6), digits.get(6..8)) else {
        return false;
    };
    let (year, month, day) = (number(year), number(month), number(day));
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    (1850..2100).contains(&year) && (1..=days).contains(&day)
}

fn checked(digits: &[u8]) -> Option<u8> {
    let sum = digits
        .iter()
        .zip(WEIGHTS)
        .fold(0_u32, |sum, (digit, weight)| sum.saturating_add(u32::from(*digit).saturating_mul(weight)));
    CHECKS.get(usize::try_from(sum % 11).ok()?).copied()
}
