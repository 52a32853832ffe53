//! The fields of one mapping: asked for by name; what nobody asked for is a mistake.

use std::collections::{HashMap, HashSet};

use sluice_core::config::shown;

use super::cursor::Cursor;
use super::note::Place;
use super::similar::did_you_mean;
use super::tree::{Content, Entry};

/// A mapping that is being read.
pub struct Fields<'a> {
    cursor: Cursor<'a>,
    asked: Vec<&'static str>,
    /// Names that exist, but not yet.
    later: Vec<&'static str>,
    /// Names here may be secrets by mistake (`keys: [{sk-…}]`): no message repeats one.
    quiet: bool,
}

impl<'a> Fields<'a> {
    pub(super) fn new(cursor: Cursor<'a>) -> Self {
        Self { cursor, asked: Vec::new(), later: Vec::new(), quiet: false }
    }

    /// Never repeats an unknown name.
    #[must_use]
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// The mapping itself.
    #[must_use]
    pub fn whole(&self) -> &Cursor<'a> {
        &self.cursor
    }

    fn entries(&self) -> &[Entry] {
        match self.cursor.content() {
            Content::Map(entries) => entries,
            _ => &[],
        }
    }

    fn child(&self, entry: &Entry) -> Cursor<'a> {
        let path = join(self.cursor.path(), &entry.name);
        let place = match entry.value.content {
            Content::Null => entry.place,
            _ => entry.value.place,
        };
        self.cursor.child(&entry.value, place, path)
    }

    /// A field that may be left out.
    pub fn optional(&mut self, name: &'static str) -> Option<Cursor<'a>> {
        self.asked.push(name);
        let entry = self.entries().iter().find(|entry| entry.name == name)?;
        Some(self.child(entry))
    }

    /// A field that must be there; `example` shows it.
    pub fn required(&mut self, name: &'static str, example: &str) -> Option<Cursor<'a>> {
        let found = self.optional(name);
        if found.is_none() && !self.misspelt(name) {
            let path = join(self.cursor.path(), name);
            self.cursor.report().mistake(self.cursor.place(), &path, format!("is missing; write {example}"));
        }
        found
    }

    /// A field that is refused for now; `text` is the mistake.
    pub fn not_yet(&mut self, name: &'static str, text: &str) {
        self.later.push(name);
        if let Some(entry) = self.entries().iter().find(|entry| entry.name == name) {
            self.note(entry.place, Some(name), text.to_owned());
        }
    }

    /// Whether a field is there that is near to `name`: its own message is enough.
    fn misspelt(&self, name: &'static str) -> bool {
        let near = |entry: &Entry| !did_you_mean(&entry.name, [name].into_iter(), "").ends_with("; ");
        self.entries().iter().any(near)
    }

    /// Every field with its name, for mappings whose names the author chooses.
    #[must_use]
    pub fn named(&self) -> Vec<(String, Place, Cursor<'a>)> {
        self.refuse_twice();
        let named = |entry: &Entry| (entry.name.clone(), entry.place, self.child(entry));
        self.first_entries().map(named).collect()
    }

    /// Refuses what was not asked for, and what is written twice.
    pub fn finish(self) {
        self.refuse_twice();
        let known = |name: &str| self.asked.iter().chain(&self.later).any(|known| *known == name);
        for entry in self.first_entries().filter(|entry| !known(&entry.name)) {
            let known = format!("the fields here are {}", self.asked.join(", "));
            if self.quiet {
                self.note(entry.place, None, format!("has an unknown field; {known}"));
            } else {
                let advice = did_you_mean(&entry.name, self.asked.iter().chain(&self.later).copied(), &known);
                self.note(entry.place, Some(&entry.name), format!("unknown field{advice}"));
            }
        }
    }

    fn first_entries(&self) -> impl Iterator<Item = &Entry> {
        let mut seen = HashSet::new();
        self.entries().iter().filter(move |entry| seen.insert(entry.name.as_str()))
    }

    fn refuse_twice(&self) {
        let mut seen: HashMap<&str, Place> = HashMap::new();
        for entry in self.entries() {
            let Some(earlier) = seen.get(entry.name.as_str()) else {
                seen.insert(&entry.name, entry.place);
                continue;
            };
            let name = (!self.quiet).then_some(entry.name.as_str());
            let what = if self.quiet { "has a field that is written twice" } else { "is written twice" };
            let line = earlier.line;
            self.note(entry.place, name, format!("{what}; keep this one or the one in line {line}"));
        }
    }

    fn note(&self, place: Place, name: Option<&str>, text: String) {
        let path = name.map_or_else(|| self.cursor.path().to_owned(), |name| join(self.cursor.path(), name));
        self.cursor.report().mistake(place, &path, text);
    }
}

/// `a` and `b` become `a.b`; a name that is no plain word is quoted: `headers["x y"]`. One that looks like a secret
/// is not repeated.
pub(super) fn join(path: &str, name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let name = shown(name);
    match (path.is_empty(), !name.is_empty() && name.chars().all(plain)) {
        (true, true) => name.to_owned(),
        (false, true) => format!("{path}.{name}"),
        (_, false) => format!("{path}[{name:?}]"),
    }
}
