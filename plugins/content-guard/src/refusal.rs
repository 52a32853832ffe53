//! What the client gets in the place of what is withheld.

use sluice_core::context;
use sluice_core::filter::{Filter as _, Host, Side};
use sluice_core::openai::Operation;
use sluice_core::openai::error::{Code, LocalReply};

use crate::ContentGuard;
use crate::config::{Config, Direction, Form};
use crate::ending;
use crate::exchange::Withheld;

/// The word for an answer that was withheld, as OpenAI's own filters have it
/// (<https://platform.openai.com/docs/api-reference/chat/object>).
pub(crate) const CONTENT_FILTER: &str = "content_filter";

/// Said where a service does not answer, with the time after which to ask again, in milliseconds.
const UNAVAILABLE: &str = "The content cannot be checked at the moment. Try again shortly.";
const RETRY_MS: u64 = 1_000;

/// What a request asks for, from the router or else from its path.
pub(crate) fn operation(host: &dyn Host) -> Operation {
    if let Some(operation) = context::OPERATION.read(host, Operation::from_name) {
        return operation;
    }
    let path = String::from_utf8(host.header(Side::Request, ":path").unwrap_or_default()).unwrap_or_default();
    Operation::of_path(&path)
}

/// The code and the words of an error.
pub(crate) fn error(config: &Config, direction: Direction, withheld: Withheld) -> (Code, &str) {
    match (withheld, direction) {
        (Withheld::Blocked, _) => (Code::ContentPolicyViolation, &config.refusal.message),
        (Withheld::Unavailable, _) => (Code::GuardUnavailable, UNAVAILABLE),
        (Withheld::Unreadable, Direction::Request) => {
            (Code::ContentPolicyViolation, "The request contains a part that cannot be checked.")
        }
        (Withheld::Unreadable, Direction::Response) => {
            (Code::ContentPolicyViolation, "The answer contains a part that cannot be checked.")
        }
    }
}

/// Whether a refusal looks like a model's answer: only what a check objects to does.
pub(crate) fn is_completion(config: &Config, withheld: Withheld) -> bool {
    config.refusal.form == Form::Completion && withheld == Withheld::Blocked
}

/// A reply, while the client has seen nothing of an answer.
pub(crate) fn reply(
    host: &mut dyn Host,
    config: &Config,
    direction: Direction,
    withheld: Withheld,
) -> LocalReply {
    let (code, message) = error(config, direction, withheld);
    if !is_completion(config, withheld) {
        let mut reply = LocalReply::error(code, None, message);
        if withheld == Withheld::Unavailable {
            reply.headers.push(("retry-after", RETRY_MS.div_ceil(1_000).to_string()));
            reply.headers.push(("retry-after-ms", RETRY_MS.to_string()));
        }
        return reply;
    }
    context::FINISH_REASON.set(host, CONTENT_FILTER);
    if direction == Direction::Request {
        free_of_charge(host);
    }
    let stream = context::STREAM.is(host, "true");
    let model = context::MODEL.get(host).unwrap_or_default();
    let now_ns = host.now_ns();
    let created_s = host.now_ms() / 1_000;
    ending::refusal(operation(host), stream, &model, created_s, &format!("{now_ns:016x}"), message)
}

/// No model has read or said anything: nobody is to meter the refusal as its answer.
fn free_of_charge(host: &mut dyn Host) {
    context::METER.set(host, ContentGuard::NAME);
    context::INPUT_TOKENS.set_number(host, 0);
    context::OUTPUT_TOKENS.set_number(host, 0);
}
