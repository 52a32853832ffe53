//! The placeholders of one request, and what they stand for.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use super::Document;

/// Characters of a category that go into its placeholders.
const MAX_LABEL: usize = 32;

/// Longest placeholder in bytes: brackets, label, underscore and number.
const MAX_PLACEHOLDER: usize = MAX_LABEL + 23;

/// Hands out placeholders and knows what they stand for. Values live as long as their request.
#[derive(Clone, Default)]
pub struct Vault {
    /// By label and value.
    given: HashMap<(String, String), String>,
    /// The last number of each label.
    numbers: HashMap<String, u64>,
    /// What looks like a placeholder in the texts themselves.
    taken: HashSet<String>,
    /// What placeholders are to become again.
    values: BTreeMap<String, String>,
}

/// Without what it guards.
impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").field("placeholders", &self.given.len()).finish_non_exhaustive()
    }
}

impl Vault {
    /// Whether there is nothing to restore.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Leaves out, from now on, every placeholder that stands in the document: it is the client's own.
    pub fn avoid(&mut self, document: &Document) {
        for passage in document.passages() {
            let text = &passage.text;
            self.taken.extend(bracketed(text).filter_map(|range| text.get(range)).map(str::to_owned));
        }
    }

    /// The placeholder for `value`, to be restored wherever the answer repeats it: `[EMAIL_1]`. The same for the same
    /// category and value.
    pub fn placeholder(&mut self, category: &str, value: &str) -> String {
        let placeholder = self.stand_in(category, value);
        self.values.insert(placeholder.clone(), value.to_owned());
        placeholder
    }

    /// As [`Self::placeholder`], for what is not to be restored.
    pub fn stand_in(&mut self, category: &str, value: &str) -> String {
        let given = (label(category), value.to_owned());
        if let Some(placeholder) = self.given.get(&given) {
            return placeholder.clone();
        }
        let number = self.numbers.entry(given.0.clone()).or_default();
        let placeholder = loop {
            *number = number.saturating_add(1);
            let placeholder = format!("[{}_{number}]", given.0);
            if !self.taken.contains(&placeholder) || *number == u64::MAX {
                break placeholder;
            }
        };
        self.given.insert(given, placeholder.clone());
        placeholder
    }

    /// Replaces every placeholder in the document by its value, but those within what is replaced already.
    pub fn restore(&self, document: &mut Document) {
        if self.is_empty() {
            return;
        }
        let found: Vec<_> = document.passages().iter().map(|passage| self.find(&passage.text)).collect();
        for (passage, found) in found.into_iter().enumerate() {
            for (range, value) in found {
                document.replace(passage, range, value);
            }
        }
    }

    /// The placeholders in `text`, with their values.
    #[must_use]
    pub fn find(&self, text: &str) -> Vec<(Range<usize>, &str)> {
        if self.is_empty() {
            return Vec::new();
        }
        let value = |range: Range<usize>| {
            let value = self.values.get(text.get(range.clone())?)?;
            Some((range, value.as_str()))
        };
        bracketed(text).filter_map(value).collect()
    }

    /// Where at the end of `text` a placeholder begins that what follows could complete; its length if none does.
    #[must_use]
    pub fn open(&self, text: &str) -> usize {
        let start = text.rfind('[').unwrap_or(text.len());
        let tail = text.get(start..).unwrap_or_default();
        let is_open = self
            .values
            .range::<str, _>((std::ops::Bound::Included(tail), std::ops::Bound::Unbounded))
            .next()
            .is_some_and(|(placeholder, _)| placeholder.len() > tail.len() && placeholder.starts_with(tail));
        if is_open && !tail.is_empty() { start } else { text.len() }
    }
}

/// Whatever stands in brackets and could be a placeholder.
fn bracketed(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.match_indices('[').filter_map(move |(start, _)| {
        let inside = text.as_bytes().get(start.saturating_add(1)..)?;
        let name = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
        let length = inside.iter().take(MAX_PLACEHOLDER).position(|byte| !name(byte))?;
        let end = start.saturating_add(length).saturating_add(2);
        (inside.get(length) == Some(&b']') && length > 0).then_some(start..end)
    })
}

fn label(category: &str) -> String {
    let letter = |char: char| if char.is_ascii_alphanumeric() { char.to_ascii_uppercase() } else { '_' };
    let label: String = category.chars().take(MAX_LABEL).map(letter).collect();
    if label.is_empty() { "MASKED".to_owned() } else { label }
}
