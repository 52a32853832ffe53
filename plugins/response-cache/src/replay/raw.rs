//! JSON values as they stand: taken apart one level at a time, and put together again.

use std::borrow::Cow;

use sluice_core::json::{Kind, Reader};

/// Members of an object that is taken apart. The largest that answers have is about 30; more are some map of user data.
pub(super) const MAX_MEMBERS: usize = 256;

/// A member: its name between the quotes, and its value.
pub(super) type Member<'a> = (&'a [u8], &'a [u8]);

/// The members of the object `raw`, the whole of it. `None` for anything else, and where a name is escaped or stands
/// twice: readers might differ in what they see.
pub(super) fn members(raw: &[u8]) -> Option<Vec<Member<'_>>> {
    let mut members: Vec<Member<'_>> = Vec::new();
    let mut plain = true;
    let mut reader = Reader::new(raw);
    let read = reader.object(|reader, key| {
        let value = reader.skip()?.of(raw);
        plain &= !key.escaped && members.len() < MAX_MEMBERS && get(&members, key.raw).is_none();
        if plain {
            members.push((key.raw, value));
        }
        Ok(())
    });
    read.and_then(|()| reader.end()).ok()?;
    plain.then_some(members)
}

/// The value of the member `name`.
pub(super) fn get<'a>(members: &[Member<'a>], name: &[u8]) -> Option<&'a [u8]> {
    members.iter().find_map(|(key, value)| (*key == name).then_some(*value))
}

/// As [`get`], and null counts as absent.
pub(super) fn given<'a>(members: &[Member<'a>], name: &[u8]) -> Option<&'a [u8]> {
    get(members, name).filter(|value| !is_null(value))
}

/// The elements of the array `raw`, the whole of it.
pub(super) fn elements(raw: &[u8]) -> Option<Vec<&[u8]>> {
    let mut elements = Vec::new();
    let mut reader = Reader::new(raw);
    let read = reader.array(|reader| {
        elements.push(reader.skip()?.of(raw));
        Ok(())
    });
    read.and_then(|()| reader.end()).ok()?;
    Some(elements)
}

/// What kind of value stands in `raw`.
pub(super) fn kind(raw: &[u8]) -> Option<Kind> {
    Reader::new(raw).kind()
}

/// Whether the value is `null`.
pub(super) fn is_null(raw: &[u8]) -> bool {
    raw == b"null"
}

/// Whether the value says nothing: null, zero, or empty of its kind.
pub(super) fn is_blank(raw: &[u8]) -> bool {
    matches!(raw, b"null" | b"0" | b"\"\"") || is_empty(raw)
}

/// Whether it is an array or object without anything in it.
pub(super) fn is_empty(raw: &[u8]) -> bool {
    match raw {
        [b'[', inside @ .., b']'] | [b'{', inside @ .., b'}'] => inside.trim_ascii().is_empty(),
        _ => false,
    }
}

/// The string `raw` between its quotes, escapes as they stand.
pub(super) fn text(raw: &[u8]) -> Option<&[u8]> {
    raw.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// What the string `raw` means.
pub(super) fn decode(raw: &[u8]) -> Option<Cow<'_, str>> {
    Reader::new(raw).string().ok()?.decode().ok()
}

/// Whether the string `raw` means one of `words`.
pub(super) fn is_one_of(raw: &[u8], words: &[&str]) -> bool {
    decode(raw).is_some_and(|text| words.contains(&text.as_ref()))
}

/// The number `raw`, written as a non-negative integer.
pub(super) fn count(raw: &[u8]) -> Option<u64> {
    std::str::from_utf8(raw).ok()?.parse().ok()
}

/// The JSON text `raw` without the space between its tokens. `None` if a string holds a control character, or it is
/// not UTF-8: it could not be sent on in an event.
pub(super) fn compact(raw: &[u8]) -> Option<Vec<u8>> {
    let raw = std::str::from_utf8(raw).ok()?;
    let mut out = Vec::with_capacity(raw.len());
    let (mut inside, mut escaped) = (false, false);
    for byte in raw.bytes() {
        if inside && byte < 0x20 {
            return None;
        }
        if inside || !byte.is_ascii_whitespace() {
            out.push(byte);
        }
        inside = if inside { escaped || byte != b'"' } else { byte == b'"' };
        escaped = inside && byte == b'\\' && !escaped;
    }
    Some(out)
}

/// `text` as a JSON string.
pub(super) fn quote(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len().saturating_add(text.len() / 8).saturating_add(2));
    out.push(b'"');
    for byte in text {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', *byte]),
            0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(*byte),
        }
    }
    out.push(b'"');
    out
}

/// An object that is written member by member.
#[derive(Clone, Debug)]
pub(super) struct Object(Vec<u8>);

impl Object {
    /// `{}`
    pub(super) fn new() -> Self {
        Self(vec![b'{'])
    }

    /// With one more member; `name` needs no escapes.
    pub(super) fn with(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.add(name, value);
        self
    }

    /// Adds a member; `name` needs no escapes.
    pub(super) fn add(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        self.0.push(b'"');
        self.0.extend_from_slice(name.as_ref());
        self.0.extend_from_slice(b"\":");
        self.0.extend_from_slice(value.as_ref());
    }

    /// With all members of `other`.
    pub(super) fn with_all(mut self, other: &Self) -> Self {
        let members = other.0.get(1..).unwrap_or_default();
        if self.0.len() > 1 && !members.is_empty() {
            self.0.push(b',');
        }
        self.0.extend_from_slice(members);
        self
    }

    /// Its JSON.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }
}

/// An array of `elements`.
pub(super) fn array(elements: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Vec<u8> {
    let mut out = vec![b'['];
    for element in elements {
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(element.as_ref());
    }
    out.push(b']');
    out
}
