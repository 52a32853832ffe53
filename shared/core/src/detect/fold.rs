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
use wide::u8x16;

use super::map::{Draft, Folded};
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

/// Bytes that are looked at at once.
const BLOCK: usize = 16;

/// `text` folded.
#[must_use]
pub fn fold(text: &str, form: Form) -> Folded {
    let mut folded = Draft::of(text.len());
    let mut at = 0_usize;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        at = match plain(&mut folded, rest, at, form) {
            0 => at.saturating_add(one(&mut folded, rest, at, form)),
            plain => at.saturating_add(plain),
        };
    }
    folded.finish()
}

fn ends_spaced(folded: &Draft) -> bool {
    folded.last() == Some(b' ')
}

/// Takes over what stands for itself: printable ASCII, single spaces, and ideographs of U+4000 to U+9FFF. Tells how
/// many bytes.
fn plain(folded: &mut Draft, rest: &str, at: usize, form: Form) -> usize {
    let escape = if form == Form::Json { b'\\' } else { b'\n' };
    let mut spaced = ends_spaced(folded);
    let blocks = plain_blocks(rest.as_bytes(), spaced, escape);
    if let Some(piece) = rest.get(..blocks).filter(|piece| !piece.is_empty()) {
        folded.keep(piece, at);
        return blocks;
    }
    folded.keep_while(rest, at, |byte| {
        let again = spaced && byte == b' ';
        spaced = byte == b' ';
        // Continuation bytes are met only behind a first byte that was taken.
        matches!(byte, 0x20..=0x7e | 0x80..=0xbf | 0xe4..=0xe9) && byte != escape && !again
    })
}

/// Bytes in the blocks that `rest` begins with of nothing but printable ASCII and single spaces.
fn plain_blocks(rest: &[u8], spaced: bool, escape: u8) -> usize {
    let (blocks, _) = rest.as_chunks();
    let mut spaced = u32::from(spaced); // a bit: whether a space stands before
    let is_plain = |block: &&[u8; BLOCK]| {
        let text = u8x16::new(**block);
        let printable = text.max(u8x16::splat(b' ')).min(u8x16::splat(b'~')).simd_eq(text);
        let plain = printable & !text.simd_eq(u8x16::splat(escape));
        let spaces = text.simd_eq(u8x16::splat(b' ')).to_bitmask();
        let before = spaces << 1 | std::mem::replace(&mut spaced, spaces >> (BLOCK - 1));
        plain.all() && spaces & before == 0
    };
    blocks.iter().take_while(is_plain).count().saturating_mul(BLOCK)
}

/// Folds the first character of `rest`, which stands at `at`, and tells how many bytes it took.
fn one(folded: &mut Draft, rest: &str, at: usize, form: Form) -> usize {
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

fn put(folded: &mut Draft, char: char, at: usize, len: usize) {
    let original = at..at.saturating_add(len);
    if char.is_whitespace() {
        if !ends_spaced(folded) {
            folded.replace(" ", original);
        }
    } else if !width::is_invisible(char) {
        folded.replace(width::narrow(char).encode_utf8(&mut [0; 4]), original);
    }
}
