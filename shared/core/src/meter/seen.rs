//! What a meter says of one event, and of a stream's end.

/// What one event means to whoever waits for an answer to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing yet: a comment, a keep-alive, a role, usage, a step of the protocol.
    Nothing,
    /// The model says something, or calls a tool.
    Content,
    /// A finish reason or the terminator. With `empty`, no content came before it.
    Finished {
        /// No content came before.
        empty: bool,
    },
    /// The provider reports an error; [`super::Meter::error`] has its code.
    Error,
    /// The data is not one JSON object.
    Invalid,
}

impl Seen {
    /// Of a whole document, its name in the fact [`crate::context::ANSWER`].
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Finished { empty: true } => "empty",
            Self::Nothing | Self::Content | Self::Finished { .. } => "content",
            Self::Error => "error",
            Self::Invalid => "invalid",
        }
    }

    /// Of a whole document, what [`Self::name`] says.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let all = [Self::Finished { empty: true }, Self::Error, Self::Invalid];
        all.into_iter().find(|seen| seen.name() == name).unwrap_or(Self::Content)
    }
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// With its terminator.
    Complete,
    /// After an error event.
    ErrorEvent,
    /// Without either.
    Unterminated,
}

impl StreamEnd {
    /// Its name in the fact [`crate::context::STREAM_END`].
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ErrorEvent => "error_event",
            Self::Unterminated => "unterminated",
        }
    }
}

/// Longest error code, model or finish reason that is kept, in bytes: these go into facts and logs.
pub(super) const MAX_WORD: usize = 128;

/// A provider's word, made fit for facts and logs: short, without control characters. `None` if it is empty.
pub(super) fn word(text: &str) -> Option<String> {
    let end = text.floor_char_boundary(MAX_WORD);
    let text = text.get(..end)?;
    let mut text = text.to_owned();
    text.retain(|char| !char.is_control());
    (!text.is_empty()).then_some(text)
}
