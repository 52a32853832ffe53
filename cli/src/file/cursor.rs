//! A value in the file together with its path: the one way in which values are read.
//!
//! Every reading method answers `None` when the value is wrong and has then added a mistake to the report, so
//! that a caller reads everything it needs and only then gives up.

use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::Duration;

use sluice_core::config::shown;

use super::decimal::{self, Decimal};
use super::fields::Fields;
use super::note::{Place, Report};
use super::quantity::{parse_duration, parse_size, show_duration, show_size};
use super::similar::did_you_mean;
use super::tree::{Content, Node};

/// A value, its path and the report that its mistakes go to.
#[derive(Clone)]
pub struct Cursor<'a> {
    node: Rc<Node>,
    place: Place,
    path: String,
    report: &'a Report,
}

impl<'a> Cursor<'a> {
    /// The whole file.
    #[must_use]
    pub fn root(node: Rc<Node>, report: &'a Report) -> Self {
        Self { place: node.place, node, path: String::new(), report }
    }

    pub(super) fn child(&self, node: &Rc<Node>, place: Place, path: String) -> Self {
        Self { node: Rc::clone(node), place, path, report: self.report }
    }

    /// Where it stands: its own place, or its name's when it has no value.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    /// Its path: `models[2].targets[0].provider`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// One of its fields, to say something about it.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<Self> {
        let Content::Map(entries) = self.content() else {
            return None;
        };
        let entry = entries.iter().find(|entry| entry.name == name)?;
        Some(self.child(&entry.value, entry.place, super::fields::join(&self.path, name)))
    }

    /// One of its items, to say something about it; itself when it is a single value.
    #[must_use]
    pub fn nth(&self, at: usize) -> Self {
        match self.content() {
            Content::List(items) => items.get(at).map_or_else(|| self.clone(), |item| self.item(at, item)),
            _ => self.clone(),
        }
    }

    /// What it is.
    #[must_use]
    pub fn content(&self) -> &Content {
        &self.node.content
    }

    pub(super) fn report(&self) -> &'a Report {
        self.report
    }

    /// Adds a mistake about this value. `text` says what is wrong; what to write instead.
    pub fn refuse<T>(&self, text: impl Into<String>) -> Option<T> {
        let path = if self.path.is_empty() { "file" } else { &self.path };
        self.report.mistake(self.place, path, text);
        None
    }

    /// Adds a mistake about this value's name, which stands at `place`.
    pub fn refuse_at<T>(&self, place: Place, text: impl Into<String>) -> Option<T> {
        self.report.mistake(place, &self.path, text);
        None
    }

    /// Adds a warning about this value.
    pub fn warn(&self, text: impl Into<String>) {
        self.report.warning(self.place, &self.path, text);
    }

    /// Refuses the kind of value this is.
    fn wrong_kind<T>(&self, want: &str) -> Option<T> {
        self.refuse(format!("is {}; write {want}", self.content().kind()))
    }

    /// Its fields. `want` completes "write …".
    #[must_use]
    pub fn fields(&self, want: &str) -> Option<Fields<'a>> {
        match self.content() {
            Content::Map(_) => Some(Fields::new(self.clone())),
            _ => self.wrong_kind(want),
        }
    }

    /// Its items, at least one of them unless `may_be_empty`.
    #[must_use]
    pub fn items(&self, want: &str, may_be_empty: bool) -> Option<Vec<Self>> {
        match self.content() {
            Content::List(items) if items.is_empty() && !may_be_empty => {
                self.refuse(format!("is an empty list; write {want}"))
            }
            Content::List(items) => {
                Some(items.iter().enumerate().map(|(at, item)| self.item(at, item)).collect())
            }
            _ => self.wrong_kind(want),
        }
    }

    fn item(&self, at: usize, item: &Rc<Node>) -> Self {
        self.child(item, item.place, format!("{}[{at}]", self.path))
    }

    /// Its items, or itself when it is a single value.
    #[must_use]
    pub fn one_or_more(&self, want: &str) -> Option<Vec<Self>> {
        match self.content() {
            Content::Scalar(_) => Some(vec![self.clone()]),
            _ => self.items(want, false),
        }
    }

    /// Its text, which is not empty.
    #[must_use]
    pub fn text(&self, want: &str) -> Option<&str> {
        match self.content() {
            Content::Scalar(text) if text.trim().is_empty() => self.refuse(format!("is empty; write {want}")),
            Content::Scalar(text) => Some(text),
            _ => self.wrong_kind(want),
        }
    }

    /// A whole number in `range`.
    #[must_use]
    pub fn number(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let want = format!("a whole number from {} to {}", range.start(), range.end());
        let text = self.text(&want)?;
        match text.parse::<u64>() {
            Ok(number) if range.contains(&number) => Some(number),
            Ok(_) => self.refuse(format!("{} is out of range; write {want}", shown(text))),
            Err(_) => self.refuse(format!("{:?} is no whole number; write {want}", shown(text))),
        }
    }

    /// As [`Cursor::number`], for what is kept in 32 bits.
    #[must_use]
    pub fn number32(&self, range: RangeInclusive<u32>) -> Option<u32> {
        let number = self.number(u64::from(*range.start())..=u64::from(*range.end()))?;
        u32::try_from(number).ok()
    }

    /// A decimal number of at most `places` digits after the point; `range` counts units of the last one.
    #[must_use]
    pub fn decimal(&self, places: u8, range: RangeInclusive<u64>) -> Option<Decimal> {
        let [least, most] = [*range.start(), *range.end()].map(|units| Decimal::new(units, places));
        let want = format!("a number from {least} to {most}");
        let text = self.text(&want)?;
        match decimal::parse(text, places) {
            Ok(number) if range.contains(&number.units()) => Some(number),
            Ok(_) => self.refuse(format!("{} is out of range; write {want}", shown(text))),
            Err(why) => self.refuse(format!("{why}; write {want}")),
        }
    }

    /// A duration in `range`.
    #[must_use]
    pub fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let text = self.text("a duration such as 250ms, 10s or 5m")?;
        let duration = parse_duration(text).map_err(|why| self.refuse::<()>(why)).ok()?;
        if range.contains(&duration) {
            return Some(duration);
        }
        let (least, most) = (show_duration(*range.start()), show_duration(*range.end()));
        self.refuse(format!("{} is out of range; write a duration from {least} to {most}", shown(text)))
    }

    /// A size in bytes in `range`.
    #[must_use]
    pub fn size(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let text = self.text("a size such as 64KiB or 16MiB")?;
        let size = parse_size(text).map_err(|why| self.refuse::<()>(why)).ok()?;
        if range.contains(&size) {
            return Some(size);
        }
        let (least, most) = (show_size(*range.start()), show_size(*range.end()));
        self.refuse(format!("{} is out of range; write a size from {least} to {most}", shown(text)))
    }

    /// One of a few words.
    #[must_use]
    pub fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let want = one_of(&names);
        let text = self.text(&want)?;
        if let Some((_, choice)) = choices.iter().find(|(name, _)| *name == text) {
            return Some(*choice);
        }
        let advice = did_you_mean(text, names.iter().copied(), &format!("write {want}"));
        self.refuse(format!("{:?} is not known{advice}", shown(text)))
    }
}

/// `a, b or c`.
fn one_of(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}
