//! The grammar's tokens: strings, numbers and the three words.

use memchr::memchr2;
use wide::u8x32;

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
        let mut search = Search { text, at: 0, escaped: false };
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

/// Bytes that are looked at at once.
const BLOCK: usize = 32;

/// Blocks without a mark, from which on there may be none for long.
const QUIET: u32 = 4;

/// The search for the quote that ends a string. Escapes may be close to each other, so that a search that began anew behind
/// each would cost more than the text.
struct Search<'a> {
    text: &'a [u8],
    at: usize, // all before has been looked at
    escaped: bool,
}

impl Search<'_> {
    /// The place behind the quote.
    #[inline]
    fn end(&mut self) -> Option<usize> {
        let mut quiet = 0_u32;
        while let Some(block) = self.text.get(self.at..).and_then(|rest| rest.first_chunk()) {
            let found = marks(block);
            if found != 0 {
                quiet = 0;
                if let Some(end) = self.in_block(block, found) {
                    return Some(end);
                }
                continue;
            }
            self.at = self.at.saturating_add(BLOCK);
            quiet = quiet.saturating_add(1);
            if quiet == QUIET {
                quiet = 0;
                let far = self.text.get(self.at..)?;
                self.at = self.at.saturating_add(memchr2(b'"', b'\\', far)?);
            }
        }
        self.in_rest()
    }

    /// The place behind the quote, if it is in this block, where quotes and backslashes are `found`; else goes past it.
    #[inline]
    fn in_block(&mut self, block: &[u8; BLOCK], mut found: u32) -> Option<usize> {
        let next = self.at.saturating_add(BLOCK);
        while found != 0 {
            let mark = found.trailing_zeros();
            let place = usize::try_from(mark).unwrap_or(BLOCK);
            let after = self.at.saturating_add(place).saturating_add(1);
            if block.get(place) == Some(&b'"') {
                return Some(after);
            }
            self.escaped = true;
            if after == next {
                // What is escaped is the next block's first.
                self.at = after.saturating_add(1);
                return None;
            }
            found &= !(0b11 << mark);
        }
        self.at = next;
        None
    }

    /// As [`Self::end`], where no whole block is left.
    fn in_rest(&mut self) -> Option<usize> {
        loop {
            match self.text.get(self.at)? {
                b'"' => return Some(self.at.saturating_add(1)),
                b'\\' => {
                    self.escaped = true;
                    self.at = self.at.saturating_add(2);
                }
                _ => self.at = self.at.saturating_add(1),
            }
        }
    }
}

/// A bit for each quote and backslash.
#[inline]
fn marks(block: &[u8; BLOCK]) -> u32 {
    let text = u8x32::new(*block);
    (text.simd_eq(u8x32::splat(b'"')) | text.simd_eq(u8x32::splat(b'\\'))).to_bitmask()
}
