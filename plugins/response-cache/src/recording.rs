//! Takes an answer down as it passes, and frees the client's copy of usage that it did not ask for.

use std::rc::Rc;

use memchr::memmem;
use sluice_core::content::Shape;
use sluice_core::filter::{Headers, Next};
use sluice_core::meter::{Meter, Strip};
use sluice_core::openai::Operation;
use sluice_core::sse::{Piece, Splitter};

use crate::config::Config;
use crate::control::Control;
use crate::entry::Entry;
use crate::form::Form;
use crate::question::Question;
use crate::replay::{Judged, judge};

/// Why an answer is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Something went wrong with it: another attempt may fare better.
    Failed,
    /// The same would become of every other.
    Unfit,
}

/// An answer on its way to the client.
#[derive(Debug)]
pub(crate) struct Recording {
    form: Form,
    content_type: String,
    /// What has come so far; `None`: it will not be kept.
    body: Option<Vec<u8>>,
    strip: Option<UsageStrip>,
}

impl Recording {
    /// Begins with the `headers` of an answer; `end` if it has no body.
    ///
    /// # Errors
    /// Why such an answer is neither kept nor changed.
    pub(crate) fn begin(headers: &Headers, question: &Question, end: bool) -> Result<Self, Refused> {
        let status = headers.text(":status").and_then(|status| status.parse().ok()).unwrap_or(0);
        if status != 200 {
            return Err(refusal(status));
        }
        let form = match Shape::of(headers) {
            Shape::Stream => Form::Stream,
            Shape::Json => Form::Document,
            Shape::Unread | Shape::Other => return Err(Refused::Unfit),
        };
        if end {
            return Err(Refused::Failed);
        }
        let strips = form == Form::Stream
            && !question.wanted.usage
            && matches!(question.operation, Operation::Chat | Operation::TextCompletion);
        Ok(Self {
            form,
            content_type: headers.text("content-type").unwrap_or_default().to_owned(),
            body: (!Control::of(headers).no_store).then(Vec::new),
            strip: strips.then(|| UsageStrip::new(question.operation)),
        })
    }

    /// Whether the client gets something else than what came.
    pub(crate) const fn is_stripped(&self) -> bool {
        self.strip.is_some()
    }

    /// Whether it is still taken down.
    pub(crate) const fn is_kept(&self) -> bool {
        self.body.is_some()
    }

    /// What is wanted of the rest.
    pub(crate) const fn next(&self) -> Next {
        if self.is_kept() || self.is_stripped() { Next::Watch } else { Next::Pass }
    }

    /// Makes room for a body of this length, or gives up at once.
    pub(crate) fn expect(&mut self, length: usize, config: &Config) {
        match &mut self.body {
            Some(_) if length > config.max_entry_bytes => self.body = None,
            Some(body) => body.reserve_exact(length),
            None => {}
        }
    }

    /// Takes the next part; what the client gets in its place, if that is not the same.
    pub(crate) fn pass(&mut self, part: &[u8], end: bool, config: &Config) -> Option<Vec<u8>> {
        match &mut self.body {
            Some(body) if body.len().saturating_add(part.len()) > config.max_entry_bytes => self.body = None,
            Some(body) => body.extend_from_slice(part),
            None => {}
        }
        self.strip.as_mut()?.pass(part, end)
    }

    /// The answer is complete.
    ///
    /// # Errors
    /// Why it is not kept.
    pub(crate) fn end(
        &mut self,
        question: &Question,
        now_ms: u64,
        ttl_ms: u64,
    ) -> Result<Rc<Entry>, Refused> {
        let body = self.body.take().ok_or(Refused::Unfit)?;
        let judged =
            judge(question.operation, self.form, &body).map_err(|not_stored| match not_stored.0 {
                "cut" | "error" => Refused::Failed,
                _ => Refused::Unfit,
            })?;
        if std::str::from_utf8(&body).is_err() {
            return Err(Refused::Unfit); // a local reply is text
        }
        let Judged { finish_reason, model, input_tokens, output_tokens, has_usage } = judged;
        Ok(Rc::new(Entry {
            form: self.form,
            operation: question.operation,
            content_type: std::mem::take(&mut self.content_type),
            stored_ms: now_ms,
            expires_ms: now_ms.saturating_add(ttl_ms),
            consumer_tag: question.consumer_tag,
            model_tag: question.model_tag,
            input_tokens,
            output_tokens,
            finish_reason,
            model,
            has_usage,
            body,
        }))
    }
}

/// A provider that is busy or broken, or a time-out, says nothing of the next attempt; a request that the provider
/// refuses, it will refuse again.
const fn refusal(status: u16) -> Refused {
    match status {
        408 | 409 | 425 | 429 | 0 | 500.. => Refused::Failed,
        _ => Refused::Unfit,
    }
}

/// Takes usage out of a stream.
#[derive(Debug)]
struct UsageStrip {
    splitter: Splitter,
    meter: Meter,
}

impl UsageStrip {
    fn new(operation: Operation) -> Self {
        Self { splitter: Splitter::default(), meter: Meter::new(operation) }
    }

    fn pass(&mut self, part: &[u8], end: bool) -> Option<Vec<u8>> {
        let Self { splitter, meter } = self;
        let mut out = Vec::with_capacity(part.len());
        splitter.feed(part, |piece| strip(meter, piece, &mut out));
        if end {
            splitter.finish(|piece| strip(meter, piece, &mut out));
        }
        (out != part).then_some(out)
    }
}

/// Only an event that speaks of usage is read.
fn strip(meter: &mut Meter, piece: Piece<'_>, out: &mut Vec<u8>) {
    let raw = piece.bytes();
    let kept = match piece {
        Piece::Event(raw) if memmem::find(raw, b"\"usage\"").is_some() => meter.event_without_usage(raw).1,
        _ => Strip::Keep,
    };
    match kept {
        Strip::Keep => out.extend_from_slice(raw),
        Strip::Drop => {}
        Strip::Replace(with) => out.extend(with),
    }
}
