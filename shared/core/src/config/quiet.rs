//! Deserializes a configuration without ever repeating a value in an error: any value may be a secret that stands
//! in the wrong place.

mod hushed;

use std::cell::RefCell;
use std::fmt;

use serde::de::{self, DeserializeOwned, Deserializer, Expected, Unexpected};
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use self::hushed::Hushed;
use super::shown;

/// Most characters of a misspelt name that is repeated.
const MAX_WORD: usize = 40;

/// Why something could not be deserialized. Holds no value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mistake {
    /// It is no JSON; says at which line and column.
    Syntax(String),
    /// It is not what was asked for, as `path: why`.
    Value(String),
}

/// Deserializes `value`.
///
/// # Errors
/// What is wrong, as `path: why`.
pub(super) fn read<R: DeserializeOwned>(value: Value) -> Result<R, String> {
    deserialize(value).map_err(|(Mistake::Syntax(text) | Mistake::Value(text))| text)
}

/// Deserializes a JSON text straight into `R`: much less memory than by way of a [`Value`].
///
/// # Errors
/// The first [`Mistake`].
pub(super) fn read_text<R: DeserializeOwned>(json: &[u8]) -> Result<R, Mistake> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let value = deserialize(&mut deserializer)?;
    deserializer.end().map(|()| value).map_err(|error| Mistake::Syntax(error.to_string()))
}

fn deserialize<'de, R: DeserializeOwned>(from: impl Deserializer<'de>) -> Result<R, Mistake> {
    let slot = RefCell::default();
    serde_path_to_error::deserialize(Hushed::new(from, &slot)).map_err(|error| {
        let path = path(error.path(), error.inner().at == At::Name);
        let Refusal { text, at } = error.into_inner();
        match at {
            At::Text => Mistake::Syntax(text),
            At::Name | At::Value if path.is_empty() => Mistake::Value(text),
            At::Name | At::Value => Mistake::Value(format!("{path}: {text}")),
        }
    })
}

/// `providers.a.keys[0]`; without its last name when that is what is unknown.
fn path(path: &Path, is_of_name: bool) -> String {
    let count = path.iter().len().saturating_sub(usize::from(is_of_name));
    let mut text = String::new();
    for segment in path.iter().take(count) {
        let name = match segment {
            Segment::Seq { index } => {
                text.push_str(&format!("[{index}]"));
                continue;
            }
            Segment::Map { key } => shown(key),
            Segment::Enum { variant } => shown(variant),
            Segment::Unknown => continue,
        };
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(name);
    }
    text
}

/// What is wrong. Holds no value.
#[derive(Debug)]
struct Refusal {
    text: String,
    at: At,
}

/// Where it is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// A value.
    Value,
    /// A name in a mapping.
    Name,
    /// The JSON text itself.
    Text,
}

impl Refusal {
    /// A name that nobody knows, repeated only if it can be a slip of one.
    fn unknown(what: &str, name: &str, expected: &[&str]) -> String {
        let is_word = name.len() <= MAX_WORD && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        let name = if is_word { format!(" `{name}`") } else { String::new() };
        let expected: Vec<String> = expected.iter().map(|known| format!("`{known}`")).collect();
        match expected.as_slice() {
            [] => format!("unknown {what}{name}, there are none here"),
            [only] => format!("unknown {what}{name}, expected {only}"),
            all => format!("unknown {what}{name}, expected one of {}", all.join(", ")),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Refusal {}

impl de::Error for Refusal {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self { text: text.to_string(), at: At::Value }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format!("invalid type: {}, expected {expected}", kind(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format!("invalid value: {}, expected {expected}", kind(found)))
    }

    fn unknown_variant(name: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(Self::unknown("variant", name, expected))
    }

    fn unknown_field(name: &str, expected: &'static [&'static str]) -> Self {
        Self { text: Self::unknown("field", name, expected), at: At::Name }
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
