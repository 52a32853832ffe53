//! Events that are like the last one but for their text: of most streams, nearly all.
//!
//! What such an event means is known without reading it. Where a provider puts something else that is new into each event
//! (a number, padding), they are read one by one.

use memchr::memchr2;

use crate::json::{Span, string_end};

/// Largest event that others are compared with, in bytes without its text.
const MAX_BYTES: usize = 4096;

/// An event with content: all of it but its one text, which is not empty.
#[derive(Clone, Debug)]
pub(super) struct Alike {
    /// With the quote that opens the text; empty: there is no such event.
    before: Vec<u8>,
    /// From behind the quote that closes it.
    after: Vec<u8>,
    /// What is not for every client.
    extra: Option<Extra>,
}

/// Where a part stands that has the text before or behind it.
#[derive(Clone, Copy, Debug)]
enum Extra {
    Before(Span),
    /// Counted from the event's end.
    Behind(Span),
}

impl Alike {
    pub(super) const NONE: Self = Self { before: Vec::new(), after: Vec::new(), extra: None };

    /// Takes down the event `raw`. Its `text` stands there, quotes included, and so does what is not for every client.
    pub(super) fn keep(&mut self, raw: &[u8], text: Span, extra: Option<Span>) {
        self.before.clear();
        let Span { start, end } = text;
        let (Some(before), Some(after)) = (raw.get(..=start), raw.get(end..)) else { return };
        if before.len().saturating_add(after.len()) > MAX_BYTES {
            return;
        }
        self.extra = extra.map(|extra| match extra {
            extra if extra.end <= start => Extra::Before(extra),
            extra => Extra::Behind(mirrored(extra, raw)),
        });
        self.before.extend_from_slice(before);
        after.clone_into(&mut self.after);
    }

    /// The text of `raw`, if it is like the event that was taken down.
    pub(super) fn text<'a>(&self, raw: &'a [u8]) -> Option<&'a [u8]> {
        if self.before.is_empty() {
            return None;
        }
        let rest = raw.strip_prefix(&*self.before)?;
        let (text, after) = rest.split_at_checked(string_end(rest)?)?;
        let text = text.strip_suffix(b"\"")?;
        // A line's end within it would make it another event.
        let is_alike = after == self.after && !text.is_empty() && memchr2(b'\n', b'\r', text).is_none();
        is_alike.then_some(text)
    }

    /// Where in `raw`, which is like the event that was taken down, that stands which is not for every client.
    pub(super) fn extra(&self, raw: &[u8]) -> Option<Span> {
        Some(match self.extra? {
            Extra::Before(extra) => extra,
            Extra::Behind(extra) => mirrored(extra, raw),
        })
    }
}

/// A place counted from the other end of `bytes`.
fn mirrored(place: Span, bytes: &[u8]) -> Span {
    let from_end = |at| bytes.len().saturating_sub(at);
    Span { start: from_end(place.end), end: from_end(place.start) }
}
