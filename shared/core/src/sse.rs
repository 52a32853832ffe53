//! Server-sent events as bytes: split a stream into raw events, read one, write one.
//!
//! Source: <https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation>.
//! Nothing here asks for UTF-8, so a character that straddles two chunks needs no care. Two leniencies: a last
//! event without its blank line is still handed out, and a byte order mark is skipped before any event.

use std::borrow::Cow;

use memchr::memchr2;

mod split;

pub use split::{MAX_EVENT_BYTES, Piece, Splitter};

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// One event, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event<'a> {
    /// Value of the last `event` field; empty without one.
    pub name: &'a [u8],
    /// Values of the `data` fields, joined with line feeds and borrowed if there is only one. `None` without any
    /// such field: a comment, a keep-alive, a lone blank line. Clients never see such an event.
    pub data: Option<Cow<'a, [u8]>>,
}

/// Reads one raw event, as [`Splitter`] hands it out. Comments, `id`, `retry` and unknown fields are skipped.
#[must_use]
pub fn parse(raw: &[u8]) -> Event<'_> {
    let mut event = Event::default();
    let mut rest = raw.strip_prefix(BYTE_ORDER_MARK).unwrap_or(raw);
    while !rest.is_empty() {
        let (line, after) = split_line(rest);
        rest = after;
        let (field, value) = split_field(line);
        match field {
            b"event" => event.name = value,
            b"data" => event.data = Some(join(event.data, value)),
            _ => {}
        }
    }
    event
}

/// The line at the front without its end (LF, CR or CRLF), and what follows.
fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr2(b'\n', b'\r', bytes).unwrap_or(bytes.len());
    let (line, rest) = bytes.split_at_checked(end).unwrap_or((bytes, b""));
    let rest = rest.strip_prefix(b"\r\n").or_else(|| rest.get(1..)).unwrap_or_default();
    (line, rest)
}

/// Field name and value; one space after the colon is not part of the value. A comment has an empty name.
fn split_field(line: &[u8]) -> (&[u8], &[u8]) {
    let Some((field, value)) = memchr::memchr(b':', line).and_then(|colon| line.split_at_checked(colon))
    else {
        return (line, b"");
    };
    let value = value.strip_prefix(b":").unwrap_or(value);
    (field, value.strip_prefix(b" ").unwrap_or(value))
}

fn join<'a>(data: Option<Cow<'a, [u8]>>, line: &'a [u8]) -> Cow<'a, [u8]> {
    let Some(data) = data else {
        return Cow::Borrowed(line);
    };
    let mut data = data.into_owned();
    data.push(b'\n');
    data.extend_from_slice(line);
    Cow::Owned(data)
}

/// Writes one event with its blank line. Each line of `data` (LF, CR or CRLF) becomes a `data` field, so that
/// [`parse`] gives `data` back with line feeds. An empty `name` writes no `event` field; line ends in it are
/// left out.
#[must_use]
pub fn encode(name: &[u8], data: &[u8]) -> Vec<u8> {
    let mut raw = Vec::with_capacity(data.len().saturating_add(name.len()).saturating_add(32));
    if !name.is_empty() {
        raw.extend_from_slice(b"event: ");
        raw.extend(name.iter().filter(|byte| !matches!(byte, b'\n' | b'\r')));
        raw.push(b'\n');
    }
    let mut rest = data;
    loop {
        let (line, after) = split_line(rest);
        raw.extend_from_slice(b"data: ");
        raw.extend_from_slice(line);
        raw.push(b'\n');
        let ended_by_newline = line.len() < rest.len();
        if after.is_empty() && !ended_by_newline {
            break;
        }
        rest = after;
    }
    raw.push(b'\n');
    raw
}

#[cfg(test)]
mod tests;
