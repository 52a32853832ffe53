//! Payment card numbers.
//!
//! Sources: ISO/IEC 7812-1 (check digit of Luhn), <https://en.wikipedia.org/wiki/Payment_card_number#Issuer_identification_number_(IIN)>
//! (issuers and their lengths).

use super::bytes::run_after;
use super::digits::{groups, is_clear_after, is_clear_before, of, shaped};

/// First digits from, to (as many as written), lengths from, to.
const ISSUERS: [(u32, u32, usize, usize); 19] = [
    (4, 4, 13, 13),       // Visa
    (4, 4, 16, 16),       // Visa
    (4, 4, 19, 19),       // Visa
    (51, 55, 16, 16),     // Mastercard
    (2221, 2720, 16, 16), // Mastercard
    (34, 34, 15, 15),     // American Express
    (37, 37, 15, 15),     // American Express
    (6011, 6011, 16, 19), // Discover
    (644, 649, 16, 19),   // Discover
    (65, 65, 16, 19),     // Discover
    (300, 305, 14, 14),   // Diners Club
    (36, 36, 14, 14),     // Diners Club
    (38, 39, 14, 14),     // Diners Club
    (3528, 3589, 16, 19), // JCB
    (62, 62, 16, 19),     // UnionPay
    (2200, 2204, 16, 19), // Mir
    (5018, 5038, 16, 19), // Maestro
    (6304, 6304, 16, 19), // Maestro
    (6759, 6763, 16, 19), // Maestro
];

/// How cards are printed.
const SHAPES: [&[usize]; 5] = [&[4, 4, 4, 4, 3], &[4, 4, 4, 4], &[4, 6, 5], &[4, 6, 4], &[6, 13]];

/// Where the card number that begins at `at` ends.
pub(super) fn at(text: &[u8], at: usize) -> Option<usize> {
    let first = run_after(text, at, 20, |byte| byte.is_ascii_digit());
    if !matches!(first, 4 | 6 | 13..=19) || !is_clear_before(text, at) {
        return None;
    }
    let groups = groups(text, at, |byte| matches!(byte, b' ' | b'-'));
    let alone = groups.first().filter(|group| group.len >= 13).map(|group| group.end);
    let end = alone.or_else(|| SHAPES.iter().find_map(|lens| shaped(&groups, lens)))?;
    let digits = of(text, at, end);
    (is_clear_after(text, end) && has_issuer(&digits) && is_checked(&digits)).then_some(end)
}

fn has_issuer(digits: &[u8]) -> bool {
    ISSUERS.iter().any(|(from, to, least, most)| {
        let taken = from.checked_ilog10().map_or(1, |log| log.saturating_add(1));
        let first = digits.iter().take(usize::try_from(taken).unwrap_or(4));
        let number = first.fold(0_u32, |sum, digit| sum.saturating_mul(10).saturating_add(u32::from(*digit)));
        (*from..=*to).contains(&number) && (*least..=*most).contains(&digits.len())
    })
}

/// Luhn: every second digit from the right counts twice, and the sum of all their digits ends in 0.
fn is_checked(digits: &[u8]) -> bool {
    let sum = digits.iter().rev().enumerate().fold(0_u32, |sum, (index, digit)| {
        let weighted = if index % 2 == 1 { digit.saturating_mul(2) } else { *digit };
        sum.saturating_add(u32::from(if weighted > 9 { weighted.saturating_sub(9) } else { weighted }))
    });
    sum % 10 == 0
}
