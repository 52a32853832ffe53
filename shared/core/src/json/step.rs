//! The grammar's steps between tokens: entering, leaving and skipping values.

use super::{Error, ErrorKind, Kind, Reader, Str};

impl<'a> Reader<'a> {
    pub(super) fn alive(&self) -> Result<(), Error> {
        self.broken.map_or(Ok(()), Err)
    }

    /// Ends the reading here. Where no byte is left, what is wrong is that.
    #[cold]
    pub(super) fn fail(&mut self, kind: ErrorKind) -> Error {
        let kind = if self.rest.is_empty() { ErrorKind::Truncated } else { kind };
        let error = Error { offset: self.position(), kind };
        self.broken = Some(error);
        error
    }

    #[cold]
    pub(super) fn fail_value(&mut self) -> Error {
        let mark = self.position() == 0 && self.rest.starts_with(b"\xef\xbb\xbf");
        self.fail(if mark { ErrorKind::ByteOrderMark } else { ErrorKind::ExpectedValue })
    }

    pub(super) fn expect(&mut self, kind: Kind) -> Result<(), Error> {
        self.alive()?;
        match self.kind() {
            Some(found) if found == kind => Ok(()),
            Some(_) => Err(Error { offset: self.position(), kind: ErrorKind::Expected(kind) }),
            None => Err(self.fail_value()),
        }
    }

    pub(super) fn space(&mut self) {
        while let [b' ' | b'\n' | b'\r' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    pub(super) fn advance(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
    }

    pub(super) fn enter(&mut self, object: bool) -> Result<(), Error> {
        if !self.open.push(object) {
            return Err(self.fail(ErrorKind::TooDeep));
        }
        self.advance();
        self.space();
        Ok(())
    }

    /// Closes the innermost container if its end stands here.
    pub(super) fn leave(&mut self) -> bool {
        let close = if self.open.in_object() { b'}' } else { b']' };
        let closes = self.rest.first() == Some(&close);
        if closes {
            self.advance();
            self.open.pop();
        }
        closes
    }

    /// Goes from one item to the next; false when the innermost container has ended instead.
    pub(super) fn next_item(&mut self) -> Result<bool, Error> {
        self.space();
        if let [b',', rest @ ..] = self.rest {
            self.rest = rest;
            self.space();
            return Ok(true);
        }
        if self.leave() {
            return Ok(false);
        }
        let object = self.open.in_object();
        let kind = if object { ErrorKind::ExpectedCommaOrBrace } else { ErrorKind::ExpectedCommaOrBracket };
        Err(self.fail(kind))
    }

    /// After a callback that was called with `before` bytes left and returned `read`.
    pub(super) fn after(&mut self, before: usize, read: Result<(), Error>) -> Result<bool, Error> {
        self.alive()?;
        if let Err(error) = read {
            self.broken = Some(error);
            return Err(error);
        }
        if self.rest.len() == before {
            self.skip_value()?;
        }
        self.next_item()
    }

    pub(super) fn key(&mut self) -> Result<Str<'a>, Error> {
        self.expect_quote()?;
        let key = self.string_token()?;
        self.colon().map(|()| key)
    }

    fn skip_key(&mut self) -> Result<(), Error> {
        self.expect_quote()?;
        self.skip_string()?;
        self.colon()
    }

    #[inline]
    fn expect_quote(&mut self) -> Result<(), Error> {
        if self.rest.first() == Some(&b'"') { Ok(()) } else { Err(self.fail(ErrorKind::ExpectedKey)) }
    }

    #[inline]
    fn colon(&mut self) -> Result<(), Error> {
        self.space();
        let [b':', rest @ ..] = self.rest else {
            return Err(self.fail(ErrorKind::ExpectedColon));
        };
        self.rest = rest;
        self.space();
        Ok(())
    }

    pub(super) fn skip_value(&mut self) -> Result<(), Error> {
        let outer = self.open.depth;
        loop {
            let entered = match self.rest.first() {
                Some(b'"') => self.skip_string().map(|_| false)?,
                Some(b'{') => self.enter(true).map(|()| !self.leave())?,
                Some(b'[') => self.enter(false).map(|()| !self.leave())?,
                Some(b'-' | b'0'..=b'9') => self.number_token().map(|()| false)?,
                _ => self.literal_token().map(|()| false)?,
            };
            if !entered && !self.next_within(outer)? {
                return Ok(());
            }
            if self.open.in_object() {
                self.skip_key()?;
            }
        }
    }

    /// After a value: goes to the next item of the innermost container that has one; false when all containers
    /// within `outer` have ended.
    pub(super) fn next_within(&mut self, outer: u32) -> Result<bool, Error> {
        while self.open.depth > outer {
            if self.next_item()? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
