//! Between the stream and the document of OpenAI's Responses API.
//!
//! The last event holds the whole document. The other way, each output item is added, said in one delta and done.
//! Source: <https://platform.openai.com/docs/api-reference/responses-streaming>.

use super::events::{self, Stream};
use super::items::item;
use super::raw::{Object, compact, elements, get, is_empty, members, quote, text};

/// Members that are not known when the response is created.
const LATE: [&[u8]; 2] = [b"usage", b"completed_at"];

/// The document of the whole stream `body`: `response` of its last event, as it stands. `None` if items were added
/// that are not in it.
pub(super) fn document(body: &[u8]) -> Option<Vec<u8>> {
    let mut has_items = false;
    for (name, data) in events::read(body)? {
        if events::is_done(&data) {
            continue;
        }
        let event = members(&data)?;
        let of = get(&event, b"type").and_then(text).unwrap_or(name);
        has_items |= of == b"response.output_item.added";
        if of == b"response.completed" {
            let response = get(&event, b"response")?;
            let output = members(response).and_then(|response| get(&response, b"output"))?;
            return (!has_items || !is_empty(output)).then(|| response.to_vec());
        }
    }
    None
}

/// The stream of the whole document `body`.
pub(super) fn stream(body: &[u8]) -> Option<Vec<u8>> {
    let body = compact(body)?;
    let created = created(&body)?;
    let mut events = Events { out: Stream::of(body.len()), sequence: 0 };
    events.add("response.created", Object::new().with("response", &created))?;
    events.add("response.in_progress", Object::new().with("response", &created))?;
    let response = members(&body)?;
    for (index, output) in elements(get(&response, b"output")?)?.into_iter().enumerate() {
        item(&mut events, index, output)?;
    }
    events.add("response.completed", Object::new().with("response", &body))?;
    Some(events.out.end())
}

/// The response before anything is said.
fn created(response: &[u8]) -> Option<Vec<u8>> {
    let mut out = Object::new();
    for (name, value) in members(response)? {
        match name {
            b"status" => out.add(name, r#""in_progress""#),
            b"output" => out.add(name, "[]"),
            b"output_text" => {} // some servers write out what OpenAI's client computes
            name if LATE.contains(&name) => out.add(name, "null"),
            _ => out.add(name, value),
        }
    }
    Some(out.end())
}

/// The events as they are written.
pub(super) struct Events {
    out: Stream,
    sequence: u64,
}

impl Events {
    /// Writes the event `kind` with these `members`. `None` if the stream becomes too large.
    pub(super) fn add(&mut self, kind: &str, members: Object) -> Option<()> {
        let data = Object::new().with("type", quote(kind.as_bytes()));
        let data = data.with("sequence_number", self.sequence.to_string()).with_all(&members);
        self.sequence = self.sequence.saturating_add(1);
        self.out.add(kind.as_bytes(), &data.end())
    }
}
