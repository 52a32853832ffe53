//! Cuts a stream of chunks of any size into raw events.

use memchr::memchr2;

/// Largest event that is kept whole, in bytes. The largest known to be sent carry a base64 image of some 2 MB
/// (`response.image_generation_call.partial_image`); a stream may hold this much memory for each of its readers.
pub const MAX_EVENT_BYTES: usize = 4 * 1024 * 1024;

/// A run of bytes of the stream. All pieces, one after the other, are the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// One event, its blank line included; [`super::parse`] reads it.
    Event(&'a [u8]),
    /// A part of an event over the limit, to be passed on unread.
    Oversized {
        /// The part; may be empty.
        bytes: &'a [u8],
        /// Whether the event begins here.
        first: bool,
    },
}

impl<'a> Piece<'a> {
    /// Its bytes as they came.
    #[must_use]
    pub const fn bytes(self) -> &'a [u8] {
        match self {
            Self::Event(bytes) | Self::Oversized { bytes, .. } => bytes,
        }
    }
}

/// Where in a line the last byte seen stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// After a line's end, or before anything.
    #[default]
    LineStart,
    /// Within a line.
    Inside,
    /// After the CR of a line; an LF would belong to it.
    AfterCr,
    /// After the CR of a blank line; an LF would belong to it, and the event is over either way.
    AfterLastCr,
}

/// Cuts chunks into events. An event that lies whole in one chunk is not copied.
///
/// An event whose blank line ends in CR is handed out only with the byte after it, for an LF there is its own.
#[derive(Debug)]
pub struct Splitter {
    /// The open event, as far as earlier chunks hold it. Never over `limit`.
    carry: Vec<u8>,
    place: Place,
    /// The open event is over `limit`; its first parts are gone.
    oversized: bool,
    limit: usize,
}

impl Default for Splitter {
    fn default() -> Self {
        Self::with_limit(MAX_EVENT_BYTES)
    }
}

impl Splitter {
    /// Keeps events of up to `limit` bytes whole.
    #[must_use]
    pub const fn with_limit(limit: usize) -> Self {
        Self { carry: Vec::new(), place: Place::LineStart, oversized: false, limit }
    }

    /// Takes the next chunk and hands out every piece that it completes.
    pub fn feed(&mut self, chunk: &[u8], mut each: impl FnMut(Piece<'_>)) {
        let mut rest = chunk;
        while let Some((event, after)) = self.scan(rest).and_then(|end| rest.split_at_checked(end)) {
            self.close(event, &mut each);
            rest = after;
        }
        if !rest.is_empty() {
            self.keep(rest, &mut each);
        }
    }

    /// The stream is over: hands out what is left, an event without its blank line. Ready for another stream.
    pub fn finish(&mut self, mut each: impl FnMut(Piece<'_>)) {
        if !self.carry.is_empty() {
            each(Piece::Event(&self.carry));
        }
        *self = Self::with_limit(self.limit);
    }

    /// Bytes held back for the open event.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.carry.len()
    }

    /// Finds the end of the open event. `None` if `bytes` do not hold it; they are then scanned for good.
    fn scan(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at: usize = 0;
        loop {
            let rest = bytes.get(at..)?;
            let next = at.saturating_add(1);
            (self.place, at) = match (self.place, rest.first()?) {
                (Place::AfterLastCr | Place::LineStart, b'\n') => return self.event_end(next),
                (Place::AfterLastCr, _) => return self.event_end(at),
                (Place::LineStart, b'\r') => (Place::AfterLastCr, next),
                (Place::AfterCr, b'\n') => (Place::LineStart, next),
                (Place::AfterCr, _) => (Place::LineStart, at),
                (Place::LineStart | Place::Inside, _) => {
                    self.place = Place::Inside;
                    let length = memchr2(b'\n', b'\r', rest)?;
                    let is_lf = rest.get(length) == Some(&b'\n');
                    let place = if is_lf { Place::LineStart } else { Place::AfterCr };
                    (place, next.saturating_add(length))
                }
            };
        }
    }

    fn event_end(&mut self, at: usize) -> Option<usize> {
        self.place = Place::LineStart;
        Some(at)
    }

    /// The open event ends with `tail`.
    fn close(&mut self, tail: &[u8], each: &mut impl FnMut(Piece<'_>)) {
        let fits = self.carry.len().saturating_add(tail.len()) <= self.limit;
        if self.oversized || !fits {
            self.pass_on(tail, each);
            self.oversized = false;
        } else if self.carry.is_empty() {
            each(Piece::Event(tail));
        } else {
            self.carry.extend_from_slice(tail);
            each(Piece::Event(&self.carry));
            self.carry.clear();
        }
    }

    /// The open event goes on after `part`.
    fn keep(&mut self, part: &[u8], each: &mut impl FnMut(Piece<'_>)) {
        let fits = self.carry.len().saturating_add(part.len()) <= self.limit;
        if self.oversized || !fits {
            self.pass_on(part, each);
        } else {
            self.carry.extend_from_slice(part);
        }
    }

    fn pass_on(&mut self, part: &[u8], each: &mut impl FnMut(Piece<'_>)) {
        if !self.carry.is_empty() {
            each(Piece::Oversized { bytes: &self.carry, first: true });
            self.carry = Vec::new(); // its memory is given back: an event of this size is rare
            self.oversized = true;
        }
        each(Piece::Oversized { bytes: part, first: !self.oversized });
        self.oversized = true;
    }
}
