//! A JSON object on one line, written member by member.

use std::fmt::Write as _;

use serde_json::Value;
use sluice_core::digits::Digits;

/// Longest value of most texts, in bytes: twice the longest model name in use.
pub(crate) const MAX_TEXT: usize = 256;

/// Room for a usual record, in bytes.
const CAPACITY: usize = 2048;

/// The beginning of `text`, at most `max` bytes long.
pub(crate) fn clip(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or_default()
}

/// An object under construction. What is absent or empty is left out.
pub(crate) struct Object(String);

impl Object {
    /// One without members.
    pub(crate) fn new() -> Self {
        let mut out = String::with_capacity(CAPACITY);
        out.push('{');
        Self(out)
    }

    /// `name` must need no escaping.
    fn name(&mut self, name: &str) {
        if !self.0.ends_with('{') {
            self.0.push(',');
        }
        self.0.push('"');
        self.0.push_str(name);
        self.0.push_str("\":");
    }

    /// `value` must be JSON on one line.
    pub(crate) fn json(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.name(name);
            self.0.push_str(value);
        }
    }

    /// A whole number.
    pub(crate) fn number(&mut self, name: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.name(name);
            self.digits(value);
        }
    }

    /// `true` or `false`.
    pub(crate) fn flag(&mut self, name: &str, value: Option<bool>) {
        self.json(name, value.map(|value| if value { "true" } else { "false" }));
    }

    /// Text cut to [`MAX_TEXT`].
    pub(crate) fn word(&mut self, name: &str, value: Option<&str>) {
        self.text(name, value.map(|value| clip(value, MAX_TEXT)));
    }

    /// Text as long as it is.
    pub(crate) fn text(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.name(name);
            self.quoted(value);
        }
    }

    /// A member that is an object itself, its members written by `write`.
    pub(crate) fn object(&mut self, name: &str, write: impl FnOnce(&mut Self)) {
        self.name(name);
        self.0.push('{');
        write(self);
        self.0.push('}');
    }

    /// A member whose name comes from a configuration or a fact.
    pub(crate) fn named(&mut self, name: &str, value: impl FnOnce(&mut Self)) {
        if !self.0.ends_with('{') {
            self.0.push(',');
        }
        self.quoted(clip(name, MAX_TEXT));
        self.0.push(':');
        value(self);
    }

    /// A list of objects, each with the members that `write` gives it.
    pub(crate) fn list<T>(&mut self, name: &str, items: &[T], write: impl Fn(&mut Self, &T)) {
        self.items(name, items, |object, item| {
            object.0.push('{');
            write(object, item);
            object.0.push('}');
        });
    }

    /// A list of texts.
    pub(crate) fn words(&mut self, name: &str, items: &[&str]) {
        self.items(name, items, |object, item| object.quoted(item));
    }

    fn items<T>(&mut self, name: &str, items: &[T], write: impl Fn(&mut Self, &T)) {
        if items.is_empty() {
            return;
        }
        self.name(name);
        self.0.push('[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.0.push(',');
            }
            write(self, item);
        }
        self.0.push(']');
    }

    /// A number as a value.
    pub(crate) fn digits(&mut self, value: u64) {
        self.0.push_str(Digits::of(value).as_str());
    }

    /// A JSON string as a value.
    pub(crate) fn quoted(&mut self, text: &str) {
        // Without a way out at the first of them, many bytes are compared at once.
        let is_odd = |byte: u8| !(0x20..0x7f).contains(&byte) || byte == b'"' || byte == b'\\';
        if !text.bytes().fold(false, |odd, byte| odd | is_odd(byte)) {
            self.0.push('"');
            self.0.push_str(text);
            self.0.push('"');
        } else {
            push_one_line(&mut self.0, &Value::from(text).to_string());
        }
    }

    /// The object as a whole.
    pub(crate) fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// Adds a JSON string without what ends a line, or steers a terminal, although JSON lets it stand as it is.
fn push_one_line(line: &mut String, json: &str) {
    for char in json.chars() {
        match char {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(line, "\\u{:04x}", u32::from(char)); // a String never fails
            }
            char => line.push(char),
        }
    }
}
