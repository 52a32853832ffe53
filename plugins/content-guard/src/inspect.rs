//! Runs the local checks over a whole body, masks what they find, and cuts the rest into pieces for services.

use std::collections::BTreeMap;
use std::ops::Range;

use sluice_core::detect::Form;
use sluice_core::order;

use crate::config::{Action, Config, Direction};
use crate::local::Finding;
use crate::mask::{Document, Passage, Vault};
use crate::scope::Applied;
use crate::services::{Opinion, Risk};
use crate::verdict::Verdict;

/// Text that a service is shown at once, in bytes, and how much of it is shown again with the next piece.
const PIECE_BYTES: usize = 16 * 1024;
const OVERLAP_BYTES: usize = 256;

/// Pieces of one body: more would make one request a flood for the service.
const MAX_PIECES: usize = 2048;

/// From so many pieces on, short texts that follow each other are shown together: the schemas of fifty tools are two
/// thousand names and descriptions.
const MANY_PIECES: usize = 64;

/// A short text, in bytes.
const SHORT_BYTES: usize = 256;

/// What the local checks say of a body.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// For the record.
    pub(crate) verdicts: Vec<Verdict>,
    /// A check blocks.
    pub(crate) is_blocked: bool,
    masks: Vec<Mask>,
}

/// A range of a passage that is to be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mask {
    passage: usize,
    range: Range<usize>,
    label: String,
    with: Option<String>, // none: a placeholder
}

/// Where a piece of text stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The passage is one piece.
    Whole(usize),
    /// A range of the passage.
    Part(usize, Range<usize>),
    /// All of these passages.
    Several(Range<usize>),
}

/// Looks through all passages of `document`.
pub(crate) fn find(
    config: &Config,
    applied: &Applied,
    direction: Direction,
    document: &Document,
) -> Findings {
    let mut findings = Findings::default();
    let mut counts: BTreeMap<(usize, &'static str), u64> = BTreeMap::new();
    for (number, passage) in document.passages().iter().enumerate() {
        for finding in of_passage(config, applied, passage) {
            let Some(check) = config.checks.get(finding.check) else { continue };
            let count = counts.entry((finding.check, finding.category)).or_default();
            *count = count.saturating_add(1);
            findings.is_blocked |= check.action == Action::Block;
            if check.action == Action::Mask {
                let label = label(&check.name, finding.category);
                let mask = Mask { passage: number, range: finding.range, label, with: None };
                findings.masks.push(mask);
            }
        }
    }
    let verdict = |((check, category), count): ((usize, &str), u64)| {
        let check = config.checks.get(check)?;
        let verdict = Verdict::new(&check.name, direction, category, Risk::High, check.action.name());
        Some(Verdict { count, ..verdict })
    };
    findings.verdicts = counts.into_iter().filter_map(verdict).collect();
    findings
}

/// What is found in the passage as a whole, and what only shows in one of its parts.
fn of_passage(config: &Config, applied: &Applied, passage: &Passage) -> Vec<Finding> {
    let find = |text: &str| config.local.find(&applied.local, Form::Plain, text, 0);
    let mut found = find(&passage.text);
    if passage.parts.len() < 2 {
        return found;
    }
    // in order, for a check's own findings do not overlap
    let mut whole: Vec<_> = found.iter().map(|finding| (finding.check, finding.range.clone())).collect();
    order::by_place(&mut whole, |(check, range)| (*check, range.start));
    for part in &passage.parts {
        for finding in find(passage.text.get(part.clone()).unwrap_or_default()) {
            let range =
                finding.range.start.saturating_add(part.start)..finding.range.end.saturating_add(part.start);
            let after =
                whole.partition_point(|(check, known)| (*check, known.start) < (finding.check, range.end));
            let last = after.checked_sub(1).and_then(|last| whole.get(last));
            if !last.is_some_and(|(check, known)| *check == finding.check && overlap(known, &range)) {
                found.push(Finding { range, ..finding });
            }
        }
    }
    found
}

fn overlap(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

/// What a placeholder is called: by what it stands for where that is a kind of data, else by who wants it masked.
pub(crate) fn label(check: &str, category: &str) -> String {
    let name = if matches!(category, "keyword" | "regex" | "service") { check } else { category };
    name.to_owned()
}

impl Findings {
    /// Replaces what is to be masked.
    pub(crate) fn mask(self, direction: Direction, document: &mut Document, vault: &mut Vault) {
        mask(self.masks, direction, document, vault);
    }
}

/// Replaces `masks`; where several overlap, all that they cover gives way to one placeholder.
pub(crate) fn mask(mut masks: Vec<Mask>, direction: Direction, document: &mut Document, vault: &mut Vault) {
    order::by_place(&mut masks, |mask| (mask.passage, mask.range.start));
    let mut united: Vec<Mask> = Vec::with_capacity(masks.len());
    for mask in masks {
        match united.last_mut() {
            Some(last) if last.passage == mask.passage && overlap(&last.range, &mask.range) => {
                last.range.end = last.range.end.max(mask.range.end);
                last.with = None;
            }
            _ => united.push(mask),
        }
    }
    for Mask { passage, range, label, with } in united {
        let passages = document.passages();
        let Some(value) = passages.get(passage).and_then(|passage| passage.text.get(range.clone())) else {
            continue;
        };
        let with = with.unwrap_or_else(|| match direction {
            Direction::Request => vault.placeholder(&label, value),
            Direction::Response => vault.stand_in(&label, value),
        });
        document.replace(passage, range, &with);
    }
}

/// The passages in pieces, `None` if there are too many.
pub(crate) fn pieces(document: &Document) -> Option<Vec<(Place, String)>> {
    let mut pieces = Vec::new();
    for (number, passage) in document.passages().iter().enumerate() {
        if passage.text.trim().is_empty() {
            continue;
        }
        match cut(&passage.text).as_slice() {
            [_] => pieces.push((Place::Whole(number), passage.text.clone())),
            ranges => pieces.extend(ranges.iter().map(|range| {
                let text = passage.text.get(range.clone()).unwrap_or_default().to_owned();
                (Place::Part(number, range.clone()), text)
            })),
        }
    }
    if pieces.len() > MANY_PIECES {
        pieces = together(pieces);
    }
    (pieces.len() <= MAX_PIECES).then_some(pieces)
}

/// Short texts that follow each other as one piece, each on a line of its own.
fn together(pieces: Vec<(Place, String)>) -> Vec<(Place, String)> {
    let mut all: Vec<(Place, String)> = Vec::new();
    let mut is_open = false; // the last one takes more
    for (place, text) in pieces {
        let is_short = text.len() <= SHORT_BYTES && matches!(place, Place::Whole(_));
        match (all.last_mut(), place) {
            (Some((last, lines)), Place::Whole(number))
                if is_open && is_short && lines.len().saturating_add(text.len()) < PIECE_BYTES =>
            {
                *last = Place::Several(last.first()..number.saturating_add(1));
                lines.push('\n');
                lines.push_str(&text);
            }
            (_, place) => all.push((place, text)),
        }
        is_open = is_short;
    }
    all
}

impl Place {
    const fn first(&self) -> usize {
        match self {
            Self::Whole(passage) | Self::Part(passage, _) => *passage,
            Self::Several(passages) => passages.start,
        }
    }
}

/// Ranges that cover `text`, each but the last overlapping the next.
fn cut(text: &str) -> Vec<Range<usize>> {
    let (mut ranges, mut start) = (Vec::new(), 0_usize);
    loop {
        let end = text.floor_char_boundary(start.saturating_add(PIECE_BYTES).min(text.len()));
        ranges.push(start..end);
        if end >= text.len() {
            return ranges;
        }
        start = text.floor_char_boundary(end.saturating_sub(OVERLAP_BYTES));
    }
}

/// What becomes of a piece in the opinion of a service: no more than its check's action, and no less than it asks for.
pub(crate) fn weigh(config: &Config, check: usize, opinion: &Opinion) -> Option<Action> {
    let allowed = config.checks.get(check)?.action;
    opinion.action.map(|action| action.min(allowed))
}

/// What a service wants written in the place of a piece. Of a passage in several pieces, each overlapping the next, the
/// piece gives way to a placeholder; of several passages in one piece, each does.
pub(crate) fn masks(
    config: &Config,
    check: usize,
    place: Place,
    replacement: Option<String>,
    document: &Document,
) -> Vec<Mask> {
    let label = config.checks.get(check).map_or("", |check| check.name.as_str());
    let mask = |passage, range, with| Mask { passage, range, label: label.to_owned(), with };
    let length = |number| document.passages().get(number).map_or(0, |passage: &Passage| passage.text.len());
    match place {
        Place::Whole(passage) => vec![mask(passage, 0..length(passage), replacement)],
        Place::Part(passage, range) => vec![mask(passage, range, None)],
        Place::Several(passages) => passages
            .filter(|passage| length(*passage) > 0)
            .map(|passage| mask(passage, 0..length(passage), None))
            .collect(),
    }
}
