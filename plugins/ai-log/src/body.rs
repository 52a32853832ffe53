//! A body that passes by, and the texts in it.

use sluice_core::content::{RequestBody, Shape};
use sluice_core::filter::Headers;
use sluice_core::json::{Error, Kind, Reader, Span};
use sluice_core::sse::{self, Piece, Splitter};
use sluice_core::texts::{self, Texts};

use crate::config::Limit;
use crate::excerpt::{Excerpt, Gathered};

/// Largest document that is read, in bytes: the longest prompts in use, and some images. It is kept until it is whole.
pub(crate) const MAX_DOCUMENT: usize = 4 * 1024 * 1024;

/// Largest event of a stream that is read, in bytes. Text comes in far smaller ones.
const MAX_EVENT: usize = 1024 * 1024;

/// The members at the top of an answer that hold what was said, in every protocol that is known. The others tell who
/// answered, or repeat what was asked: <https://platform.openai.com/docs/api-reference/responses/object>.
const SAID: [&str; 5] = ["choices", "content", "data", "error", "output"];

/// A body whose texts are wanted.
pub(crate) enum Body {
    /// One JSON document, so far.
    Document(Vec<u8>),
    /// Events; their deltas, by channel.
    Stream(Box<Deltas>),
    /// It turned out too large.
    Unread,
}

/// The texts that a stream's deltas add up to.
pub(crate) struct Deltas {
    splitter: Splitter,
    gathered: Gathered<String>,
    ended: bool,
}

impl Body {
    /// The body of a request with these headers, if it can be read.
    pub(crate) fn request(headers: &Headers) -> Option<Self> {
        let readable = RequestBody::of(headers) == RequestBody::Json && fits(headers);
        readable.then_some(Self::Document(Vec::new()))
    }

    /// The body of an answer with these headers, if it can be read.
    pub(crate) fn answer(headers: &Headers, limit: Limit) -> Option<Self> {
        match Shape::of(headers) {
            Shape::Json if fits(headers) => Some(Self::Document(Vec::new())),
            Shape::Stream => Some(Self::Stream(Box::new(Deltas {
                splitter: Splitter::with_limit(MAX_EVENT),
                gathered: Gathered::new(limit, false),
                ended: false,
            }))),
            _ => None,
        }
    }

    /// Takes the next part. False if no more is wanted.
    pub(crate) fn pass(&mut self, part: &[u8], end: bool) -> bool {
        match self {
            Self::Document(document) if document.len().saturating_add(part.len()) <= MAX_DOCUMENT => {
                document.extend_from_slice(part);
            }
            Self::Stream(deltas) => deltas.pass(part, end),
            Self::Document(_) | Self::Unread => *self = Self::Unread,
        }
        !matches!(self, Self::Unread)
    }

    /// What the record says of a request's body, which has ended.
    pub(crate) fn prompt(self, limit: Limit) -> Option<Excerpt> {
        match self {
            Self::Document(doc) => excerpt(&doc, &texts::request(&doc).ok()?, &[], limit),
            Self::Stream(_) | Self::Unread => None,
        }
    }

    /// What the record says of an answer's body.
    pub(crate) fn said(self, limit: Limit) -> Option<Excerpt> {
        match self {
            Self::Document(doc) => {
                let texts = texts::answer(&doc).ok()?; // an error also if it broke off
                excerpt(&doc, &texts, &said(&doc).ok()?, limit)
            }
            Self::Stream(deltas) => deltas.gathered.excerpt(deltas.ended),
            Self::Unread => None,
        }
    }
}

/// Whether the announced length can be read; one that is not announced may be.
fn fits(headers: &Headers) -> bool {
    let length = headers.text("content-length").and_then(|length| length.trim().parse::<usize>().ok());
    length.is_none_or(|length| length <= MAX_DOCUMENT)
}

/// The texts of a document; if `within` names any parts of it, those in them.
fn excerpt(doc: &[u8], texts: &Texts, within: &[Span], limit: Limit) -> Option<Excerpt> {
    let mut gathered = Gathered::new(limit, true);
    for text in &texts.texts {
        let holds = |span: &Span| (span.start..span.end).contains(&text.span.start);
        if within.is_empty() || within.iter().any(holds) {
            gathered.push(text.run, 0, &text.decode(doc).text, text.form);
        }
    }
    gathered.excerpt(true)
}

/// Values of the members that hold what was said; none in an answer of another shape.
fn said(doc: &[u8]) -> Result<Vec<Span>, Error> {
    let mut said = Vec::new();
    let mut reader = Reader::new(doc);
    if reader.kind() != Some(Kind::Object) {
        return Ok(said);
    }
    reader.object(|reader, key| {
        if said.len() < SAID.len() && SAID.iter().any(|name| key.is(name)) {
            said.push(reader.skip()?);
        }
        Ok(())
    })?;
    Ok(said)
}

impl Deltas {
    fn pass(&mut self, part: &[u8], end: bool) {
        let gathered = &mut self.gathered;
        let mut each = |piece: Piece<'_>| {
            if let Piece::Event(event) = piece {
                gather(gathered, event);
            }
        };
        self.splitter.feed(part, &mut each);
        if end {
            self.splitter.finish(&mut each);
            self.ended = true;
        }
    }
}

/// Adds the deltas of one event. What comes whole is left out: it repeats them, and at last all of them together.
fn gather(gathered: &mut Gathered<String>, event: &[u8]) {
    let event = sse::parse(event);
    let Some((data, event)) = event.data.and_then(|data| texts::event(&data).ok().map(|event| (data, event)))
    else {
        return; // a comment, or `[DONE]`
    };
    for said in event.said {
        if let Some(channel) = said.channel.filter(|channel| !is_sound(channel)) {
            let (size, text) = (channel.len(), said.text.decode(&data).text);
            gathered.push(channel, size, &text, said.text.form);
        }
    }
}

/// Deltas of `response.audio.delta` and the like are base64.
fn is_sound(channel: &str) -> bool {
    channel.contains("audio.delta/")
}

#[cfg(test)]
mod tests;
