//! Replies of Redis as one HTTP/1.1 response.

use sluice_core::redis::{DecodeError, Frames, Progress};

/// `redis_proxy` answers this by itself, at once. A network filter can write to a connection only in place of what
/// somebody else writes: this makes somebody write.
pub(crate) const NUDGE: &[u8] = b"*1\r\n$4\r\nPING\r\n";

/// Why replies go no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error("they are larger than max_reply_bytes")]
    TooLarge,
    #[error("they are not Redis replies: {0}")]
    Garbage(DecodeError),
}

impl Problem {
    pub(crate) fn status(self) -> &'static str {
        match self {
            Self::TooLarge => "507 Insufficient Storage",
            Self::Garbage(_) => "502 Bad Gateway",
        }
    }
}

/// The replies that have come so far, no more than their bound.
#[derive(Debug)]
pub(crate) struct Outbox {
    replies: Vec<u8>,
    frames: Frames,
    max_bytes: usize,
}

impl Outbox {
    /// Awaits `count` replies.
    pub(crate) fn new(count: usize, max_bytes: usize) -> Self {
        Self { replies: Vec::new(), frames: Frames::new(count), max_bytes }
    }

    /// Takes the next chunk, cut anywhere; the response once the replies are complete.
    pub(crate) fn take(&mut self, chunk: &[u8]) -> Result<Option<Vec<u8>>, Problem> {
        if self.replies.len().saturating_add(chunk.len()) > self.max_bytes {
            return Err(Problem::TooLarge);
        }
        self.replies.extend_from_slice(chunk);
        match self.frames.feed(&self.replies) {
            Ok(Progress::More) => Ok(None),
            Ok(Progress::Complete(end)) if end == self.replies.len() => {
                Ok(Some(response("200 OK", "", &self.replies)))
            }
            Ok(Progress::Complete(_)) => Err(Problem::Garbage(DecodeError::Trailing)),
            Err(error) => Err(Problem::Garbage(error)),
        }
    }
}

/// A response after which the connection closes.
pub(crate) fn last(status: &str, message: &str) -> Vec<u8> {
    response(status, "connection: close\r\ncontent-type: text/plain\r\n", message.as_bytes())
}

fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut response =
        format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n", body.len()).into_bytes();
    response.extend_from_slice(body);
    response
}
