//! The answer of one attempt: metered as it passes, and freed of usage that the client did not ask for.

use sluice_core::filter::Headers;
use sluice_core::meter::{Meter, Seen, Strip};
use sluice_core::openai::Operation;
use sluice_core::sse::{Piece, Splitter};

/// Largest JSON answer that is read, in bytes: beyond are images and batches of embeddings. A longer one passes
/// all the same, with its usage estimated.
const MAX_JSON_BYTES: usize = 8 * 1024 * 1024;

/// An answer being read.
pub(crate) struct Answer {
    pub(crate) meter: Meter,
    shape: Shape,
}

/// How the answer comes.
enum Shape {
    /// Events, of which the client gets all.
    Events(Splitter),
    /// Events, of which the client gets no usage.
    Stripped(Splitter),
    /// One JSON document, of which this has come.
    Json(Vec<u8>),
    /// A JSON document over [`MAX_JSON_BYTES`].
    TooLarge,
    /// Compressed, so that nobody here can read it.
    Opaque,
}

impl Answer {
    /// Starts to read an answer with these headers. `None` if it is no successful answer of a model.
    pub(crate) fn begin(headers: &Headers, operation: Operation, forced_usage: bool) -> Option<Self> {
        if !headers.text(":status")?.starts_with('2') {
            return None;
        }
        let content_type = headers.text("content-type").unwrap_or_default().to_ascii_lowercase();
        let is_encoded = headers.get("content-encoding").is_some_and(|encoding| encoding != b"identity");
        let shape = match content_type.split(';').next().unwrap_or_default().trim() {
            "text/event-stream" | "application/json" if is_encoded => Shape::Opaque,
            "text/event-stream" if forced_usage => Shape::Stripped(Splitter::default()),
            "text/event-stream" => Shape::Events(Splitter::default()),
            "application/json" => Shape::Json(Vec::new()),
            _ => return None,
        };
        Some(Self { meter: Meter::new(operation), shape })
    }

    /// Whether nothing of the body can be read.
    pub(crate) const fn is_opaque(&self) -> bool {
        matches!(self.shape, Shape::Opaque)
    }

    /// Whether the body is a stream of events.
    pub(crate) const fn is_stream(&self) -> bool {
        matches!(self.shape, Shape::Events(_) | Shape::Stripped(_))
    }

    /// Whether the body becomes shorter on its way.
    pub(crate) const fn is_stripped(&self) -> bool {
        matches!(self.shape, Shape::Stripped(_))
    }

    /// Takes the next part of the body. What the client gets in its place, if that is not the same.
    pub(crate) fn take(&mut self, part: &[u8], end: bool) -> Option<Vec<u8>> {
        let Self { meter, shape } = self;
        match shape {
            Shape::Events(splitter) => {
                feed(splitter, part, end, |piece| {
                    meter.piece(piece);
                });
                None
            }
            Shape::Stripped(splitter) => {
                let mut out = Vec::with_capacity(part.len());
                feed(splitter, part, end, |piece| strip(meter, piece, &mut out));
                (out != part).then_some(out)
            }
            Shape::Json(read) => {
                if !gather(meter, read, part, end) {
                    self.shape = Shape::TooLarge;
                }
                None
            }
            Shape::TooLarge | Shape::Opaque => None,
        }
    }
}

fn feed(splitter: &mut Splitter, part: &[u8], end: bool, mut each: impl FnMut(Piece<'_>)) {
    splitter.feed(part, &mut each);
    if end {
        splitter.finish(each);
    }
}

fn strip(meter: &mut Meter, piece: Piece<'_>, out: &mut Vec<u8>) {
    let Piece::Event(raw) = piece else {
        meter.piece(piece);
        out.extend_from_slice(piece.bytes());
        return;
    };
    match meter.event_without_usage(raw).1 {
        Strip::Keep => out.extend_from_slice(raw),
        Strip::Drop => {}
        Strip::Replace(with) => out.extend(with),
    }
}

/// False when the document is too large.
fn gather(meter: &mut Meter, read: &mut Vec<u8>, part: &[u8], end: bool) -> bool {
    if read.len().saturating_add(part.len()) > MAX_JSON_BYTES {
        return false;
    }
    match (end, read.is_empty()) {
        (true, true) => drop::<Seen>(meter.body(part)),
        (end, _) => {
            read.extend_from_slice(part);
            if end {
                meter.body(read);
            }
        }
    }
    true
}
