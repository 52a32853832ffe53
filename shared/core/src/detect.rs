//! Finds personal data and secrets in text: folding that takes disguises off, and detectors for each kind.
//!
//! Text is folded once (see [`fold`]); every detector then reads the folded text and names byte ranges of it, which
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
pub use self::map::Folded;

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
            Self::Phone => digits::find(bytes, from, phone::at, found),
            Self::Card => digits::find(bytes, from, card::at, found),
            Self::CnId => digits::find(bytes, from, cn_id::at, found),
            Self::ApiKey => api_key::find(bytes, from, found),
            Self::Jwt => jwt::find(bytes, from, found),
            Self::PrivateKey => private_key::find(bytes, from, found),
        }
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
