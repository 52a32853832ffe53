//! Text made from another, with the way back.

use std::ops::Range;

/// Folded text, and where each part of it stood in the text it was made of.
#[derive(Clone, Debug, Default)]
pub struct Folded {
    text: String,
    seams: Vec<Seam>,
    whole: usize,
}

/// Folded text from `folded` on, up to the next seam, was made of `start..end`. If both are equally long, byte stands
/// for byte; otherwise it is one piece.
#[derive(Clone, Copy, Debug)]
struct Seam {
    folded: usize,
    start: usize,
    end: usize,
}

impl Folded {
    /// Nothing yet; room for `capacity` bytes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { text: String::with_capacity(capacity), seams: Vec::new(), whole: usize::MAX }
    }

    /// The folded text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Appends `piece`, which stands at `start` of the original and is taken over byte by byte.
    pub fn keep(&mut self, piece: &str, start: usize) {
        self.replace(piece, start..start.saturating_add(piece.len()));
    }

    /// Appends `piece` in place of `original`.
    pub fn replace(&mut self, piece: &str, original: Range<usize>) {
        let folded = self.text.len();
        self.text.push_str(piece);
        let even = original.len() == piece.len();
        match self.seams.last_mut() {
            Some(last) if even && last.end == original.start && last.even(folded) => last.end = original.end,
            _ => self.seams.push(Seam { folded, start: original.start, end: original.end }),
        }
    }

    /// Puts ASCII letters in lower case.
    pub fn make_ascii_lowercase(&mut self) {
        self.text.make_ascii_lowercase();
    }

    /// Bytes of the original that `range` of the folded text stands for; without what was left out at its ends.
    #[must_use]
    pub fn original(&self, range: Range<usize>) -> Range<usize> {
        let start = self.start(range.start);
        if range.is_empty() {
            return start..start;
        }
        start..self.end(range.end).max(start)
    }

    /// Where the folded text goes on that was made of `original` or what follows it.
    #[must_use]
    pub fn at(&self, original: usize) -> usize {
        let after = self.seams.partition_point(|seam| seam.end <= original);
        let Some(seam) = self.seams.get(after) else { return self.text.len() };
        if original <= seam.start {
            return seam.folded;
        }
        let end = self.seams.get(after.saturating_add(1)).map_or(self.text.len(), |next| next.folded);
        if !seam.even(end) {
            return end;
        }
        seam.folded.saturating_add(original.saturating_sub(seam.start))
    }

    /// How far the original is folded for good: an escape that its end cuts off starts there.
    #[must_use]
    pub fn whole(&self) -> usize {
        self.whole
    }

    pub(super) fn cut(&mut self, at: usize) {
        self.whole = self.whole.min(at);
    }

    fn start(&self, folded: usize) -> usize {
        let Some(index) = self.index(folded) else { return 0 };
        self.seams.get(index).map_or(0, |seam| match self.inside(index, seam, folded) {
            Some(at) => at,
            None => seam.start,
        })
    }

    fn end(&self, folded: usize) -> usize {
        let Some(index) = self.index(folded.saturating_sub(1)) else { return 0 };
        self.seams.get(index).map_or(0, |seam| self.inside(index, seam, folded).unwrap_or(seam.end))
    }

    fn index(&self, folded: usize) -> Option<usize> {
        self.seams.partition_point(|seam| seam.folded <= folded).checked_sub(1)
    }

    fn inside(&self, index: usize, seam: &Seam, folded: usize) -> Option<usize> {
        let end = self.seams.get(index.saturating_add(1)).map_or(self.text.len(), |next| next.folded);
        seam.even(end).then(|| seam.start.saturating_add(folded.saturating_sub(seam.folded)))
    }
}

impl Seam {
    /// Whether byte stands for byte, given where its folded text ends.
    fn even(&self, folded_end: usize) -> bool {
        self.end.saturating_sub(self.start) == folded_end.saturating_sub(self.folded)
    }
}
