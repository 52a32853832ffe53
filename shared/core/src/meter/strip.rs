//! Takes usage that a client did not ask for out of its stream.
//!
//! With `stream_options.include_usage` OpenAI adds `"usage": null` to every chunk and one last chunk with the
//! usage and no choices. Without both, the stream is byte for byte what it would have been.
//! <https://platform.openai.com/docs/api-reference/chat/create#chat-create-stream_options>

use std::borrow::Cow;

use super::scan::Found;
use super::{Meter, Seen};
use crate::json::{Edit, Span, removal, splice};
use crate::openai::Operation;
use crate::sse;

/// What the client gets of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strip {
    /// All of it as it came.
    Keep,
    /// Nothing.
    Drop,
    /// This in its place.
    Replace(Vec<u8>),
}

impl Meter {
    /// As [`Meter::event`], and says what is left of the event without its usage: the `usage` member goes with
    /// its comma, and an event without choices that brings usage goes whole. Other operations than chat and
    /// text completion put no usage into their streams that was not asked for; theirs are kept.
    pub fn event_without_usage(&mut self, raw: &[u8]) -> (Seen, Strip) {
        if let Some(text) = self.alike.text(raw) {
            let strip = self.alike.extra(raw).map_or(Strip::Keep, |usage| Strip::Replace(cut(raw, usage)));
            return (self.repeated(text), strip);
        }
        self.read(raw)
    }

    /// Reads an event that is not like the last one.
    pub(super) fn read(&mut self, raw: &[u8]) -> (Seen, Strip) {
        let event = sse::parse(raw);
        let Some(data) = event.data else {
            return (Seen::Nothing, Strip::Keep);
        };
        let (seen, found) = self.data(event.name, &data);
        let text = found.as_ref().filter(|_| seen == Seen::Content).and_then(Found::only_text);
        let member = found.as_ref().and_then(|found| found.usage);
        let drops = found.is_some_and(|found| found.no_choices && found.usage_is_object);
        let strips = matches!(self.operation, Operation::Chat | Operation::TextCompletion);
        let usage = member.filter(|_| strips).map(|member| removal(&data, member));
        if let (Some(text), Cow::Borrowed(data), false) = (text, &data, self.terminated) {
            let place = |span| within(raw, data, span);
            self.alike.keep(raw, place(text), usage.map(place));
        }
        let strip = match usage {
            Some(_) if drops => Strip::Drop,
            Some(usage) => Strip::Replace(without(raw, event.name, data, usage)),
            None => Strip::Keep,
        };
        (seen, strip)
    }
}

/// `raw` without the span `usage` of its `data`. Data of several lines is written anew, as one event with
/// nothing but its name and data; no provider is known to send JSON so.
fn without(raw: &[u8], name: &[u8], data: Cow<'_, [u8]>, usage: Span) -> Vec<u8> {
    match data {
        Cow::Owned(data) => sse::encode(name, &cut(&data, usage)),
        Cow::Borrowed(data) => cut(raw, within(raw, data, usage)),
    }
}

fn cut(bytes: &[u8], span: Span) -> Vec<u8> {
    splice(bytes, &[Edit { span, with: b"" }])
}

/// Where in `raw` the span of its `data` stands. Borrowed data is a part of `raw`, so that the distance of their starts
/// tells.
fn within(raw: &[u8], data: &[u8], Span { start, end }: Span) -> Span {
    let offset = data.as_ptr().addr().saturating_sub(raw.as_ptr().addr());
    Span { start: start.saturating_add(offset), end: end.saturating_add(offset) }
}
