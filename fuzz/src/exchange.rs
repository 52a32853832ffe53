//! An exchange through one filter, as Envoy and the adapter let it go.

use sluice_core::filter::{Filter, Next, Side};
use sluice_core::openai::error::LocalReply;
use sluice_core::testing::FakeHost;

/// What became of one side.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// These bytes went on.
    On(Vec<u8>),
    /// The filter answered the client itself.
    Replied(LocalReply),
    /// The exchange broke off after these bytes.
    Broke(Vec<u8>),
    /// It waits for a callout or a time that does not come.
    Waits,
}

/// One side on its way.
struct Line<'a, F> {
    filter: &'a mut F,
    host: &'a mut FakeHost,
    side: Side,
    next: Next,
    held: Vec<u8>,
    gone: Vec<u8>,
}

impl<F: Filter> Line<'_, F> {
    fn body(&mut self) -> &mut Option<Vec<u8>> {
        match self.side {
            Side::Request => &mut self.host.request_body,
            Side::Response => &mut self.host.response_body,
        }
    }

    /// Shows a part; what the filter sets takes the place of what is held, what it appends stands behind it.
    fn show(&mut self, part: &[u8], end: bool) {
        *self.body() = Some(self.held.clone());
        self.next = match self.side {
            Side::Request => self.filter.on_request_body(self.host, part, end),
            Side::Response => self.filter.on_response_body(self.host, part, end),
        };
        self.held = self.body().take().unwrap_or_default();
        self.go();
    }

    fn go(&mut self) {
        if matches!(self.next, Next::Pass | Next::Watch | Next::End) {
            self.gone.append(&mut self.held);
        }
    }

    /// A chunk has come; the last one has `end`.
    fn take(&mut self, chunk: &[u8], end: bool) {
        self.held.extend_from_slice(chunk);
        match self.next {
            Next::Watch | Next::Hold => self.show(chunk, end),
            Next::End if end => self.show(b"", true),
            Next::Whole { max_bytes } if end || self.held.len() > max_bytes => {
                self.show(&self.held.clone(), end);
            }
            _ => self.go(),
        }
    }
}

/// Lets the headers of `side`, which the host holds, and this body pass in chunks of `size` bytes.
pub(crate) fn pass<F: Filter>(
    filter: &mut F,
    host: &mut FakeHost,
    side: Side,
    body: &[u8],
    size: usize,
) -> Gone {
    let next = match side {
        Side::Request => filter.on_request_headers(host, false),
        Side::Response => filter.on_response_headers(host, false),
    };
    let mut line = Line { filter, host, side, next, held: Vec::new(), gone: Vec::new() };
    let mut rest = body;
    loop {
        match line.next {
            Next::Reply(reply) => return Gone::Replied(reply),
            Next::Break => return Gone::Broke(line.gone),
            _ => {}
        }
        let (chunk, after) = rest.split_at(size.min(rest.len()));
        let end = after.is_empty();
        line.take(chunk, end);
        rest = after;
        if end {
            break;
        }
    }
    match line.next {
        Next::Reply(reply) => Gone::Replied(reply),
        Next::Break => Gone::Broke(line.gone),
        _ if line.held.is_empty() => Gone::On(line.gone),
        _ => Gone::Waits,
    }
}
