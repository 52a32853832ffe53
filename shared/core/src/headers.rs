//! The headers of one side of an exchange, as read in one host call.

use std::ops::Range;
use std::rc::Rc;

/// Headers in wire order; names in lower case, as Envoy keeps them. A copy is cheap and shares what it holds.
#[derive(Clone, Debug, Default)]
pub struct Headers(Rc<Table>);

/// All names and values in one piece of memory, for a map is read for every exchange and a piece for each would cost
/// more than the reading.
#[derive(Clone, Debug, Default)]
struct Table {
    memory: Memory,
    fields: Vec<Field>,
}

/// Names and values. Whether they are text is found out once for all of them: nearly always they are.
#[derive(Clone, Debug)]
enum Memory {
    Text(String),
    Raw(Vec<u8>),
}

/// Where a name and its value lie.
#[derive(Clone, Debug)]
struct Field {
    name: Range<usize>,
    value: Range<usize>,
}

impl Headers {
    /// Takes pairs in wire order.
    #[must_use]
    pub fn new(pairs: Vec<(String, Vec<u8>)>) -> Self {
        let mut table = Table::default();
        pairs.iter().for_each(|(name, value)| table.push(name, value));
        Self(Rc::new(table))
    }

    /// Takes `bytes` in which names and values lie at these places. A pair that does not, or whose name is not UTF-8,
    /// is left out.
    #[must_use]
    pub fn lying_in(bytes: Vec<u8>, places: impl Iterator<Item = (Range<usize>, Range<usize>)>) -> Self {
        let memory = Memory::of(bytes);
        let fields = places
            .filter(|(name, value)| memory.text(name).is_some() && memory.bytes(value).is_some())
            .map(|(name, value)| Field { name, value })
            .collect();
        Self(Rc::new(Table { memory, fields }))
    }

    /// First value of `name` (lower case) as raw bytes.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.memory.bytes(&self.0.first(name)?.value)
    }

    /// First value of `name`, if it is UTF-8.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.memory.text(&self.0.first(name)?.value)
    }

    /// Whether there is a value of `name`.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.first(name).is_some()
    }

    /// All pairs in wire order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let Table { memory, fields } = &*self.0;
        let pair = |field: &Field| (memory.text(&field.name), memory.bytes(&field.value));
        fields.iter().map(pair).map(|(name, value)| (name.unwrap_or_default(), value.unwrap_or_default()))
    }

    /// Whether somebody else has a copy: a change then costs one of all headers.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        Rc::strong_count(&self.0) > 1
    }

    /// Sets `name` to `value` in place of every value it has.
    pub fn set(&mut self, name: &str, value: &[u8]) {
        self.remove(name);
        Rc::make_mut(&mut self.0).push(name, value);
    }

    /// Removes every value of `name`; `false` if there was none.
    pub fn remove(&mut self, name: &str) -> bool {
        let is_there = self.has(name);
        if is_there {
            let Table { memory, fields } = Rc::make_mut(&mut self.0);
            fields.retain(|field| !memory.is(&field.name, name));
        }
        is_there
    }
}

impl Table {
    fn first(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| self.memory.is(&field.name, name))
    }

    fn push(&mut self, name: &str, value: &[u8]) {
        let name = self.memory.keep(name.as_bytes());
        let value = self.memory.keep(value);
        self.fields.push(Field { name, value });
    }
}

impl Memory {
    fn of(bytes: Vec<u8>) -> Self {
        String::from_utf8(bytes).map_or_else(|mixed| Self::Raw(mixed.into_bytes()), Self::Text)
    }

    fn all(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Raw(bytes) => bytes,
        }
    }

    fn bytes(&self, place: &Range<usize>) -> Option<&[u8]> {
        self.all().get(place.clone())
    }

    fn text(&self, place: &Range<usize>) -> Option<&str> {
        match self {
            Self::Text(text) => text.get(place.clone()),
            Self::Raw(bytes) => std::str::from_utf8(bytes.get(place.clone())?).ok(),
        }
    }

    /// Whether this stands there; most differ in their length already.
    fn is(&self, place: &Range<usize>, text: &str) -> bool {
        place.len() == text.len() && self.bytes(place) == Some(text.as_bytes())
    }

    fn keep(&mut self, part: &[u8]) -> Range<usize> {
        let start = self.all().len();
        match (&mut *self, std::str::from_utf8(part)) {
            (Self::Text(text), Ok(part)) => text.push_str(part),
            (Self::Text(text), Err(_)) => *self = Self::Raw([text.as_bytes(), part].concat()),
            (Self::Raw(bytes), _) => bytes.extend_from_slice(part),
        }
        start..self.all().len()
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(headers: &Headers) -> Vec<(&str, &[u8])> {
        headers.iter().collect()
    }

    fn some() -> Headers {
        let pairs = [(":path", "/v1"), ("a", "1"), ("b", ""), ("a", "2")];
        Headers::new(pairs.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).into())
    }

    #[test]
    fn the_first_of_several_values_counts() {
        let headers = some();
        assert_eq!((headers.text("a"), headers.text("b"), headers.text("c")), (Some("1"), Some(""), None));
        assert_eq!(pairs(&headers).len(), 4);
    }

    #[test]
    fn setting_replaces_every_value_and_leaves_copies_alone() {
        let before = some();
        let mut headers = before.clone();
        headers.set("a", b"3");
        headers.remove(":path");
        headers.remove("absent");
        assert_eq!(pairs(&headers), [("b", &b""[..]), ("a", b"3")]);
        assert_eq!(pairs(&before).len(), 4);
    }

    #[test]
    fn a_value_need_not_be_utf_8_but_a_name_must() {
        let bytes = b"a\xffb\xff".to_vec();
        let headers = Headers::lying_in(bytes, [(0..1, 1..2), (3..4, 2..3), (2..3, 1..9)].into_iter());
        assert_eq!(pairs(&headers), [("a", &b"\xff"[..])]);
    }

    #[test]
    fn text_may_become_what_is_none_and_stays_whole() {
        let mut headers = some();
        headers.set("b", b"\xe4");
        headers.set("c", "ü".as_bytes());
        assert_eq!((headers.get("b"), headers.text("b")), (Some(&b"\xe4"[..]), None));
        assert_eq!(
            (headers.text("a"), headers.text("c"), headers.text(":path")),
            (Some("1"), Some("ü"), Some("/v1"))
        );
        assert!(headers.remove("a") && !headers.remove("a"));
        // A value that begins within a letter is none, and one name that does is left out.
        let split = Headers::lying_in("aü".as_bytes().to_vec(), [(0..1, 2..3), (2..3, 0..1)].into_iter());
        assert_eq!((pairs(&split).len(), split.get("a"), split.text("a")), (1, Some(&b"\xbc"[..]), None));
    }
}
