//! The parts of a healthy answer, in the form of the operation that was asked for.

use serde_json::{Value, json};

use super::{Asked, chat, responses};
use crate::script::{Script, Usage};

/// Tokens that every prompt counts.
pub(super) const INPUT_TOKENS: usize = 11;
/// Input tokens that were read from the provider's cache.
pub(super) const CACHED_TOKENS: usize = 3;

/// One provider answering one request.
pub(super) struct Voice<'a> {
    pub(super) provider: &'a str,
    pub(super) script: &'a Script,
    /// Content events, in order.
    pub(super) words: Vec<String>,
    /// Model as it names it: the one asked for, and who it is.
    pub(super) model: String,
    pub(super) include_usage: bool,
}

impl<'a> Voice<'a> {
    pub(super) fn new(provider: &'a str, asked: &Asked, script: &'a Script) -> Self {
        let model = format!("{}@{provider}", asked.model);
        Self { provider, script, words: words(provider, script), model, include_usage: asked.include_usage }
    }

    /// Events before the first content.
    pub(super) fn opening(&self, path: &str) -> Vec<String> {
        match operation(path) {
            "responses" => responses::opening(self),
            "text" => Vec::new(),
            _ => vec![chat::role(self)],
        }
    }

    /// The content event `index`.
    pub(super) fn content(&self, path: &str, index: usize) -> Vec<String> {
        match operation(path) {
            "responses" => vec![responses::content(self, index)],
            "text" => vec![chat::text(self, &self.words[index], None, index + 1)],
            _ => vec![chat::content(self, index)],
        }
    }

    /// Events after the last content.
    pub(super) fn closing(&self, path: &str) -> Vec<String> {
        match operation(path) {
            "responses" => responses::closing(self),
            "text" => chat::closing(self, true),
            _ => chat::closing(self, false),
        }
    }

    /// A whole body.
    pub(super) fn whole(&self, path: &str) -> String {
        match operation(path) {
            "responses" => responses::whole(self, "completed").to_string(),
            "text" => chat::whole_text(self),
            "embeddings" => self.embeddings().to_string(),
            "audio" => json!({"text": self.text()}).to_string(),
            "models" => json!({"object": "list", "data": [{"id": "mock", "object": "model"}]}).to_string(),
            _ => chat::whole(self),
        }
    }

    /// All words.
    pub(super) fn text(&self) -> String {
        if self.script.empty { String::new() } else { self.words.concat() }
    }

    /// Words that count as reasoning: the first half, if the script wants any.
    pub(super) fn reasoning_words(&self) -> usize {
        if self.script.reasoning { self.words.len() / 2 } else { 0 }
    }

    /// `usage` of chat and text completions after `output` tokens.
    pub(super) fn usage(&self, output: usize) -> Value {
        json!({
            "prompt_tokens": INPUT_TOKENS,
            "completion_tokens": output,
            "total_tokens": INPUT_TOKENS + output,
            "prompt_tokens_details": {"cached_tokens": CACHED_TOKENS, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": self.reasoning_words().min(output)},
        })
    }

    /// Output tokens of the whole answer.
    pub(super) fn output_tokens(&self) -> usize {
        if self.script.empty { 0 } else { self.words.len() }
    }

    fn embeddings(&self) -> Value {
        let mut body = json!({
            "object": "list",
            "data": [{"object": "embedding", "index": 0, "embedding": [0.25, -0.5, 1.0]}],
            "model": self.model,
        });
        if self.script.usage != Usage::Never {
            body["usage"] = json!({"prompt_tokens": INPUT_TOKENS, "total_tokens": INPUT_TOKENS});
        }
        body
    }
}

fn operation(path: &str) -> &'static str {
    [
        ("/chat/completions", "chat"),
        ("/completions", "text"),
        ("/embeddings", "embeddings"),
        ("/responses", "responses"),
        ("/audio/transcriptions", "audio"),
        ("/models", "models"),
    ]
    .into_iter()
    .find_map(|(suffix, operation)| path.ends_with(suffix).then_some(operation))
    .unwrap_or("chat")
}

/// The default words hold characters of two, three and four bytes: chunks may split them.
fn words(provider: &str, script: &Script) -> Vec<String> {
    let mut words: Vec<String> = match &script.say {
        Some(text) => text.split_inclusive(' ').map(str::to_owned).collect(),
        None => (0..script.events)
            .map(|n| match n {
                0 => format!("Hello from {provider}"),
                1 => ", café 你好 🚰".to_owned(),
                _ => format!(" {n}"),
            })
            .collect(),
    };
    if let Some(first) = words.first_mut() {
        first.push_str(&"x".repeat(script.filling));
    }
    words
}
