//! Reads a finished event stream the plain way, so that it can judge what the gateway's own decoder made of it.

use serde_json::Value;

/// One event of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// `event:` field; empty without one.
    pub name: String,
    /// `data:` lines, joined by line feeds.
    pub data: String,
}

impl Event {
    /// The data as JSON; `Null` where it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_default()
    }
}

/// All events that are complete in `bytes`.
#[must_use]
pub fn events(bytes: &[u8]) -> Vec<Event> {
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n").replace('\r', "\n");
    let complete = text.rfind("\n\n").map_or("", |end| &text[..end]);
    complete.split("\n\n").map(event).filter(|event| !event.data.is_empty()).collect()
}

fn event(block: &str) -> Event {
    let mut event = Event::default();
    let mut data = Vec::new();
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => data.push(value),
            "event" => value.clone_into(&mut event.name),
            _ => {}
        }
    }
    event.data = data.join("\n");
    event
}

/// The text that a stream's events add up to, whatever its operation.
#[must_use]
pub fn text(events: &[Event]) -> String {
    events.iter().map(Event::json).map(|json| piece(&json)).collect()
}

fn piece(json: &Value) -> String {
    ["/choices/0/delta/content", "/choices/0/text", "/delta"]
        .into_iter()
        .find_map(|path| json.pointer(path).and_then(Value::as_str))
        .unwrap_or_default()
        .to_owned()
}

/// The error objects among the events.
#[must_use]
pub fn errors(events: &[Event]) -> Vec<Value> {
    events
        .iter()
        .filter_map(|event| event.json().get("error").filter(|error| !error.is_null()).cloned())
        .collect()
}

/// Whether the last event is `[DONE]`.
#[must_use]
pub fn is_done(events: &[Event]) -> bool {
    events.last().is_some_and(|event| event.data == "[DONE]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_any_line_end_are_read() {
        for end in ["\n", "\r\n", "\r"] {
            let stream = [": hi", "event: x", "data: 1", "data: 2", "", "data: [DONE]", "", ""].join(end);
            let got = events(stream.as_bytes());
            assert_eq!(got.len(), 2, "{got:?}");
            assert_eq!((got[0].name.as_str(), got[0].data.as_str()), ("x", "1\n2"));
            assert!(is_done(&got));
        }
    }

    #[test]
    fn an_unfinished_event_does_not_count() {
        assert!(events(b"data: 1\n").is_empty());
    }
}
