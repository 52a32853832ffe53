//! E-mail addresses.
//!
//! Sources: <https://www.rfc-editor.org/rfc/rfc5321#section-4.5.3.1> (lengths), <https://www.rfc-editor.org/rfc/rfc1035#section-2.3.1>
//! (labels). Of the characters a local part may have, those that occur; quoted ones and other scripts are not found.

use std::ops::Range;

use super::bytes::{after, run_after, run_before};

const MAX_LOCAL: usize = 64;
const MAX_DOMAIN: usize = 253;
const MAX_LABEL: usize = 63;
/// What stands behind the dot of a file, not of a domain (`icon@2x.png`, `left-pad@1.3.0.tgz`).
const FILES: [&[u8]; 12] =
    [b"png", b"jpg", b"jpeg", b"gif", b"svg", b"webp", b"tgz", b"js", b"json", b"css", b"html", b"map"];

pub(super) fn find(text: &[u8], from: usize, found: &mut Vec<Range<usize>>) {
    let mut free = from;
    for at in memchr::memchr_iter(b'@', text.get(from..).unwrap_or_default()) {
        let at = at.saturating_add(from);
        if let Some(range) = around(text, at).filter(|range| range.start >= free) {
            free = range.end;
            found.push(range);
        }
    }
}

/// Where the text that could become part of an address begins.
pub(super) fn open(text: &[u8]) -> usize {
    // One byte more than an address has: a longer one is none.
    let most = MAX_LOCAL.saturating_add(MAX_DOMAIN).saturating_add(3);
    text.len().saturating_sub(run_before(text, text.len(), most, |byte| {
        is_local(byte) || byte == b'@' || byte == b':'
    }))
}

fn around(text: &[u8], at: usize) -> Option<Range<usize>> {
    let len = run_before(text, at, MAX_LOCAL.saturating_add(1), is_local);
    let start = at.checked_sub(len)?;
    let local = text.get(start..at)?;
    let trimmed = local.iter().take_while(|byte| matches!(byte, b'.' | b'-' | b'\'')).count();
    let local = local.get(trimmed..)?;
    if len > MAX_LOCAL
        || local.is_empty()
        || local.ends_with(b".")
        || memchr::memmem::find(local, b"..").is_some()
    {
        return None;
    }
    let end = domain(text, at.saturating_add(1))?;
    // What git clones from, not an address: <https://git-scm.com/docs/git-clone#_git_urls>
    if local == b"git" && after(text, end) == Some(b':') {
        return None;
    }
    Some(start.saturating_add(trimmed)..end)
}

/// Where the domain that begins at `start` ends.
fn domain(text: &[u8], start: usize) -> Option<usize> {
    let len = run_after(text, start, MAX_DOMAIN.saturating_add(1), is_domain);
    let mut name = text.get(start..start.saturating_add(len))?;
    if len > MAX_DOMAIN {
        return None;
    }
    while let Some(shorter) = name.strip_suffix(b".").or_else(|| name.strip_suffix(b"-")) {
        name = shorter;
    }
    let mut labels = name.split(|byte| *byte == b'.');
    let top = labels.next_back()?;
    let rest: Vec<&[u8]> = labels.collect();
    let numbers = rest.iter().filter(|label| label.iter().all(u8::is_ascii_digit)).count();
    // `4.17.21` is a version; `163.com` is a domain.
    if rest.is_empty() || (numbers > 1 && numbers == rest.len()) || !rest.iter().all(|label| is_label(label))
    {
        return None;
    }
    (is_top(top)).then(|| start.saturating_add(name.len()))
}

fn is_label(label: &[u8]) -> bool {
    !label.is_empty() && label.len() <= MAX_LABEL && !label.starts_with(b"-") && !label.ends_with(b"-")
}

fn is_top(top: &[u8]) -> bool {
    let name = top.len() >= 2 && top.len() <= MAX_LABEL && top.iter().all(u8::is_ascii_alphabetic);
    let punycode = top.len() > 4 && top.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"xn--"));
    (name && !FILES.iter().any(|file| top.eq_ignore_ascii_case(file))) || punycode
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-' | b'\'')
}

fn is_domain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-')
}
