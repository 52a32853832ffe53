//! Keywords, all of all checks in one automaton over squeezed text.
//!
//! A match in squeezed text is a keyword if its white space stands where the keyword's does. One of at least
//! [`SPLIT`] characters is also found with other white space in it (`inter nal code name`), provided that it begins
//! and ends where words do.
//!
//! The automaton is aho-corasick's contiguous NFA: for 10,000 keywords its DFA takes ten times the memory and four
//! times as long to build, on every worker, to save a quarter of the search.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use sluice_core::detect::{Form, fold};

use super::screen::{EDGE, Screen};
use super::squeeze::{Gap, squeeze, unsure};
use super::{Applies, Found, LocalError, MAX_KEYWORD};

/// Fewest letters and digits of a keyword that is found whatever the white space in it.
const SPLIT: usize = 8;

/// States so near to the root have a table of their own: most text never gets deeper.
const DENSE: usize = 4;

/// Keywords to be.
#[derive(Default)]
pub(super) struct Builder {
    words: BTreeMap<String, Vec<Meaning>>,
}

/// What a pattern means to a check.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Meaning {
    check: usize,
    whole_words: bool,
    /// Whether white space in it may stand anywhere.
    split: bool,
    gaps: Vec<(usize, Gap)>,
}

/// Keywords, ready to be found.
#[derive(Debug, Default)]
pub(super) struct Keywords {
    /// Sorted; what stands at an index is the pattern of that number.
    words: Vec<(Box<str>, Box<[Meaning]>)>,
    automaton: Option<AhoCorasick>,
    screen: Option<Screen>,
    longest: usize,
    checks: BTreeSet<usize>,
}

impl Builder {
    pub(super) fn add(
        &mut self,
        check: usize,
        words: &[String],
        whole_words: bool,
    ) -> Result<(), LocalError> {
        for (index, word) in words.iter().enumerate() {
            if word.len() > MAX_KEYWORD {
                return Err(LocalError::LongKeyword { check, index });
            }
            let folded = fold(word, Form::Plain);
            let text = folded.text().trim();
            if text.is_empty() {
                return Err(LocalError::EmptyKeyword { check, index });
            }
            self.put(text, check, whole_words);
            // At the end of a line its hyphen may be taken for one of the line.
            if text.contains('-') && text.chars().any(char::is_alphanumeric) {
                self.put(&text.replace('-', " "), check, whole_words);
            }
        }
        Ok(())
    }

    fn put(&mut self, text: &str, check: usize, whole_words: bool) {
        let squeezed = squeeze(text);
        let word = squeezed.text();
        let split = word.chars().filter(|char| char.is_alphanumeric()).count() >= SPLIT;
        let gaps = squeezed.gaps(0..word.len()).to_vec();
        let meaning = Meaning { check, whole_words, split, gaps };
        let meanings = self.words.entry(word.to_owned()).or_default();
        if !word.is_empty() && !meanings.contains(&meaning) {
            meanings.push(meaning);
        }
    }

    pub(super) fn build(mut self) -> Result<Keywords, LocalError> {
        self.words.retain(|word, _| !word.is_empty());
        if self.words.is_empty() {
            return Ok(Keywords::default());
        }
        let automaton = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            // Every match is looked at, also within a longer one: what overlaps is united afterwards.
            .match_kind(MatchKind::Standard)
            .prefilter(false)
            .dense_depth(DENSE)
            .build(self.words.keys())
            .map_err(|err| LocalError::Keywords(err.to_string()))?;
        let longest = self.words.keys().map(String::len).max().unwrap_or(0);
        let screen = Screen::of(self.words.keys().map(String::as_str));
        let checks = self.words.values().flatten().map(|meaning| meaning.check).collect();
        let words = self.words.into_iter().map(|(word, meanings)| (word.into(), meanings.into())).collect();
        Ok(Keywords { words, automaton: Some(automaton), screen, longest, checks })
    }
}

impl Keywords {
    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Whether one may stand in `text`, which is folded or ASCII. Nearly always not, if none does.
    pub(super) fn may_stand_in(&self, text: &str) -> bool {
        self.screen.as_ref().is_none_or(|screen| !screen.places(text).is_empty())
    }

    /// Adds the keywords in `text`, which is folded, that begin at `from` or later.
    pub(super) fn find(&self, applies: &Applies, text: &str, from: usize, found: &mut Found<'_>) {
        if !self.applies(applies) {
            return;
        }
        let Some(screen) = &self.screen else {
            return self.search(applies, text, 0..text.len(), from, found);
        };
        for place in screen.places(text) {
            self.search(applies, text, place, from, found);
        }
    }

    /// Adds those of them that stand at `place`, away from its ends but for those of the text.
    pub(super) fn search(
        &self,
        applies: &Applies,
        text: &str,
        place: Range<usize>,
        from: usize,
        found: &mut Found<'_>,
    ) {
        let (Some(automaton), Some(part)) = (&self.automaton, text.get(place.clone())) else { return };
        let squeezed = squeeze(part);
        let begin = squeezed.at(from.saturating_sub(place.start));
        let input = aho_corasick::Input::new(squeezed.text()).range(begin..);
        let Ok(matches) = automaton.try_find_overlapping_iter(input) else { return };
        let first = if place.start == 0 { 0 } else { EDGE };
        let last = if place.end == text.len() { part.len() } else { part.len().saturating_sub(EDGE) };
        for hit in matches {
            let Some((_, meanings)) = self.words.get(hit.pattern().as_usize()) else { continue };
            let range = squeezed.folded(hit.range());
            if range.start < first || range.end > last {
                continue; // what stands outside decides what it is
            }
            let range = range.start.saturating_add(place.start)..range.end.saturating_add(place.start);
            for meaning in meanings.iter().filter(|meaning| applies.holds(meaning.check)) {
                if meaning.fits(&squeezed, hit.start(), hit.end()) {
                    found.add(meaning.check, "keyword", range.clone());
                }
            }
        }
    }

    /// Where the earliest keyword could begin that text behind `text` could complete.
    pub(super) fn open(&self, applies: &Applies, text: &str, from: usize) -> usize {
        if !self.words.iter().any(|(_, meanings)| meanings.iter().any(|meaning| applies.holds(meaning.check)))
        {
            return text.len();
        }
        let unsure = unsure(text).max(from);
        let squeezed = squeeze(text);
        let end = squeezed.at(unsure);
        let first = squeezed.at(from).max(end.saturating_sub(self.longest));
        let sure = squeezed.text().get(..end).unwrap_or_default();
        let mut starts = (first..end).filter(|at| sure.is_char_boundary(*at));
        let open = starts.find(|at| sure.get(*at..).is_some_and(|tail| self.is_begun(tail)));
        open.map_or(unsure, |open| squeezed.folded(open..end).start.min(unsure))
    }

    fn applies(&self, applies: &Applies) -> bool {
        self.checks.iter().any(|check| applies.holds(*check))
    }

    /// Whether a keyword begins with `tail`.
    fn is_begun(&self, tail: &str) -> bool {
        let next = self.words.partition_point(|(word, _)| &**word < tail);
        self.words.get(next).is_some_and(|(word, _)| word.starts_with(tail))
    }
}

impl Meaning {
    fn fits(&self, text: &super::squeeze::Squeezed, start: usize, end: usize) -> bool {
        let bordered = text.is_border(start) && text.is_border(end);
        let exact = alike(text.gaps(start..end), &self.gaps, start);
        if exact { bordered || !self.whole_words } else { bordered && self.split }
    }
}

/// Whether white space stands at the same places; `start` is where the keyword begins in the text.
fn alike(text: &[(usize, Gap)], word: &[(usize, Gap)], start: usize) -> bool {
    let (mut text, mut word) = (text.iter().peekable(), word.iter().peekable());
    loop {
        let here = text.peek().map(|(at, gap)| (at.saturating_sub(start), *gap));
        let there = word.peek().map(|(at, gap)| (*at, *gap));
        let order = match (here, there) {
            (None, None) => return true,
            (Some(here), Some(there)) => here.0.cmp(&there.0),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
        };
        // A gap on one side only must be one that says nothing.
        let lone = match order {
            std::cmp::Ordering::Less => here,
            std::cmp::Ordering::Greater => there,
            std::cmp::Ordering::Equal => None,
        };
        if lone.is_some_and(|(_, gap)| gap == Gap::Space) {
            return false;
        }
        if order.is_le() {
            text.next();
        }
        if order.is_ge() {
            word.next();
        }
    }
}
