//! A look at text that tells where keywords may stand, of nearly any text without one that there is none: in one pass, at a
//! fraction of what it takes to squeeze and to search it.
//!
//! What separates and what shows nothing is passed over, in the text as in the keywords: words may be split or spelled
//! out. Of each keyword up to 16 bytes are known, of its longest part without a strange character. Where none of these
//! parts stands is no keyword; around those that do, the keywords themselves are searched for.

use std::ops::Range;

use super::squeeze::{REACH, SILENT, STRANGE, role};

/// Bytes that the text is asked for at once, at most: as many as a `u64` holds, the last one lowest.
const WINDOW: usize = 8;

/// Fewest bytes by which a keyword can be told from text. With a shorter one among them, every text is searched.
const LEAST: usize = 2;

/// Bytes behind its window that are known of a part, at most, and bytes of a text among which they are looked for.
const REST: usize = 8;
const NEAR: usize = 64;

/// Parts with the same window that a place in a text is compared with. Where there are more, it counts as one of theirs.
const ALIKE: usize = 8;

/// Bytes of a text to each comparison of it with a part, but for the first few. Where more would be needed, the rest is
/// searched: no text makes the look long.
const SELDOM: usize = 16;

/// Bits to a digest: so many more than there are that nearly all windows of a text find theirs unset.
const SPARSE: usize = 32;

/// The bits of a word, as a power of 2.
const WORD: u32 = u64::BITS.trailing_zeros();

/// Bytes of folded text to a byte of squeezed text, at most: a hyphen and a space between two letters are taken out.
const STRETCH: usize = 3;

/// Bytes of folded text on either side that decide how one is squeezed, and whether a word ends there.
pub(super) const EDGE: usize = 4 * (REACH + 1);

/// What is known of keywords.
#[derive(Debug)]
pub(super) struct Screen {
    /// The bits of a window that the shortest one takes.
    shortest: u64,
    /// Of each window, and of as much of it as the shortest one has.
    digests: Digests,
    /// By the length of their windows, given as the bits that it takes: parts, in the order of their windows.
    parts: Vec<(u64, Box<[Part]>)>,
    /// Bytes of folded text that any keyword may take.
    reach: usize,
}

/// The longest part of a keyword in which no character is strange. There may be many thousands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Part {
    /// Its first bytes.
    window: u64,
    /// Those behind, and 0 where there are no more.
    rest: [u8; REST],
    /// Bytes of folded text that the keyword may take.
    reach: u16,
}

impl Screen {
    /// Of keywords that are squeezed; `None` if one of them is too short.
    pub(super) fn of<'a>(words: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut parts: Vec<(usize, Part)> = words.map(Part::of).collect();
        parts.sort_unstable();
        let shortest = parts.first().map(|(length, _)| *length).filter(|length| *length >= LEAST)?;
        let reach = parts.iter().map(|(_, part)| part.reach).max().unwrap_or(0);
        let mut screen = Self {
            shortest: bits(shortest),
            digests: Digests::with_room(parts.len().saturating_mul(2)),
            parts: Vec::new(),
            reach: reach.into(),
        };
        for parts in parts.chunk_by(|(one, _), (next, _)| one == next) {
            let length = parts.first().map_or(0, |(length, _)| *length);
            let parts: Box<[Part]> = parts.iter().map(|(_, part)| *part).collect();
            for part in &parts {
                screen.digests.add(part.window);
                screen.digests.add(part.window & screen.shortest);
            }
            screen.parts.push((bits(length), parts));
        }
        Some(screen)
    }

    /// Where keywords may stand in `text`, with [`EDGE`] around: in order, apart from each other, between characters. The text is
    /// folded, or ASCII: of that, folding changes nothing but what is passed over here.
    pub(super) fn places(&self, text: &str) -> Vec<Range<usize>> {
        let mut places = Places {
            text,
            list: Vec::new(),
            left: (text.len() / SELDOM).saturating_add(ALIKE).saturating_add(1),
        };
        let mut from = 0_usize;
        while let Some(at) = self.look(text, from, &mut places) {
            let mut chars = text.get(at..).unwrap_or_default().chars();
            // A few are ASCII in lower case.
            if chars.next().is_some_and(|char| char.to_lowercase().any(|lower| lower.is_ascii())) {
                places.add(at, self.reach);
            }
            from = text.len().saturating_sub(chars.as_str().len());
        }
        places.list
    }

    /// Adds the places from `from` on up to a strange character, and tells where that is.
    fn look(&self, text: &str, from: usize, places: &mut Places<'_>) -> Option<usize> {
        let mut window = 0_u64; // no byte of a keyword's is 0
        let bytes = text.as_bytes();
        for (at, byte) in bytes.iter().enumerate().skip(from) {
            let role = role(*byte);
            if role == STRANGE {
                return Some(at);
            }
            // Not by a branch: nobody can tell beforehand where words end.
            let shift = u32::from(role != SILENT).wrapping_mul(u8::BITS);
            window = window << shift | u64::from(role);
            if self.digests.hold(window & self.shortest) {
                let behind = bytes.get(at.saturating_add(1)..).unwrap_or_default();
                if let Some(reach) = self.stands(window, behind, &mut places.left) {
                    places.add(at, reach);
                }
                if places.left == 0 {
                    places.add(at, text.len());
                    return None;
                }
            }
        }
        None
    }

    /// How far the keywords may reach of which a part stands there, its first bytes at the end of the window and its others
    /// `behind` it. Each comparison is taken off `left`.
    fn stands(&self, window: u64, behind: &[u8], left: &mut usize) -> Option<usize> {
        let mut reach = None;
        for (bits, parts) in &self.parts {
            let window = window & bits;
            if !self.digests.hold(window) {
                continue;
            }
            let from = parts.partition_point(|part| part.window < window);
            let alike = parts.get(from..).unwrap_or_default().iter().take_while(|part| part.window == window);
            for (index, part) in alike.enumerate() {
                *left = left.saturating_sub(1);
                if index == ALIKE || *left == 0 {
                    return Some(self.reach);
                }
                if part.goes_on(behind) {
                    reach = reach.max(Some(part.reach.into()));
                }
            }
        }
        reach
    }
}

/// Where keywords may stand.
struct Places<'a> {
    text: &'a str,
    list: Vec<Range<usize>>,
    /// Comparisons that may still be made.
    left: usize,
}

impl Places<'_> {
    /// Adds all around `at` that a keyword there may take.
    fn add(&mut self, at: usize, reach: usize) {
        let around = reach.saturating_add(EDGE);
        let start = self.text.floor_char_boundary(at.saturating_sub(around));
        let end =
            self.text.ceil_char_boundary(at.saturating_add(around).saturating_add(1).min(self.text.len()));
        match self.list.last_mut() {
            Some(last) if start <= last.end => *last = last.start.min(start)..last.end.max(end),
            _ => self.list.push(start..end),
        }
    }
}

impl Part {
    /// Of a keyword, with the length of its window.
    fn of(word: &str) -> (usize, Self) {
        let strange = |char: char| {
            char.encode_utf8(&mut [0; 4]).bytes().next().is_some_and(|byte| role(byte) == STRANGE)
        };
        let parts = word
            .split(strange)
            .map(|part| -> Vec<u8> { part.bytes().map(role).filter(|role| *role != SILENT).collect() });
        let part = parts.max_by_key(Vec::len).unwrap_or_default();
        let (first, behind) = part.split_at(part.len().min(WINDOW));
        let window = first.iter().fold(0, |window, byte| window << u8::BITS | u64::from(*byte));
        let mut rest = [0; REST];
        rest.iter_mut().zip(behind).for_each(|(rest, byte)| *rest = *byte);
        let reach = u16::try_from(word.len().saturating_mul(STRETCH)).unwrap_or(u16::MAX);
        (first.len(), Self { window, rest, reach })
    }

    /// Whether its other bytes are the next ones, as far as is near.
    fn goes_on(&self, behind: &[u8]) -> bool {
        let near = behind.get(..NEAR).unwrap_or(behind);
        let mut next = near.iter().map(|byte| role(*byte)).filter(|role| *role != SILENT);
        let mut rest = self.rest.iter().take_while(|byte| **byte != 0);
        rest.all(|byte| next.next().map_or(near.len() < behind.len(), |next| next == *byte))
    }
}

/// A bit for each digest of a window.
#[derive(Debug)]
struct Digests {
    bits: Box<[u64]>,
    /// What a digest is shifted by to be the number of its bit.
    shift: u32,
}

impl Digests {
    fn with_room(windows: usize) -> Self {
        let bits = windows.saturating_mul(SPARSE).next_power_of_two().max(1 << WORD);
        Self { bits: vec![0; bits >> WORD].into(), shift: u64::BITS.saturating_sub(bits.trailing_zeros()) }
    }

    fn add(&mut self, window: u64) {
        let (word, bit) = self.place(window);
        self.bits.get_mut(word).into_iter().for_each(|word| *word |= bit);
    }

    fn hold(&self, window: u64) -> bool {
        let (word, bit) = self.place(window);
        self.bits.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Where the bit stands: in which word, and which of its bits.
    fn place(&self, window: u64) -> (usize, u64) {
        // Fibonacci hashing: times 2^64 over the golden ratio.
        let digest = window.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift;
        let bit = 1_u64.wrapping_shl(u32::try_from(digest).unwrap_or_default()); // modulo 64
        (usize::try_from(digest >> WORD).unwrap_or_default(), bit)
    }
}

/// The lowest bits of a window, those of so many bytes.
fn bits(length: usize) -> u64 {
    let above = WINDOW.saturating_sub(length).saturating_mul(8);
    u32::try_from(above).ok().and_then(|above| u64::MAX.checked_shr(above)).unwrap_or(0)
}
