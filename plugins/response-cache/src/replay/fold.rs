//! Folds the deltas of a stream into one value, as OpenAI's client does, without leaving their bytes.
//!
//! Source: `accumulate_delta` of
//! <https://github.com/openai/openai-python/blob/main/src/openai/lib/streaming/_deltas.py>. Three differences, where
//! adding up would make nonsense: a number that comes again must be the same, words that name something (`role`,
//! `type`, `id`, `format`) are not strung together, and a function's name that comes again is ambiguous.

use sluice_core::json::Kind;
use sluice_core::order;

use super::raw::{MAX_MEMBERS, Object, array, count, elements, get, is_blank, is_null, kind, members, text};

/// How deep values are folded into each other; OpenAI's own go to 4.
const MAX_DEPTH: u8 = 12;

/// Elements of an indexed list: tool calls, of which OpenAI allows 128.
const MAX_INDEXED: usize = 1024;

/// What becomes of lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lists {
    /// Elements with an `index` are merged with their like, others appended.
    Indexed,
    /// Elements are appended.
    Appended,
}

/// A value that grows with each delta. It is taken apart only as far as it grows.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    /// As it came.
    Raw(&'a [u8]),
    /// A string in parts, each as it stands between the quotes.
    Text(Vec<&'a [u8]>),
    /// Elements, each with its index if they have any.
    List(Vec<(Option<u64>, Self)>),
    /// Members in the order in which they first came.
    Object(Vec<(&'a [u8], Self)>),
}

impl<'a> Value<'a> {
    /// An object without members.
    pub(super) const EMPTY: Self = Self::Object(Vec::new());

    /// Adds `delta`. `None` if it is not clear what that makes.
    #[must_use]
    pub(super) fn fold(self, delta: &'a [u8], lists: Lists) -> Option<Self> {
        self.merge(b"", delta, lists, MAX_DEPTH)
    }

    /// Adds `delta` to this value of the member `name`.
    fn merge(self, name: &[u8], delta: &'a [u8], lists: Lists, depth: u8) -> Option<Self> {
        let depth = depth.checked_sub(1)?;
        if is_null(delta) {
            return Some(self);
        }
        if self.is_null() {
            return Self::first(delta, lists, depth);
        }
        match (self, kind(delta)?) {
            (Self::Raw(old), Kind::Number | Kind::Bool) if old == delta => Some(Self::Raw(old)),
            (old, Kind::String) if old.is_string() => old.append(name, text(delta)?),
            (old, Kind::Object) if old.is(Kind::Object) => old.merge_members(delta, lists, depth),
            (old, Kind::Array) if old.is(Kind::Array) => old.merge_elements(delta, lists, depth),
            (Self::Raw(old), _) if is_blank(old) || is_place(name) => Self::first(delta, lists, depth),
            (old, _) if is_blank(delta) => Some(old),
            _ => None,
        }
    }

    /// The first delta of a member. A list can hold several fragments of one element.
    fn first(delta: &'a [u8], lists: Lists, depth: u8) -> Option<Self> {
        let is_list = lists == Lists::Indexed && kind(delta)? == Kind::Array;
        if is_list && elements(delta)?.into_iter().any(|element| index_of(element).is_some()) {
            return Self::List(Vec::new()).merge_elements(delta, lists, depth);
        }
        Some(Self::Raw(delta))
    }

    fn append(self, name: &[u8], more: &'a [u8]) -> Option<Self> {
        let mut parts = match self {
            Self::Text(parts) => parts,
            Self::Raw(raw) => vec![text(raw)?],
            _ => return None,
        };
        // asked of names only: of a text in many parts it would take long
        let is_same = || parts.concat() == more;
        let is_first = || parts.iter().all(|part| part.is_empty());
        match name {
            b"role" | b"type" | b"format" | b"id" if more.is_empty() => {}
            b"role" | b"type" | b"format" => parts = vec![more],
            b"id" if is_first() || is_same() => parts = vec![more],
            b"id" => return None,
            b"name" if !is_first() && is_same() => return None,
            _ => parts.push(more),
        }
        Some(Self::Text(parts))
    }

    fn merge_members(self, delta: &'a [u8], lists: Lists, depth: u8) -> Option<Self> {
        let mut object = match self {
            Self::Object(object) => object,
            Self::Raw(raw) => members(raw)?.into_iter().map(|(name, raw)| (name, Self::Raw(raw))).collect(),
            _ => return None,
        };
        for (name, delta) in members(delta)? {
            match object.iter_mut().find(|(known, _)| *known == name) {
                Some((_, value)) => *value = value.take().merge(name, delta, lists, depth)?,
                None => object.push((name, Self::first(delta, lists, depth)?)),
            }
        }
        (object.len() <= MAX_MEMBERS).then_some(Self::Object(object))
    }

    fn merge_elements(self, delta: &'a [u8], lists: Lists, depth: u8) -> Option<Self> {
        let mut list = match self {
            Self::List(list) => list,
            Self::Raw(raw) => elements(raw)?.into_iter().map(|raw| (None, Self::Raw(raw))).collect(),
            _ => return None,
        };
        for delta in elements(delta)? {
            let index = if lists == Lists::Indexed { index_of(delta) } else { None };
            let is_indexed = list.first().map(|(index, _)| index.is_some());
            if is_indexed.is_some_and(|is_indexed| is_indexed != index.is_some()) {
                return None;
            }
            let like = index.and_then(|_| list.iter_mut().find(|(known, _)| *known == index));
            if let Some((_, value)) = like {
                *value = value.take().merge(b"", delta, lists, depth)?;
                continue;
            }
            if index.is_some() && list.len() >= MAX_INDEXED {
                return None;
            }
            list.push((index, Self::Raw(delta)));
        }
        Some(Self::List(list))
    }

    /// The value, with null left in its place.
    pub(super) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::Raw(b"null"))
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Raw(raw) if is_null(raw))
    }

    fn is_string(&self) -> bool {
        self.is(Kind::String)
    }

    pub(super) fn is(&self, wanted: Kind) -> bool {
        match self {
            Self::Raw(raw) => kind(raw) == Some(wanted),
            Self::Text(_) => wanted == Kind::String,
            Self::List(_) => wanted == Kind::Array,
            Self::Object(_) => wanted == Kind::Object,
        }
    }

    /// Its JSON; the elements of indexed lists in order of their indexes.
    pub(super) fn end(self) -> Vec<u8> {
        match self {
            Self::Raw(raw) => raw.to_vec(),
            Self::Text(parts) => [b"\"".as_slice(), &parts.concat(), b"\""].concat(),
            Self::List(mut list) => {
                order::by_key(&mut list, |(index, _)| {
                    (u64::from(index.is_some()), index.unwrap_or_default())
                });
                array(list.into_iter().map(|(_, value)| value.end()))
            }
            Self::Object(object) => {
                object.into_iter().fold(Object::new(), |out, (name, value)| out.with(name, value.end())).end()
            }
        }
    }
}

/// Whether a member says where or what its object is.
fn is_place(name: &[u8]) -> bool {
    matches!(name, b"index" | b"type")
}

/// The `index` of an element of a list.
fn index_of(element: &[u8]) -> Option<u64> {
    if kind(element)? != Kind::Object {
        return None;
    }
    members(element).and_then(|members| get(&members, b"index").and_then(count))
}
