//! Lists, objects and variants as `serde` walks them, each mistake marked with its place on the way out.

use std::borrow::Cow;
use std::vec::IntoIter;

use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::value::RawValue;

use super::refusal::Refusal;
use super::{Members, Node, Quiet, Text};

/// The items of a list.
pub(super) struct Items<'de> {
    rest: IntoIter<&'de RawValue>,
    taken: usize,
}

impl<'de> Items<'de> {
    pub(super) fn new(items: Vec<&'de RawValue>) -> Self {
        Self { rest: items.into_iter(), taken: 0 }
    }

    /// Refuses items that nobody took.
    #[inline(never)]
    pub(super) fn end(self) -> Result<(), Refusal> {
        let length = self.taken.saturating_add(self.rest.len());
        match self.rest.len() {
            0 => Ok(()),
            _ => Err(de::Error::invalid_length(
                length,
                &format!("{} elements in sequence", self.taken).as_str(),
            )),
        }
    }
}

impl<'de> SeqAccess<'de> for &mut Items<'de> {
    type Error = Refusal;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Refusal> {
        let Some(item) = self.rest.next() else {
            return Ok(None);
        };
        let index = self.taken;
        self.taken = index.saturating_add(1);
        seed.deserialize(Quiet(item)).map(Some).map_err(|refusal| refusal.at_index(index))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

/// The members of an object.
pub(super) struct Entries<'de> {
    rest: IntoIter<(Text<'de>, &'de RawValue)>,
    current: Option<(Text<'de>, &'de RawValue)>,
}

impl<'de> Entries<'de> {
    #[inline(never)]
    pub(super) fn new(members: Members<'de>) -> Self {
        Self { rest: members.0.into_iter(), current: None }
    }

    /// Name of the next member.
    #[inline(never)]
    fn advance(&mut self) -> Option<Name<'_>> {
        self.current = self.rest.next();
        self.current.as_ref().map(|(Text(name), _)| Name(name))
    }
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Refusal;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Refusal> {
        self.advance().map(|name| seed.deserialize(name)).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Refusal> {
        let (Text(name), value) = self.current.take().ok_or_else(|| de::Error::custom("has no value"))?;
        seed.deserialize(Quiet(value)).map_err(|refusal| refusal.at_name(&name))
    }
}

/// The name of a member or variant.
struct Name<'a>(&'a str);

impl<'de> Deserializer<'de> for Name<'_> {
    type Error = Refusal;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refusal> {
        visitor.visit_str(self.0)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        visitor.visit_newtype_struct(self)
    }

    /// The keys of a map may be an enum's names.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        visitor.visit_enum(Variant { name: self.0.to_owned().into(), content: None })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// A variant: a name, or an object whose only member is named for it.
pub(super) struct Variant<'de> {
    name: Cow<'de, str>,
    content: Option<&'de RawValue>,
}

impl<'de> Variant<'de> {
    #[inline(never)]
    pub(super) fn of(node: Node<'de>) -> Result<Self, Refusal> {
        let wrong = || de::Error::custom("invalid type, expected a string or an object with one member");
        match node {
            Node::Text(name) => Ok(Self { name, content: None }),
            Node::Members(Members(members)) => {
                let mut members = members.into_iter();
                match (members.next(), members.next()) {
                    (Some((Text(name), content)), None) => Ok(Self { name, content: Some(content) }),
                    _ => Err(wrong()),
                }
            }
            _ => Err(wrong()),
        }
    }

    /// Reads what stands under the name.
    fn content<T>(
        self,
        expected: &str,
        read: impl FnOnce(Quiet<'de>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        match self.content {
            Some(content) => read(Quiet(content)).map_err(|refusal| refusal.at_name(&self.name)),
            None => Err(de::Error::invalid_type(Unexpected::UnitVariant, &expected)),
        }
    }
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Refusal;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Refusal> {
        seed.deserialize(Name(&self.name)).map(|variant| (variant, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = Refusal;

    #[inline(never)]
    fn unit_variant(self) -> Result<(), Refusal> {
        match self.content {
            None => Ok(()),
            Some(_) => self.content("unit variant", de::Deserialize::deserialize),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Refusal> {
        self.content("newtype variant", |content| seed.deserialize(content))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Refusal> {
        self.content("tuple variant", |content| content.deserialize_seq(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refusal> {
        self.content("struct variant", |content| content.deserialize_map(visitor))
    }
}
