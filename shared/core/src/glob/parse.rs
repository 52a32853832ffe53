//! Parses a glob into its alternatives.

use std::iter::{Enumerate, Peekable};
use std::str::Chars;

use super::Token;

/// Alternatives that the braces of one glob may make: `{a,b}{c,d}` makes four.
pub const MAX_ALTERNATIVES: usize = 1024;

/// Braces within braces. Nobody writes more than two; the bound keeps the parser's stack small.
const MAX_NESTING: usize = 16;

/// Why a glob was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {mistake}")]
pub struct GlobError {
    /// Where, in characters from 1.
    pub column: usize,
    /// What is wrong there.
    pub mistake: Mistake,
}

/// What is wrong with a glob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// It matches nothing but empty text.
    #[error("a glob must not be empty")]
    Empty,
    /// A `\` is the last character.
    #[error("nothing follows the backslash")]
    LoneBackslash,
    /// A `[` without `]`.
    #[error("`[` is never closed")]
    OpenClass,
    /// `[]`.
    #[error("`[]` names no character; write `\\[` for a bracket itself")]
    EmptyClass,
    /// `[^…]`, which means different things in different tools.
    #[error("write `[!…]` for other characters, or `\\^` for the character itself")]
    Caret,
    /// A range such as `[z-a]`.
    #[error("the range ends before it starts")]
    ReversedRange,
    /// A `{` without `}`.
    #[error("`{{` is never closed")]
    OpenBrace,
    /// A `}` without `{`.
    #[error("`}}` closes nothing; write `\\}}` for the brace itself")]
    LoneBrace,
    /// Braces nested more than 16 deep.
    #[error("braces are nested too deeply")]
    TooDeep,
    /// More than [`MAX_ALTERNATIVES`].
    #[error("the braces make more than {MAX_ALTERNATIVES} alternatives")]
    TooMany,
}

type Alternatives = Vec<Vec<Token>>;

pub(super) fn alternatives(text: &str) -> Result<Alternatives, GlobError> {
    let mut parser = Parser { chars: text.chars().enumerate().peekable() };
    if text.is_empty() {
        return Err(error(0, Mistake::Empty));
    }
    let alternatives = parser.sequence(0)?;
    match parser.chars.next() {
        Some((at, _)) => Err(error(at, Mistake::LoneBrace)),
        None => Ok(alternatives),
    }
}

/// An error at the character with index `at`.
fn error(at: usize, mistake: Mistake) -> GlobError {
    GlobError { column: at.saturating_add(1), mistake }
}

struct Parser<'a> {
    chars: Peekable<Enumerate<Chars<'a>>>,
}

impl Parser<'_> {
    /// Parses up to the end or, inside braces, to the `,` or `}` that ends the alternative.
    fn sequence(&mut self, nesting: usize) -> Result<Alternatives, GlobError> {
        let mut built = vec![Vec::new()];
        while let Some((at, char)) =
            self.chars.next_if(|(_, char)| *char != '}' && (*char != ',' || nesting == 0))
        {
            let token = match char {
                '{' => {
                    built = product(&built, &self.braces(at, nesting)?).ok_or(error(at, Mistake::TooMany))?;
                    continue;
                }
                '[' => self.class(at)?,
                '*' => Token::AnyText,
                '?' => Token::AnyChar,
                '\\' => Token::Char(self.escaped(at)?),
                _ => Token::Char(char),
            };
            built.iter_mut().for_each(|tokens| tokens.push(token.clone()));
        }
        Ok(built)
    }

    /// Parses the alternatives after a `{` at `open`, and the `}`.
    fn braces(&mut self, open: usize, nesting: usize) -> Result<Alternatives, GlobError> {
        if nesting >= MAX_NESTING {
            return Err(error(open, Mistake::TooDeep));
        }
        let mut all = Vec::new();
        loop {
            all.extend(self.sequence(nesting.saturating_add(1))?);
            match self.chars.next() {
                Some((_, '}')) => return Ok(all),
                Some(_) => {}
                None => return Err(error(open, Mistake::OpenBrace)),
            }
        }
    }

    /// Parses the characters after a `[` at `open`, and the `]`.
    fn class(&mut self, open: usize) -> Result<Token, GlobError> {
        let negated = self.chars.next_if(|(_, char)| *char == '!').is_some();
        if let Some((at, '^')) = self.chars.peek() {
            return Err(error(*at, Mistake::Caret));
        }
        let mut ranges = Vec::new();
        while self.chars.next_if(|(_, char)| *char == ']').is_none() {
            let (at, first) = self.class_char(open)?;
            let last = self.range_end(open, first)?;
            if last < first {
                return Err(error(at, Mistake::ReversedRange));
            }
            ranges.push((first, last));
        }
        if ranges.is_empty() {
            return Err(error(open, Mistake::EmptyClass));
        }
        Ok(Token::Class { ranges, negated })
    }

    /// The end of the range that `first` begins; `first` itself unless `-` and a character follow.
    fn range_end(&mut self, open: usize, first: char) -> Result<char, GlobError> {
        let mut ahead = self.chars.clone();
        let dash = ahead.next_if(|(_, char)| *char == '-').is_some();
        if !dash || ahead.peek().is_none_or(|(_, char)| *char == ']') {
            return Ok(first);
        }
        self.chars = ahead;
        self.class_char(open).map(|(_, last)| last)
    }

    fn class_char(&mut self, open: usize) -> Result<(usize, char), GlobError> {
        match self.chars.next() {
            Some((at, '\\')) => self.escaped(at).map(|char| (at, char)),
            Some(found) => Ok(found),
            None => Err(error(open, Mistake::OpenClass)),
        }
    }

    fn escaped(&mut self, backslash: usize) -> Result<char, GlobError> {
        self.chars.next().map(|(_, char)| char).ok_or(error(backslash, Mistake::LoneBackslash))
    }
}

/// Each of `heads` followed by each of `tails`; `None` when these are too many.
fn product(heads: &Alternatives, tails: &Alternatives) -> Option<Alternatives> {
    if heads.len().saturating_mul(tails.len()) > MAX_ALTERNATIVES {
        return None;
    }
    let joined = |head: &Vec<Token>, tail: &Vec<Token>| [head.as_slice(), tail.as_slice()].concat();
    Some(heads.iter().flat_map(|head| tails.iter().map(move |tail| joined(head, tail))).collect())
}
