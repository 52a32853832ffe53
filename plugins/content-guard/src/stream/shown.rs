//! What the client has seen of a streamed answer, as far as an ending of our own must fit to it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sluice_core::sse;

/// The state of an answer in the client's eyes.
#[derive(Debug, Default)]
pub struct Shown {
    is_begun: bool,
    /// The stream has ended by its protocol.
    pub(crate) is_over: bool,
    /// The last chunk of a chat or completion, or the `response` or `message` of the first event.
    pub(crate) head: Value,
    /// Choices, and whether each is finished.
    pub(crate) choices: BTreeMap<u64, bool>,
    /// Blocks that are open.
    pub(crate) blocks: BTreeSet<u64>,
    /// Items that are whole.
    pub(crate) items: BTreeMap<u64, Value>,
    /// A Messages answer has told its reason to stop.
    pub(crate) is_stopped: bool,
    /// The next event's number, of a Responses answer.
    pub(crate) sequence: Option<u64>,
}

impl Shown {
    /// Whether the client has seen nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        !self.is_begun
    }

    /// Whole events have left.
    pub(super) fn add(&mut self, raw: &[u8]) {
        self.is_begun |= !raw.is_empty();
        let Some(data) = sse::parse(raw).data else { return };
        if data.trim_ascii() == b"[DONE]" {
            self.is_over = true;
        } else if let Ok(event) = serde_json::from_slice::<Value>(&data) {
            self.event(event);
        }
    }

    fn event(&mut self, mut event: Value) {
        if let Some(number) = event.get("sequence_number").and_then(Value::as_u64) {
            self.sequence = Some(number.saturating_add(1));
        }
        let index = |name| event.get(name).and_then(Value::as_u64).unwrap_or(0);
        match event.get("type").and_then(Value::as_str).unwrap_or_default() {
            "message_start" => self.head = event.get_mut("message").map(Value::take).unwrap_or_default(),
            "content_block_start" => {
                self.blocks.insert(index("index"));
            }
            "content_block_stop" => {
                self.blocks.remove(&index("index"));
            }
            "message_delta" => self.is_stopped = true,
            "message_stop" | "response.completed" | "response.incomplete" | "response.failed" | "error" => {
                self.is_over = true;
            }
            "response.created" => self.head = event.get_mut("response").map(Value::take).unwrap_or_default(),
            "response.output_item.done" => {
                let at = index("output_index");
                self.items.insert(at, event.get_mut("item").map(Value::take).unwrap_or_default());
            }
            _ => self.chunk(event),
        }
    }

    /// A chunk of a chat or a completion, if it is one.
    fn chunk(&mut self, mut event: Value) {
        let Some(choices) = event.get_mut("choices").map(Value::take) else { return };
        for choice in choices.as_array().into_iter().flatten() {
            let index = choice.get("index").and_then(Value::as_u64).unwrap_or(0);
            let finished = choice.get("finish_reason").is_some_and(Value::is_string);
            *self.choices.entry(index).or_default() |= finished;
        }
        self.head = event;
    }
}
