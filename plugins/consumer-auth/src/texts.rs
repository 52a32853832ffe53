//! Many short texts in one piece of memory, each kept once.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use hashbrown::HashTable;

/// Texts by number, in the order they were first seen.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    all: String,
    ends: Vec<usize>,
}

impl Texts {
    /// The text with this number.
    pub(crate) fn get(&self, number: usize) -> Option<&str> {
        let end = *self.ends.get(number)?;
        let start = number.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.all.get(start..end)
    }

    /// All of them in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len()).filter_map(|number| self.get(number))
    }
}

/// Texts under construction.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    texts: Texts,
    index: HashTable<usize>,
}

impl Collector {
    /// Adds `text`; its number.
    ///
    /// # Errors
    /// The number that it has already.
    pub(crate) fn insert(&mut self, text: &str) -> Result<usize, usize> {
        let texts = &mut self.texts;
        if let Some(number) = self.index.find(hash(text), |number| texts.get(*number) == Some(text)) {
            return Err(*number);
        }
        let number = texts.ends.len();
        texts.all.push_str(text);
        texts.ends.push(texts.all.len());
        self.index.insert_unique(hash(text), number, |number| texts.get(*number).map_or(0, hash));
        Ok(number)
    }

    /// The texts without what finds them.
    pub(crate) fn finish(mut self) -> Texts {
        self.texts.all.shrink_to_fit();
        self.texts.ends.shrink_to_fit();
        self.texts
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_once_under_its_first_number() {
        let mut collector = Collector::default();
        for (text, want) in [("a", Ok(0)), ("", Ok(1)), ("bc", Ok(2)), ("", Err(1)), ("a", Err(0))] {
            assert_eq!(collector.insert(text), want);
        }
        let texts = collector.finish();
        assert_eq!(texts.iter().collect::<Vec<_>>(), ["a", "", "bc"]);
        assert_eq!((texts.get(2), texts.get(3)), (Some("bc"), None));
    }
}
