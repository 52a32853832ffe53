//! Finds personal data and secrets in text: folding that takes disguises off, and detectors for each kind.
//!
//! Text is folded once (see [`fold()`]); every detector then reads the folded text and names byte ranges of it, which
//! [`Folded::original`] maps back. Detectors are made for streams too: what they say of a text depends on the
//! [`CONTEXT`] before it, and [`Detector::open`] tells from where on more text could change it.

mod api_key;
mod bytes;
mod card;
mod cn_id;
mod digits;
mod email;
mod escape;
mod fold;
mod jwt;
mod map;
mod phone;
mod private_key;
#[cfg(test)]
mod tests;
mod width;

use std::ops::Range;

use serde::{Deserialize, Serialize};

pub use self::fold::{Form, fold};
pub use self::map::{Draft, Folded};

/// Characters of folded text that a detector looks back at from where a finding begins, at most.
pub const CONTEXT: usize = 96;

/// A kind of data that can be recognised by its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Detector {
    /// An e-mail address.
    Email,
    /// A telephone number: E.164, mainland Chinese, or North American with separators.
    Phone,
    /// A payment card number: issuer, length and check digit fit.
    Card,
    /// A Chinese resident identity number of 18 characters: region, date and check character fit.
    CnId,
    /// An API key of a vendor that gives its keys a recognisable form.
    ApiKey,
    /// A JSON Web Token.
    Jwt,
    /// A private key as PEM.
    PrivateKey,
}

impl Detector {
    /// Every detector, in the order in which findings at the same place are preferred.
    pub const ALL: [Self; 7] =
        [Self::PrivateKey, Self::ApiKey, Self::Jwt, Self::Email, Self::CnId, Self::Card, Self::Phone];

    /// The name it has in configurations, logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Card => "card",
            Self::CnId => "cn_id",
            Self::ApiKey => "api_key",
            Self::Jwt => "jwt",
            Self::PrivateKey => "private_key",
        }
    }

    /// The detector of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|detector| detector.name() == name)
    }

    /// Appends what it finds in `text`, which is folded: byte ranges that begin at `from` or later, in order and
    /// without overlap. What stands before `from` is context only.
    pub fn find(self, text: &str, from: usize, found: &mut Vec<Range<usize>>) {
        let bytes = text.as_bytes();
        match self {
            Self::Email => email::find(bytes, from, found),
            Self::Phone | Self::Card | Self::CnId => {
                find_numbers(&[self], bytes, from, |_, range| found.push(range))
            }
            Self::ApiKey => api_key::find(bytes, from, found),
            Self::Jwt => jwt::find(bytes, from, found),
            Self::PrivateKey => private_key::find(bytes, from, found),
        }
    }

    /// What all of `kinds` find, as [`Self::find`] does each by itself, in fewer passes over the text.
    pub fn find_all(kinds: &[Self], text: &str, from: usize, mut found: impl FnMut(Self, Range<usize>)) {
        let mut ranges = Vec::new();
        for kind in kinds.iter().filter(|kind| !NUMBERS.contains(kind)) {
            kind.find(text, from, &mut ranges);
            ranges.drain(..).for_each(|range| found(*kind, range));
        }
        find_numbers(kinds, text.as_bytes(), from, found);
    }

    /// Where the earliest finding could begin, at `from` or later, that text following on `text` could still
    /// complete, lengthen or undo; the length of `text` if there is none. Always between two characters.
    #[must_use]
    pub fn open(self, text: &str, from: usize) -> usize {
        let bytes = text.as_bytes();
        let at = match self {
            Self::Email => email::open(bytes),
            Self::Phone | Self::Card | Self::CnId => digits::open(bytes),
            Self::ApiKey => api_key::open(bytes),
            Self::Jwt => jwt::open(bytes),
            Self::PrivateKey => private_key::open(bytes),
        };
        at.max(from).min(text.len())
    }
}

/// The detectors that look for rows of digits.
const NUMBERS: [Detector; 3] = [Detector::CnId, Detector::Card, Detector::Phone];

fn find_numbers(kinds: &[Detector], text: &[u8], from: usize, mut found: impl FnMut(Detector, Range<usize>)) {
    let shapes: [digits::Shape; 3] = [cn_id::at, card::at, phone::at];
    let mut wanted = [None; 3];
    for ((wanted, shape), number) in wanted.iter_mut().zip(shapes).zip(NUMBERS) {
        *wanted = kinds.contains(&number).then_some(shape);
    }
    if wanted.iter().any(Option::is_some) {
        digits::find(text, from, wanted, |index, range| {
            if let Some(number) = NUMBERS.get(index) {
                found(*number, range);
            }
        });
    }
}
