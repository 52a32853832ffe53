//! Deserializes a configuration without ever repeating a value in an error: any value may be a secret that stands
//! in the wrong place.
//!
//! It reads the text itself, level by level: each value is a slice until something is made of it, so a big
//! configuration never stands in memory as a tree.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{
    self, DeserializeOwned, Deserializer, Expected, IntoDeserializer, MapAccess, Unexpected, Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_json::Value;
use serde_json::value::RawValue;
use serde_path_to_error::{Path, Segment};

use super::shown;

/// Most characters of a misspelt name that is repeated.
const MAX_WORD: usize = 40;

/// Deserializes one JSON object.
///
/// # Errors
/// What is wrong, as `path: why`.
pub(super) fn read<R: DeserializeOwned>(json: Members<'_>) -> Result<R, String> {
    serde_path_to_error::deserialize(json).map_err(|error| {
        let path = path(error.path(), error.inner().is_of_name);
        let Refusal { text, .. } = error.into_inner();
        if path.is_empty() { text } else { format!("{path}: {text}") }
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

/// What is wrong with a value. Holds no value.
#[derive(Debug)]
pub(super) struct Refusal {
    text: String,
    /// It is a name in a mapping that is wrong, not a value.
    is_of_name: bool,
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
        Self { text: text.to_string(), is_of_name: false }
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
        Self { text: Self::unknown("field", name, expected), is_of_name: true }
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

/// A JSON value whose errors are quiet.
struct Quiet<'de>(&'de RawValue);

/// What it is: a scalar, or a container whose values are unread.
enum Node<'de> {
    Scalar(Value), // but no text
    Text(Text<'de>),
    Items(Vec<&'de RawValue>),
    Members(Members<'de>),
}

impl<'de> Quiet<'de> {
    /// Takes one level apart. Not inlined: a filter has a hundred types that are read this way.
    #[inline(never)]
    fn node(&self) -> Result<Node<'de>, Refusal> {
        let json = self.0.get();
        let node = match json.bytes().next() {
            Some(b'[') => serde_json::from_str(json).map(Node::Items),
            Some(b'{') => serde_json::from_str(json).map(Node::Members),
            Some(b'"') => serde_json::from_str(json).map(Node::Text),
            _ => serde_json::from_str(json).map(Node::Scalar),
        };
        // Only texts fail here that `serde_json` takes apart otherwise than it skips them: half a surrogate pair, a
        // number that is too big.
        node.map_err(|_| de::Error::custom("is no JSON that can be read"))
    }
}

impl<'de> IntoDeserializer<'de, Refusal> for Quiet<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Quiet<'de> {
    type Error = Refusal;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.node()? {
            Node::Items(items) => {
                let mut items = SeqDeserializer::new(items.into_iter().map(Quiet));
                let value = visitor.visit_seq(&mut items)?;
                items.end().map(|()| value)
            }
            Node::Members(members) => members.deserialize_any(visitor),
            Node::Scalar(Value::Bool(value)) => visitor.visit_bool(value),
            Node::Scalar(Value::Number(number)) => match (number.as_u64(), number.as_i64()) {
                (Some(value), _) => visitor.visit_u64(value),
                (None, Some(value)) => visitor.visit_i64(value),
                (None, None) => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
            },
            Node::Scalar(_) => visitor.visit_unit(),
            Node::Text(Text(Cow::Borrowed(text))) => visitor.visit_borrowed_str(text),
            Node::Text(Text(Cow::Owned(text))) => visitor.visit_string(text),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        if self.0.get() == "null" { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        match self.node()? {
            Node::Text(Text(name)) => visitor.visit_enum(name.into_deserializer()),
            Node::Members(members) if members.0.len() == 1 => {
                visitor.visit_enum(MapAccessDeserializer::new(MapDeserializer::new(members.quiet())))
            }
            _ => Err(de::Error::custom("invalid type, expected a string or an object with one member")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq
        tuple tuple_struct map struct identifier ignored_any
    }
}

/// A text that is copied only where it holds escapes.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// The members of an object in order, their values unread.
pub(super) struct Members<'de>(pub(super) Vec<(Text<'de>, &'de RawValue)>);

impl<'de> Members<'de> {
    fn quiet(self) -> impl Iterator<Item = (Cow<'de, str>, Quiet<'de>)> {
        self.0.into_iter().map(|(Text(name), value)| (name, Quiet(value)))
    }
}

impl<'de> Deserializer<'de> for Members<'de> {
    type Error = Refusal;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        let mut members = MapDeserializer::new(self.quiet());
        let value = visitor.visit_map(&mut members)?;
        members.end().map(|()| value)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Collector;

        impl<'de> Visitor<'de> for Collector {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        from.deserialize_map(Collector)
    }
}
