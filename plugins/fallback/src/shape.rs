//! What the headers of an answer promise of its body.

use sluice_core::filter::Headers;

/// What a response's headers promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Stream,
    Json,
    /// Encoded, so that nobody here can read it.
    Unread,
    Other,
}

impl Shape {
    pub(crate) fn of(headers: &Headers) -> Self {
        let encoding = headers.text("content-encoding").unwrap_or_default();
        if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("identity") {
            return Self::Unread;
        }
        let kind = headers.text("content-type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match kind.as_str() {
            "text/event-stream" => Self::Stream,
            "application/json" => Self::Json,
            kind if kind.ends_with("+json") => Self::Json,
            _ => Self::Other,
        }
    }
}
