//! One text of an answer that comes in deltas: how far it has been checked, and what is to be replaced in it.

use std::hash::{DefaultHasher, Hasher};
use std::ops::Range;

use sluice_core::detect::Form;
use sluice_core::texts::Decoded;

use super::edits::{Edit, Edits};
use super::windows::Window;
use super::{Act, Checks, Finding};
use crate::mask::{Vault, escaped};

/// Text before what is being checked that is kept as context, in bytes.
const MAX_CONTEXT: usize = 4096;

/// One text. Places count in bytes from its start.
#[derive(Debug)]
pub(super) struct Channel {
    form: Form,
    /// Its text from `base` on.
    text: String,
    base: usize,
    /// From here on a finding can still begin.
    from: usize,
    /// Up to here nothing is found any more by the local checks, or too much time has passed.
    settled: usize,
    /// Up to here services have been asked.
    asked: usize,
    /// Up to here it has left.
    released: usize,
    /// Up to here it is to be settled, complete or not.
    pressed: usize,
    /// Up to here it has come to an end.
    ended: usize,
    /// From here on the local checks need it.
    keep: usize,
    edits: Edits,
    /// What has been found from `from` on.
    found: Vec<(usize, Range<usize>)>,
    said: DefaultHasher,
    is_new: bool,
}

impl Channel {
    pub(super) fn new(form: Form) -> Self {
        Self {
            form,
            text: String::new(),
            base: 0,
            from: 0,
            settled: 0,
            asked: 0,
            released: 0,
            pressed: 0,
            ended: 0,
            keep: 0,
            edits: Edits::default(),
            found: Vec::new(),
            said: DefaultHasher::new(),
            is_new: false,
        }
    }

    /// Adds a delta; where it stands.
    pub(super) fn push(&mut self, text: &str) -> (usize, usize) {
        let start = self.length();
        self.text.push_str(text);
        self.said.write(text.as_bytes());
        self.is_new |= !text.is_empty();
        (start, self.length())
    }

    fn length(&self) -> usize {
        self.base.saturating_add(self.text.len())
    }

    /// Whether all that has been said is `text`.
    pub(super) fn has_said(&self, text: &str) -> bool {
        let hash = || {
            let mut hasher = DefaultHasher::new();
            hasher.write(text.as_bytes());
            hasher.finish()
        };
        text.len() == self.length() && hash() == self.said.finish()
    }

    /// No more is to come.
    pub(super) fn end(&mut self) {
        self.is_new |= self.settled < self.length();
        self.ended = self.length();
    }

    /// Settles it up to `end` with what is known now.
    pub(super) fn press(&mut self, end: usize) {
        self.is_new |= self.pressed < end && self.settled < end;
        self.pressed = self.pressed.max(end);
    }

    /// Whether there is something to settle.
    pub(super) const fn is_new(&self) -> bool {
        self.is_new
    }

    pub(super) const fn settled(&self) -> usize {
        self.settled
    }

    pub(super) const fn asked(&self) -> usize {
        self.asked
    }

    /// Whether all that is settled is all there will be.
    pub(super) fn is_over(&self) -> bool {
        self.settled == self.length() && self.ended == self.settled
    }

    /// Runs the local checks over what is not settled. Whether one of them blocks.
    pub(super) fn settle(
        &mut self,
        checks: &dyn Checks,
        vault: &mut Vault,
        findings: &mut Vec<Finding>,
    ) -> bool {
        self.is_new = false;
        let from = self.from.saturating_sub(self.base);
        let (until, keep) = checks.settled(self.form, &self.text, from);
        let until = self.base.saturating_add(until);
        let forced = self.pressed.max(self.ended);
        let mut blocked: Option<usize> = None;
        for mut finding in checks.find(self.form, &self.text, from) {
            finding.range = self.place(&finding.range);
            let start = finding.range.start;
            let is_final = finding.range.end <= until || start < forced;
            if is_final && self.decide(finding, vault, findings) {
                blocked = Some(blocked.map_or(start, |first| first.min(start)));
            }
        }
        let blocked = blocked.map(|start| self.decided(checks, from, start));
        self.keep = self.base.saturating_add(keep);
        self.from = self.from.max(until);
        self.found.retain(|(_, range)| range.end > self.from);
        self.restore(until, blocked, vault);
        blocked.is_some()
    }

    /// Up to where the text that ends at `end` is decided whatever follows: what a client is not to see decides nothing of
    /// what it has seen.
    fn decided(&self, checks: &dyn Checks, from: usize, end: usize) -> usize {
        let shown = self.text.get(..end.saturating_sub(self.base)).unwrap_or_default();
        self.base.saturating_add(checks.settled(self.form, shown, from).0).min(end)
    }

    fn place(&self, range: &Range<usize>) -> Range<usize> {
        self.base.saturating_add(range.start)..self.base.saturating_add(range.end)
    }

    /// Acts on what was found, once; what has grown is acted on again, but not told again.
    fn decide(&mut self, finding: Finding, vault: &mut Vault, findings: &mut Vec<Finding>) -> bool {
        let Finding { range, check, act, .. } = &finding;
        let known = |(of, known): &(usize, Range<usize>)| {
            *of == *check && known.start < range.end && range.start < known.end
        };
        let is_known = self.found.iter().any(known);
        if self
            .found
            .iter()
            .any(|(of, known)| of == check && known.start <= range.start && range.end <= known.end)
        {
            return false;
        }
        self.found.push((*check, range.clone()));
        let act = *act;
        if act == Act::Mask {
            let start = range.start.max(self.released);
            let value = match self.form {
                Form::Plain => self.text_of(range).to_owned(),
                Form::Json => Decoded::of(self.text_of(range).as_bytes()).text,
            };
            let with = vault.stand_in(&finding.label, &value);
            self.edits.put(Edit::new(start..range.end.max(start), with));
        }
        if !is_known {
            findings.push(finding);
        }
        act == Act::Block
    }

    fn text_of(&self, range: &Range<usize>) -> &str {
        let start = range.start.saturating_sub(self.base);
        self.text.get(start..range.end.saturating_sub(self.base)).unwrap_or_default()
    }

    /// Settles up to `until` or what is forced, but not within a placeholder nor beyond the start of what is `blocked`,
    /// and puts values in the place of placeholders.
    fn restore(&mut self, until: usize, blocked: Option<usize>, vault: &Vault) {
        let open = self.base.saturating_add(vault.open(&self.text));
        let mut limit = until.max(self.pressed).min(open);
        let found: Vec<_> =
            vault.find(&self.text).into_iter().map(|(range, value)| (self.place(&range), value)).collect();
        for (range, _) in &found {
            if range.start < limit && limit < range.end {
                limit = range.start;
            }
        }
        let limit = limit.max(self.ended).min(blocked.unwrap_or(usize::MAX));
        for (range, value) in found {
            if range.start >= self.settled && range.end <= limit && self.edits.is_free(&range) {
                self.edits.put(Edit { restores: true, ..Edit::new(range, value.to_owned()) });
            }
        }
        self.settled = self.settled.max(limit);
    }

    /// What is to be replaced in `range`.
    pub(super) fn edits(&self, range: &Range<usize>) -> impl Iterator<Item = Edit> {
        self.edits.within(range)
    }

    /// `range` as services see it: masked, placeholders as they are.
    pub(super) fn masked(&self, range: &Range<usize>) -> String {
        let text = self.text_of(range);
        let mut out = String::with_capacity(text.len());
        let mut done = 0;
        for edit in self.edits.within(range).filter(|edit| !edit.restores) {
            out.push_str(text.get(done..edit.range.start).unwrap_or_default());
            out.push_str(&edit.with);
            done = edit.range.end;
        }
        out.push_str(text.get(done..).unwrap_or_default());
        out
    }

    /// What services have not been asked about though it is settled.
    pub(super) fn unasked(&self) -> &str {
        self.text_of(&(self.asked..self.settled))
    }

    /// Notes that services are asked about the next `bytes`; where these stand.
    pub(super) fn ask(&mut self, bytes: usize) -> Range<usize> {
        let start = self.asked;
        self.asked = start.saturating_add(bytes).min(self.settled);
        start..self.asked
    }

    /// The last `bytes` before `place`, as far as they are there; cut at a character's border.
    pub(super) fn context(&self, place: usize, bytes: usize) -> Range<usize> {
        let start = place.saturating_sub(bytes).max(self.base);
        let at = |place: &usize| self.text.is_char_boundary(place.saturating_sub(self.base));
        (start..=place).find(at).unwrap_or(place)..place
    }

    /// A service wants `text` in the place of all that it was asked about.
    pub(super) fn rewrite(&mut self, window: &Window, text: &str, vault: &Vault) {
        let text = text.strip_prefix(window.lead.as_str()).unwrap_or(text);
        let is_json = self.form == Form::Json;
        let mut with = String::with_capacity(text.len());
        let mut done = 0;
        for (range, value) in vault.find(text) {
            with.push_str(text.get(done..range.start).unwrap_or_default());
            with.push_str(&if is_json { escaped(value, Form::Plain) } else { value.to_owned() });
            done = range.end;
        }
        with.push_str(text.get(done..).unwrap_or_default());
        let start = window.range.start.max(self.released);
        self.edits.put(Edit { is_json, ..Edit::new(start..window.range.end, with) });
    }

    pub(super) fn release(&mut self, end: usize) {
        self.released = self.released.max(end);
    }

    /// Forgets text that nobody needs any more; `context` bytes before what services will be asked stay.
    pub(super) fn trim(&mut self, context: Option<usize>) {
        let needed = context.map_or(self.settled, |bytes| self.asked.saturating_sub(bytes));
        let oldest = self.settled.min(needed).saturating_sub(MAX_CONTEXT);
        let base = self.keep.max(oldest).min(needed).max(self.base);
        let cut = base.saturating_sub(self.base).min(self.text.len());
        let Some(cut) = (0..=cut).rev().find(|at| self.text.is_char_boundary(*at)).filter(|cut| *cut > 0)
        else {
            return;
        };
        self.text.drain(..cut);
        self.base = self.base.saturating_add(cut);
        self.from = self.from.max(self.base);
    }
}
