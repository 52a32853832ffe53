//! JSON Web Tokens in their compact form.
//!
//! Source: <https://www.rfc-editor.org/rfc/rfc7519#section-3>. Header and payload are JSON objects, whose base64url
//! begins with `ey` (`{"` or `{` and white space); the signature may be empty.

use std::ops::Range;

use super::bytes::{after, before, each, is_token, run_after, run_before};

/// Fewest characters of a header: `{"alg":"HS256"}` has 20.
const MIN_HEADER: usize = 16;
/// Fewest characters of a payload.
const MIN_PAYLOAD: usize = 8;
/// Fewest characters of a signature, if there is one.
const MIN_SIGNATURE: usize = 16;
/// A longer one may be seen in parts, if it comes in parts.
const LONGEST: usize = 8192;

pub(super) fn find(text: &[u8], from: usize, found: &mut Vec<Range<usize>>) {
    let mut free = from;
    for at in each(text, from, b"ey") {
        if at < free || before(text, at, 1).is_some_and(is_token) {
            continue;
        }
        if let Some(end) = end(text, at) {
            free = end;
            found.push(at..end);
        }
    }
}

/// Where the text that could become part of a token begins.
pub(super) fn open(text: &[u8]) -> usize {
    let start = text
        .len()
        .saturating_sub(run_before(text, text.len(), LONGEST, |byte| is_token(byte) || byte == b'.'));
    let begins = |at: &usize| {
        let rest = text.get(*at..).unwrap_or_default();
        (rest.starts_with(b"ey") || rest == b"e") && !before(text, *at, 1).is_some_and(is_token)
    };
    (start..text.len()).find(begins).unwrap_or(text.len())
}

fn end(text: &[u8], at: usize) -> Option<usize> {
    let header = segment(text, at);
    let payload = header.saturating_add(1);
    if header.saturating_sub(at) < MIN_HEADER
        || after(text, header) != Some(b'.')
        || !text.get(payload..)?.starts_with(b"ey")
    {
        return None;
    }
    let dot = segment(text, payload);
    if dot.saturating_sub(payload) < MIN_PAYLOAD || after(text, dot) != Some(b'.') {
        return None;
    }
    let signature = dot.saturating_add(1);
    let end = segment(text, signature);
    let len = end.saturating_sub(signature);
    (len == 0 || len >= MIN_SIGNATURE).then_some(end)
}

/// Where the base64url from `start` on ends.
fn segment(text: &[u8], start: usize) -> usize {
    start.saturating_add(run_after(text, start, usize::MAX, is_token))
}
