//! Private keys as PEM, in folded text (line breaks are spaces) or with `\n` written out.
//!
//! Source: <https://www.rfc-editor.org/rfc/rfc7468#section-3>; also the older labels and headers of OpenSSL, OpenSSH
//! and PGP. A block that is cut off counts as far as it goes; a label without a key behind it is nothing.

use std::ops::Range;

use super::bytes::{each, run_after};

const BEGIN: &[u8] = b"-----BEGIN";
const LABEL_END: &[u8] = b"-----";
const END: &[u8] = b"-----END";
/// Longest label, `OPENSSH PRIVATE KEY` and the like, in bytes.
const MAX_LABEL: usize = 64;
/// Fewest bytes of base64 that are taken for a key; an Ed25519 key has 64.
const MIN_BODY: usize = 40;
/// A longer key may be seen in parts, if it comes in parts; one of 16,384 bits has 12,800 bytes.
const LONGEST: usize = 16_384;
/// A line of base64 has 64 or 76 characters; a shorter word ends a block that is cut off.
const LINE: usize = 32;

pub(super) fn find(text: &[u8], from: usize, found: &mut Vec<Range<usize>>) {
    let mut free = from;
    for at in each(text, from, BEGIN) {
        if at < free {
            continue;
        }
        if let Some(end) = body(text, at).and_then(|body| end(text, body)) {
            free = end;
            found.push(at..end);
        }
    }
}

/// Where the text that could become part of a key begins.
pub(super) fn open(text: &[u8]) -> usize {
    // Label and footer come on top.
    let start = text.len().saturating_sub(LONGEST.saturating_add(256));
    let unfinished = each(text, start, BEGIN).find(|at| is_open(text, *at));
    unfinished.unwrap_or_else(|| {
        let most = BEGIN.len().saturating_sub(1);
        let tails = (1..=most).rev().filter_map(|len| text.len().checked_sub(len));
        let begun = tails.into_iter().find(|at| text.get(*at..).is_some_and(|tail| BEGIN.starts_with(tail)));
        begun.unwrap_or(text.len())
    })
}

/// Where the body of the block that begins at `at` starts, if it is a private key's.
fn body(text: &[u8], at: usize) -> Option<usize> {
    let start = at.saturating_add(BEGIN.len());
    let len = run_after(text, start, MAX_LABEL, is_label);
    let end = start.saturating_add(len);
    let label = text.get(start..end)?;
    let dashes = text.get(end..)?.starts_with(LABEL_END);
    let private = label.ends_with(b" PRIVATE KEY") || label.ends_with(b" PRIVATE KEY BLOCK");
    (dashes && private).then(|| end.saturating_add(LABEL_END.len()))
}

/// Where the block ends whose body starts at `body`.
fn end(text: &[u8], body: usize) -> Option<usize> {
    let run = run(text, body);
    let closed = text.get(run..)?.starts_with(END);
    let end = if closed { run } else { cut(text, body, run) };
    let size = text.get(body..end)?.iter().filter(|byte| is_base64(**byte)).count();
    match (size >= MIN_BODY, closed) {
        (false, _) => None,
        (true, true) => Some(footer(text, run)),
        (true, false) => Some(end),
    }
}

/// How far from `body` on there is nothing but what a body holds, up to the next dashes.
fn run(text: &[u8], body: usize) -> usize {
    let window = text.get(body..).unwrap_or_default();
    let window = window.get(..LONGEST).unwrap_or(window);
    let most = memchr::memmem::find(window, LABEL_END).unwrap_or(window.len());
    body.saturating_add(run_after(text, body, most, is_body))
}

/// Where the footer that begins at `at` ends.
fn footer(text: &[u8], at: usize) -> usize {
    let label = at.saturating_add(END.len());
    let end = label.saturating_add(run_after(text, label, MAX_LABEL, is_label));
    end.saturating_add(run_after(text, end, LABEL_END.len(), |byte| byte == b'-'))
}

/// Where the base64 of a block without footer ends: behind its last long word and one more.
fn cut(text: &[u8], body: usize, run: usize) -> usize {
    let (mut at, mut end) = (body, body);
    while at < run {
        let word = run_after(text, at, run.saturating_sub(at), |byte| byte != b' ');
        at = at.saturating_add(word);
        if word > 0 {
            end = at;
        }
        if word > 0 && word < LINE {
            break;
        }
        at = at.saturating_add(1);
    }
    end
}

/// Whether the block that begins at `at` could go on behind the text's end.
fn is_open(text: &[u8], at: usize) -> bool {
    let start = at.saturating_add(BEGIN.len());
    let Some(body) = body(text, at) else {
        let label = start.saturating_add(run_after(text, start, MAX_LABEL, is_label));
        let rest = text.get(label..).unwrap_or_default();
        return LABEL_END.starts_with(rest) && label.saturating_sub(start) < MAX_LABEL;
    };
    let run = run(text, body);
    let rest = text.get(run..).unwrap_or_default();
    END.starts_with(rest) || (rest.starts_with(END) && footer(text, run) >= text.len())
}

fn is_label(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' '
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

/// Base64, white space, written-out line breaks, and the headers of old formats (`Proc-Type: 4,ENCRYPTED`).
fn is_body(byte: u8) -> bool {
    is_base64(byte) || matches!(byte, b' ' | b'\\' | b'-' | b':' | b',' | b'.' | b'(' | b')')
}
