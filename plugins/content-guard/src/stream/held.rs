//! One event that waits for its texts to be checked.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use sluice_core::json::{Edit, Span, splice};
use sluice_core::order;
use sluice_core::sse;
use sluice_core::texts::{self, Form};

use super::channel::Channel;
use crate::mask::{Slot, escaped, without};

/// An event as it came.
#[derive(Debug)]
pub(super) struct Held {
    raw: Vec<u8>,
    at_ms: u64,
    logprobs: Vec<Span>,
    pub(super) bits: Vec<Bit>,
    /// Whether everything in it can be told. If not, its strings are among the bits all the same.
    pub(super) readable: bool,
}

/// A text of an event, as a part of its channel.
#[derive(Debug)]
pub(super) struct Bit {
    place: Place,
    /// Its channel's name; empty while it is a whole text that has none.
    pub(super) channel: String,
    /// Whether the channel is nobody else's.
    pub(super) is_alone: bool,
    /// Where in the channel it begins.
    pub(super) start: usize,
    /// Where it ends.
    pub(super) end: usize,
}

/// Where in the event's data a text stands.
#[derive(Debug)]
enum Place {
    String(Slot),
    /// The data is no JSON: it is the text.
    Data(String),
}

impl Bit {
    const fn new(place: Place, channel: String) -> Self {
        Self { place, channel, is_alone: false, start: 0, end: 0 }
    }

    pub(super) fn text(&self) -> &str {
        match &self.place {
            Place::String(slot) => slot.outer(),
            Place::Data(text) => text,
        }
    }

    pub(super) const fn form(&self) -> Form {
        match &self.place {
            Place::String(slot) => slot.form,
            Place::Data(_) => Form::Plain,
        }
    }

    fn edit(&self, edit: &super::edits::Edit) -> (Span, String) {
        let Range { start, end } = edit.range;
        match &self.place {
            Place::String(slot) => {
                let form = if edit.is_json { Form::Plain } else { slot.form };
                (slot.outer_span(&edit.range), escaped(&edit.with, form))
            }
            Place::Data(_) => (Span { start, end }, edit.with.clone()),
        }
    }
}

impl Held {
    /// Reads an event that came at `at_ms`, and tells which channels end with it. `None`: it cannot be read.
    pub(super) fn read(raw: &[u8], at_ms: u64) -> Option<(Self, Vec<String>)> {
        let mut held = Self { readable: true, ..Self::unread(raw, at_ms) };
        let Some(data) = sse::parse(raw).data else {
            return Some((held, Vec::new()));
        };
        match data.trim_ascii() {
            b"" => return Some((held, Vec::new())),
            b"[DONE]" => return Some((held, vec![String::new()])),
            _ => {}
        }
        let Ok(event) = texts::event(&data) else {
            let text = std::str::from_utf8(&data).ok()?;
            held.bits.push(Bit::new(Place::Data(text.to_owned()), String::new()));
            return Some((held, Vec::new()));
        };
        held.readable = !event.unknown;
        held.logprobs = event.logprobs;
        let said = event.said.into_iter().filter(|said| !said.text.inside().is_empty());
        let bit = |said: texts::Said| {
            Bit::new(Place::String(Slot::new(&data, said.text)), said.channel.unwrap_or_default())
        };
        held.bits = said.map(bit).collect();
        Some((held, event.ends))
    }

    /// Bytes that wait for nothing but their turn.
    pub(super) fn unread(raw: &[u8], at_ms: u64) -> Self {
        Self { raw: raw.to_vec(), at_ms, logprobs: Vec::new(), bits: Vec::new(), readable: false }
    }

    pub(super) const fn due_ms(&self, max_hold_ms: u64) -> u64 {
        self.at_ms.saturating_add(max_hold_ms)
    }

    /// Its bytes.
    pub(super) const fn size(&self) -> usize {
        self.raw.len()
    }

    /// Bytes of its deltas that are not settled.
    pub(super) fn unsettled_bytes(&self, channels: &BTreeMap<String, Channel>) -> usize {
        let deltas = self.bits.iter().filter(|bit| !bit.is_alone);
        let settled = |bit: &Bit| channels.get(&bit.channel).map_or(0, Channel::settled);
        deltas.map(|bit| bit.end.saturating_sub(settled(bit).max(bit.start))).sum()
    }

    /// Writes it with everything replaced. Token probabilities go with what they repeat.
    pub(super) fn write(&self, channels: &BTreeMap<String, Channel>, out: &mut Vec<u8>) {
        let mut edits: Vec<(Span, String)> = Vec::new();
        for bit in &self.bits {
            let Some(channel) = channels.get(&bit.channel) else { continue };
            edits.extend(channel.edits(&(bit.start..bit.end)).map(|edit| bit.edit(&edit)));
        }
        let event = sse::parse(&self.raw);
        let Some(data) = event.data.filter(|_| !edits.is_empty()) else {
            out.extend_from_slice(&self.raw);
            return;
        };
        edits.extend(self.logprobs.iter().map(|span| (*span, without(&data, *span).to_owned())));
        order::by_place(&mut edits, |(span, _)| (span.start, 0));
        let edits: Vec<_> = edits.iter().map(|(span, with)| (*span, with.as_bytes())).collect();
        out.extend(replaced(&self.raw, event.name, data, &edits));
    }
}

/// `raw` with edits made in its `data`. Data of several lines is written anew, as one event with nothing but its
/// name and data.
fn replaced(raw: &[u8], name: &[u8], data: Cow<'_, [u8]>, edits: &[(Span, &[u8])]) -> Vec<u8> {
    let offset = match &data {
        Cow::Owned(_) => 0,
        // borrowed data is a part of raw, so the distance of their starts is where it stands
        Cow::Borrowed(data) => data.as_ptr().addr().saturating_sub(raw.as_ptr().addr()),
    };
    let at =
        |span: Span| Span { start: span.start.saturating_add(offset), end: span.end.saturating_add(offset) };
    let edits: Vec<_> = edits.iter().map(|(span, with)| Edit { span: at(*span), with }).collect();
    match data {
        Cow::Owned(data) => sse::encode(name, &splice(&data, &edits)),
        Cow::Borrowed(_) => splice(raw, &edits),
    }
}
