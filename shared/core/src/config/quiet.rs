//! Deserializes a configuration without ever repeating a value in an error: any value may be a secret that stands
//! in the wrong place.
//!
//! It reads the text itself, level by level: each value is a slice until something is made of it, so a big
//! configuration never stands in memory as a tree. A filter has a hundred types that are read this way: what does
//! not depend on the type is not generic, and no type is asked for more shapes than its own, or modules grow by
//! half.

mod refusal;
mod shapes;

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, DeserializeOwned, Deserializer, MapAccess, Unexpected, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::Number;
use serde_json::value::RawValue;

use self::refusal::Refusal;
use self::shapes::{Entries, Items, Variant};

/// Deserializes one JSON object.
///
/// # Errors
/// What is wrong, as `path: why`.
pub(super) fn read<R: DeserializeOwned>(json: Members<'_>) -> Result<R, String> {
    R::deserialize(json).map_err(|refusal| refusal.to_string())
}

/// A JSON value whose errors are quiet.
struct Quiet<'de>(&'de RawValue);

/// What it is: a scalar, or a container whose values are unread.
enum Node<'de> {
    Null,
    Flag(bool),
    Number(Number),
    Text(Cow<'de, str>),
    Items(Vec<&'de RawValue>),
    Members(Members<'de>),
}

impl Node<'_> {
    /// What it is, without its text. Numbers are no secrets.
    fn kind(&self) -> Unexpected<'_> {
        match self {
            Self::Null => Unexpected::Unit,
            Self::Flag(flag) => Unexpected::Bool(*flag),
            Self::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(value), _) => Unexpected::Unsigned(value),
                (None, Some(value)) => Unexpected::Signed(value),
                (None, None) => Unexpected::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Self::Text(text) => Unexpected::Str(text),
            Self::Items(_) => Unexpected::Seq,
            Self::Members(_) => Unexpected::Map,
        }
    }

    /// It is not what is `expected` here.
    #[inline(never)]
    fn refuse(&self, expected: &dyn de::Expected) -> Refusal {
        de::Error::invalid_type(self.kind(), expected)
    }
}

impl<'de> Quiet<'de> {
    /// Takes one level apart.
    #[inline(never)]
    fn node(&self) -> Result<Node<'de>, Refusal> {
        let json = self.0.get();
        let node = match json.bytes().next() {
            Some(b'[') => serde_json::from_str(json).map(Node::Items),
            Some(b'{') => serde_json::from_str(json).map(Node::Members),
            Some(b'"') => serde_json::from_str(json).map(|Text(text)| Node::Text(text)),
            Some(b'n') => Ok(Node::Null),
            Some(b't') => Ok(Node::Flag(true)),
            Some(b'f') => Ok(Node::Flag(false)),
            _ => serde_json::from_str(json).map(Node::Number),
        };
        // Only texts fail here that `serde_json` takes apart otherwise than it skips them: half a surrogate pair, a
        // number that is too big.
        node.map_err(|_| de::Error::custom("is no JSON that can be read"))
    }

    fn scalar<V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Refusal> {
        match self.node()? {
            Node::Flag(flag) => visitor.visit_bool(flag),
            node @ Node::Number(_) => match node.kind() {
                Unexpected::Unsigned(value) => visitor.visit_u64(value),
                Unexpected::Signed(value) => visitor.visit_i64(value),
                Unexpected::Float(value) => visitor.visit_f64(value),
                _ => Err(node.refuse(&visitor)),
            },
            other => Err(other.refuse(&visitor)),
        }
    }
}

/// Forwards what asks for a scalar.
macro_rules! scalars {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
            self.scalar(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Quiet<'de> {
    type Error = Refusal;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.node()? {
            Node::Items(_) => self.deserialize_seq(visitor),
            Node::Members(_) => self.deserialize_map(visitor),
            Node::Text(_) => self.deserialize_str(visitor),
            Node::Null => visitor.visit_unit(),
            Node::Flag(_) | Node::Number(_) => self.scalar(visitor),
        }
    }

    scalars! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8
        deserialize_u16 deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.node()? {
            Node::Text(Cow::Borrowed(text)) => visitor.visit_borrowed_str(text),
            Node::Text(Cow::Owned(text)) => visitor.visit_string(text),
            other => Err(other.refuse(&visitor)),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_str(visitor)
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

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.node()? {
            Node::Items(items) => {
                let mut items = Items::new(items);
                let value = visitor.visit_seq(&mut items)?;
                items.end().map(|()| value)
            }
            other => Err(other.refuse(&visitor)),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Refusal> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        match self.node()? {
            Node::Members(members) => visitor.visit_map(Entries::new(members)),
            other => Err(other.refuse(&visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        visitor.visit_enum(Variant::of(self.node()?)?)
    }

    forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple_struct identifier ignored_any
    }
}

/// A text that is copied only where it holds escapes.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// The members of an object in order, their values unread.
pub(super) struct Members<'de>(pub(super) Vec<(Text<'de>, &'de RawValue)>);

impl<'de> Deserializer<'de> for Members<'de> {
    type Error = Refusal;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_map(Entries::new(self))
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
