//! Wraps a deserializer so that what its visitors refuse is told by a [`Refusal`], not by the deserializer's own
//! error, which repeats values.
//!
//! A deserializer passes nothing but its own errors on from a visitor. So a refusal goes by another way: whoever
//! makes one leaves it in a [`Slot`] and breaks off with an empty error; the next wrapper outwards takes it out.

use std::cell::RefCell;
use std::fmt;

use serde::Deserialize as _;
use serde::de::value::{MapAccessDeserializer, MapDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, Error, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};

use super::{At, Refusal};

/// Where a refusal waits while the wrapped deserializer breaks off.
pub(super) type Slot = RefCell<Option<Refusal>>;

/// A deserializer, visitor, seed or access whose errors are quiet.
pub(super) struct Hushed<'s, T> {
    inner: T,
    slot: &'s Slot,
}

impl<'s, T> Hushed<'s, T> {
    pub(super) fn new(inner: T, slot: &'s Slot) -> Self {
        Self { inner, slot }
    }
}

/// Leaves `refusal` in the slot.
fn leave<E: Error>(slot: &Slot, refusal: Refusal) -> E {
    slot.replace(Some(refusal));
    E::custom("")
}

/// What was left in the slot. Without that the deserializer itself has failed, and that is over the text: it is
/// never asked for more than whatever stands there.
fn take<E: Error>(slot: &Slot, error: &E) -> Refusal {
    slot.take().unwrap_or_else(|| Refusal { text: error.to_string(), at: At::Text })
}

impl<'s, 'de, D: Deserializer<'de>> IntoDeserializer<'de, Refusal> for Hushed<'s, D> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Wraps the visitor for one call of the wrapped deserializer.
macro_rules! hush {
    ($self:ident, $visitor:ident, $method:ident) => {{
        let slot = $self.slot;
        $self.inner.$method(Hushed::new($visitor, slot)).map_err(|error| take(slot, &error))
    }};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Hushed<'_, D> {
    type Error = Refusal;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        hush!(self, visitor, deserialize_any)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        hush!(self, visitor, deserialize_option)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        hush!(self, visitor, deserialize_ignored_any)
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
        let slot = self.slot;
        match Value::deserialize(self)? {
            Value::String(name) => visitor.visit_enum(name.into_deserializer()),
            Value::Object(map) if map.len() == 1 => {
                visitor.visit_enum(MapAccessDeserializer::new(MapDeserializer::new(members(map, slot))))
            }
            _ => Err(Error::custom("invalid type, expected a string or an object with one member")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq
        tuple tuple_struct map struct identifier
    }
}

fn members(map: Map<String, Value>, slot: &Slot) -> impl Iterator<Item = (String, Hushed<'_, Value>)> {
    map.into_iter().map(move |(name, value)| (name, Hushed::new(value, slot)))
}

macro_rules! visit_plain {
    ($($method:ident: $type:ty),*) => {
        $(fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.inner.$method(value).map_err(|refusal| leave(self.slot, refusal))
        })*
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Hushed<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    visit_plain! {
        visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str,
        visit_borrowed_str: &'de str, visit_string: String
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit().map_err(|refusal| leave(self.slot, refusal))
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none().map_err(|refusal| leave(self.slot, refusal))
    }

    fn visit_some<D: Deserializer<'de>>(self, some: D) -> Result<V::Value, D::Error> {
        self.inner.visit_some(Hushed::new(some, self.slot)).map_err(|refusal| leave(self.slot, refusal))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<V::Value, A::Error> {
        let mut items = Hushed::new(items, self.slot);
        let value = self.inner.visit_seq(&mut items);
        let whole = value.and_then(|value| match items.next_element()? {
            Some(IgnoredAny) => Err(Error::custom("invalid length: there are more elements than expected")),
            None => Ok(value),
        });
        whole.map_err(|refusal| leave(self.slot, refusal))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<V::Value, A::Error> {
        self.inner.visit_map(Hushed::new(members, self.slot)).map_err(|refusal| leave(self.slot, refusal))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Hushed<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<S::Value, D::Error> {
        self.inner.deserialize(Hushed::new(from, self.slot)).map_err(|refusal| leave(self.slot, refusal))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Hushed<'_, A> {
    type Error = Refusal;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Refusal> {
        hush!(self, seed, next_element_seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Hushed<'_, A> {
    type Error = Refusal;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Refusal> {
        hush!(self, seed, next_key_seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Refusal> {
        hush!(self, seed, next_value_seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}
