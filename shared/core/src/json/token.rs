//! The grammar's tokens: strings, numbers and the three words.

use memchr::memchr2;
use wide::u8x16;

use super::{Error, ErrorKind, Reader, Span, Str};

impl<'a> Reader<'a> {
    pub(super) fn string_token(&mut self) -> Result<Str<'a>, Error> {
        let start = self.position();
        let body = self.rest.get(1..).unwrap_or_default();
        let escaped = self.skip_string()?;
        let span = Span { start, end: self.position() };
        let raw = body.get(..span.len().saturating_sub(2)).unwrap_or_default();
        Ok(Str { span, raw, escaped })
    }

    /// Goes past the string that begins here, and tells whether there is an escape in it.
    #[inline]
    pub(super) fn skip_string(&mut self) -> Result<bool, Error> {
        let text = self.rest.get(1..).unwrap_or_default();
        let mut search = Search::of(text);
        let Some(after) = search.end().and_then(|end| text.get(end..)) else {
            self.rest = &[];
            return Err(self.fail(ErrorKind::Truncated));
        };
        self.rest = after;
        Ok(search.escaped)
    }

    pub(super) fn literal_token(&mut self) -> Result<(), Error> {
        let word: &[u8] = match self.rest.first() {
            Some(b't') => b"true",
            Some(b'f') => b"false",
            Some(b'n') => b"null",
            _ => return Err(self.fail_value()),
        };
        if let Some(rest) = self.rest.strip_prefix(word) {
            self.rest = rest;
            return Ok(());
        }
        if word.starts_with(self.rest) {
            self.rest = &[];
        }
        Err(self.fail(ErrorKind::ExpectedValue))
    }

    pub(super) fn number_token(&mut self) -> Result<(), Error> {
        if self.rest.first() == Some(&b'-') {
            self.advance();
        }
        if self.rest.first() == Some(&b'0') {
            self.advance(); // nothing but a point or an exponent may follow a leading zero
        } else {
            self.digits()?;
        }
        if self.rest.first() == Some(&b'.') {
            self.advance();
            self.digits()?;
        }
        if let [b'e' | b'E', rest @ ..] = self.rest {
            self.rest = rest;
            if let [b'+' | b'-', rest @ ..] = self.rest {
                self.rest = rest;
            }
            self.digits()?;
        }
        Ok(())
    }

    pub(super) fn digits(&mut self) -> Result<(), Error> {
        let before = self.rest.len();
        while let [b'0'..=b'9', rest @ ..] = self.rest {
            self.rest = rest;
        }
        if self.rest.len() == before { Err(self.fail(ErrorKind::ExpectedDigit)) } else { Ok(()) }
    }
}

/// The place behind the quote that ends a string, in the bytes behind the one that begins it; `None` if it does not end.
#[must_use]
pub fn string_end(text: &[u8]) -> Option<usize> {
    Search::of(text).end()
}

/// Bytes that are looked at at once.
const BLOCK: usize = 64;

/// Bytes that are looked at first: most strings are names and words.
const WORD: usize = 16;

/// Blocks without a mark, from which on there may be none for long.
const QUIET: u32 = 4;

/// The search for the quote that ends a string. Escapes may be close to each other, so that a search that began anew behind
/// each would cost more than the text.
struct Search<'a> {
    text: &'a [u8],
    at: usize, // all before has been looked at
    escaped: bool,
    /// Whether what comes next is escaped, as a bit.
    carry: u64,
}

impl<'a> Search<'a> {
    #[inline]
    const fn of(text: &'a [u8]) -> Self {
        Self { text, at: 0, escaped: false, carry: 0 }
    }

    /// The place behind the quote.
    #[inline]
    fn end(&mut self) -> Option<usize> {
        if let Some(word) = self.text.first_chunk() {
            let Marks { quotes, slashes } = Marks::of_word(word);
            if quotes != 0 && slashes & below(quotes) == 0 {
                return place(quotes).checked_add(1);
            }
        }
        self.in_blocks()
    }

    fn in_blocks(&mut self) -> Option<usize> {
        let mut quiet = 0_u32;
        while let Some(block) = self.text.get(self.at..).and_then(|rest| rest.first_chunk()) {
            let marks = Marks::of_block(block);
            if let Some(end) = self.take(marks) {
                return Some(end);
            }
            quiet = if marks.any() { 0 } else { quiet.saturating_add(1) };
            if quiet == QUIET {
                quiet = 0;
                let far = self.text.get(self.at..)?;
                self.at = self.at.saturating_add(memchr2(b'"', b'\\', far)?);
            }
        }
        let rest = self.text.get(self.at..)?;
        let mut block = [0; BLOCK];
        block.get_mut(..rest.len())?.copy_from_slice(rest);
        self.take(Marks::of_block(&block))
    }

    /// The place behind the quote, if it is in the block with these marks; else goes past it.
    #[inline]
    fn take(&mut self, marks: Marks) -> Option<usize> {
        let ends = marks.quotes & !self.escapes(marks.slashes);
        if ends != 0 {
            self.escaped |= marks.slashes & below(ends) != 0;
            return self.at.checked_add(place(ends))?.checked_add(1);
        }
        self.escaped |= marks.slashes != 0;
        self.at = self.at.saturating_add(BLOCK);
        None
    }

    /// A bit for each byte of a block that is escaped, if backslashes stand there: behind an odd number of them. As in
    /// Langdale and Lemire, "Parsing Gigabytes of JSON per Second", section 3.1.1 (<https://arxiv.org/abs/1902.08318>): of
    /// each run, those that escape are every other one from its start; adding a run to its start carries out of it.
    #[inline]
    fn escapes(&mut self, slashes: u64) -> u64 {
        const EVEN: u64 = 0x5555_5555_5555_5555;
        if slashes == 0 {
            return std::mem::take(&mut self.carry);
        }
        let slashes = slashes & !self.carry;
        let follows = slashes << 1 | self.carry;
        let odd_starts = slashes & !EVEN & !follows;
        let (ended, carries) = odd_starts.overflowing_add(slashes);
        self.carry = carries.into();
        (EVEN ^ ended << 1) & follows
    }
}

/// A bit for each quote, and for each backslash.
#[derive(Clone, Copy)]
struct Marks {
    quotes: u64,
    slashes: u64,
}

impl Marks {
    #[inline]
    fn of_word(word: &[u8; WORD]) -> Self {
        let text = u8x16::new(*word);
        let bits = |byte| u64::from(text.simd_eq(u8x16::splat(byte)).to_bitmask());
        Self { quotes: bits(b'"'), slashes: bits(b'\\') }
    }

    #[inline]
    fn of_block(block: &[u8; BLOCK]) -> Self {
        let (words, _) = block.as_chunks();
        words.iter().rev().fold(Self { quotes: 0, slashes: 0 }, |higher, word| {
            let Self { quotes, slashes } = Self::of_word(word);
            Self { quotes: higher.quotes << WORD | quotes, slashes: higher.slashes << WORD | slashes }
        })
    }

    const fn any(self) -> bool {
        self.quotes | self.slashes != 0
    }
}

/// The place of the first bit.
#[inline]
fn place(bits: u64) -> usize {
    usize::try_from(bits.trailing_zeros()).unwrap_or(BLOCK)
}

/// The bits below the first one.
#[inline]
const fn below(bits: u64) -> u64 {
    bits.wrapping_sub(1) & !bits
}
