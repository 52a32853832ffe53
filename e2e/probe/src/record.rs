//! What a probe was shown.

use serde::Serialize;

/// Longest text recorded of a body, in bytes.
const MAX_TEXT: usize = 2_000;

/// One stream as the probe saw it.
#[derive(Debug, Default, Serialize)]
pub struct Record {
    /// The request.
    pub request: Seen,
    /// The response.
    pub response: Seen,
    /// Callouts, wake-ups and notes, in the order in which they came.
    pub notes: Vec<String>,
}

/// One side as the probe saw it.
#[derive(Debug, Default, Serialize)]
pub struct Seen {
    /// Times that headers came.
    pub headers: usize,
    /// Parts that came.
    pub parts: usize,
    /// Parts that came as the last one.
    pub ends: usize,
    /// Parts that came after the last one.
    pub late: usize,
    /// Bytes in all parts.
    pub bytes: usize,
    /// All parts in one, up to 2,000 bytes or a little more.
    pub text: String,
}

impl Seen {
    /// Takes a part down.
    pub fn part(&mut self, part: &[u8], end: bool) {
        self.late = self.late.saturating_add(usize::from(self.ends > 0));
        self.parts = self.parts.saturating_add(1);
        self.ends = self.ends.saturating_add(usize::from(end));
        self.bytes = self.bytes.saturating_add(part.len());
        if self.text.len() < MAX_TEXT {
            self.text.push_str(&String::from_utf8_lossy(part));
        }
    }
}
