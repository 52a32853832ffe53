//! An answer as it is kept: its bytes, and what must be known to give it again.
//!
//! The encoding is that of shared data and Redis alike, little-endian: a version byte, form, usage, times, tags, token
//! counts, then texts and body, each after its length. Bytes that are anything else, even by one, are no entry.

#[cfg(test)]
mod tests;

use std::fmt;

use sluice_core::openai::Operation;

pub use crate::form::Form;

/// Changes with the encoding.
const VERSION: u8 = 1;

/// Bytes before the texts, and lengths of the five of them.
const FIXED_BYTES: usize = 3 + 4 * 8 + 2 * 4 + 5 * 4;

/// A whole answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// How [`Self::body`] is to be read.
    pub form: Form,
    /// What was asked for.
    pub operation: Operation,
    /// As the provider sent it.
    pub content_type: String,
    /// When it was answered, in milliseconds since the Unix epoch.
    pub stored_ms: u64,
    /// From when on it is too old, likewise.
    pub expires_ms: u64,
    /// Whose it is, for clearing: [`crate::store::clear::tag`] of the consumer.
    pub consumer_tag: u32,
    /// What model was asked, likewise.
    pub model_tag: u32,
    /// What it cost.
    pub input_tokens: u64,
    /// What it cost.
    pub output_tokens: u64,
    /// The first choice's.
    pub finish_reason: String,
    /// The model that the provider says has answered.
    pub model: String,
    /// Whether a stream reports usage.
    pub has_usage: bool,
    /// The bytes recorded.
    pub body: Vec<u8>,
}

impl fmt::Debug for Entry {
    /// Tells nothing of what was said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { form, operation, stored_ms, expires_ms, .. } = self;
        write!(f, "Entry({form:?} {operation:?}, {stored_ms}..{expires_ms}, {} bytes)", self.body.len())
    }
}

impl Entry {
    /// Bytes that [`Self::encode`] makes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.texts().iter().fold(FIXED_BYTES, |sum, text| sum.saturating_add(text.len()))
    }

    /// As bytes; an entry with a part of 4 GiB or more, which no store takes, makes none that can be read.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.size());
        self.encode_to(&mut out);
        out
    }

    /// As [`Self::encode`], after what `out` holds.
    pub(crate) fn encode_to(&self, out: &mut Vec<u8>) {
        out.extend([VERSION, u8::from(self.form == Form::Stream), u8::from(self.has_usage)]);
        for number in [self.stored_ms, self.expires_ms, self.input_tokens, self.output_tokens] {
            out.extend(number.to_le_bytes());
        }
        out.extend(self.consumer_tag.to_le_bytes());
        out.extend(self.model_tag.to_le_bytes());
        for text in self.texts() {
            out.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
            out.extend_from_slice(text);
        }
    }

    /// Reads what [`Self::encode`] made; `None` for anything else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (&[version, stream, has_usage], rest) = bytes.split_first_chunk()?;
        if version != VERSION {
            return None;
        }
        let mut rest = rest;
        let entry = Self {
            form: if flag(stream)? { Form::Stream } else { Form::Document },
            has_usage: flag(has_usage)?,
            stored_ms: number(&mut rest)?,
            expires_ms: number(&mut rest)?,
            input_tokens: number(&mut rest)?,
            output_tokens: number(&mut rest)?,
            consumer_tag: tag(&mut rest)?,
            model_tag: tag(&mut rest)?,
            operation: operation(&mut rest)?,
            content_type: text(&mut rest)?,
            finish_reason: text(&mut rest)?,
            model: text(&mut rest)?,
            body: part(&mut rest)?.to_vec(),
        };
        rest.is_empty().then_some(entry)
    }

    /// Whether it may still be given, by its own time and by the longest that is allowed now.
    #[must_use]
    pub fn is_fresh(&self, now_ms: u64, ttl_ms: u64) -> bool {
        now_ms < self.expires_ms.min(self.stored_ms.saturating_add(ttl_ms))
    }

    fn texts(&self) -> [&[u8]; 5] {
        let texts = [self.operation.name(), &self.content_type, &self.finish_reason, &self.model];
        let [operation, content_type, finish_reason, model] = texts.map(str::as_bytes);
        [operation, content_type, finish_reason, model, &self.body]
    }
}

const fn flag(byte: u8) -> Option<bool> {
    match byte {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u64::from_le_bytes(*bytes))
}

fn tag(rest: &mut &[u8]) -> Option<u32> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u32::from_le_bytes(*bytes))
}

fn part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(tag(rest)?).ok()?;
    let (part, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(part)
}

fn text(rest: &mut &[u8]) -> Option<String> {
    std::str::from_utf8(part(rest)?).ok().map(str::to_owned)
}

fn operation(rest: &mut &[u8]) -> Option<Operation> {
    let name = part(rest)?;
    let operation = Operation::from_name(std::str::from_utf8(name).ok()?);
    (operation.name().as_bytes() == name).then_some(operation)
}
