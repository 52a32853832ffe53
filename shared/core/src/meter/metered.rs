//! Meters one answer as it passes, and frees it of usage that the client did not ask for.

use super::large::Large;
use super::report::Report;
use super::{Meter, StreamEnd, Strip};
use crate::content::Shape;
use crate::context;
use crate::filter::{Headers, Host};
use crate::openai::Operation;
use crate::sse::{Piece, Splitter};

/// Largest JSON answer that is kept to be read, in bytes: beyond are images and batches of embeddings. Of a longer one
/// only the end is.
const MAX_JSON_BYTES: usize = 8 * 1024 * 1024;

/// What is known of an answer before it comes.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// What was asked for.
    pub operation: Operation,
    /// Usage in its stream was not asked for by the client: it gets a stream without.
    pub strip: bool,
    /// Milliseconds since the epoch from which the time to the first token counts, if
    /// [`context::STARTED`] does not say.
    pub began_ms: u64,
    /// Tokens of the input, where the provider does not say; 0: not known.
    pub input_estimate: u64,
}

/// An answer being metered. What becomes known of it is published as the facts that the meter writes.
#[derive(Debug)]
pub struct Metered {
    meter: Meter,
    body: Body,
    report: Report,
}

/// How the answer comes.
#[derive(Debug)]
enum Body {
    Stream {
        splitter: Splitter,
        /// The client gets no usage.
        strip: bool,
    },
    /// One JSON document, of which this has come.
    Json(Vec<u8>),
    /// A JSON document over [`MAX_JSON_BYTES`].
    Large(Large),
    /// An encoded answer.
    Unread,
}

impl Metered {
    /// Claims the answer with these `headers` for the filter `name`. `None` if it is no successful answer of a
    /// model, or if a filter nearer to the provider meters it.
    pub fn claim(host: &mut dyn Host, name: &str, headers: &Headers, expected: Expected) -> Option<Self> {
        if !headers.text(":status")?.starts_with('2') {
            return None;
        }
        let body = match Shape::of(headers) {
            Shape::Stream => Body::Stream { splitter: Splitter::default(), strip: expected.strip },
            Shape::Json => Body::Json(Vec::new()),
            Shape::Unread => Body::Unread,
            Shape::Other => return None,
        };
        if context::METER.read(host, |meter| meter != name) == Some(true) {
            return None;
        }
        context::METER.set(host, name);
        let streams = matches!(body, Body::Stream { .. });
        let report = Report::begin(host, expected.began_ms, expected.input_estimate, streams);
        let mut metered = Self { meter: Meter::new(expected.operation), body, report };
        if metered.is_unread() {
            metered.settle(host); // there will be no more to tell
        }
        Some(metered)
    }

    /// Whether nothing of the body can be read.
    #[must_use]
    pub const fn is_unread(&self) -> bool {
        matches!(self.body, Body::Unread)
    }

    /// Whether the body becomes shorter on its way.
    #[must_use]
    pub const fn is_stripped(&self) -> bool {
        matches!(self.body, Body::Stream { strip: true, .. })
    }

    /// Takes the next part of the body. What the client gets in its place, if that is not the same.
    pub fn pass(&mut self, host: &mut dyn Host, part: &[u8], end: bool) -> Option<Vec<u8>> {
        let instead = self.read(part, end);
        if let (true, Body::Json(document)) = (end, &self.body) {
            let whole = if document.is_empty() { part } else { document };
            context::ANSWER.set(host, self.meter.body(whole).name());
        }
        let is_over = end || self.meter.error().is_some() || self.meter.is_terminated();
        self.report.update(host, &self.meter, is_over.then(|| self.end()), end);
        instead
    }

    /// Publishes usage as it stands: the answer is over, or was broken off.
    pub fn settle(&mut self, host: &mut dyn Host) {
        self.report.settle(host, &self.meter);
    }

    fn read(&mut self, part: &[u8], end: bool) -> Option<Vec<u8>> {
        let Self { meter, body, .. } = self;
        match body {
            Body::Stream { splitter, strip: false } => {
                feed(splitter, part, end, |piece| {
                    meter.piece(piece);
                });
                None
            }
            Body::Stream { splitter, strip: true } => {
                let mut out = Vec::with_capacity(part.len());
                feed(splitter, part, end, |piece| strip(meter, piece, &mut out));
                (out != part).then_some(out)
            }
            Body::Json(document) => {
                if !gather(document, part, end) {
                    self.body = Body::Large(large(meter, &[document, part], end));
                }
                None
            }
            Body::Large(large) => {
                large.take(meter, part);
                if end {
                    large.finish(meter);
                }
                None
            }
            Body::Unread => None,
        }
    }

    /// How the answer has ended, if it ends now. A document needs no terminator.
    const fn end(&self) -> StreamEnd {
        match self.body {
            Body::Json(_) | Body::Large(_) | Body::Unread if self.meter.error.is_none() => {
                StreamEnd::Complete
            }
            _ => self.meter.end(),
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

/// Keeps a part of a document; one that comes in a single part need not be kept. False when it is too large.
fn gather(document: &mut Vec<u8>, part: &[u8], end: bool) -> bool {
    if document.len().saturating_add(part.len()) > MAX_JSON_BYTES {
        return false;
    }
    if !(end && document.is_empty()) {
        document.extend_from_slice(part);
    }
    true
}

/// A document that has become too large with the last of these parts.
fn large(meter: &mut Meter, parts: &[&[u8]], end: bool) -> Large {
    let mut large = Large::default();
    parts.iter().for_each(|part| large.take(meter, part));
    if end {
        large.finish(meter);
    }
    large
}
