//! A body that holds text, whatever its form: made into a JSON document for the checks, and back.

use serde_json::{Value, json};
use sluice_core::content::{RequestBody, Shape};
use sluice_core::filter::Headers;
use sluice_core::form;
use sluice_core::json::{Edit, Span, splice};

use crate::config::Direction;
use crate::mask::Document;

/// Fields of a form that are settings, not text. The model is the router's to judge.
const SETTINGS: [&str; 2] = ["model", "user"];

/// Fields of a form that hold files (<https://platform.openai.com/docs/api-reference/images/createEdit>); several are
/// called `image[]`.
const FILES: [&str; 6] = ["audio", "file", "image", "input_reference", "mask", "video"];

/// Nobody here can read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// How the text of a body is packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    /// One JSON document.
    Json,
    /// The body is the text.
    Plain,
    /// `multipart/form-data` with this boundary.
    Form(String),
}

impl Packing {
    /// Of a request; `None` if nobody can read it.
    pub(crate) fn of_request(headers: &Headers) -> Option<Self> {
        match RequestBody::of(headers) {
            RequestBody::Json => Some(Self::Json),
            RequestBody::Form(boundary) => Some(Self::Form(boundary)),
            RequestBody::Unread | RequestBody::Other => None,
        }
    }
}

/// What an answer's headers promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// One JSON document.
    Json,
    /// Events.
    Stream,
    /// Text of another form: subtitles, a page.
    Plain,
    /// Sound, pictures, files: not text.
    Media,
    /// Text that is encoded.
    Unread,
}

impl Promise {
    pub(crate) fn of(headers: &Headers) -> Self {
        match Shape::of(headers) {
            Shape::Json => return Self::Json,
            Shape::Stream => return Self::Stream,
            Shape::Unread => return Self::Unread,
            Shape::Other => {}
        }
        let kind = headers.text("content-type").unwrap_or_default().trim_start().to_ascii_lowercase();
        let is_media = ["audio/", "image/", "video/", "application/octet-stream", "application/zip"];
        if is_media.iter().any(|media| kind.starts_with(media)) {
            return Self::Media;
        }
        let encoding = headers.text("content-encoding").unwrap_or_default();
        let is_plain = encoding.is_empty() || encoding.eq_ignore_ascii_case("identity");
        if is_plain { Self::Plain } else { Self::Unread }
    }
}

/// A body with the places that its texts go back to.
#[derive(Debug)]
pub(crate) struct Body {
    packing: Packing,
    direction: Direction,
    bytes: Vec<u8>,
    fields: Vec<Span>, // of a form
}

impl Body {
    pub(crate) const fn new(packing: Packing, direction: Direction, bytes: Vec<u8>) -> Self {
        Self { packing, direction, bytes, fields: Vec::new() }
    }

    /// The bytes as they were taken last.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Its texts, as one document, to be given back to [`Self::take`].
    pub(crate) fn document(&mut self) -> Result<Document, Unreadable> {
        let doc = match &self.packing {
            Packing::Json => std::mem::take(&mut self.bytes),
            Packing::Plain => wrapped([&self.bytes[..]].into_iter())?,
            Packing::Form(boundary) => {
                let fields = form::fields(&self.bytes, boundary).map_err(|_| Unreadable)?;
                // a field that may be a file is one unless it is UTF-8; of any other, readers may make some text
                let is_text = |(name, span): &(String, Span)| {
                    let is_file = FILES.contains(&name.split('[').next().unwrap_or_default());
                    let is_binary = is_file && std::str::from_utf8(span.of(&self.bytes)).is_err();
                    !SETTINGS.contains(&name.as_str()) && !is_binary
                };
                self.fields = fields.into_iter().filter(is_text).map(|(_, span)| span).collect();
                wrapped(self.fields.iter().map(|span| span.of(&self.bytes)))?
            }
        };
        match self.direction {
            Direction::Request => Document::request(doc),
            Direction::Response => Document::answer(doc),
        }
        .map_err(|_| Unreadable)
    }

    /// Takes the texts back as they are in `document`.
    pub(crate) fn take(&mut self, document: Document) -> Result<(), Unreadable> {
        let doc = document.finish();
        match &self.packing {
            Packing::Json => self.bytes = doc,
            Packing::Plain => {
                self.bytes = unwrapped(&doc)?.into_iter().next().ok_or(Unreadable)?.into_bytes();
            }
            Packing::Form(_) => {
                let texts = unwrapped(&doc)?;
                let edit = |(span, text): (&Span, &String)| (*span, text.clone().into_bytes());
                let edits: Vec<_> = self.fields.iter().zip(&texts).map(edit).collect();
                let edits: Vec<Edit<'_>> =
                    edits.iter().map(|(span, with)| Edit { span: *span, with: with.as_slice() }).collect();
                self.bytes = splice(&self.bytes, &edits);
            }
        }
        Ok(())
    }
}

/// Texts as the messages of a document.
fn wrapped<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Result<Vec<u8>, Unreadable> {
    let message = |text| Ok(json!({"content": std::str::from_utf8(text).map_err(|_| Unreadable)?}));
    let messages: Vec<Value> = texts.map(message).collect::<Result<_, _>>()?;
    Ok(json!({"messages": messages}).to_string().into_bytes())
}

/// The inverse of [`wrapped`].
fn unwrapped(doc: &[u8]) -> Result<Vec<String>, Unreadable> {
    let doc: Value = serde_json::from_slice(doc).map_err(|_| Unreadable)?;
    let messages = doc.get("messages").and_then(Value::as_array).ok_or(Unreadable)?;
    let text = |message: &Value| message.get("content")?.as_str().map(str::to_owned);
    messages.iter().map(text).collect::<Option<_>>().ok_or(Unreadable)
}

#[cfg(test)]
mod tests;
