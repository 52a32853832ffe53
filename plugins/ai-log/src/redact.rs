//! Finds personal data and secrets in a text, and how much of a text that was cut off can be shown.

use std::ops::Range;

use sluice_core::detect::{Detector, fold};
use sluice_core::order;
use sluice_core::texts::Form;

/// What must not be shown, in order and without overlap: bytes of the text, and what they are. `parts` are the strings
/// that the text is made of: where there are several, a finding may show in the whole or only in one of them.
pub(crate) fn findings(text: &str, parts: &[Range<usize>], form: Form) -> Vec<(Range<usize>, Detector)> {
    let mut found = Vec::new();
    within(text, 0..text.len(), form, &mut found);
    if parts.len() > 1 {
        parts.iter().for_each(|part| within(text, part.clone(), form, &mut found));
    }
    order::by_place(&mut found, |(range, _)| (range.start, !range.end));
    let mut merged: Vec<(Range<usize>, Detector)> = Vec::new();
    for (range, detector) in found {
        match merged.last_mut() {
            Some((before, _)) if range.start < before.end => before.end = before.end.max(range.end),
            _ => merged.push((range, detector)),
        }
    }
    merged
}

/// Adds what is found in one part of the text.
fn within(text: &str, part: Range<usize>, form: Form, found: &mut Vec<(Range<usize>, Detector)>) {
    let folded = fold(text.get(part.clone()).unwrap_or_default(), form);
    Detector::find_all(&Detector::ALL, folded.text(), 0, |detector, range| {
        let range = folded.original(range);
        let (start, end) = (range.start.saturating_add(part.start), range.end.saturating_add(part.start));
        found.push((text.floor_char_boundary(start)..text.ceil_char_boundary(end), detector));
    });
}

/// How much of a text can be shown whose end is not known: no finding begins before it that the rest could complete.
pub(crate) fn settled(text: &str, form: Form) -> usize {
    let folded = fold(text, form);
    let open = Detector::ALL.into_iter().map(|detector| detector.open(folded.text(), 0)).min();
    let open = open.filter(|open| *open < folded.text().len());
    let settled = open.map_or(text.len(), |open| folded.original(open..open).start);
    text.floor_char_boundary(settled.min(folded.whole()))
}

/// What stands in the record in place of a finding: `[EMAIL]`.
pub(crate) fn placeholder(detector: Detector) -> String {
    format!("[{}]", detector.name().to_ascii_uppercase())
}
