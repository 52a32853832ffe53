//! One string of a document, and how a part of it is replaced.

use std::ops::Range;

use sluice_core::json::Span;
use sluice_core::texts::{Decoded, Form, Text};

/// A string that can be edited where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    /// Its bytes, without the quotes.
    inside: Span,
    pub(crate) form: Form,
    decoded: Decoded,
    /// The JSON within the string, with its escapes undone as well.
    inner: Option<Decoded>,
}

impl Slot {
    pub(crate) fn new(doc: &[u8], text: Text) -> Self {
        let decoded = text.decode(doc);
        let inner = (text.form == Form::Json).then(|| Decoded::of(decoded.text.as_bytes()));
        Self { inside: text.inside(), form: text.form, decoded, inner }
    }

    /// What it says, with the escapes of all levels undone.
    pub(crate) fn text(&self) -> &str {
        &self.inner.as_ref().unwrap_or(&self.decoded).text
    }

    /// The span of the document that `range` of the text stands in.
    pub(crate) fn span(&self, range: &Range<usize>) -> Span {
        let outer = |offset| self.inner.as_ref().map_or(offset, |inner| inner.raw(offset));
        self.outer_span(&(outer(range.start)..outer(range.end)))
    }

    /// What it says at the level of the document; of [`Form::Json`] that is JSON.
    pub(crate) fn outer(&self) -> &str {
        &self.decoded.text
    }

    /// As [`Self::span`], for a range of [`Self::outer`].
    pub(crate) fn outer_span(&self, range: &Range<usize>) -> Span {
        let at = |offset| self.inside.start.saturating_add(self.decoded.raw(offset));
        Span { start: at(range.start), end: at(range.end).min(self.inside.end) }
    }
}

/// `text` as it stands between the quotes of a JSON string; for [`Form::Json`] of one within such a string.
pub(crate) fn escaped(text: &str, form: Form) -> String {
    let once = escaped_once(text);
    match form {
        Form::Plain => once,
        Form::Json => escaped_once(&once),
    }
}

fn escaped_once(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    let inside = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inside.unwrap_or_default().to_owned()
}
