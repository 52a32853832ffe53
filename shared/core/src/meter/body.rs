//! Judges a whole answer that is not a stream.

use super::{Meter, Seen, Usage};
use crate::openai::Operation;

/// What a whole body is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyVerdict {
    /// Usage, if the provider reports it.
    pub usage: Option<Usage>,
    /// Model that answered.
    pub model: Option<String>,
    /// Why the answer ended, in the provider's word.
    pub finish_reason: Option<String>,
    /// It is an error in the clothes of an answer.
    pub error: bool,
    /// The model says nothing at all. An answer may be so for a reason: see `finish_reason`.
    pub empty: bool,
    /// It is not one JSON object, though the operation's answers are.
    pub invalid: bool,
}

/// Judges `body`, the whole answer to `operation`. For an operation that is not known nothing is empty or
/// invalid.
#[must_use]
pub fn judge_body(operation: Operation, body: &[u8]) -> BodyVerdict {
    let mut meter = Meter::new(operation);
    let seen = meter.body(body);
    BodyVerdict {
        usage: meter.has_usage().then(|| meter.usage(0)),
        error: seen == Seen::Error,
        empty: seen == Seen::Finished { empty: true },
        invalid: seen == Seen::Invalid,
        model: meter.model,
        finish_reason: meter.finish_reason,
    }
}
