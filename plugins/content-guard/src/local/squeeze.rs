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

use sluice_core::detect::Folded;

/// Characters on either side that decide what becomes of one.
const REACH: usize = 9;
/// Single letters that make a word, at least.
const SPELLED: usize = 4;
/// What stands between letters that are spelled out.
const SEPARATORS: &[u8] = b" -_.,*|/\\~+:;=#^'`\"";

/// What was taken out between two characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    /// White space between words.
    Space,
    /// A separator within a word that is spelled out: a word may end there or not.
    Joined,
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
    let mut squeezed = Squeezed { map: Folded::with_capacity(text.len()), gaps: Vec::new() };
    let mut at = 0_usize;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let plain = rest.bytes().take_while(|byte| is_plain(*byte)).count();
        if let Some(piece) = rest.get(..plain).filter(|piece| !piece.is_empty()) {
            squeezed.map.keep(piece, at);
            at = at.saturating_add(plain);
            continue;
        }
        at = at.saturating_add(squeezed.one(text, rest, at));
    }
    squeezed.map.make_ascii_lowercase();
    squeezed
}

/// From where on in folded text more of it could change how it is squeezed.
pub(super) fn unsure(text: &str) -> usize {
    let mut at = text.len();
    for _ in 0..REACH {
        let before = text.get(..at).unwrap_or_default();
        let mut back = before.chars().rev();
        let (Some(last), previous) = (back.next(), back.next()) else { break };
        let separates = u8::try_from(last).is_ok_and(|byte| SEPARATORS.contains(&byte));
        let single = last.is_alphanumeric() && !previous.is_some_and(char::is_alphanumeric);
        if !separates && !single {
            break;
        }
        at = at.saturating_sub(last.len_utf8());
    }
    at
}

impl Squeezed {
    /// Squeezes the first character of `rest`, which stands at `at` of `text`; tells how many bytes it took.
    fn one(&mut self, text: &str, rest: &str, at: usize) -> usize {
        let Some(first) = rest.chars().next() else { return 1 };
        let len = first.len_utf8();
        if let Ok(byte) = u8::try_from(first)
            && SEPARATORS.contains(&byte)
        {
            return self.separator(text, byte, at);
        }
        if first.is_uppercase() {
            let lower: String = first.to_lowercase().collect();
            self.map.replace(&lower, at..at.saturating_add(len));
        } else if let Some(piece) = rest.get(..len) {
            self.map.keep(piece, at);
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
            self.map.keep(text.get(at..at.saturating_add(1)).unwrap_or_default(), at);
        } else if !(before.chars().next_back().is_some_and(is_wide)
            && after.chars().next().is_some_and(is_wide))
        {
            self.gap(Gap::Space);
        }
        1
    }

    fn gap(&mut self, gap: Gap) {
        let at = self.map.text().len();
        if self.gaps.last().is_none_or(|(last, _)| *last != at) {
            self.gaps.push((at, gap));
        }
    }
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

/// Bytes that stay and stand for themselves but for ASCII case: what separates nothing, and characters of U+3000 to
/// U+9FFF, which have no case.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | 0x80..=0xbf | 0xe3..=0xe9)
}

/// Whether it belongs to a script that writes no white space between words: ideographs and kana.
pub(super) fn is_wide(char: char) -> bool {
    matches!(char, '\u{2e80}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}
