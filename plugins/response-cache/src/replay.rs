//! Judges whether an answer can be kept, and gives a kept one again: as it was recorded, or in the other form.
//!
//! A stream becomes a document by folding its events as the vendors' clients do, a document becomes a stream of few
//! large events. Both work on the bytes as they stand, so numbers keep their form and unknown members survive. What is
//! odd is not converted: a miss costs a request, a wrong answer costs trust.
//!
//! Sources: <https://platform.openai.com/docs/api-reference/chat-streaming>,
//! <https://platform.openai.com/docs/api-reference/responses-streaming>,
//! <https://docs.anthropic.com/en/docs/build-with-claude/streaming>,
//! <https://github.com/openai/openai-python/blob/main/src/openai/lib/streaming/_deltas.py>.

mod blocks;
mod choices;
mod chunks;
mod events;
mod fold;
mod items;
mod judge;
mod message;
mod raw;
mod response;

use sluice_core::meter::{Meter, Strip};
use sluice_core::openai::Operation;

pub use self::judge::{Judged, NotStored, judge};
use crate::form::Form;

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// A stream, else a document.
    pub stream: bool,
    /// Usage within the stream (`stream_options.include_usage`). Documents, and streams of other operations than chat
    /// and text completion, carry usage without being asked.
    pub usage: bool,
}

/// Gives `body`, an answer that [`judge()`] let pass in this `form`, as it is `wanted`: the whole body of the answer.
/// `None` if it cannot be given so without loss.
#[must_use]
pub fn replay(operation: Operation, form: Form, body: &[u8], wanted: Wanted) -> Option<Vec<u8>> {
    match (form, wanted.stream) {
        (Form::Document, false) => Some(body.to_vec()),
        (Form::Stream, true) => same_stream(operation, body, wanted.usage),
        (Form::Stream, false) => to_document(operation, body),
        (Form::Document, true) => to_stream(operation, body, wanted.usage),
    }
}

fn to_document(operation: Operation, body: &[u8]) -> Option<Vec<u8>> {
    match operation {
        Operation::Chat | Operation::TextCompletion => choices::document(operation, body),
        Operation::Messages => blocks::document(body),
        Operation::Responses => response::document(body),
        Operation::Embeddings | Operation::Other => None,
    }
}

fn to_stream(operation: Operation, body: &[u8], usage: bool) -> Option<Vec<u8>> {
    match operation {
        Operation::Chat | Operation::TextCompletion => chunks::stream(operation, body, usage),
        Operation::Messages => message::stream(body),
        Operation::Responses => response::stream(body),
        Operation::Embeddings | Operation::Other => None,
    }
}

/// A recorded stream, less its usage if that is not wanted.
fn same_stream(operation: Operation, body: &[u8], usage: bool) -> Option<Vec<u8>> {
    if !asks_for_usage(operation) {
        return Some(body.to_vec());
    }
    let mut meter = Meter::new(operation);
    let mut out = Vec::with_capacity(body.len());
    events::each(body, |raw| match meter.event_without_usage(raw).1 {
        Strip::Keep => out.extend_from_slice(raw),
        Strip::Drop => {}
        Strip::Replace(with) => out.extend(with),
    })?;
    if usage { meter.has_usage().then(|| body.to_vec()) } else { Some(out) }
}

/// Whether a stream of this operation holds usage only for those who ask.
const fn asks_for_usage(operation: Operation) -> bool {
    matches!(operation, Operation::Chat | Operation::TextCompletion)
}

#[cfg(test)]
mod tests;
