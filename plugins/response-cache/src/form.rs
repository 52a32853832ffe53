//! The two forms in which an answer comes.

/// How an answer was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// Server-sent events.
    Stream,
    /// One JSON document.
    Document,
}

impl Form {
    /// The media type of an answer that is written in this form.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Stream => "text/event-stream",
            Self::Document => "application/json",
        }
    }
}
