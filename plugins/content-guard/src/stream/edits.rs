//! What is to be replaced in one channel, in places that count from the channel's start.

use std::ops::Range;

/// One replacement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) range: Range<usize>,
    pub(super) with: String,
    /// Of a channel of JSON: `with` is a piece of it, not text in one of its strings.
    pub(super) is_json: bool,
    /// A placeholder becomes its value again: that is for the client only.
    pub(super) restores: bool,
}

impl Edit {
    pub(super) const fn new(range: Range<usize>, with: String) -> Self {
        Self { range, with, is_json: false, restores: false }
    }
}

/// Replacements, in order; they do not overlap.
#[derive(Clone, Debug, Default)]
pub(super) struct Edits(Vec<Edit>);

impl Edits {
    /// Whatever the new replacement overlaps gives way to it, to the last byte.
    pub(super) fn put(&mut self, mut edit: Edit) {
        if edit.range.is_empty() {
            return;
        }
        let (first, after) = self.touched(&edit.range);
        for Edit { range: other, .. } in self.0.drain(first..after) {
            edit.range = edit.range.start.min(other.start)..edit.range.end.max(other.end);
        }
        self.0.insert(first, edit);
    }

    pub(super) fn is_free(&self, range: &Range<usize>) -> bool {
        let (first, after) = self.touched(range);
        first == after
    }

    /// The first replacement that overlaps `range`, and the one after the last.
    fn touched(&self, range: &Range<usize>) -> (usize, usize) {
        let first = self.0.partition_point(|edit| edit.range.end <= range.start);
        (first, self.0.partition_point(|edit| edit.range.start < range.end).max(first))
    }

    /// What to replace in `range`, in places that count from its start. What began before it has been replaced
    /// there; only its rest goes.
    pub(super) fn within(&self, range: &Range<usize>) -> impl Iterator<Item = Edit> {
        let first = self.0.partition_point(|edit| edit.range.end <= range.start);
        let inside = self.0.iter().skip(first).take_while(|edit| edit.range.start < range.end);
        inside.map(|edit| {
            let start = edit.range.start.max(range.start).saturating_sub(range.start);
            let end = edit.range.end.min(range.end).saturating_sub(range.start);
            let begins = edit.range.start >= range.start;
            Edit {
                range: start..end,
                with: if begins { edit.with.clone() } else { String::new() },
                ..edit.clone()
            }
        })
    }
}
