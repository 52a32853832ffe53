//! Strings as they stand in a document, and what they mean.

use std::borrow::Cow;
use std::str::from_utf8;

use memchr::memchr;

use super::{Error, ErrorKind, Span};

/// A string as it stands in the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Str<'a> {
    /// Where it stands, quotes included.
    pub span: Span,
    /// Its bytes between the quotes, escapes not decoded.
    pub raw: &'a [u8],
    /// Whether there is a backslash in it.
    pub escaped: bool,
}

impl<'a> Str<'a> {
    /// Whether it means `text`, however it is escaped. Allocates nothing.
    #[must_use]
    #[inline]
    pub fn is(&self, text: &str) -> bool {
        if self.escaped { self.means(text.as_bytes()) } else { self.raw == text.as_bytes() }
    }

    fn means(&self, text: &[u8]) -> bool {
        let left = self.pieces().try_fold(text, |left, piece| match piece.ok()? {
            Piece::Plain(bytes, _) => left.strip_prefix(bytes),
            Piece::Escape(char) => left.strip_prefix(char.encode_utf8(&mut [0; 4]).as_bytes()),
        });
        left.is_some_and(<[u8]>::is_empty)
    }

    /// Whether it means `name` (in lower case) or, to readers that ignore case, might: Go's `encoding/json` takes
    /// `Model` for `model`, and `\u{17f}tream` for `stream` (<https://pkg.go.dev/encoding/json#Unmarshal>).
    /// Allocates nothing.
    #[must_use]
    pub fn is_like(&self, name: &str) -> bool {
        if !self.escaped && self.raw.is_ascii() {
            return self.raw.eq_ignore_ascii_case(name.as_bytes());
        }
        let mut left = name.chars();
        // what is not UTF-8 becomes a character that no name holds
        let mut same = |text: &str| text.chars().all(|char| left.next() == Some(folded(char)));
        let same = self.raw.len() >= name.len()
            && self.pieces().all(|piece| match piece {
                Ok(Piece::Plain(bytes, _)) => same(from_utf8(bytes).unwrap_or("\u{fffd}")),
                Ok(Piece::Escape(char)) => same(char.encode_utf8(&mut [0; 4])),
                Err(_) => false,
            });
        same && left.next().is_none()
    }

    /// What it means; borrowed from the document where nothing is escaped.
    ///
    /// # Errors
    /// An invalid escape, a lone surrogate, a control character or invalid UTF-8, with its offset in the
    /// document.
    pub fn decode(&self) -> Result<Cow<'a, str>, Error> {
        if !self.escaped {
            return plain(self.raw, self.start()).map(Cow::Borrowed);
        }
        let mut text = String::with_capacity(self.raw.len());
        for piece in self.pieces() {
            match piece? {
                Piece::Plain(bytes, offset) => text.push_str(plain(bytes, offset)?),
                Piece::Escape(char) => text.push(char),
            }
        }
        Ok(Cow::Owned(text))
    }

    fn start(&self) -> usize {
        self.span.start.saturating_add(1)
    }

    fn pieces(&self) -> Pieces<'a> {
        Pieces { rest: self.raw, end: self.start().saturating_add(self.raw.len()) }
    }
}

/// `char` in lower case, and as the ASCII letter that Unicode's simple folding makes of it, if any.
const fn folded(char: char) -> char {
    match char {
        '\u{17f}' => 's',  // long s
        '\u{212a}' => 'k', // Kelvin sign
        _ => char.to_ascii_lowercase(),
    }
}

/// Checks a run without escapes that stands at `offset`.
fn plain(bytes: &[u8], offset: usize) -> Result<&str, Error> {
    // Without a way out at the first of them, many bytes are looked at at once.
    let is_control = |byte: &u8| *byte < 0x20;
    if bytes.iter().fold(false, |holds, byte| holds | is_control(byte)) {
        let at = bytes.iter().position(is_control).unwrap_or_default();
        return Err(Error { offset: offset.saturating_add(at), kind: ErrorKind::ControlCharacter });
    }
    from_utf8(bytes).map_err(|error| Error {
        offset: offset.saturating_add(error.valid_up_to()),
        kind: ErrorKind::InvalidUtf8,
    })
}

enum Piece<'a> {
    /// A run without escapes, with its offset.
    Plain(&'a [u8], usize),
    /// What one escape, or a surrogate pair of them, stands for.
    Escape(char),
}

struct Pieces<'a> {
    rest: &'a [u8],
    /// Offset of the closing quote.
    end: usize,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Result<Piece<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let offset = self.end.saturating_sub(self.rest.len());
        if let [b'\\', rest @ ..] = self.rest {
            return Some(match escape(rest) {
                Ok((char, rest)) => {
                    self.rest = rest;
                    Ok(Piece::Escape(char))
                }
                Err(kind) => {
                    self.rest = &[];
                    Err(Error { offset, kind })
                }
            });
        }
        let length = memchr(b'\\', self.rest).unwrap_or(self.rest.len());
        let (run, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        (!run.is_empty()).then_some(Ok(Piece::Plain(run, offset)))
    }
}

/// Decodes what follows a backslash (RFC 8259 section 7).
fn escape(bytes: &[u8]) -> Result<(char, &[u8]), ErrorKind> {
    let (byte, rest) = bytes.split_first().ok_or(ErrorKind::InvalidEscape)?;
    let char = match byte {
        b'"' | b'\\' | b'/' => char::from(*byte),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode(rest),
        _ => return Err(ErrorKind::InvalidEscape),
    };
    Ok((char, rest))
}

/// Decodes the digits of `\uXXXX`, with the second half of a surrogate pair where there is one.
fn unicode(bytes: &[u8]) -> Result<(char, &[u8]), ErrorKind> {
    let (first, rest) = unit(bytes).ok_or(ErrorKind::InvalidEscape)?;
    if let Some(char) = char::from_u32(u32::from(first)) {
        return Ok((char, rest));
    }
    let (second, rest) = rest.strip_prefix(b"\\u").and_then(unit).ok_or(ErrorKind::LoneSurrogate)?;
    match char::decode_utf16([first, second]).next() {
        Some(Ok(char)) => Ok((char, rest)),
        _ => Err(ErrorKind::LoneSurrogate),
    }
}

/// Four hexadecimal digits.
fn unit(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (digits, rest) = bytes.split_at_checked(4)?;
    let value = digits.iter().try_fold(0_u16, |value, digit| {
        let digit = char::from(*digit).to_digit(16).and_then(|digit| u16::try_from(digit).ok())?;
        Some(value.wrapping_shl(4) | digit)
    });
    Some((value?, rest))
}
