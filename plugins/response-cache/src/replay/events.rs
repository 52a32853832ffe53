//! Events of a recorded stream, and events of a stream that is written.

use std::borrow::Cow;

use sluice_core::sse::{self, Piece, Splitter};

/// The raw events of a whole stream; one after the other they are `body`. `None` if one is too large to be read.
pub(super) fn split(body: &[u8]) -> Option<Vec<&[u8]>> {
    let mut lengths = Vec::new();
    let mut note = |piece: Piece<'_>| match piece {
        Piece::Event(raw) => lengths.push(Some(raw.len())),
        Piece::Oversized { .. } => lengths.push(None),
    };
    let mut splitter = Splitter::default();
    splitter.feed(body, &mut note);
    splitter.finish(note);
    let mut rest = body;
    let mut cut = |length: Option<usize>| {
        let (event, after) = rest.split_at_checked(length?)?;
        rest = after;
        Some(event)
    };
    lengths.into_iter().map(&mut cut).collect()
}

/// One event that clients see: name and data.
pub(super) type Event<'a> = (&'a [u8], Cow<'a, [u8]>);

/// The events of a whole stream that hold data. `None` if one is too large to be read.
pub(super) fn read(body: &[u8]) -> Option<Vec<Event<'_>>> {
    let parse = |raw| {
        let event = sse::parse(raw);
        Some((event.name, event.data.filter(|data| !data.trim_ascii().is_empty())?))
    };
    Some(split(body)?.into_iter().filter_map(parse).collect())
}

/// Whether this is the data of the event that ends OpenAI's older streams.
pub(super) fn is_done(data: &[u8]) -> bool {
    data.trim_ascii() == b"[DONE]"
}
