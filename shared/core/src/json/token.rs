//! The grammar's tokens: strings, numbers and the three words.

use memchr::memchr2;

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
        let mut escaped = false;
        let mut rest = self.rest.get(1..).unwrap_or_default();
        loop {
            match to_mark(rest) {
                Some([b'"', after @ ..]) => {
                    self.rest = after;
                    return Ok(escaped);
                }
                Some([_, _, after @ ..]) => {
                    escaped = true;
                    rest = after;
                }
                _ => {
                    self.rest = &[];
                    return Err(self.fail(ErrorKind::Truncated));
                }
            }
        }
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

/// Bytes that are looked at one by one before a vector search is worth its start.
const NEAR: usize = 16;

/// The bytes from the first quote or backslash on.
#[inline]
fn to_mark(bytes: &[u8]) -> Option<&[u8]> {
    let (near, far) = bytes.split_at_checked(NEAR).unwrap_or((bytes, &[]));
    if let Some(at) = near.iter().position(|byte| matches!(byte, b'"' | b'\\')) {
        return bytes.get(at..);
    }
    far.get(memchr2(b'"', b'\\', far)?..)
}
