//! Reads what a meter needs from one JSON document, an event's data or a whole body, in one pass.
//!
//! Member names are compared as they stand: one that is spelled with escapes counts as unknown.

use super::usage::{Counts, quarters};
use crate::json::{Error, Kind, Reader, Span, Str};

/// Members that hold text of the model within content parts, tool calls and output items.
const WRITTEN: &[&[u8]] = &[b"text", b"name", b"arguments", b"refusal", b"thinking", b"transcript"];

/// How deep such text is looked for: an output item's content part is at 4. More would only cost stack.
const TEXT_DEPTH: u8 = 8;

/// What one document says. Nothing of it counts if the document turns out to be broken.
#[derive(Default)]
pub(super) struct Found<'a> {
    /// `type` at the top.
    pub(super) event_type: &'a [u8],
    /// Model that answers.
    pub(super) model: Option<Str<'a>>,
    /// Why the answer ended, by the last choice that says.
    pub(super) finish_reason: Option<Str<'a>>,
    /// `status` of a Responses answer: why it ended, where nothing says more.
    pub(super) status: Option<Str<'a>>,
    /// Usage, wherever the protocol puts it.
    pub(super) counts: Counts,
    /// The model has said something, or called a tool.
    pub(super) content: bool,
    /// Its text in quarters of a token.
    pub(super) quarters: u64,
    /// The document is, or holds, an error.
    pub(super) error: bool,
    /// `code` of the error, without quotes.
    code: Option<&'a [u8]>,
    /// `type` of the error.
    error_type: Option<&'a [u8]>,
    /// The top-level `usage` member, key and value.
    pub(super) usage: Option<Span>,
    /// Its value is an object.
    pub(super) usage_is_object: bool,
    /// `choices` is an empty array.
    pub(super) no_choices: bool,
    /// The document is a whole body, not one event.
    pub(super) whole: bool,
    /// The last of the texts that were counted.
    text: Option<Span>,
    /// How many were.
    texts: usize,
}

/// Scans the one JSON object `doc`.
///
/// # Errors
/// It is not one JSON object.
pub(super) fn scan(doc: &[u8], whole: bool) -> Result<Found<'_>, Error> {
    let mut found = Found { whole, ..Found::default() };
    let mut reader = Reader::new(doc);
    reader.object(|reader, key| found.member(reader, key))?;
    reader.end()?;
    Ok(found)
}

impl<'a> Found<'a> {
    /// The error in one word of the provider, for logs; never its message.
    pub(super) fn error_code(&self) -> &'a [u8] {
        self.code.or(self.error_type).unwrap_or(b"error")
    }

    /// Where its text stands, if it says nothing else that counts: not how the answer ended, nor what it used.
    pub(super) fn only_text(&self) -> Option<Span> {
        let tells = self.finish_reason.is_some() || self.status.is_some() || self.counts != Counts::NONE;
        self.text.filter(|text| !tells && self.texts == 1 && text.len() > 2)
    }

    fn member(&mut self, reader: &mut Reader<'a>, key: Str<'a>) -> Result<(), Error> {
        match key.raw {
            b"choices" => self.choices(reader),
            b"delta" => self.delta(reader),
            b"type" => text(reader).map(|value| self.event_type = value.map_or(b"", |value| value.raw)),
            b"usage" => self.usage(reader, key),
            b"response" => inside(reader, |reader, key| self.response(reader, key)),
            b"message" => inside(reader, |reader, key| self.message(reader, key)),
            b"error" => self.error(reader),
            b"object" => {
                self.error |= text(reader)?.is_some_and(|value| value.is("error")); // vLLM before 0.10
                Ok(())
            }
            b"output" | b"content" | b"data" if self.whole => self.content(reader),
            _ => self.response(reader, key),
        }
    }

    /// Members of a response object: `response` in an event of the Responses API, or a whole body of any API.
    fn response(&mut self, reader: &mut Reader<'a>, key: Str<'a>) -> Result<(), Error> {
        match key.raw {
            b"model" => keep(reader, &mut self.model),
            b"usage" => self.counts.read(reader),
            b"status" => keep(reader, &mut self.status),
            b"output" => {
                self.content |= filled(reader)?;
                Ok(())
            }
            b"code" => scalar(reader, &mut self.code),
            b"error" => inside(reader, |reader, key| self.error_member(reader, key)),
            b"incomplete_details" => inside(reader, |reader, key| match key.raw {
                b"reason" => keep(reader, &mut self.finish_reason),
                _ => Ok(()),
            }),
            b"stop_reason" => keep(reader, &mut self.finish_reason),
            _ => Ok(()),
        }
    }

    /// Members of `message` in Anthropic's `message_start`. Its output count is only where the count starts.
    fn message(&mut self, reader: &mut Reader<'a>, key: Str<'a>) -> Result<(), Error> {
        match key.raw {
            b"model" => keep(reader, &mut self.model),
            b"usage" => {
                self.counts.read(reader)?;
                self.counts.output = None;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn usage(&mut self, reader: &mut Reader<'a>, key: Str<'a>) -> Result<(), Error> {
        self.usage_is_object = reader.kind() == Some(Kind::Object);
        if self.usage_is_object {
            self.counts.read(reader)?;
        } else {
            reader.skip()?;
        }
        self.usage = Some(Span { start: key.span.start, end: reader.position() });
        Ok(())
    }

    fn choices(&mut self, reader: &mut Reader<'a>) -> Result<(), Error> {
        if reader.kind() != Some(Kind::Array) {
            return Ok(());
        }
        self.no_choices = true;
        reader.array(|reader| {
            self.no_choices = false;
            inside(reader, |reader, key| match key.raw {
                b"delta" | b"message" => inside(reader, |reader, key| self.choice_member(reader, key)),
                b"text" => self.content(reader),
                b"finish_reason" => keep(reader, &mut self.finish_reason),
                _ => Ok(()),
            })
        })
    }

    /// A member of a chat delta or message. `role` alone says nothing.
    fn choice_member(&mut self, reader: &mut Reader<'a>, key: Str<'a>) -> Result<(), Error> {
        match key.raw {
            b"content" | b"reasoning_content" | b"reasoning" | b"refusal" | b"tool_calls"
            | b"function_call" | b"audio" => self.content(reader),
            _ => Ok(()),
        }
    }

    /// `delta` at the top: a string in the Responses API, an object in Anthropic's.
    fn delta(&mut self, reader: &mut Reader<'a>) -> Result<(), Error> {
        match reader.kind() {
            Some(Kind::Object) => reader.object(|reader, key| match key.raw {
                b"stop_reason" => keep(reader, &mut self.finish_reason),
                b"text" | b"thinking" | b"partial_json" => self.count(reader),
                _ => Ok(()),
            }),
            _ => self.count(reader),
        }
    }

    /// Text whose event tells whether it is content.
    fn count(&mut self, reader: &mut Reader<'a>) -> Result<(), Error> {
        self.text_in(reader, true, TEXT_DEPTH).map(|_| ())
    }

    /// A value that is content unless it is null, `""`, `[]` or `{}`.
    fn content(&mut self, reader: &mut Reader<'a>) -> Result<(), Error> {
        self.content |= self.text_in(reader, true, TEXT_DEPTH)?;
        Ok(())
    }

    /// Adds the text in a value to the estimate: a string if it is `written` by the model, and such strings in
    /// arrays and objects down to `depth`. Tells whether the value holds anything.
    fn text_in(&mut self, reader: &mut Reader<'a>, written: bool, depth: u8) -> Result<bool, Error> {
        let Some(deeper) = depth.checked_sub(1) else {
            return Ok(true);
        };
        let mut holds = false;
        match reader.kind() {
            Some(Kind::Null) | None => {}
            Some(Kind::Bool | Kind::Number) => holds = true,
            Some(Kind::String) => {
                let Str { raw, span, .. } = reader.string()?;
                holds = !raw.is_empty();
                if written {
                    self.quarters = self.quarters.saturating_add(quarters(raw));
                    (self.text, self.texts) = (Some(span), self.texts.saturating_add(1));
                }
            }
            Some(Kind::Array) => reader.array(|reader| {
                holds = true;
                self.text_in(reader, written, deeper).map(|_| ())
            })?,
            Some(Kind::Object) => reader.object(|reader, key| {
                holds = true;
                self.text_in(reader, WRITTEN.contains(&key.raw), deeper).map(|_| ())
            })?,
        }
        Ok(holds)
    }

    fn error(&mut self, reader: &mut Reader<'a>) -> Result<(), Error> {
        self.error |= reader.kind() != Some(Kind::Null);
        inside(reader, |reader, key| self.error_member(reader, key))
    }

    fn error_member(&mut self, reader: &mut Reader<'a>, key: Str<'a>) -> Result<(), Error> {
        match key.raw {
            b"code" => scalar(reader, &mut self.code),
            b"type" => scalar(reader, &mut self.error_type),
            _ => Ok(()),
        }
    }
}

/// Reads the members of an object; anything else is left to be skipped.
fn inside<'a>(
    reader: &mut Reader<'a>,
    member: impl FnMut(&mut Reader<'a>, Str<'a>) -> Result<(), Error>,
) -> Result<(), Error> {
    if reader.kind() == Some(Kind::Object) { reader.object(member) } else { Ok(()) }
}

/// A string; anything else is left to be skipped.
fn text<'a>(reader: &mut Reader<'a>) -> Result<Option<Str<'a>>, Error> {
    if reader.kind() == Some(Kind::String) { reader.string().map(Some) } else { Ok(None) }
}

/// Keeps a string; the last one wins, and anything else changes nothing.
fn keep<'a>(reader: &mut Reader<'a>, into: &mut Option<Str<'a>>) -> Result<(), Error> {
    *into = text(reader)?.or(*into);
    Ok(())
}

/// Keeps the bytes of a string or a number.
fn scalar<'a>(reader: &mut Reader<'a>, into: &mut Option<&'a [u8]>) -> Result<(), Error> {
    match reader.kind() {
        Some(Kind::String) => *into = Some(reader.string()?.raw),
        Some(Kind::Number) => *into = Some(reader.number()?.raw),
        _ => {}
    }
    Ok(())
}

/// Whether a value is an array or object that holds something.
fn filled(reader: &mut Reader<'_>) -> Result<bool, Error> {
    let holds = matches!(reader.kind(), Some(Kind::Array | Kind::Object));
    Ok(holds && reader.skip()?.len() > 2)
}
