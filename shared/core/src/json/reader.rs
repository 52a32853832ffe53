//! The pull reader: one pass over the bytes, one bit of state for each open container.

use super::open::Open;
use super::{Error, ErrorKind, Kind, Number, Span, Str};

/// Walks a document from start to end.
///
/// Every method that returns an [`Error`] other than [`ErrorKind::Expected`] ends the reading: whatever is
/// asked afterwards answers with the same error, so a callback cannot swallow one and read on out of step.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    pub(super) doc: &'a [u8],
    pub(super) rest: &'a [u8],
    pub(super) open: Open,
    pub(super) broken: Option<Error>,
}

impl<'a> Reader<'a> {
    /// Starts before the one value of `doc`, the whole document.
    #[must_use]
    pub fn new(doc: &'a [u8]) -> Self {
        Self { doc, rest: doc, open: Open::default(), broken: None }
    }

    /// Offset of the next byte to read.
    #[must_use]
    pub fn position(&self) -> usize {
        self.doc.len().saturating_sub(self.rest.len())
    }

    /// What the next value is; `None` where none begins. Reads only whitespace.
    pub fn kind(&mut self) -> Option<Kind> {
        self.space();
        Some(match self.rest.first()? {
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b'"' => Kind::String,
            b'-' | b'0'..=b'9' => Kind::Number,
            b't' | b'f' => Kind::Bool,
            b'n' => Kind::Null,
            _ => return None,
        })
    }

    /// Reads an object. `member` is called for each member, before its value; a value that it leaves alone is
    /// skipped. Its errors end the reading.
    ///
    /// # Errors
    /// Another kind of value, a mistake in the document, or what `member` returns.
    pub fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, Str<'a>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.expect(Kind::Object)?;
        self.enter(true)?;
        let mut more = !self.leave();
        while more {
            let key = self.key()?;
            let before = self.rest.len();
            let read = member(self, key);
            more = self.after(before, read)?;
        }
        Ok(())
    }

    /// Reads an array. `element` is called before each element; one that it leaves alone is skipped. Its errors
    /// end the reading.
    ///
    /// # Errors
    /// Another kind of value, a mistake in the document, or what `element` returns.
    pub fn array(&mut self, mut element: impl FnMut(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        self.expect(Kind::Array)?;
        self.enter(false)?;
        let mut more = !self.leave();
        while more {
            let before = self.rest.len();
            let read = element(self);
            more = self.after(before, read)?;
        }
        Ok(())
    }

    /// Reads a value of any kind and tells where it stands. Strings in it are not looked into.
    ///
    /// # Errors
    /// A mistake in the document.
    pub fn skip(&mut self) -> Result<Span, Error> {
        self.alive()?;
        self.space();
        let start = self.position();
        self.skip_value()?;
        Ok(Span { start, end: self.position() })
    }

    /// Reads a string, without decoding it.
    ///
    /// # Errors
    /// Another kind of value, or no closing quote.
    pub fn string(&mut self) -> Result<Str<'a>, Error> {
        self.expect(Kind::String)?;
        self.string_token()
    }

    /// Reads a number.
    ///
    /// # Errors
    /// Another kind of value, or a number that breaks the grammar.
    pub fn number(&mut self) -> Result<Number<'a>, Error> {
        self.expect(Kind::Number)?;
        let (start, doc) = (self.position(), self.doc);
        self.number_token()?;
        let span = Span { start, end: self.position() };
        Ok(Number { span, raw: span.of(doc) })
    }

    /// Reads `true` or `false`.
    ///
    /// # Errors
    /// Another kind of value.
    pub fn bool(&mut self) -> Result<bool, Error> {
        self.expect(Kind::Bool)?;
        let value = self.rest.first() == Some(&b't');
        self.literal_token()?;
        Ok(value)
    }

    /// Reads `null`.
    ///
    /// # Errors
    /// Another kind of value.
    pub fn null(&mut self) -> Result<(), Error> {
        self.expect(Kind::Null)?;
        self.literal_token()
    }

    /// Says that the document should be over.
    ///
    /// # Errors
    /// [`ErrorKind::Trailing`] if more than whitespace is left.
    pub fn end(&mut self) -> Result<(), Error> {
        self.alive()?;
        self.space();
        if self.rest.is_empty() { Ok(()) } else { Err(self.fail(ErrorKind::Trailing)) }
    }
}
