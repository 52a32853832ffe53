//! Reads an answer as it passes, stream or whole body: usage, model, how far it has come and how it ended.
//!
//! Sources: <https://platform.openai.com/docs/api-reference/chat-streaming>,
//! <https://platform.openai.com/docs/api-reference/responses-streaming>,
//! <https://docs.anthropic.com/en/docs/build-with-claude/streaming>.

use crate::openai::Operation;
use crate::sse::{self, Piece};

mod alike;
mod body;
mod large;
mod metered;
mod report;
mod scan;
mod seen;
mod strip;
mod usage;

pub use body::{BodyVerdict, judge_body};
pub use metered::{Expected, Metered};
pub use seen::{Seen, StreamEnd};
pub use strip::Strip;
pub use usage::{MAX_COUNT, Source, Usage, estimate};

use alike::Alike;
use scan::{Found, scan};
use seen::word;
use usage::Counts;

/// Reads one answer, event by event or as a whole.
///
/// Of an operation it does not know ([`Operation::Other`], [`Operation::Embeddings`]) every event but an error
/// counts as content, JSON or not, and every end as complete.
#[derive(Clone, Debug)]
pub struct Meter {
    operation: Operation,
    model: Option<String>,
    finish_reason: Option<String>,
    counts: Counts,
    quarters: u64,
    content: bool,
    terminated: bool,
    error: Option<String>,
    alike: Alike,
}

impl Meter {
    /// Reads the answer to an `operation`.
    #[must_use]
    pub const fn new(operation: Operation) -> Self {
        Self {
            operation,
            model: None,
            finish_reason: None,
            counts: Counts::NONE,
            quarters: 0,
            content: false,
            terminated: false,
            error: None,
            alike: Alike::NONE,
        }
    }

    /// Takes the next piece of a stream. An event too large to be read is taken for content, or for the end if
    /// its name says so.
    pub fn piece(&mut self, piece: Piece<'_>) -> Seen {
        match piece {
            Piece::Event(raw) => self.event(raw),
            Piece::Oversized { bytes, first } => self.oversized(bytes, first),
        }
    }

    /// Takes the next raw event, as [`sse::Splitter`] hands it out.
    pub fn event(&mut self, raw: &[u8]) -> Seen {
        match self.alike.text(raw) {
            Some(text) => self.repeated(text),
            None => self.read(raw).0,
        }
    }

    /// Takes the text of an event that is like one that was content.
    fn repeated(&mut self, text: &[u8]) -> Seen {
        self.quarters = self.quarters.saturating_add(usage::quarters(text));
        Seen::Content
    }

    /// Takes a whole JSON body.
    pub fn body(&mut self, body: &[u8]) -> Seen {
        let Ok(found) = scan(body, true) else {
            return self.invalid();
        };
        let seen = self.apply(b"", &found);
        self.terminated = true;
        let says_nothing = matches!(seen, Seen::Nothing | Seen::Finished { .. });
        if says_nothing { Seen::Finished { empty: !self.content } } else { seen }
    }

    /// Model that answers, once known.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// Why the answer ended, in the provider's word, by the last choice that says.
    #[must_use]
    pub fn finish_reason(&self) -> Option<&str> {
        self.finish_reason.as_deref()
    }

    /// Whether any content was seen.
    #[must_use]
    pub const fn has_content(&self) -> bool {
        self.content
    }

    /// Code of the provider's error, else its type, else `error`; never its message.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Whether the terminator came: `[DONE]`, `response.completed` and its like, `message_stop`.
    #[must_use]
    pub const fn is_terminated(&self) -> bool {
        self.terminated
    }

    /// Whether the provider has reported all of input and output.
    #[must_use]
    pub const fn has_usage(&self) -> bool {
        self.counts.complete(self.operation)
    }

    /// Usage as far as it has come. What the provider has not reported is estimated: input as `input_estimate`
    /// tokens, output from the content seen.
    #[must_use]
    pub fn usage(&self, input_estimate: u64) -> Usage {
        self.counts.settle(self.operation, input_estimate, self.quarters.div_ceil(4))
    }

    /// How the stream has ended, if it ends now.
    #[must_use]
    pub const fn end(&self) -> StreamEnd {
        if self.error.is_some() {
            StreamEnd::ErrorEvent
        } else if self.terminated || self.is_opaque() {
            StreamEnd::Complete
        } else {
            StreamEnd::Unterminated
        }
    }

    const fn is_opaque(&self) -> bool {
        matches!(self.operation, Operation::Other | Operation::Embeddings)
    }

    /// Takes the data of an event; also hands out what it found, if that was JSON.
    fn data<'a>(&mut self, name: &[u8], data: &'a [u8]) -> (Seen, Option<Found<'a>>) {
        let trimmed = data.trim_ascii();
        if trimmed.is_empty() {
            return (Seen::Nothing, None);
        }
        if trimmed == b"[DONE]" {
            return (self.finish(), None);
        }
        match scan(data, false) {
            Ok(found) => (self.apply(name, &found), Some(found)),
            Err(_) if name == b"error" => (self.fail(b"error"), None),
            Err(_) => (self.invalid(), None),
        }
    }

    fn apply(&mut self, name: &[u8], found: &Found<'_>) -> Seen {
        let kind = if found.event_type.is_empty() { name } else { found.event_type };
        self.counts.update(&found.counts);
        self.quarters = self.quarters.saturating_add(found.quarters);
        if self.model.is_none() {
            self.model = found.model.and_then(|model| word(&model.decode().ok()?));
        }
        let ends = self.is_terminator(kind);
        let reason = found.finish_reason.or(found.status.filter(|_| ends || found.whole));
        let reason = reason.and_then(|reason| word(&reason.decode().ok()?));
        let finishes = ends || reason.is_some();
        self.finish_reason = reason.or(self.finish_reason.take());
        if found.error || name == b"error" || matches!(kind, b"error" | b"response.failed") {
            return self.fail(found.error_code());
        }
        let content = found.content || self.is_content(kind, found.whole);
        self.content |= content;
        self.terminated |= ends;
        if content {
            Seen::Content
        } else if finishes {
            Seen::Finished { empty: !self.content }
        } else {
            Seen::Nothing
        }
    }

    /// Whether an event of this type is content by its type.
    fn is_content(&self, kind: &[u8], whole: bool) -> bool {
        match self.operation {
            Operation::Responses => kind.ends_with(b".delta"),
            Operation::Messages => kind == b"content_block_delta",
            Operation::Chat | Operation::TextCompletion => false,
            Operation::Embeddings => !whole,
            Operation::Other => true,
        }
    }

    fn is_terminator(&self, kind: &[u8]) -> bool {
        match self.operation {
            Operation::Responses => matches!(kind, b"response.completed" | b"response.incomplete"),
            Operation::Messages => kind == b"message_stop",
            _ => false,
        }
    }

    fn oversized(&mut self, part: &[u8], first: bool) -> Seen {
        self.quarters = self.quarters.saturating_add(usage::quarters(part));
        self.content = true;
        if first && self.is_terminator(sse::parse(part).name) {
            self.terminated = true;
        }
        Seen::Content
    }

    const fn finish(&mut self) -> Seen {
        self.terminated = true;
        Seen::Finished { empty: !self.content }
    }

    fn fail(&mut self, code: &[u8]) -> Seen {
        let code = word(&String::from_utf8_lossy(code)).unwrap_or_else(|| "error".to_owned());
        self.error.get_or_insert(code);
        Seen::Error
    }

    const fn invalid(&mut self) -> Seen {
        if self.is_opaque() {
            self.content = true;
            return Seen::Content;
        }
        Seen::Invalid
    }
}

#[cfg(test)]
mod tests;
