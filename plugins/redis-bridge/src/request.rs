//! One HTTP/1.1 request whose body is Redis commands.

use memchr::memmem;
use sluice_core::redis::{DecodeError, command_names};

/// Envoy's callouts have heads of some 200 bytes.
const MAX_HEAD: usize = 8_192;

/// Envoy adds a handful of headers to a callout's.
const MAX_HEADERS: usize = 64;

/// Commands that change what a connection means: `redis_proxy` keeps that, and connections are shared.
const STATEFUL: [&[u8]; 14] = [
    b"AUTH",
    b"CLIENT",
    b"DISCARD",
    b"EXEC",
    b"HELLO",
    b"MONITOR",
    b"MULTI",
    b"PSUBSCRIBE",
    b"QUIT",
    b"RESET",
    b"SELECT",
    b"SUBSCRIBE",
    b"UNWATCH",
    b"WATCH",
];

/// Why a request goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("not an HTTP/1.1 request")]
    Head,
    #[error("the head of the request is too large")]
    HeadTooLarge,
    #[error("the request must have a content-length")]
    NoLength,
    #[error("the body of the request is too large")]
    BodyTooLarge,
    #[error("the body must be Redis commands: {0}")]
    Commands(DecodeError),
    #[error("the body holds no command")]
    NoCommand,
    #[error("a command that changes the state of the connection is not passed on")]
    Stateful,
    #[error("more bytes than the content-length says")]
    Trailing,
}

impl Refusal {
    pub(crate) fn status(self) -> &'static str {
        match self {
            Self::NoLength => "411 Length Required",
            Self::BodyTooLarge => "413 Content Too Large",
            Self::HeadTooLarge => "431 Request Header Fields Too Large",
            Self::Head | Self::Commands(_) | Self::NoCommand | Self::Stateful | Self::Trailing => {
                "400 Bad Request"
            }
        }
    }
}

/// A whole request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// Its body, checked.
    pub(crate) commands: Vec<u8>,
    /// How many commands that is, at least 1.
    pub(crate) count: usize,
}

/// What has come of a request so far; never more than a head and a body may have, and the last chunk.
#[derive(Debug)]
pub(crate) struct Inbox {
    max_body: usize,
    bytes: Vec<u8>,
    searched: usize, // up to where the end of the head has been looked for
    body: Option<Body>,
}

#[derive(Clone, Copy, Debug)]
struct Body {
    start: usize,
    end: usize,
}

impl Inbox {
    /// Bodies may have up to `max_body` bytes.
    pub(crate) const fn new(max_body: usize) -> Self {
        Self { max_body, bytes: Vec::new(), searched: 0, body: None }
    }

    /// Takes the next chunk, cut anywhere.
    pub(crate) fn take(&mut self, chunk: &[u8]) -> Result<Option<Request>, Refusal> {
        self.bytes.extend_from_slice(chunk);
        if self.body.is_none() {
            self.body = self.read_head()?;
        }
        let Some(body) = self.body else { return Ok(None) };
        match self.bytes.len().cmp(&body.end) {
            std::cmp::Ordering::Less => Ok(None),
            std::cmp::Ordering::Greater => Err(Refusal::Trailing),
            std::cmp::Ordering::Equal => request(self.bytes.split_off(body.start)).map(Some),
        }
    }

    fn read_head(&mut self) -> Result<Option<Body>, Refusal> {
        const END: &[u8] = b"\r\n\r\n";
        // The end may be cut in two.
        let from = self.searched.saturating_sub(END.len());
        let found = memmem::find(self.bytes.get(from..).unwrap_or_default(), END);
        self.searched = self.bytes.len();
        let end = found.map(|at| at.saturating_add(from).saturating_add(END.len()));
        if end.unwrap_or(self.bytes.len()) > MAX_HEAD {
            return Err(Refusal::HeadTooLarge);
        }
        let Some(start) = end else { return Ok(None) };
        let length = content_length(self.bytes.get(..start).unwrap_or_default())?;
        if length > self.max_body {
            return Err(Refusal::BodyTooLarge);
        }
        Ok(Some(Body { start, end: start.saturating_add(length) }))
    }
}

/// `content-length` of a whole head.
fn content_length(head: &[u8]) -> Result<usize, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::HeadTooLarge),
        _ => return Err(Refusal::Head),
    }
    let named = |name: &'static str| {
        parsed
            .headers
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value)
    };
    if named("transfer-encoding").next().is_some() {
        return Err(Refusal::NoLength);
    }
    let mut lengths = named("content-length");
    let length = lengths.next().ok_or(Refusal::NoLength)?;
    if lengths.next().is_some() {
        return Err(Refusal::Head);
    }
    number(length).ok_or(Refusal::Head)
}

/// Digits alone (RFC 9110 section 8.6); what is too large for any memory is only that.
fn number(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(std::str::from_utf8(digits).ok()?.parse().unwrap_or(usize::MAX))
}

fn request(commands: Vec<u8>) -> Result<Request, Refusal> {
    let names = command_names(&commands).map_err(Refusal::Commands)?;
    let count = names.len();
    if count == 0 {
        return Err(Refusal::NoCommand);
    }
    if names.iter().any(|name| STATEFUL.iter().any(|stateful| stateful.eq_ignore_ascii_case(name))) {
        return Err(Refusal::Stateful);
    }
    Ok(Request { commands, count })
}
