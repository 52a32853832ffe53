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
    bytes: Vec<u8>,
    fields: Vec<Field>,
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
        let is_text = |name| bytes.get(name).is_some_and(|name| std::str::from_utf8(name).is_ok());
        let fields = places
            .filter(|(name, value)| is_text(name.clone()) && bytes.get(value.clone()).is_some())
            .map(|(name, value)| Field { name, value })
            .collect();
        Self(Rc::new(Table { bytes, fields }))
    }

    /// First value of `name` (lower case) as raw bytes.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let field = self.0.fields.iter().find(|field| self.0.is_named(field, name))?;
        self.0.bytes.get(field.value.clone())
    }

    /// First value of `name`, if it is UTF-8.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.get(name)?).ok()
    }

    /// All pairs in wire order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let part = |place: &Range<usize>| self.0.bytes.get(place.clone()).unwrap_or_default();
        let name = move |field: &Field| std::str::from_utf8(part(&field.name)).unwrap_or_default();
        self.0.fields.iter().map(move |field| (name(field), part(&field.value)))
    }

    /// Sets `name` to `value` in place of every value it has.
    pub fn set(&mut self, name: &str, value: &[u8]) {
        self.remove(name);
        Rc::make_mut(&mut self.0).push(name, value);
    }

    /// Removes every value of `name`.
    pub fn remove(&mut self, name: &str) {
        if self.get(name).is_some() {
            let Table { bytes, fields } = Rc::make_mut(&mut self.0);
            fields.retain(|field| bytes.get(field.name.clone()) != Some(name.as_bytes()));
        }
    }
}

impl Table {
    fn is_named(&self, field: &Field, name: &str) -> bool {
        self.bytes.get(field.name.clone()) == Some(name.as_bytes())
    }

    fn push(&mut self, name: &str, value: &[u8]) {
        let name = self.keep(name.as_bytes());
        let value = self.keep(value);
        self.fields.push(Field { name, value });
    }

    fn keep(&mut self, part: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(part);
        start..self.bytes.len()
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
}
