//! What a client gets in the place of an answer, or of the rest of one, in the protocol of its operation.
//!
//! Sources: <https://platform.openai.com/docs/api-reference/chat/object> (`content_filter`),
//! <https://platform.openai.com/docs/api-reference/responses-streaming> (`response.incomplete`),
//! <https://docs.anthropic.com/en/api/handling-stop-reasons> (`refusal`).

mod cut;
mod whole;

use serde_json::Value;
use sluice_core::openai::Operation;
use sluice_core::openai::error::{Code, LocalReply, stream_event};
use sluice_core::sse;

use crate::stream::Shown;

/// How the client is told that the rest of an answer is withheld.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The answer ends, with the reason that providers give when they filter.
    Completion,
    /// The stream breaks with this error.
    Error(Code),
}

/// Who answers, as far as a whole answer names it.
#[derive(Clone, Copy, Debug)]
struct Frame<'a> {
    model: &'a str,
    created_s: u64,
    id: &'a str,
}

/// An answer of status 200 that says `message` and nothing else; a `stream`, if the client asked for one. `id` makes
/// it unlike others. Operations whose answers hold no text get the error.
#[must_use]
pub fn refusal(
    operation: Operation,
    stream: bool,
    model: &str,
    created_s: u64,
    id: &str,
    message: &str,
) -> LocalReply {
    let frame = Frame { model, created_s, id };
    let Some(answer) = whole::answer(operation, frame, message) else {
        return LocalReply::error(Code::ContentPolicyViolation, None, message);
    };
    if !stream {
        return LocalReply::json(answer.to_string());
    }
    let body = whole::stream(operation, &answer, message);
    LocalReply {
        headers: vec![
            ("content-type", "text/event-stream; charset=utf-8".to_owned()),
            ("cache-control", "no-cache".to_owned()),
        ],
        ..LocalReply::json(body)
    }
}

/// What follows on a stream that the client has seen up to `shown`, so that it ends in good order.
#[must_use]
pub fn cut(operation: Operation, shown: &Shown, ending: Ending, message: &str) -> Vec<u8> {
    match ending {
        _ if shown.is_over => Vec::new(),
        Ending::Error(code) => stream_event(operation, code, message).into_bytes(),
        Ending::Completion => match operation {
            Operation::Chat | Operation::TextCompletion => cut::choices(operation, shown),
            Operation::Messages => cut::message(shown),
            Operation::Responses => cut::response(shown),
            Operation::Embeddings | Operation::Other => {
                stream_event(operation, Code::ContentPolicyViolation, message)
            }
        }
        .into_bytes(),
    }
}

/// An event without a name.
fn data(event: &Value) -> String {
    String::from_utf8(sse::encode(b"", event.to_string().as_bytes())).unwrap_or_default()
}

/// An event that is named as its `type`.
fn typed(event: &Value) -> String {
    let name = event.get("type").and_then(Value::as_str).unwrap_or_default();
    String::from_utf8(sse::encode(name.as_bytes(), event.to_string().as_bytes())).unwrap_or_default()
}

/// The terminator of chats and completions.
const DONE: &str = "data: [DONE]\n\n";

#[cfg(test)]
mod tests;
