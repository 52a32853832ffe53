//! What was asked and what was answered, as far as the record holds it.

use sluice_core::filter::{Headers, Host, Next, Side};
use sluice_core::openai::Operation;
use sluice_core::openai::error::ERROR_HEADER;

use crate::body::Body;
use crate::config::Limit;
use crate::excerpt::Excerpt;

/// The texts of one request and of its answer.
pub(crate) struct Conversation {
    limit: Limit,
    request: Option<Body>, // none: not readable, or read
    prompt: Option<Excerpt>,
    answer: Option<Body>,
}

/// What the record says of both sides.
#[derive(Debug, Default)]
pub(crate) struct Said {
    /// What was asked.
    pub(crate) prompt: Option<Excerpt>,
    /// What was answered, as the client got it.
    pub(crate) answer: Option<Excerpt>,
}

impl Conversation {
    /// Begins with the headers of a request; `None` where the operation is none whose texts are known.
    pub(crate) fn begin(limit: Limit, operation: Operation, headers: &Headers) -> Option<Self> {
        let known = operation != Operation::Other;
        let request = Body::request(headers).filter(|_| known);
        known.then_some(Self { limit, request, prompt: None, answer: None })
    }

    /// What of the request is to be shown next.
    pub(crate) const fn next(&self) -> Next {
        if self.request.is_some() { Next::Watch } else { Next::Pass }
    }

    /// A part of the request's body.
    pub(crate) fn asked(&mut self, part: &[u8], end: bool) -> Next {
        let wanted = self.request.as_mut().is_some_and(|body| body.pass(part, end));
        if end || !wanted {
            self.prompt = self.request.take().filter(|_| end).and_then(|body| body.prompt(self.limit));
        }
        self.next()
    }

    /// The answer's headers have come. Whether its body is to be shown: what the gateway says of an error of its own
    /// stands in the record already.
    pub(crate) fn answered(&mut self, host: &dyn Host) -> bool {
        let headers = host.headers(Side::Response);
        let own = headers.has(ERROR_HEADER);
        self.answer = if own { None } else { Body::answer(&headers, self.limit) };
        self.answer.is_some()
    }

    /// A part of the answer's body.
    pub(crate) fn passed(&mut self, part: &[u8], end: bool) {
        if let Some(body) = &mut self.answer {
            body.pass(part, end);
        }
    }

    /// All that was said.
    pub(crate) fn finish(self) -> Said {
        let answer = self.answer.and_then(|body| body.said(self.limit));
        Said { prompt: self.prompt, answer }
    }
}
