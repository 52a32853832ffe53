//! Text as keywords are looked for in it: lower case, no white space, letters that are spelled out put together.
//!
//! | folded text | squeezed |
//! | --- | --- |
//! | `Internal Codename` | `internalcodename`, with a gap in it |
//! | `i n t e r n a l`, `i-n-t-e-r-n-a-l` (single letters, at least 4, one separator) | `internal`, joined |
//! | `inter- nal` (hyphenated at the end of a line) | `internal`, joined |
//! | `内部 代号` (white space between ideographs or kana says nothing) | `内部代号` |
//!
//! What a character becomes depends on at most [`REACH`] characters around it.

use std::ops::Range;

use sluice_core::detect::{Draft, Folded};

/// Characters on either side that decide what becomes of one.
pub(super) const REACH: usize = 9;
/// Single letters that make a word, at least.
const SPELLED: usize = 4;
/// What was taken out between two characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    /// White space between words.
    Space,
    /// A separator within a word that is spelled out: a word may end there or not.
    Joined,
}

/// Bytes for which there is one gap, about.
const WORD: usize = 5;

/// Text being squeezed.
struct Squeezing {
    draft: Draft,
    gaps: Vec<(usize, Gap)>,
}

/// Squeezed text.
#[derive(Debug, Default)]
pub(super) struct Squeezed {
    map: Folded,
    gaps: Vec<(usize, Gap)>,
}

impl Squeezed {
    pub(super) fn text(&self) -> &str {
        self.map.text()
    }

    /// Bytes of the folded text that `range` stands for.
    pub(super) fn folded(&self, range: Range<usize>) -> Range<usize> {
        self.map.original(range)
    }

    /// Where the squeezed text goes on that was made of what stands at `folded` or later.
    pub(super) fn at(&self, folded: usize) -> usize {
        self.map.at(folded)
    }

    /// The gaps strictly within `range`.
    pub(super) fn gaps(&self, range: Range<usize>) -> &[(usize, Gap)] {
        let start = self.gaps.partition_point(|(at, _)| *at <= range.start);
        let end = self.gaps.partition_point(|(at, _)| *at < range.end);
        self.gaps.get(start..end).unwrap_or_default()
    }

    /// Whether a word may begin or end at `at`.
    pub(super) fn is_border(&self, at: usize) -> bool {
        let gap = self.gaps.binary_search_by_key(&at, |(at, _)| *at).is_ok();
        let text = self.text();
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        let after = text.get(at..).and_then(|text| text.chars().next());
        let in_word = |char: char| (char.is_alphanumeric() || char == '_') && !is_wide(char);
        gap || !(before.is_some_and(in_word) && after.is_some_and(in_word))
    }
}

/// `text`, which is folded, squeezed.
pub(super) fn squeeze(text: &str) -> Squeezed {
    let mut squeezing =
        Squeezing { draft: Draft::of(text.len()), gaps: Vec::with_capacity(text.len() / WORD) };
    let mut at = 0_usize;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        at = match squeezing.draft.keep_while(rest, at, is_plain) {
            0 => at.saturating_add(squeezing.one(text, rest, at)),
            plain => at.saturating_add(plain),
        };
    }
    squeezing.draft.make_ascii_lowercase();
    Squeezed { map: squeezing.draft.finish(), gaps: squeezing.gaps }
}

/// From where on in folded text more of it could change how it is squeezed.
pub(super) fn unsure(text: &str) -> usize {
    let mut at = text.len();
    for _ in 0..REACH {
        let before = text.get(..at).unwrap_or_default();
        let mut back = before.chars().rev();
        let (Some(last), previous) = (back.next(), back.next()) else { break };
        let separates = u8::try_from(last).is_ok_and(separates);
        let single = last.is_alphanumeric() && !previous.is_some_and(char::is_alphanumeric);
        if !separates && !single {
            break;
        }
        at = at.saturating_sub(last.len_utf8());
    }
    at
}

impl Squeezing {
    /// Squeezes the first character of `rest`, which stands at `at` of `text`; tells how many bytes it took.
    fn one(&mut self, text: &str, rest: &str, at: usize) -> usize {
        if let Some(byte) = ends_word(text, at) {
            match byte {
                b' ' => self.gap(Gap::Space),
                _ => self.draft.keep(rest.get(..1).unwrap_or_default(), at),
            }
            return 1;
        }
        let Some(first) = rest.chars().next() else { return 1 };
        let len = first.len_utf8();
        if let Ok(byte) = u8::try_from(first)
            && separates(byte)
        {
            return self.separator(text, byte, at);
        }
        if first.is_uppercase() {
            let lower: String = first.to_lowercase().collect();
            self.draft.replace(&lower, at..at.saturating_add(len));
        } else if let Some(piece) = rest.get(..len) {
            self.draft.keep(piece, at);
        }
        len
    }

    fn separator(&mut self, text: &str, byte: u8, at: usize) -> usize {
        let (before, after) =
            (text.get(..at).unwrap_or_default(), text.get(at.saturating_add(1)..).unwrap_or_default());
        if is_spelled(before, byte, after) {
            self.gap(Gap::Joined);
            return 1;
        }
        let letter = |char: Option<char>| char.is_some_and(char::is_alphabetic);
        if byte == b'-' && letter(before.chars().next_back()) {
            let line = after.strip_prefix(' ').is_some_and(|next| letter(next.chars().next()));
            if line {
                self.gap(Gap::Joined);
                return 2;
            }
        }
        if byte != b' ' {
            self.draft.keep(text.get(at..at.saturating_add(1)).unwrap_or_default(), at);
        } else if !(before.chars().next_back().is_some_and(is_wide)
            && after.chars().next().is_some_and(is_wide))
        {
            self.gap(Gap::Space);
        }
        1
    }

    fn gap(&mut self, gap: Gap) {
        let at = self.draft.len();
        if self.gaps.last().is_none_or(|(last, _)| *last != at) {
            self.gaps.push((at, gap));
        }
    }
}

/// The separator at `at`, if what stands before shows that it separates no spelled letters, as nearly always: two
/// letters or digits, or none. A hyphen may still be one of a line.
fn ends_word(text: &str, at: usize) -> Option<u8> {
    let [first, second, byte] = text.as_bytes().get(at.checked_sub(2)?..=at)? else { return None };
    let spells = second.is_ascii_alphanumeric() && !first.is_ascii_alphanumeric();
    (separates(*byte) && *byte != b'-' && second.is_ascii() && !spells).then_some(*byte)
}

/// Whether a separator stands in a row of single letters that it separates.
fn is_spelled(before: &str, separator: u8, after: &str) -> bool {
    let left = singles(before.chars().rev(), separator);
    left > 0
        && left.saturating_add(singles(after.chars(), separator)) >= SPELLED
        && singles(after.chars(), separator) > 0
}

/// How many single letters follow, the separator between them; no more than three count.
fn singles(mut chars: impl Iterator<Item = char>, separator: u8) -> usize {
    let mut count = 0_usize;
    while count < SPELLED.saturating_sub(1) && chars.next().is_some_and(char::is_alphanumeric) {
        match chars.next() {
            Some(next) if next == char::from(separator) => count = count.saturating_add(1),
            Some(next) if next.is_alphanumeric() => return count,
            _ => return count.saturating_add(1),
        }
    }
    count
}

/// The role of a byte that separates, or shows nothing.
pub(super) const SILENT: u8 = 0;

/// The role of a byte that begins a character of which only its own folding knows what it stands for.
pub(super) const STRANGE: u8 = 1;

/// What each byte stands for.
static ROLES: [u8; 256] = roles();

/// [`SILENT`], [`STRANGE`], or the byte that this one stands for: itself in lower case, if it is ASCII that separates nothing,
/// and itself in characters of U+3000 to U+9FFF, which have no case.
pub(super) fn role(byte: u8) -> u8 {
    ROLES.get(usize::from(byte)).copied().unwrap_or(STRANGE)
}

const fn roles() -> [u8; 256] {
    let mut table = [SILENT; 256];
    let mut rest: &mut [u8] = &mut table;
    let mut byte = 0_u8;
    while let [role, after @ ..] = rest {
        *role = match byte {
            0..=b' ' | 0x7f => SILENT,
            _ if separates(byte) => SILENT,
            0x21..=0x7e | 0x80..=0xbf | 0xe3..=0xe9 => byte.to_ascii_lowercase(),
            _ => STRANGE,
        };
        byte = byte.wrapping_add(1);
        rest = after;
    }
    table
}

/// What stands between letters that are spelled out.
const fn separates(byte: u8) -> bool {
    matches!(
        byte,
        b' ' | b'-'
            | b'_'
            | b'.'
            | b','
            | b'*'
            | b'|'
            | b'/'
            | b'\\'
            | b'~'
            | b'+'
            | b':'
            | b';'
            | b'='
            | b'#'
            | b'^'
            | b'\''
            | b'`'
            | b'"'
    )
}

/// Whether it stays, but for ASCII case.
fn is_plain(byte: u8) -> bool {
    !matches!(role(byte), SILENT | STRANGE)
}

/// Whether it belongs to a script that writes no white space between words: ideographs and kana.
pub(super) fn is_wide(char: char) -> bool {
    matches!(char, '\u{2e80}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}
