//! Regular expressions over folded text.
//!
//! The modules carry no Unicode tables. An expression that needs some (`\d`, `\w`, `\b`, `(?i)`) is read as one over
//! ASCII; a character class of other scripts (`[内外]`) works in an expression that needs none.

use std::ops::Range;

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ParserBuilder;

use super::{Applies, Found, LocalError, MAX_REGEX};

/// How much text an expression without a bound is given in a stream to complete a match, in bytes of folded text.
const UNBOUNDED: usize = 256;
/// The most text that an expression with a bound is given, in bytes of folded text.
const BOUNDED: usize = 4096;
/// A character that an expression looks at behind its match (`\b`, `$`), in bytes.
const LOOK_AHEAD: usize = 4;

/// The expressions of all checks.
#[derive(Debug, Default)]
pub(super) struct Regexes {
    list: Vec<One>,
}

#[derive(Debug)]
struct One {
    check: usize,
    regex: Regex,
    /// Length of its longest match and what it looks at behind it.
    reach: usize,
}

impl Regexes {
    pub(super) fn add(&mut self, check: usize, patterns: &[String]) -> Result<(), LocalError> {
        for (index, pattern) in patterns.iter().enumerate() {
            let (regex, reach) = compile(pattern).map_err(|why| LocalError::Regex { check, index, why })?;
            self.list.push(One { check, regex, reach });
        }
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn applies(&self, applies: &Applies) -> bool {
        self.list.iter().any(|one| applies.holds(one.check))
    }

    pub(super) fn find(&self, applies: &Applies, text: &str, from: usize, found: &mut Found<'_>) {
        for one in self.list.iter().filter(|one| applies.holds(one.check)) {
            let mut at = from;
            while let Some(hit) = (at <= text.len()).then(|| one.regex.find_at(text.as_bytes(), at)).flatten()
            {
                let range = whole(text, hit.range());
                at = range.end;
                found.add(one.check, "regex", range);
            }
        }
    }

    /// Where the earliest match could begin that text behind `text` could change.
    pub(super) fn open(&self, applies: &Applies, text: &str, from: usize) -> usize {
        let running = self.list.iter().filter(|one| applies.holds(one.check));
        let reach = running.map(|one| one.reach).max().unwrap_or(0);
        let mut at = text.len().saturating_sub(reach);
        while !text.is_char_boundary(at) {
            at = at.saturating_sub(1);
        }
        at.max(from)
    }
}

fn compile(pattern: &str) -> Result<(Regex, usize), String> {
    build(pattern, true).or_else(|_| build(pattern, false))
}

fn build(pattern: &str, unicode: bool) -> Result<(Regex, usize), String> {
    let parsed = ParserBuilder::new().unicode(unicode).utf8(false).build().parse(pattern);
    let parsed = parsed.map_err(|err| last_line(&err.to_string()))?;
    let properties = parsed.properties();
    if properties.minimum_len() == Some(0) {
        return Err("matches the empty text, so it would be found everywhere".into());
    }
    let regex =
        RegexBuilder::new(pattern).unicode(unicode).size_limit(MAX_REGEX).dfa_size_limit(MAX_REGEX).build();
    let most = properties.maximum_len().map_or(UNBOUNDED, |most| most.min(BOUNDED));
    Ok((regex.map_err(|err| last_line(&err.to_string()))?, most.saturating_add(LOOK_AHEAD)))
}

/// A match with the characters that it touches whole: one over ASCII sees bytes.
fn whole(text: &str, hit: Range<usize>) -> Range<usize> {
    let start = (0..=hit.start).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let end = (hit.end..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    start..end
}

/// The line of the parser's picture that says what is wrong.
fn last_line(text: &str) -> String {
    let line = text.lines().last().unwrap_or(text);
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}
