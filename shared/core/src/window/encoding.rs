//! A ledger as bytes: both lists as their length, then pairs of the time since the one before and the amount, all in
//! LEB128 (<https://en.wikipedia.org/wiki/LEB128>), seven bits to a byte.

use super::MAX_AMOUNT;
use super::amounts::Amounts;

/// Groups of seven bits in 64 bits.
const MAX_BYTES: u32 = 10;

/// Writes `value`.
pub(super) fn put(out: &mut Vec<u8>, value: u64) {
    let mut rest = value;
    while rest > 0x7f {
        out.push(u8::try_from(rest & 0x7f).unwrap_or_default() | 0x80);
        rest >>= 7;
    }
    out.push(u8::try_from(rest).unwrap_or_default());
}

/// Reads a number off the front of `bytes`; `None` if none stands there.
pub(super) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for group in 0..MAX_BYTES {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(first & 0x7f);
        let shift = group.saturating_mul(7);
        // The tenth group has room for one bit.
        value |= bits.checked_shl(shift).filter(|shifted| shifted >> shift == bits)?;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Writes `amounts`.
pub(super) fn put_amounts(out: &mut Vec<u8>, amounts: &Amounts) {
    put(out, u64::try_from(amounts.len()).unwrap_or_default());
    let mut before = 0;
    for (at, amount) in amounts.iter() {
        put(out, at.saturating_sub(before));
        put(out, amount);
        before = at;
    }
}

/// Reads amounts off the front of `bytes`; `None` unless times ascend and amounts are in range.
pub(super) fn take_amounts(bytes: &mut &[u8]) -> Option<Amounts> {
    let count = take(bytes)?;
    // A pair takes two bytes or more, so what is no ledger takes no more memory than it has bytes.
    let mut pairs = Vec::with_capacity(usize::try_from(count).ok()?.min(bytes.len() / 2));
    let mut before = None;
    for _ in 0..count {
        let since = take(bytes)?;
        let at = before.unwrap_or(0_u64).checked_add(since)?;
        let amount = take(bytes).filter(|amount| (1..=MAX_AMOUNT).contains(amount))?;
        if before == Some(at) {
            return None;
        }
        pairs.push((at, amount));
        before = Some(at);
    }
    Some(Amounts::ascending(pairs))
}
