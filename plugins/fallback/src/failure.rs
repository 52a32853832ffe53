//! How an attempt fails: handed back to Envoy for another, or answered here when it was the last.

use sluice_core::context;
use sluice_core::filter::{Host, Next, Side};
use sluice_core::openai::error::{Code, ERROR_HEADER, LocalReply};

use crate::attempt::Attempt;
use crate::gate::Fault;
use crate::phase::Phase;
use crate::{Fallback, RETRY_HEADER};

/// Which part of an answer is at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Headers { end: bool },
    Body { end: bool },
}

/// Why an attempt failed.
#[derive(Debug)]
pub(crate) struct Failure {
    status: u16,
    /// In the record.
    verdict: String,
    /// In the message to the client.
    words: String,
}

impl Failure {
    pub(crate) fn of_status(status: u16) -> Self {
        Self { status, verdict: format!("status_{status}"), words: format!("status {status}") }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self { status: 200, verdict: fault.name().to_owned(), words: fault.words().to_owned() }
    }
}

impl Fallback {
    /// Hands the attempt back to Envoy for another; the last one is answered here, for a reply made in this stage
    /// is final.
    pub(crate) fn fail(
        &mut self,
        host: &mut dyn Host,
        attempt: &Attempt,
        failure: impl Into<Failure>,
        part: Part,
    ) -> Next {
        let failure = failure.into();
        attempt.close(host, failure.status, &failure.verdict);
        attempt.lament(host, &failure.words);
        let code = Code::UpstreamError;
        let tried = context::TRIED.get(host).unwrap_or_default();
        let message = format!("No provider answered. Tried: {tried}.");
        if attempt.is_last() {
            let mut reply = LocalReply::error(code, None, &message);
            reply.headers.extend(retry_after(host));
            return Next::Reply(reply);
        }
        host.set_header(Side::Response, ":status", &code.status().to_string());
        host.set_header(Side::Response, RETRY_HEADER, &failure.verdict);
        host.set_header(Side::Response, ERROR_HEADER, code.name());
        host.set_header(Side::Response, "content-type", "application/json");
        host.remove_header(Side::Response, "content-encoding");
        host.remove_header(Side::Response, "content-length");
        self.phase = Phase::Failed { body: code.body(None, &message).into_bytes() };
        match part {
            Part::Headers { end: true } => Next::Pass,
            Part::Headers { end: false } => Next::Watch,
            Part::Body { end } => self.replace(host, end),
        }
    }

    /// Puts the error in the place of the provider's body, should Envoy not try again after all.
    pub(crate) fn replace(&mut self, host: &mut dyn Host, end: bool) -> Next {
        if let Phase::Failed { body } = &mut self.phase {
            host.set_body(Side::Response, &std::mem::take(body));
        }
        if end { Next::Pass } else { Next::Watch }
    }
}

/// The provider's wish for when to come back, passed on with the error that ends the chain.
fn retry_after(host: &dyn Host) -> Option<(&'static str, String)> {
    let value = host.header(Side::Response, "retry-after")?;
    Some(("retry-after", String::from_utf8(value).ok()?))
}
