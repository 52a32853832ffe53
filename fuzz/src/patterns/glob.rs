//! Any glob that parses matches what the regular expression of the same meaning matches.

use std::iter::Peekable;
use std::str::{Chars, from_utf8};

use regex::{Regex, escape};
use sluice_core::glob::Glob;

use crate::parts::pair;

/// The glob, known to be valid, as a regular expression.
fn translate(glob: &str) -> String {
    let (mut chars, mut regex, mut depth) = (glob.chars().peekable(), String::new(), 0_u32);
    while let Some(char) = chars.next() {
        match char {
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            '{' => {
                depth += 1;
                regex.push_str("(?:");
            }
            '}' => {
                depth -= 1;
                regex.push(')');
            }
            ',' if depth > 0 => regex.push('|'),
            '[' => class(&mut chars, &mut regex),
            '\\' => regex.push_str(&escape(&chars.next().unwrap().to_string())),
            _ => regex.push_str(&escape(&char.to_string())),
        }
    }
    format!("(?s)\\A(?:{regex})\\z")
}

fn class(chars: &mut Peekable<Chars<'_>>, regex: &mut String) {
    regex.push('[');
    if chars.next_if_eq(&'!').is_some() {
        regex.push('^');
    }
    while let Some(first) = chars.next().filter(|char| *char != ']') {
        let first = if first == '\\' { chars.next().unwrap() } else { first };
        regex.push_str(&format!("\\x{{{:x}}}", u32::from(first)));
        let mut ahead = chars.clone();
        if ahead.next() == Some('-') && ahead.peek() != Some(&']') {
            let last = ahead.next().filter(|char| *char != '\\').or_else(|| ahead.next()).unwrap();
            regex.push_str(&format!("-\\x{{{:x}}}", u32::from(last)));
            *chars = ahead;
        }
    }
    regex.push(']');
}

/// Pattern, NUL, text.
pub(crate) fn check(input: &[u8]) {
    let (pattern, text) = pair(input);
    let (Ok(pattern), Ok(text)) = (from_utf8(pattern), from_utf8(text)) else { return };
    let Ok(glob) = pattern.parse::<Glob>() else {
        return;
    };
    if let Some(names) = glob.literals() {
        assert!(names.iter().all(|name| glob.matches(name)));
        assert!(!glob.matches(text) || names.iter().any(|name| name == text));
    }
    assert!(glob.covers(&glob));
    // the regex crate bounds the size of what it compiles; long globs are left to the line above
    if let Ok(regex) = Regex::new(&translate(pattern)) {
        assert_eq!(glob.matches(text), regex.is_match(text), "{regex}");
    }
}
