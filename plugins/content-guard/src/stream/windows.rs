//! What services have been asked about, in windows that overlap.

use std::collections::BTreeMap;
use std::ops::Range;

use super::Ask;
use super::channel::Channel;

/// Most text that is asked about at once, in bytes.
const MAX_ASK_BYTES: usize = 16 * 1024;

/// Which part of a window has been shown before.
const OVERLAP: usize = 4;

/// Bytes of the longest character.
const CHAR_BYTES: usize = 4;

/// A text that was asked about.
#[derive(Clone, Debug)]
pub(super) struct Window {
    pub(super) channel: String,
    /// What is new in it.
    pub(super) range: Range<usize>,
    /// What was shown before it, for the context.
    pub(super) lead: String,
}

/// All that was asked and has not been answered.
#[derive(Debug)]
pub(super) struct Windows {
    chars: usize,
    last: u64,
    open: BTreeMap<u64, Window>,
    services: bool,
}

impl Windows {
    pub(super) const fn new(chars: usize, services: bool) -> Self {
        Self { chars, last: 0, open: BTreeMap::new(), services }
    }

    const fn overlap(&self) -> usize {
        self.chars.div_euclid(OVERLAP)
    }

    /// Bytes before what is to be asked next that must be kept; `None`: nothing is ever asked.
    pub(super) fn context(&self) -> Option<usize> {
        self.services.then(|| self.overlap().saturating_mul(CHAR_BYTES))
    }

    /// Asks about what is settled: once there is a window full, or if it `is_due`, or at its end.
    pub(super) fn ask(&mut self, name: &str, channel: &mut Channel, is_due: bool, asks: &mut Vec<Ask>) {
        let unasked = channel.unasked();
        let full = self.chars.saturating_sub(self.overlap()).max(1);
        if unasked.is_empty()
            || !(is_due || channel.is_over() || unasked.chars().nth(full.saturating_sub(1)).is_some())
        {
            return;
        }
        while !channel.unasked().is_empty() {
            let unasked = channel.unasked();
            let bytes = (0..=MAX_ASK_BYTES.min(unasked.len())).rev().find(|at| unasked.is_char_boundary(*at));
            let range = channel.ask(bytes.unwrap_or(unasked.len()));
            let context = channel.context(range.start, self.overlap().saturating_mul(CHAR_BYTES));
            let lead: String = {
                let masked = channel.masked(&context);
                let skip = masked.chars().count().saturating_sub(self.overlap());
                masked.chars().skip(skip).collect()
            };
            self.last = self.last.saturating_add(1);
            asks.push(Ask { id: self.last, text: format!("{lead}{}", channel.masked(&range)) });
            self.open.insert(self.last, Window { channel: name.to_owned(), range, lead });
        }
    }

    /// Whether this was asked and has not been answered.
    pub(super) fn is_open(&self, id: u64) -> bool {
        self.open.contains_key(&id)
    }

    /// An answer has come.
    pub(super) fn close(&mut self, id: u64) -> Option<Window> {
        self.open.remove(&id)
    }

    /// Up to where all checks have passed the channel of this name.
    pub(super) fn passed(&self, name: &str, channel: &Channel) -> usize {
        if !self.services {
            return channel.settled();
        }
        let open = self.open.values().filter(|window| window.channel == name);
        open.map(|window| window.range.start).min().unwrap_or_else(|| channel.asked())
    }
}
