//! Reads JSON in one pass and edits it in place, without building a tree or touching what it does not change.
//!
//! A [`Reader`] walks a document once and hands out spans; [`splice`] replaces spans. So unknown fields, number
//! forms, key order and whitespace survive byte for byte. It allocates nothing, and its own recursion is only
//! that of the caller's callbacks.
//!
//! ```
//! use sluice_core::json::{Reader, Str};
//!
//! let mut model = None;
//! let mut reader = Reader::new(br#"{"messages":[{"role":"user"}],"model":"gpt-4o"}"#);
//! reader.object(|reader, key| {
//!     if key.is("model") {
//!         model = Some(reader.string()?);
//!     }
//!     Ok(()) // what was not read is skipped
//! })?;
//! reader.end()?;
//! assert!(model.is_some_and(|model: Str| model.is("gpt-4o")));
//! # Ok::<(), sluice_core::json::Error>(())
//! ```
//!
//! The grammar is RFC 8259 (<https://www.rfc-editor.org/rfc/rfc8259>). Where it leaves room, the answers are:
//!
//! | input | answer |
//! | --- | --- |
//! | duplicate keys | the callback sees each, in order |
//! | escaped keys and values | [`Str::is`] and [`Str::decode`] compare and read them unescaped |
//! | nesting | [`MAX_DEPTH`] containers, then [`ErrorKind::TooDeep`]; skipping is iterative |
//! | numbers of any size and precision | kept as text, also `1e999`; [`Number::as_u64`] is `None` for what is no `u64` |
//! | string contents that are skipped | not looked at: bad escapes, control characters, invalid UTF-8 pass |
//! | string contents that are decoded | the same are errors, and so is a lone surrogate |
//! | an input that ends too early | [`ErrorKind::Truncated`], at its length |
//! | text after the value | [`ErrorKind::Trailing`], from [`Reader::end`] |
//! | byte order mark | [`ErrorKind::ByteOrderMark`] |

mod edit;
mod open;
mod reader;
mod step;
mod string;
#[cfg(test)]
mod tests;
mod token;

use std::fmt;

pub use self::edit::{Edit, opening, removal, splice};
pub use self::open::MAX_DEPTH;
pub use self::reader::Reader;
pub use self::string::Str;
pub use self::token::string_end;

/// A range of bytes in a document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset after the last byte.
    pub end: usize,
}

impl Span {
    /// The bytes of `doc` that the span covers; empty where it lies outside.
    #[must_use]
    pub fn of<'a>(&self, doc: &'a [u8]) -> &'a [u8] {
        doc.get(self.start..self.end).unwrap_or_default()
    }

    /// Number of bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Whether the span covers nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a value is, told from its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `{`
    Object,
    /// `[`
    Array,
    /// `"`
    String,
    /// `-` or a digit
    Number,
    /// `true` or `false`
    Bool,
    /// `null`
    Null,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Object => "an object",
            Self::Array => "an array",
            Self::String => "a string",
            Self::Number => "a number",
            Self::Bool => "true or false",
            Self::Null => "null",
        })
    }
}

/// A number as it stands in the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number<'a> {
    /// Where it stands.
    pub span: Span,
    /// Its bytes: ASCII, valid by the grammar, of any length.
    pub raw: &'a [u8],
}

impl Number<'_> {
    /// Its value, if it is written as a non-negative integer (`7`, not `7.0` or `7e0`) that fits.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        std::str::from_utf8(self.raw).ok()?.parse().ok()
    }
}

/// Why a document could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}: {kind}")]
pub struct Error {
    /// Where, in bytes from the start; at most the document's length.
    pub offset: usize,
    /// What is wrong there.
    pub kind: ErrorKind,
}

/// What is wrong with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ErrorKind {
    /// The document ends before its value does.
    #[error("the document ends too early")]
    Truncated,
    /// A value of another kind stands here. The reader has not moved, and the value can still be read.
    #[error("expected {0}")]
    Expected(Kind),
    /// No value starts like this.
    #[error("expected a value")]
    ExpectedValue,
    /// A member needs a name.
    #[error("expected a member name in double quotes")]
    ExpectedKey,
    /// A member needs a value.
    #[error("expected `:` after the member name")]
    ExpectedColon,
    /// Something else follows a member.
    #[error("expected `,` or `}}`")]
    ExpectedCommaOrBrace,
    /// Something else follows an element.
    #[error("expected `,` or `]`")]
    ExpectedCommaOrBracket,
    /// A sign, point or exponent without a digit.
    #[error("expected a digit")]
    ExpectedDigit,
    /// More than [`MAX_DEPTH`] containers in each other.
    #[error("nested too deeply")]
    TooDeep,
    /// Text follows the document's one value.
    #[error("unexpected text after the value")]
    Trailing,
    /// The document starts with a byte order mark.
    #[error("unexpected byte order mark")]
    ByteOrderMark,
    /// For callers to return where a member must not come twice: readers differ in which one counts.
    #[error("this member was given before, and readers differ in which one counts")]
    Duplicate,
    /// For callers to return where a member's name is this one in other letters, for readers differ in whether
    /// they take it.
    #[error("the member's name must be written `{0}`: some readers ignore the case of letters, some do not")]
    Spelling(&'static str),
    /// An escape that does not exist, or `\u` without four hexadecimal digits.
    #[error("invalid escape in a string")]
    InvalidEscape,
    /// Half of a surrogate pair.
    #[error("lone surrogate in a string")]
    LoneSurrogate,
    /// A control character that is not escaped.
    #[error("unescaped control character in a string")]
    ControlCharacter,
    /// Bytes that are not UTF-8.
    #[error("invalid UTF-8 in a string")]
    InvalidUtf8,
}

impl Error {
    /// The error with its line and column in `doc`, to be shown: `line 1 column 17: expected a value`.
    #[must_use]
    pub fn at(self, doc: &[u8]) -> Place {
        let before = doc.get(..self.offset).unwrap_or(doc);
        let line_start = memchr::memrchr(b'\n', before).map_or(0, |newline| newline.saturating_add(1));
        let in_line = before.get(line_start..).unwrap_or_default();
        // a continuation byte (10xxxxxx) is no character of its own
        let column = in_line.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
        let line = memchr::memchr_iter(b'\n', before).count();
        Place { line: line.saturating_add(1), column: column.saturating_add(1), kind: self.kind }
    }
}

/// An [`Error`] with its place as people count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} column {column}: {kind}")]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong there.
    pub kind: ErrorKind,
}
