//! Takes off what makes text look different from what it says.
//!
//! | in the text | folded |
//! | --- | --- |
//! | full-width, half-width, mathematical and circled letters and digits | the plain ones |
//! | characters that show nothing (zero-width, soft hyphen, variation selectors, controls) | left out |
//! | white space of any kind and length, line breaks included | one space |
//! | `\u0061`, `\n`, `\"` … if the text is JSON within a string ([`Form::Json`]) | the character |
//!
//! Case stays. Letters of other scripts that merely look alike stay too: to fold them would change words of those
//! scripts. Takes time proportional to the text.

use serde::{Deserialize, Serialize};

use super::map::Folded;
use super::{escape, width};

/// How a text is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// As it is read.
    #[default]
    Plain,
    /// As JSON, in which strings have escapes of their own (arguments of a tool call).
    Json,
}

/// `text` folded.
#[must_use]
pub fn fold(text: &str, form: Form) -> Folded {
    let mut folded = Folded::with_capacity(text.len());
    let mut at = 0_usize;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let plain = plain(rest.as_bytes(), ends_spaced(&folded), form);
        if let Some(piece) = rest.get(..plain).filter(|piece| !piece.is_empty()) {
            folded.keep(piece, at);
            at = at.saturating_add(plain);
            continue;
        }
        at = at.saturating_add(one(&mut folded, rest, at, form));
    }
    if folded.whole() > text.len() {
        folded.cut(text.len());
    }
    folded
}

fn ends_spaced(folded: &Folded) -> bool {
    folded.text().ends_with(' ')
}

/// How many bytes stand for themselves: printable ASCII, single spaces, and ideographs of U+4000 to U+9FFF.
fn plain(bytes: &[u8], mut spaced: bool, form: Form) -> usize {
    let escape = if form == Form::Json { b'\\' } else { b'\n' };
    let mut len = 0_usize;
    for &byte in bytes {
        match byte {
            b' ' if spaced => break,
            b' ' => spaced = true,
            // Continuation bytes are met only behind a first byte that was taken.
            0x21..=0x7e | 0x80..=0xbf | 0xe4..=0xe9 if byte != escape => spaced = false,
            _ => break,
        }
        len = len.saturating_add(1);
    }
    len
}

/// Folds the first character of `rest`, which stands at `at`, and tells how many bytes it took.
fn one(folded: &mut Folded, rest: &str, at: usize, form: Form) -> usize {
    let Some(first) = rest.chars().next() else { return 1 };
    if first != '\\' || form == Form::Plain {
        put(folded, first, at, first.len_utf8());
        return first.len_utf8();
    }
    match escape::first(rest.as_bytes()) {
        escape::First::Char { char, len } => {
            put(folded, char, at, len);
            len
        }
        escape::First::Cut => {
            folded.cut(at);
            folded.keep("\\", at);
            1
        }
        escape::First::None => {
            folded.keep("\\", at);
            1
        }
    }
}

fn put(folded: &mut Folded, char: char, at: usize, len: usize) {
    let original = at..at.saturating_add(len);
    if char.is_whitespace() {
        if !ends_spaced(folded) {
            folded.replace(" ", original);
        }
    } else if !width::is_invisible(char) {
        folded.replace(width::narrow(char).encode_utf8(&mut [0; 4]), original);
    }
}
