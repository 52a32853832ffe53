//! Which strings of a request, of an answer and of a stream's event are text, and where they stand.
//!
//! Text is every string that a model reads or says, also in members that nobody here knows: a list of what is left
//! out can fall behind only to the safe side. Left out are the protocol's own words (types, ids, statuses), as long as
//! they look like such, who asks (`user`, `metadata`), and files in base64.
//! Shapes: <https://platform.openai.com/docs/api-reference/chat/create>,
//! <https://platform.openai.com/docs/api-reference/responses/create>,
//! <https://docs.anthropic.com/en/api/messages>.

pub use crate::detect::Form;
use crate::json::{Error, Kind, Reader, Span, Str};

mod decoded;
mod event;
mod names;
mod walk;

pub use decoded::Decoded;
pub use event::{Event, Said, event};

use names::{CALLER, SETTINGS, is_one_of, is_word};
use walk::Walk;

/// Texts of one document. What is noted of each takes a few hundred bytes: without a bound, a body of nothing but empty
/// strings would take gigabytes. Requests with hundreds of tools have some ten thousand.
pub const MAX_TEXTS: usize = 1 << 17;

/// One string that is text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    /// Where it stands in the document, quotes included.
    pub span: Span,
    /// How it is to be read.
    pub form: Form,
    /// Texts of one run are parts of one text, in their order. What belongs to other runs may stand between them.
    pub run: u32,
}

impl Text {
    /// What it means, with the way back into the document's bytes between its quotes.
    #[must_use]
    pub fn decode(&self, doc: &[u8]) -> Decoded {
        Decoded::of(self.inside().of(doc))
    }

    /// Where the string's bytes stand, without its quotes.
    #[must_use]
    pub const fn inside(&self) -> Span {
        Span { start: self.span.start.saturating_add(1), end: self.span.end.saturating_sub(1) }
    }
}

/// The texts of one document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    /// In the order in which they stand.
    pub texts: Vec<Text>,
    /// The first part whose content cannot be told: of an unknown type, given as tokens, nested too deeply, or beyond
    /// [`MAX_TEXTS`]. Its strings are among the texts all the same, but for the last two.
    pub unknown: Option<Span>,
    /// Values of `logprobs`, objects or arrays. They repeat text, token by token.
    pub logprobs: Vec<Span>,
}

/// The texts of a request.
///
/// # Errors
/// It is not one JSON document.
pub fn request(doc: &[u8]) -> Result<Texts, Error> {
    whole(doc, |walk, reader, key| walk.request_member(reader, key))
}

/// The texts of a whole answer.
///
/// # Errors
/// It is not one JSON document.
pub fn answer(doc: &[u8]) -> Result<Texts, Error> {
    whole(doc, |walk, reader, key| match reader.kind() {
        Some(Kind::Object) if key.is("usage") => Ok(()),
        _ => walk.member(reader, key, None),
    })
}

fn whole<'a>(
    doc: &'a [u8],
    mut member: impl FnMut(&mut Walk, &mut Reader<'a>, Str<'a>) -> Result<(), Error>,
) -> Result<Texts, Error> {
    let mut walk = Walk::default();
    let mut reader = Reader::new(doc);
    match reader.kind() {
        Some(Kind::Object) => reader.object(|reader, key| member(&mut walk, reader, key))?,
        _ => walk.free(&mut reader)?,
    }
    reader.end()?;
    Ok(walk.found)
}

impl Walk {
    fn request_member(&mut self, reader: &mut Reader<'_>, key: Str<'_>) -> Result<(), Error> {
        if is_one_of(key, CALLER) || is_one_of(key, SETTINGS) && is_setting(reader)? {
            return Ok(());
        }
        match reader.kind() {
            Some(Kind::Array) if key.is("messages") => reader.array(|reader| self.item(reader, false)),
            Some(Kind::Array) if is_one_of(key, &["input", "prompt"]) => {
                reader.array(|reader| self.item(reader, true))
            }
            _ if is_one_of(key, &["system", "instructions"]) => self.content(reader),
            _ => {
                if !is_word(key.raw) {
                    self.key(key);
                }
                self.free(reader)
            }
        }
    }

    /// An element of `messages`, `input` or `prompt`. Numbers are tokens: what they say cannot be told here.
    fn item(&mut self, reader: &mut Reader<'_>, typed: bool) -> Result<(), Error> {
        match reader.kind() {
            Some(Kind::Object) => self.part(reader, None, typed),
            Some(Kind::Array) => reader.array(|reader| self.item(reader, typed)),
            Some(Kind::Number) => self.unreadable(reader),
            _ => self.free(reader),
        }
    }
}

/// Whether the value to be read next is made as a setting's is: a template may print any other string.
fn is_setting(reader: &Reader<'_>) -> Result<bool, Error> {
    let mut ahead = reader.clone();
    Ok(ahead.kind() != Some(Kind::String) || is_word(ahead.string()?.raw))
}

#[cfg(test)]
mod tests;
