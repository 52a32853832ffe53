//! How an attempt fails: handed back to Envoy for another, or answered here when it was the last.

use sluice_core::context;
use sluice_core::filter::{Host, Next, Side};
use sluice_core::openai::error::{Code, ERROR_HEADER, LocalReply};

use crate::attempt::Attempt;
use crate::gate::Fault;
use crate::phase::Phase;
use crate::{Fallback, RETRY_HEADER};

/// How long a failed attempt waits for something of its body, in milliseconds. It mostly comes with the headers.
const BODY_WAIT_MS: u64 = 100;

/// Which part of an answer is at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Headers { end: bool },
    Body { end: bool },
}

impl Part {
    const fn is_end(self) -> bool {
        let (Self::Headers { end } | Self::Body { end }) = self;
        end
    }
}

/// How an attempt failed, and whether another may follow.
#[derive(Debug)]
pub(crate) struct Outcome {
    last: bool,
    verdict: String,
}

impl Fallback {
    pub(crate) fn fault(&mut self, host: &mut dyn Host, attempt: &Attempt, fault: Fault, part: Part) -> Next {
        self.fail(host, attempt, 200, fault.name(), fault.words(), part)
    }

    pub(crate) fn fail(
        &mut self,
        host: &mut dyn Host,
        attempt: &Attempt,
        status: u16,
        verdict: &str,
        words: &str,
        part: Part,
    ) -> Next {
        attempt.close(host, status, verdict);
        attempt.lament(host, words);
        let outcome = Outcome { last: attempt.is_last(), verdict: verdict.to_owned() };
        if part == (Part::Headers { end: false }) {
            // A filter before us may have held a body and let it go with the headers. It reaches us next: were the
            // attempt ended now, it would reach a context that is gone, which traps the VM (Envoy 1.40).
            host.wake_after(BODY_WAIT_MS);
            self.phase = Phase::Failing { outcome };
            return Next::Hold;
        }
        self.end_attempt(host, &outcome, part)
    }

    /// Hands the attempt back to Envoy for another; the last one is answered here, for a reply made in this stage
    /// is final.
    pub(crate) fn end_attempt(&mut self, host: &mut dyn Host, outcome: &Outcome, part: Part) -> Next {
        let code = Code::UpstreamError;
        let tried = context::TRIED.get(host).unwrap_or_default();
        let message = format!("No provider answered. Tried: {tried}.");
        self.phase = Phase::Failed;
        if outcome.last {
            let mut reply = LocalReply::error(code, None, &message);
            reply.headers.extend(retry_after(host));
            return Next::Reply(reply);
        }
        host.set_header(Side::Response, ":status", &code.status().to_string());
        host.set_header(Side::Response, RETRY_HEADER, &outcome.verdict);
        host.set_header(Side::Response, ERROR_HEADER, code.name());
        host.set_header(Side::Response, "content-type", "application/json");
        host.remove_header(Side::Response, "content-encoding");
        host.remove_header(Side::Response, "content-length");
        if let Part::Body { .. } = part {
            host.set_body(Side::Response, code.body(None, &message).as_bytes());
        }
        if part.is_end() { Next::Pass } else { Next::Watch }
    }
}

/// The provider's wish for when to come back, passed on with the error that ends the chain.
fn retry_after(host: &dyn Host) -> Option<(&'static str, String)> {
    let value = host.header(Side::Response, "retry-after")?;
    Some(("retry-after", String::from_utf8(value).ok()?))
}
