//! Gathers the texts of a prompt or an answer, and makes of them what goes into the record.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Range;

use sluice_core::texts::Form;

use crate::config::{Limit, MAX_BYTES};
use crate::redact::{findings, placeholder, settled};

/// Bytes of a text that are looked at behind what can be recorded, so that what the cut falls into is recognised: more
/// than any detector needs, the longest private key among them.
const MARGIN: usize = 64 * 1024;

/// Bytes that are kept of all texts of one side together, names included. Two texts that come in turns fit.
const MAX_KEPT: usize = 2 * (MAX_BYTES + MARGIN);

/// Texts that are told apart; a request with hundreds of tools has some thousands.
const MAX_PASSAGES: usize = 8192;

/// What the record says of a prompt or an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Excerpt {
    /// Redacted, cut to length.
    pub(crate) text: String,
    /// Characters of the whole before redaction, if some of it is missing.
    pub(crate) chars: Option<u64>,
}

/// One text: a string, the parts of a message's content, or the deltas of one channel.
#[derive(Debug)]
struct Passage {
    text: String,
    parts: Vec<Range<usize>>,
    form: Form,
    /// More came than was kept.
    is_cut: bool,
}

/// The texts of one side, by what tells them apart. Bounded, however much comes.
#[derive(Debug)]
pub(crate) struct Gathered<K> {
    limit: Limit,
    /// Whether each piece is a string of its own, in which words begin and end; not so for deltas.
    by_strings: bool,
    passages: Vec<Passage>,
    by_key: HashMap<K, usize>,
    kept: usize,
    /// Characters of all texts, and of the line breaks between them.
    chars: u64,
    /// Some of them belong to no passage.
    is_cut: bool,
}

impl<K: Eq + Hash> Gathered<K> {
    pub(crate) fn new(limit: Limit, by_strings: bool) -> Self {
        let (passages, by_key) = (Vec::new(), HashMap::new());
        Self { limit, by_strings, passages, by_key, kept: 0, chars: 0, is_cut: false }
    }

    /// Adds to the text of this key, which takes `size` bytes itself.
    pub(crate) fn push(&mut self, key: K, size: usize, piece: &str, form: Form) {
        if piece.is_empty() {
            return;
        }
        let chars = u64::try_from(piece.chars().count()).unwrap_or(u64::MAX);
        self.chars = self.chars.saturating_add(chars);
        let most = self.limit.bytes.saturating_add(MARGIN);
        let index = self.index(key, size, form);
        let room = MAX_KEPT.saturating_sub(self.kept);
        match index.and_then(|index| self.passages.get_mut(index)) {
            Some(passage) => {
                let room = room.min(most.saturating_sub(passage.text.len()));
                let kept = passage.push(piece, room, self.by_strings);
                self.kept = self.kept.saturating_add(kept);
            }
            None => self.is_cut = true,
        }
    }

    /// The passage of this key; a new one if there is room.
    fn index(&mut self, key: K, size: usize, form: Form) -> Option<usize> {
        let next = self.passages.len();
        if let Some(index) = self.by_key.get(&key) {
            self.chars = self.chars.saturating_add(u64::from(self.by_strings));
            return Some(*index);
        }
        if next >= MAX_PASSAGES || self.kept >= MAX_KEPT {
            return None;
        }
        self.chars = self.chars.saturating_add(u64::from(next > 0));
        self.kept = self.kept.saturating_add(size);
        self.by_key.insert(key, next);
        self.passages.push(Passage { text: String::new(), parts: Vec::new(), form, is_cut: false });
        Some(next)
    }

    /// What goes into the record; nothing if there is no text. `ended`: no more could have come.
    pub(crate) fn excerpt(mut self, ended: bool) -> Option<Excerpt> {
        if self.chars == 0 {
            return None;
        }
        let mut page = Page { text: String::new(), left: self.limit, is_cut: self.is_cut };
        for (index, passage) in self.passages.iter_mut().enumerate() {
            passage.is_cut |= !ended;
            if (index > 0 && !page.push("\n")) || !page.passage(passage) {
                break;
            }
        }
        Some(Excerpt { text: page.text, chars: page.is_cut.then_some(self.chars) })
    }
}

impl Passage {
    /// Adds at most `room` bytes of `piece`; tells how many.
    fn push(&mut self, piece: &str, room: usize, is_part: bool) -> usize {
        let start = self.text.len();
        if !self.is_cut {
            let kept = piece.get(..piece.floor_char_boundary(room)).unwrap_or_default();
            self.text.push_str(kept);
            self.is_cut = kept.len() < piece.len();
        }
        let end = self.text.len();
        if end > start && is_part {
            self.parts.push(start..end);
        }
        end.saturating_sub(start)
    }
}

/// A text of the record in the making.
struct Page {
    text: String,
    left: Limit,
    is_cut: bool,
}

impl Page {
    /// Adds the passage without what must not be shown. False if the page is full.
    fn passage(&mut self, passage: &Passage) -> bool {
        let Passage { text, parts, form, is_cut } = passage;
        let settled = if *is_cut { settled(text, *form) } else { text.len() };
        let mut done = 0_usize;
        for (range, detector) in findings(text, parts, *form) {
            if range.start >= settled {
                break;
            }
            if !self.plain(passage, done..range.start) || !self.push_whole(&placeholder(detector)) {
                return false;
            }
            done = range.end;
        }
        self.is_cut |= *is_cut;
        self.plain(passage, done..settled)
    }

    /// Adds a stretch of the passage in which nothing is found, with a line break between strings.
    fn plain(&mut self, passage: &Passage, stretch: Range<usize>) -> bool {
        let mut done = stretch.start;
        let first = passage.parts.partition_point(|part| part.start < stretch.start.max(1));
        let starts = passage.parts.iter().skip(first).map(|part| part.start);
        for start in starts.take_while(|start| *start <= stretch.end) {
            if !self.push(passage.text.get(done..start).unwrap_or_default()) || !self.push("\n") {
                return false;
            }
            done = start;
        }
        self.push(passage.text.get(done..stretch.end).unwrap_or_default())
    }

    /// Adds as much of `piece` as fits. False if that is not all.
    fn push(&mut self, piece: &str) -> bool {
        let by_chars = piece.char_indices().nth(self.left.chars).map_or(piece.len(), |(at, _)| at);
        let fits = piece.get(..piece.floor_char_boundary(by_chars.min(self.left.bytes))).unwrap_or_default();
        self.text.push_str(fits);
        self.left.chars = self.left.chars.saturating_sub(fits.chars().count());
        self.left.bytes = self.left.bytes.saturating_sub(fits.len());
        self.is_cut |= fits.len() < piece.len();
        fits.len() == piece.len()
    }

    /// Adds a placeholder (ASCII), or nothing of it.
    fn push_whole(&mut self, placeholder: &str) -> bool {
        let fits = placeholder.len() <= self.left.bytes.min(self.left.chars);
        self.is_cut |= !fits;
        fits && self.push(placeholder)
    }
}

#[cfg(test)]
mod tests;
