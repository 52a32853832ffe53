//! What is wrong with a configuration and where, without any of its values.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use crate::config::shown;

/// Most characters of a misspelt name that is repeated.
const MAX_WORD: usize = 40;

/// What is wrong with a value. Holds no value. In a box, as every value read is returned beside one.
#[derive(Debug)]
pub(in crate::config) struct Refusal(Box<Mistake>);

#[derive(Debug)]
struct Mistake {
    path: String, // `providers.a.keys[0]`; grows at its front on the way out
    text: String,
}

impl Refusal {
    #[inline(never)]
    fn new(text: String) -> Self {
        Self(Box::new(Mistake { path: String::new(), text }))
    }

    /// It is a value of the list's item `index`.
    #[inline(never)]
    pub(super) fn at_index(mut self, index: usize) -> Self {
        self.prepend(format!("[{index}]"));
        self
    }

    /// It is a value of the member `name`.
    #[inline(never)]
    pub(super) fn at_name(mut self, name: &str) -> Self {
        self.prepend(shown(name).to_owned());
        self
    }

    fn prepend(&mut self, mut front: String) {
        let Mistake { path, .. } = &mut *self.0;
        if !path.is_empty() && !path.starts_with('[') {
            front.push('.');
        }
        front.push_str(path);
        *path = front;
    }

    /// A name that nobody knows, repeated only if it can be a slip of one.
    #[inline(never)]
    fn unknown(what: &str, name: &str, expected: &[&str]) -> Self {
        let is_word = name.len() <= MAX_WORD && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        let name = if is_word { format!(" `{name}`") } else { String::new() };
        let expected: Vec<String> = expected.iter().map(|known| format!("`{known}`")).collect();
        Self::new(match expected.as_slice() {
            [] => format!("unknown {what}{name}, there are none here"),
            [only] => format!("unknown {what}{name}, expected {only}"),
            all => format!("unknown {what}{name}, expected one of {}", all.join(", ")),
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mistake { path, text } = &*self.0;
        if path.is_empty() { f.write_str(text) } else { write!(f, "{path}: {text}") }
    }
}

impl std::error::Error for Refusal {}

impl de::Error for Refusal {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::new(text.to_string())
    }

    #[inline(never)]
    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("invalid type: {}, expected {expected}", kind(found)))
    }

    #[inline(never)]
    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("invalid value: {}, expected {expected}", kind(found)))
    }

    #[inline(never)]
    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::new(format!("invalid length {length}, expected {expected}"))
    }

    fn unknown_variant(name: &str, expected: &'static [&'static str]) -> Self {
        Self::unknown("variant", name, expected)
    }

    fn unknown_field(name: &str, expected: &'static [&'static str]) -> Self {
        Self::unknown("field", name, expected)
    }

    #[inline(never)]
    fn missing_field(name: &'static str) -> Self {
        Self::new(format!("missing field `{name}`"))
    }

    #[inline(never)]
    fn duplicate_field(name: &'static str) -> Self {
        Self::new(format!("duplicate field `{name}`"))
    }
}

/// What something is, without its text. Numbers are no secrets.
fn kind(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Str(_) | Unexpected::Char(_) | Unexpected::Bytes(_) | Unexpected::Other(_) => {
            "string".to_owned()
        }
        plain => plain.to_string(),
    }
}
