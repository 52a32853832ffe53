//! Events of a recorded stream, and events of a stream that is written.

use std::borrow::Cow;

use sluice_core::sse::{self, Piece, Splitter};

/// Calls `event` with each raw event of a whole stream; one after the other they are `body`. `None` if one is too
/// large to be read.
pub(super) fn each<'a>(body: &'a [u8], mut event: impl FnMut(&'a [u8])) -> Option<()> {
    let mut rest = body;
    let mut all = Some(());
    let mut cut = |piece: Piece<'_>| match (piece, rest.split_at_checked(piece.bytes().len())) {
        (Piece::Event(_), Some((raw, after))) => {
            rest = after;
            event(raw);
        }
        _ => all = None,
    };
    let mut splitter = Splitter::default();
    splitter.feed(body, &mut cut);
    splitter.finish(cut);
    all
}

/// One event that clients see: name and data.
pub(super) type Event<'a> = (&'a [u8], Cow<'a, [u8]>);

/// The events of a whole stream that hold data. `None` if one is too large to be read.
pub(super) fn read(body: &[u8]) -> Option<Vec<Event<'_>>> {
    let mut events = Vec::new();
    each(body, |raw| {
        let event = sse::parse(raw);
        if let Some(data) = event.data.filter(|data| !data.trim_ascii().is_empty()) {
            events.push((event.name, data));
        }
    })?;
    Some(events)
}

/// Whether this is the data of the event that ends OpenAI's older streams.
pub(super) fn is_done(data: &[u8]) -> bool {
    data.trim_ascii() == b"[DONE]"
}

/// How much larger than its document a stream may become: a choice of few bytes makes two chunks, an output item
/// some seven events. What goes beyond is no answer, but an id of some kilobytes in each of a thousand events.
const MAX_GROWTH: usize = 32;

/// A stream that is written.
#[derive(Debug)]
pub(super) struct Stream {
    out: Vec<u8>,
    room: usize,
}

impl Stream {
    /// The stream of a document of `size` bytes.
    pub(super) fn of(size: usize) -> Self {
        let room = size.saturating_mul(MAX_GROWTH).saturating_add(64 * 1024);
        Self { out: Vec::with_capacity(size.saturating_mul(2)), room }
    }

    /// Whether nothing is written yet.
    pub(super) const fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Writes an event. `None` if the stream becomes too large.
    pub(super) fn add(&mut self, name: &[u8], data: &[u8]) -> Option<()> {
        self.room = self.room.checked_sub(data.len())?;
        self.out.extend(sse::encode(name, data));
        Some(())
    }

    /// All of it.
    pub(super) fn end(self) -> Vec<u8> {
        self.out
    }
}
