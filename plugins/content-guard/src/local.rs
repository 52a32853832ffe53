//! The checks that need nobody else: keywords, regular expressions, detectors.
//!
//! A text is folded once and then read by every check that applies. The same works on a stream: the caller keeps a
//! buffer of what is not settled and some context before it, asks [`Local::settled`] how far the text is decided
//! whatever follows, and [`Local::find`] what it holds. Cut anywhere, a stream yields what the whole text does.

mod keywords;
mod regexes;
mod screen;
mod squeeze;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::ops::Range;

use sluice_core::detect::{self, Detector, Folded, Form, fold};
use sluice_core::order;
use thiserror::Error;

use self::keywords::Keywords;
use self::regexes::Regexes;

/// Longest keyword, in bytes of UTF-8.
pub const MAX_KEYWORD: usize = 256;
/// Most text that a stream holds back, and most that it keeps as context, in bytes. Only white space and invisible
/// characters come to so much: a finding that they are to hide in a stream is not seen beyond that.
pub const MAX_HELD: usize = 32 * 1024;
/// Memory that one compiled expression may take, in bytes.
pub const MAX_REGEX: usize = 1 << 20;

/// A check as configured.
#[derive(Clone, Debug)]
pub struct LocalCheck {
    /// Its index in the configuration's `checks`.
    pub check: usize,
    /// What it looks for.
    pub rule: LocalRule,
}

/// What a check looks for.
#[derive(Clone, Debug)]
pub enum LocalRule {
    /// Any of these words or phrases, whatever their case and white space.
    Keywords {
        /// The words, each at most [`MAX_KEYWORD`] bytes.
        words: Vec<String>,
        /// Not within longer words.
        whole_words: bool,
    },
    /// Any of these expressions, in folded text.
    Regex(Vec<String>),
    /// Any of these kinds of data.
    Detect(Vec<Detector>),
}

/// Why checks cannot be built.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LocalError {
    /// A keyword without a visible character.
    #[error("checks[{check}]: keyword {index} is empty")]
    EmptyKeyword {
        /// Index of the check.
        check: usize,
        /// Index of the keyword in it.
        index: usize,
    },
    /// A keyword of more than [`MAX_KEYWORD`] bytes.
    #[error("checks[{check}]: keyword {index} is longer than {MAX_KEYWORD} bytes")]
    LongKeyword {
        /// Index of the check.
        check: usize,
        /// Index of the keyword in it.
        index: usize,
    },
    /// So many keywords that no automaton holds them.
    #[error("keywords: {0}")]
    Keywords(String),
    /// An expression that is none, too large, or matches the empty text.
    #[error("checks[{check}]: regex {index}: {why}")]
    Regex {
        /// Index of the check.
        check: usize,
        /// Index of the expression in it.
        index: usize,
        /// What is wrong.
        why: String,
    },
}

/// Which checks run on a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applies(BTreeSet<usize>);

impl Applies {
    /// The checks with these indexes in the configuration; those that are not local do not matter here.
    pub fn new(checks: impl IntoIterator<Item = usize>) -> Self {
        Self(checks.into_iter().collect())
    }

    /// Whether the check at this index runs.
    #[must_use]
    pub fn holds(&self, check: usize) -> bool {
        self.0.contains(&check)
    }

    /// Whether none runs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Something that a check looks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Index of the check in the configuration.
    pub check: usize,
    /// `keyword`, `regex`, or the name of the detector.
    pub category: &'static str,
    /// Where, in bytes of the text as given.
    pub range: Range<usize>,
}

/// How far a text is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Findings up to here are final, none lies across, and text up to here may leave.
    pub until: usize,
    /// Text before this is no longer needed, not even as context. At most `until`.
    pub keep: usize,
}

/// All local checks of a configuration.
#[derive(Debug)]
pub struct Local {
    keywords: Keywords,
    regexes: Regexes,
    detectors: Vec<(usize, Vec<Detector>)>,
}

impl Local {
    /// The checks, ready to run.
    ///
    /// # Errors
    ///
    /// A keyword or expression that cannot be looked for.
    pub fn new(checks: Vec<LocalCheck>) -> Result<Self, LocalError> {
        let (mut keywords, mut regexes, mut detectors) =
            (keywords::Builder::default(), Regexes::default(), Vec::new());
        for LocalCheck { check, rule } in checks {
            match rule {
                LocalRule::Keywords { words, whole_words } => keywords.add(check, &words, whole_words)?,
                LocalRule::Regex(patterns) => regexes.add(check, &patterns)?,
                LocalRule::Detect(kinds) => detectors.push((check, in_order(&kinds))),
            }
        }
        Ok(Self { keywords: keywords.build()?, regexes, detectors })
    }

    /// Whether there is no check.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keywords.is_empty() && self.regexes.is_empty() && self.detectors.is_empty()
    }

    /// What the checks find in `text` that begins at `from` or later; what stands before is context. Sorted by where
    /// it begins. Findings of one check never overlap; those of different checks may.
    #[must_use]
    pub fn find(&self, applies: &Applies, form: Form, text: &str, from: usize) -> Vec<Finding> {
        if applies.is_empty() || self.is_empty() || self.is_clear(applies, form, text) {
            return Vec::new();
        }
        self.find_folded(applies, &fold(text, form), from)
    }

    /// Whether a look at the text as it stands is enough: nothing applies but keywords, and none of them can be there.
    fn is_clear(&self, applies: &Applies, form: Form, text: &str) -> bool {
        let only_keywords = self.detectors(applies).next().is_none() && !self.regexes.applies(applies);
        only_keywords && form == Form::Plain && text.is_ascii() && !self.keywords.may_stand_in(text)
    }

    /// How far `text`, of which everything before `from` has been settled before, is decided whatever follows it.
    #[must_use]
    pub fn settled(&self, applies: &Applies, form: Form, text: &str, from: usize) -> Settled {
        let folded = fold(text, form);
        let end = folded.at(folded.whole());
        let begin = folded.at(from);
        let known = folded.text().get(..end).unwrap_or_default();
        let open = self.open(applies, known, begin);
        let mut until = if open < known.len() { folded.original(open..open).start } else { folded.whole() };
        let findings = self.find_folded(applies, &folded, from);
        // Last ones first: leaving out one can lay the end into another.
        for finding in findings.iter().rev().filter(|finding| finding.range.start >= from) {
            if finding.range.start < until && until < finding.range.end {
                until = finding.range.start;
            }
        }
        let until = until.max(at_most_held(&folded, &findings, text)).clamp(from, text.len().max(from));
        Settled { until, keep: keep(&folded, text, until) }
    }

    fn open(&self, applies: &Applies, known: &str, begin: usize) -> usize {
        let mut open = known.len();
        for detector in self.detectors(applies) {
            open = open.min(detector.open(known, begin));
        }
        open = open.min(self.regexes.open(applies, known, begin));
        open.min(self.keywords.open(applies, known, begin))
    }

    fn detectors<'a>(&'a self, applies: &'a Applies) -> impl Iterator<Item = Detector> + 'a {
        let running = self.detectors.iter().filter(|(check, _)| applies.holds(*check));
        running.flat_map(|(_, kinds)| kinds.iter().copied())
    }

    fn find_folded(&self, applies: &Applies, folded: &Folded, from: usize) -> Vec<Finding> {
        let begin = folded.at(from);
        let mut found = Found { folded, findings: Vec::new() };
        for (check, kinds) in self.detectors.iter().filter(|(check, _)| applies.holds(*check)) {
            Detector::find_all(kinds, folded.text(), begin, |kind, range| {
                found.add(*check, kind.name(), range)
            });
        }
        self.regexes.find(applies, folded.text(), begin, &mut found);
        self.keywords.find(applies, folded.text(), begin, &mut found);
        found.united()
    }
}

/// The kinds in the order in which the detectors prefer each other.
fn in_order(kinds: &[Detector]) -> Vec<Detector> {
    Detector::ALL.into_iter().filter(|kind| kinds.contains(kind)).collect()
}

/// From where on at most [`MAX_HELD`] bytes are held, at the end of a finding if that lies in one.
fn at_most_held(folded: &Folded, findings: &[Finding], text: &str) -> usize {
    let Some(least) = text.len().checked_sub(MAX_HELD).filter(|least| *least > 0) else { return 0 };
    let least = (least..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(least);
    let next = folded.at(least);
    let next = if next < folded.text().len() { folded.original(next..next).start } else { folded.whole() };
    // Between two characters of the folded text there is nothing but what says nothing.
    let until = if next.saturating_sub(least) < MAX_HELD { next } else { least };
    findings
        .iter()
        .filter(|finding| finding.range.start < until)
        .fold(until, |until, finding| until.max(finding.range.end))
}

/// Where the context begins that findings from `until` on look back at.
fn keep(folded: &Folded, text: &str, until: usize) -> usize {
    let before = folded.text().get(..folded.at(until)).unwrap_or_default();
    let start = before.char_indices().rev().take(detect::CONTEXT).last().map_or(before.len(), |(at, _)| at);
    let least = until.saturating_sub(MAX_HELD);
    let least = (least..=until).find(|at| text.is_char_boundary(*at)).unwrap_or(until);
    folded.original(start..start).start.max(least).min(until)
}

/// Findings on their way out.
struct Found<'a> {
    folded: &'a Folded,
    findings: Vec<Finding>,
}

impl Found<'_> {
    fn add(&mut self, check: usize, category: &'static str, folded: Range<usize>) {
        self.findings.push(Finding { check, category, range: self.folded.original(folded) });
    }

    /// The findings in order, those of one check that overlap made one: it has the category of the first.
    fn united(mut self) -> Vec<Finding> {
        // of those that begin at one place the longest first
        order::by_place(&mut self.findings, |finding| (finding.range.start, !finding.range.end));
        order::by_place(&mut self.findings, |finding| (finding.check, finding.range.start));
        self.findings.dedup_by(|next, last| {
            let overlap = next.check == last.check && next.range.start < last.range.end;
            if overlap {
                last.range.end = last.range.end.max(next.range.end);
            }
            overlap
        });
        order::by_place(&mut self.findings, |finding| (finding.range.start, 0));
        self.findings
    }
}
