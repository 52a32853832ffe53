//! Puts placeholders in the place of what must not leave, and the values back where an answer repeats them.

mod document;
mod slot;
mod vault;

use std::ops::Range;

use sluice_core::order;

pub(crate) use document::without;
pub use document::{Document, Passage};
pub(crate) use slot::{Slot, escaped};
pub use vault::Vault;

/// Findings with those that overlap made one, in order: the range, and which finding it began with. So nothing of a
/// finding is left over beside a placeholder.
#[must_use]
pub fn merged(findings: impl IntoIterator<Item = Range<usize>>) -> Vec<(Range<usize>, usize)> {
    let mut sorted: Vec<_> = findings.into_iter().enumerate().map(|(index, range)| (range, index)).collect();
    sorted.retain(|(range, _)| !range.is_empty());
    order::by_place(&mut sorted, |(range, _)| (range.start, !range.end));
    let mut merged: Vec<(Range<usize>, usize)> = Vec::new();
    for (range, index) in sorted {
        match merged.last_mut() {
            Some((before, _)) if range.start < before.end => before.end = before.end.max(range.end),
            _ => merged.push((range, index)),
        }
    }
    merged
}

#[cfg(test)]
mod tests;
