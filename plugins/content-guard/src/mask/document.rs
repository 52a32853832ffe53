//! A JSON document, request or answer, whose texts can be read and replaced; all else stays byte for byte.

use std::collections::HashMap;
use std::ops::Range;

use sluice_core::json::{Edit, Error, Span, splice};
use sluice_core::order;
use sluice_core::texts::{self, Texts};

use super::merged;
use super::slot::{Slot, escaped};

/// A document and what is to be replaced in it.
#[derive(Clone, Debug)]
pub struct Document {
    doc: Vec<u8>,
    readable: bool,
    logprobs: Vec<Span>,
    slots: Vec<Slot>,
    passages: Vec<Passage>,
    edits: Vec<(usize, Range<usize>, String)>,
}

/// One text: a string, or the parts of a message's content one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// What it says, with all escapes undone, those of tools' arguments at both levels.
    pub text: String,
    /// Its parts as ranges of bytes; one, where it is a single string. Words may begin and end with a part, so where
    /// there are several each is to be checked alone as well.
    pub parts: Vec<Range<usize>>,
    /// The string of each part.
    slots: Vec<usize>,
}

impl Document {
    /// Reads a request's body.
    ///
    /// # Errors
    /// It is not one JSON document.
    pub fn request(doc: Vec<u8>) -> Result<Self, Error> {
        let texts = texts::request(&doc)?;
        Ok(Self::new(doc, &texts))
    }

    /// Reads a whole answer.
    ///
    /// # Errors
    /// It is not one JSON document.
    pub fn answer(doc: Vec<u8>) -> Result<Self, Error> {
        let texts = texts::answer(&doc)?;
        Ok(Self::new(doc, &texts))
    }

    fn new(doc: Vec<u8>, texts: &Texts) -> Self {
        let mut passages: Vec<Passage> = Vec::with_capacity(texts.texts.len());
        let mut runs: HashMap<u32, usize> = HashMap::new();
        let mut slots = Vec::with_capacity(texts.texts.len());
        for (index, text) in texts.texts.iter().enumerate() {
            let slot = Slot::new(&doc, *text);
            let at = *runs.entry(text.run).or_insert(passages.len());
            if at == passages.len() {
                passages.push(Passage { text: String::new(), parts: vec![], slots: vec![] });
            }
            if let Some(passage) = passages.get_mut(at) {
                passage.add(index, slot.text());
            }
            slots.push(slot);
        }
        let logprobs = texts.logprobs.clone();
        Self { doc, readable: texts.unknown.is_none(), logprobs, slots, passages, edits: Vec::new() }
    }

    /// Whether everything in it can be told. If not, its strings are among the passages all the same.
    #[must_use]
    pub const fn is_readable(&self) -> bool {
        self.readable
    }

    /// Its texts. Empty ones are among them.
    #[must_use]
    pub fn passages(&self) -> &[Passage] {
        &self.passages
    }

    /// Replaces `range` (bytes of its text, at characters' borders) of the passage with this number by `with`. Of
    /// replacements that overlap the one that begins first takes the place of all.
    pub fn replace(&mut self, passage: usize, range: Range<usize>, with: &str) {
        self.edits.push((passage, range, with.to_owned()));
    }

    /// Whether anything is replaced.
    #[must_use]
    pub const fn is_changed(&self) -> bool {
        !self.edits.is_empty()
    }

    /// The document with everything replaced. Token probabilities are left out if anything is: they repeat the text.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        if self.edits.is_empty() {
            return self.doc;
        }
        order::by_place(&mut self.edits, |(passage, ..)| (*passage, 0));
        let mut spliced: Vec<(Span, String)> =
            self.logprobs.iter().map(|span| (*span, without(&self.doc, *span).to_owned())).collect();
        for edits in self.edits.chunk_by(|(at, ..), (next, ..)| at == next) {
            let Some(passage) = edits.first().and_then(|(at, ..)| self.passages.get(*at)) else { continue };
            for (range, first) in merged(edits.iter().map(|(_, range, _)| range.clone())) {
                let with = edits.get(first).map_or("", |(_, _, with)| with);
                spliced.extend(passage.splices(&self.slots, &range, with));
            }
        }
        order::by_place(&mut spliced, |(span, _)| (span.start, 0));
        let edits: Vec<_> =
            spliced.iter().map(|(span, with)| Edit { span: *span, with: with.as_bytes() }).collect();
        splice(&self.doc, &edits)
    }
}

/// What token probabilities at `span` give way to.
pub(crate) fn without(doc: &[u8], span: Span) -> &'static str {
    if span.of(doc).starts_with(b"[") { "[]" } else { "null" }
}

impl Passage {
    fn add(&mut self, slot: usize, text: &str) {
        let start = self.text.len();
        self.text.push_str(text);
        self.parts.push(start..self.text.len());
        self.slots.push(slot);
    }

    /// What to splice where so that `range` becomes `with`: all of it in the first string that it touches.
    fn splices(&self, slots: &[Slot], range: &Range<usize>, with: &str) -> Vec<(Span, String)> {
        let mut with = Some(with);
        let mut splices = Vec::new();
        let first = self.parts.partition_point(|part| part.end <= range.start);
        let parts = self.parts.iter().zip(&self.slots).skip(first);
        for (part, slot) in parts.take_while(|(part, _)| part.start < range.end) {
            let within = range.start.max(part.start)..range.end.min(part.end);
            let Some(slot) = slots.get(*slot).filter(|_| !within.is_empty()) else {
                continue;
            };
            let within = within.start.saturating_sub(part.start)..within.end.saturating_sub(part.start);
            splices.push((slot.span(&within), escaped(with.take().unwrap_or_default(), slot.form)));
        }
        splices
    }
}
