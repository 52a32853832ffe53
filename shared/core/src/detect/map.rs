//! Text made from another, with the way back.

use std::ops::Range;

/// Folded text, and where each part of it stood in the text it was made of.
#[derive(Clone, Debug, Default)]
pub struct Folded {
    text: String,
    seams: Vec<Seam>,
    whole: usize,
}

/// Fewer bytes than this are pushed one by one: in wasm each `memory.copy` is a call out.
const SHORT: usize = 16;

/// Bytes for which there is one seam, about.
const WORD: usize = 4;

/// Folded text from `folded` on, up to the next seam, was made of `start..end`. If both are equally long, byte stands
/// for byte; otherwise it is one piece.
#[derive(Clone, Copy, Debug)]
struct Seam {
    folded: usize,
    start: usize,
    end: usize,
}

impl Folded {
    /// The folded text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
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

/// Folded text while it is made.
#[derive(Debug, Default)]
pub struct Draft {
    bytes: Vec<u8>,
    seams: Vec<Seam>,
    whole: usize,
}

impl Draft {
    /// Nothing yet, of a text of `len` bytes.
    #[must_use]
    pub fn of(len: usize) -> Self {
        Self { bytes: Vec::with_capacity(len), seams: Vec::with_capacity(len / WORD), whole: len }
    }

    /// Bytes so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is nothing so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The last byte so far.
    #[must_use]
    pub fn last(&self) -> Option<u8> {
        self.bytes.last().copied()
    }

    /// Appends the bytes that `rest` begins with and that are wanted; `rest` stands at `start` of the original.
    /// Tells how many. What is wanted must be whole characters.
    pub fn keep_while(&mut self, rest: &str, start: usize, mut wanted: impl FnMut(u8) -> bool) -> usize {
        let len = rest.bytes().take_while(|byte| wanted(*byte)).count();
        self.take(rest.as_bytes().get(..len).unwrap_or_default(), start);
        len
    }

    /// Appends `piece`, which stands at `start` of the original and is taken over byte by byte.
    pub fn keep(&mut self, piece: &str, start: usize) {
        self.take(piece.as_bytes(), start);
    }

    fn take(&mut self, piece: &[u8], start: usize) {
        let folded = self.bytes.len();
        if piece.len() < SHORT {
            piece.iter().for_each(|byte| self.bytes.push(*byte));
        } else {
            self.bytes.extend_from_slice(piece);
        }
        if !piece.is_empty() {
            self.sew(folded, start..start.saturating_add(piece.len()));
        }
    }

    /// Appends `piece` in place of `original`.
    pub fn replace(&mut self, piece: &str, original: Range<usize>) {
        let folded = self.bytes.len();
        piece.bytes().for_each(|byte| self.bytes.push(byte));
        self.sew(folded, original);
    }

    /// Puts ASCII letters in lower case.
    pub fn make_ascii_lowercase(&mut self) {
        self.bytes.make_ascii_lowercase();
    }

    /// Notes that what follows `at` in the original cannot be folded before more of it is known.
    pub(super) fn cut(&mut self, at: usize) {
        self.whole = self.whole.min(at);
    }

    /// The text.
    #[must_use]
    pub fn finish(self) -> Folded {
        let text = String::from_utf8(self.bytes).unwrap_or_default();
        Folded { text, seams: self.seams, whole: self.whole }
    }

    /// Notes that the bytes from `folded` on were made of `original`.
    fn sew(&mut self, folded: usize, original: Range<usize>) {
        let even = original.len() == self.bytes.len().saturating_sub(folded);
        match self.seams.last_mut() {
            Some(last) if even && last.end == original.start && last.even(folded) => last.end = original.end,
            _ => self.seams.push(Seam { folded, start: original.start, end: original.end }),
        }
    }
}

impl Seam {
    /// Whether byte stands for byte, given where its folded text ends.
    fn even(&self, folded_end: usize) -> bool {
        self.end.saturating_sub(self.start) == folded_end.saturating_sub(self.folded)
    }
}
