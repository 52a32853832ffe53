//! Globs over model names and header values.
//!
//! | written | matches |
//! | --- | --- |
//! | `*` | any text, also none, `/` included |
//! | `?` | one character |
//! | `[abc]` `[a-z]` | one of these characters |
//! | `[!abc]` | one other character |
//! | `{a,b}` | either; each side is a glob, may be empty and hold braces of its own |
//! | `\x` | the character `x` itself |
//!
//! Case matters. Matching takes time proportional to the length of the text times that of the glob at worst,
//! for each of the alternatives that its braces make.

mod parse;
#[cfg(test)]
mod tests;

use std::str::{Chars, FromStr};

pub use self::parse::{GlobError, MAX_ALTERNATIVES, Mistake};

/// One glob, ready to match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    text: String,
    alternatives: Vec<Vec<Token>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Char(char),
    AnyChar,
    AnyText,
    Class { ranges: Vec<(char, char)>, negated: bool },
}

impl FromStr for Glob {
    type Err = GlobError;

    fn from_str(text: &str) -> Result<Self, GlobError> {
        Ok(Self { text: text.to_owned(), alternatives: parse::alternatives(text)? })
    }
}

impl Glob {
    /// The glob as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the whole of `text` matches.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.alternatives.iter().any(|tokens| matches(tokens, text))
    }

    /// The names it stands for, in the order written, if it has no wildcard: `{a,b}-1` is `a-1` and `b-1`.
    #[must_use]
    pub fn literals(&self) -> Option<Vec<String>> {
        self.alternatives.iter().map(|tokens| literal(tokens)).collect()
    }

    /// Whether it certainly matches whatever `other` matches: both are the same, this one is `*`, or the other
    /// stands for names that this one matches, braces taken apart. `false` says nothing.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.alternatives.iter().all(|theirs| {
            let name = literal(theirs);
            self.alternatives.iter().any(|ours| {
                ours == theirs || is_everything(ours) || name.as_ref().is_some_and(|name| matches(ours, name))
            })
        })
    }
}

/// Several globs of which one must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GlobSet(Vec<Glob>);

impl GlobSet {
    /// Parses each of `globs`.
    ///
    /// # Errors
    /// The first mistake, with the index of its glob.
    pub fn parse<T: AsRef<str>>(globs: &[T]) -> Result<Self, (usize, GlobError)> {
        let parse = |(index, glob): (usize, &T)| glob.as_ref().parse().map_err(|error| (index, error));
        globs.iter().enumerate().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// Whether one of them matches the whole of `text`.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.0.iter().any(|glob| glob.matches(text))
    }

    /// Its globs in order.
    pub fn iter(&self) -> impl Iterator<Item = &Glob> {
        self.0.iter()
    }
}

impl Token {
    fn accepts(&self, char: char) -> bool {
        match self {
            Self::Char(own) => *own == char,
            Self::AnyChar => true,
            Self::AnyText => false,
            Self::Class { ranges, negated } => {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&char)) != *negated
            }
        }
    }
}

fn is_everything(tokens: &[Token]) -> bool {
    tokens.contains(&Token::AnyText) && tokens.iter().all(|token| *token == Token::AnyText)
}

fn literal(tokens: &[Token]) -> Option<String> {
    let char = |token: &Token| if let Token::Char(char) = token { Some(*char) } else { None };
    tokens.iter().map(char).collect()
}

/// Goes back only to the last `*`: what an earlier one could take instead, the last one can take as well.
fn matches(tokens: &[Token], text: &str) -> bool {
    let (mut tokens, mut text) = (tokens, text.chars());
    let mut last_star: Option<(&[Token], Chars<'_>)> = None;
    loop {
        let mut next = text.clone();
        match tokens.split_first() {
            Some((Token::AnyText, rest)) => {
                tokens = rest;
                last_star = Some((rest, text.clone()));
                continue;
            }
            Some((token, rest)) if next.next().is_some_and(|char| token.accepts(char)) => {
                (tokens, text) = (rest, next);
                continue;
            }
            None if text.as_str().is_empty() => return true,
            _ => {}
        }
        let Some((after_star, taken)) = &mut last_star else {
            return false;
        };
        if taken.next().is_none() {
            return false;
        }
        (tokens, text) = (after_star, taken.clone());
    }
}
