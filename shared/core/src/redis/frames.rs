//! RESP2 piece by piece: where whole frames end in bytes that are still arriving.
//!
//! The crate `redis-protocol` reads each piece. Arrays are taken apart here, for it would recurse as deep as the
//! sender likes and start anew with each chunk.

use redis_protocol::resp2::decode::decode_range;
use redis_protocol::resp2::types::RangeFrame;

/// How deep arrays may nest. Redis' own replies nest 3 or 4 deep, and a script's are ours.
pub(super) const MAX_DEPTH: usize = 16;

/// How long a line may be: a status, an error or a length. Redis' longest lines are errors that quote a command.
const MAX_LINE: usize = 65_536;

/// The bytes are not RESP2, or go beyond what is read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not RESP2.
    #[error("not RESP2")]
    Malformed,
    /// Arrays nest too deeply.
    #[error("arrays nest more than {MAX_DEPTH} deep")]
    TooDeep,
    /// More elements than are kept.
    #[error("too many elements")]
    TooMany,
    /// They end within a frame.
    #[error("ends within a frame")]
    Incomplete,
    /// They go on behind the last frame.
    #[error("goes on behind the last frame")]
    Trailing,
}

/// One leaf, or the head of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Simple(&'a [u8]),
    Error(&'a [u8]),
    Integer(i64),
    Bulk(&'a [u8]),
    Nil,
    Array(usize),
}

/// What [`Frames::feed`] has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The frames awaited are not complete.
    More,
    /// The last of them ends before this byte.
    Complete(usize),
}

/// Looks for the end of so many frames. Each byte is looked at once, however it is cut.
#[derive(Clone, Debug)]
pub struct Frames {
    awaited: Vec<usize>, // elements still to come, of the frames at the bottom and of each open array above
    at: usize,           // where the next piece begins
    looked: usize,       // up to where its line's end has been looked for
}

impl Frames {
    /// Awaits `count` frames.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self { awaited: vec![count], at: 0, looked: 0 }
    }

    /// Goes on in `bytes`, which are those of the last call with more behind them.
    ///
    /// # Errors
    /// What is there is not RESP2; then nothing can be found any more.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Progress, DecodeError> {
        while self.settle() {
            let Some((piece, length)) = self.piece(bytes)? else { return Ok(Progress::More) };
            self.at = self.at.saturating_add(length);
            self.looked = self.at;
            self.take(piece)?;
        }
        Ok(Progress::Complete(self.at))
    }

    /// Closes arrays that are complete; whether anything is awaited still.
    fn settle(&mut self) -> bool {
        while self.awaited.last() == Some(&0) {
            self.awaited.pop();
        }
        !self.awaited.is_empty()
    }

    fn take(&mut self, piece: Piece<'_>) -> Result<(), DecodeError> {
        if let Some(left) = self.awaited.last_mut() {
            *left = left.saturating_sub(1);
        }
        if let Piece::Array(count) = piece {
            if self.awaited.len() > MAX_DEPTH {
                return Err(DecodeError::TooDeep);
            }
            self.awaited.push(count);
        }
        Ok(())
    }

    fn piece<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<(Piece<'a>, usize)>, DecodeError> {
        let fresh = bytes.get(self.looked..).unwrap_or_default();
        if memchr::memchr(b'\n', fresh).is_none() {
            self.looked = bytes.len();
            let open = bytes.len().saturating_sub(self.at);
            return if open > MAX_LINE { Err(DecodeError::Malformed) } else { Ok(None) };
        }
        piece(bytes.get(self.at..).unwrap_or_default())
    }
}

/// The names of commands that follow each other, each an array of bulk strings, as they are written.
///
/// # Errors
/// The bytes are something else.
pub fn command_names(bytes: &[u8]) -> Result<Vec<&[u8]>, DecodeError> {
    let (mut rest, mut names) = (bytes, Vec::new());
    while !rest.is_empty() {
        let Piece::Array(parts @ 1..) = next(&mut rest)? else { return Err(DecodeError::Malformed) };
        for part in 0..parts {
            let Piece::Bulk(bytes) = next(&mut rest)? else { return Err(DecodeError::Malformed) };
            if part == 0 {
                names.push(bytes);
            }
        }
    }
    Ok(names)
}

/// Takes the next piece off `rest`.
///
/// # Errors
/// There is no whole one.
pub(super) fn next<'a>(rest: &mut &'a [u8]) -> Result<Piece<'a>, DecodeError> {
    let (piece, length) = piece(rest)?.ok_or(DecodeError::Incomplete)?;
    *rest = rest.get(length..).unwrap_or_default();
    Ok(piece)
}

/// The first piece of `bytes` and its length; `None` while it is incomplete.
///
/// # Errors
/// [`DecodeError::Malformed`].
fn piece(bytes: &[u8]) -> Result<Option<(Piece<'_>, usize)>, DecodeError> {
    let Some(line) = memchr::memchr(b'\n', bytes).and_then(|end| bytes.get(..=end)) else { return Ok(None) };
    if !line.ends_with(b"\r\n") {
        return Err(DecodeError::Malformed);
    }
    if let Some(b'*') = line.first() {
        return array(line).map(|array| Some((array, line.len())));
    }
    let Some((frame, length)) = decode_range(bytes).map_err(|_| DecodeError::Malformed)? else {
        return Ok(None);
    };
    let part = |(start, end): (usize, usize)| bytes.get(start..end).ok_or(DecodeError::Malformed);
    let piece = match frame {
        RangeFrame::SimpleString(range) => Piece::Simple(part(range)?),
        RangeFrame::Error(range) => Piece::Error(part(range)?),
        RangeFrame::Integer(number) => Piece::Integer(number),
        // The crate takes any two bytes behind a bulk string.
        RangeFrame::BulkString((start, end)) if bytes.get(end..length) == Some(b"\r\n") => {
            Piece::Bulk(part((start, end))?)
        }
        RangeFrame::Null => Piece::Nil,
        RangeFrame::BulkString(_) | RangeFrame::Array(_) => return Err(DecodeError::Malformed),
    };
    Ok(Some((piece, length)))
}

/// An array's head has the shape of an integer.
fn array(line: &[u8]) -> Result<Piece<'static>, DecodeError> {
    const LONGEST: usize = 24;
    let digits = line.get(1..).filter(|digits| digits.len() < LONGEST).ok_or(DecodeError::Malformed)?;
    match decode_range(&[b":", digits].concat()) {
        Ok(Some((RangeFrame::Integer(-1), _))) => Ok(Piece::Nil),
        Ok(Some((RangeFrame::Integer(count), _))) => {
            usize::try_from(count).map(Piece::Array).map_err(|_| DecodeError::Malformed)
        }
        _ => Err(DecodeError::Malformed),
    }
}
