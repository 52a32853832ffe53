//! Takes usage that a client did not ask for out of its stream.
//!
//! With `stream_options.include_usage` OpenAI adds `"usage": null` to every chunk and one last chunk with the
//! usage and no choices. Without both, the stream is byte for byte what it would have been.
//! <https://platform.openai.com/docs/api-reference/chat/create#chat-create-stream_options>

use std::borrow::Cow;

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
        let event = sse::parse(raw);
        let Some(data) = event.data else {
            return (Seen::Nothing, Strip::Keep);
        };
        let (seen, found) = self.data(event.name, &data);
        let member = found.as_ref().and_then(|found| found.usage);
        let drops = found.is_some_and(|found| found.no_choices && found.usage_is_object);
        let strips = matches!(self.operation, Operation::Chat | Operation::TextCompletion);
        let strip = match member {
            Some(_) if strips && drops => Strip::Drop,
            Some(member) if strips => Strip::Replace(without(raw, event.name, data, member)),
            _ => Strip::Keep,
        };
        (seen, strip)
    }
}

/// `raw` without the span `member` of its `data`. Data of several lines is written anew, as one event with
/// nothing but its name and data; no provider is known to send JSON so.
fn without(raw: &[u8], name: &[u8], data: Cow<'_, [u8]>, member: Span) -> Vec<u8> {
    let Span { start, end } = removal(&data, member);
    let data = match data {
        Cow::Owned(data) => {
            let rest = splice(&data, &[Edit { span: Span { start, end }, with: b"" }]);
            return sse::encode(name, &rest);
        }
        Cow::Borrowed(data) => data,
    };
    // borrowed data is a part of raw, so the distance of their starts is where it stands
    let offset = data.as_ptr().addr().saturating_sub(raw.as_ptr().addr());
    let span = Span { start: start.saturating_add(offset), end: end.saturating_add(offset) };
    splice(raw, &[Edit { span, with: b"" }])
}
