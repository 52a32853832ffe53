//! What an answer says it used, read the plain way from its bytes, so that it can judge what the gateway has read.

use std::ops::AddAssign;

use serde_json::Value;

use crate::sse;

/// Tokens as a provider reports them: `cached` ones are part of the input, `reasoning` of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Of the request.
    pub input: u64,
    /// Of the answer.
    pub output: u64,
    /// Read from the provider's cache.
    pub cached: u64,
    /// Thought, not said.
    pub reasoning: u64,
}

impl AddAssign for Tokens {
    fn add_assign(&mut self, other: Self) {
        self.input += other.input;
        self.output += other.output;
        self.cached += other.cached;
        self.reasoning += other.reasoning;
    }
}

/// The last word of a document or a stream on what it used; `None` if it reports nothing.
#[must_use]
pub fn tokens(body: &[u8]) -> Option<Tokens> {
    match serde_json::from_slice(body) {
        Ok(document) => usage(&document).map(read),
        Err(_) => {
            let events = sse::events(body).into_iter().map(|event| event.json());
            // Events of Messages report their own part each; elsewhere the last repeats all.
            let mut all = Value::Null;
            for event in events {
                for (name, value) in usage(&event).and_then(Value::as_object).into_iter().flatten() {
                    all[name] = value.clone();
                }
            }
            (!all.is_null()).then(|| read(&all))
        }
    }
}

fn usage(json: &Value) -> Option<&Value> {
    ["/usage", "/response/usage", "/message/usage"]
        .into_iter()
        .find_map(|path| json.pointer(path).filter(|usage| usage.is_object()))
}

fn read(usage: &Value) -> Tokens {
    let first = |paths: &[&str]| paths.iter().find_map(|path| usage.pointer(path)?.as_u64()).unwrap_or(0);
    // Messages count what their cache gave or took beside the input, the others within it.
    let beside = ["/cache_read_input_tokens", "/cache_creation_input_tokens"].map(|path| first(&[path]));
    Tokens {
        input: first(&["/prompt_tokens", "/input_tokens"]) + beside[0] + beside[1],
        output: first(&["/completion_tokens", "/output_tokens"]),
        cached: first(&[
            "/prompt_tokens_details/cached_tokens",
            "/input_tokens_details/cached_tokens",
            "/cache_read_input_tokens",
        ]),
        reasoning: first(&[
            "/completion_tokens_details/reasoning_tokens",
            "/output_tokens_details/reasoning_tokens",
        ]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_protocol_is_read() {
        let chat = json!({"usage": {"prompt_tokens": 11, "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 3}, "completion_tokens_details": {"reasoning_tokens": 2}}});
        let want = Tokens { input: 11, output: 5, cached: 3, reasoning: 2 };
        assert_eq!(tokens(chat.to_string().as_bytes()), Some(want));
        let stream = format!("data: {{\"usage\":null}}\n\ndata: {chat}\n\ndata: [DONE]\n\n");
        assert_eq!(tokens(stream.as_bytes()), Some(want));
        let messages = "data: {\"message\":{\"usage\":{\"input_tokens\":8,\"cache_read_input_tokens\":3,\"output_tokens\":1}}}\n\n\
                        data: {\"usage\":{\"output_tokens\":5}}\n\n";
        assert_eq!(tokens(messages.as_bytes()), Some(Tokens { reasoning: 0, ..want }));
        assert_eq!(tokens(b"data: {}\n\n"), None);
    }
}
