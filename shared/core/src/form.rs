//! Fields of a `multipart/form-data` body (RFC 7578), found without copying it. One reader for all: were the
//! router and the provider's adapter to differ in which part is `model`, a form could ask for one and get another.
//! For the same reason a form is read to its end or not at all.

use memchr::memmem::{self, Finder};

use crate::json::Span;

/// Parts that are looked at. OpenAI's largest form, image edits, has about 30 with its 16 images.
const MAX_PARTS: usize = 256;

/// Longest boundary, in bytes (RFC 2046 section 5.1.1).
const MAX_BOUNDARY_BYTES: usize = 70;

/// The boundary that a `content-type` of `multipart/form-data` names.
pub(crate) fn boundary(content_type: &str) -> Option<String> {
    let (kind, params) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let (_, name) =
        only(self::params(params).filter(|(key, _)| key.eq_ignore_ascii_case("boundary"))).ok()??;
    (1..=MAX_BOUNDARY_BYTES).contains(&name.len()).then_some(name)
}

/// Why a form cannot be read to its end. What stands behind that point would be seen by others only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// More parts than are looked at.
    #[error("the form has more than {MAX_PARTS} parts")]
    TooManyParts,
    /// No blank line ends the headers of this part; the first one is 1.
    #[error("part {0} of the form has no blank line after its headers")]
    UnsplitPart(usize),
    /// Readers differ in what the headers of this part say: a line of them is continued, or the name is given in
    /// more than one way.
    #[error("the headers of part {0} of the form are not clear")]
    UnclearPart(usize),
    /// The boundary stands on a line that only some readers take for one.
    #[error("the form's boundary stands on a line that CRLF does not end or begin")]
    UnclearBoundary,
    /// The boundary does not stand there, at the beginning or at the end.
    #[error("the form does not end with its boundary and two dashes")]
    Unterminated,
}

/// Name of each field and where its value stands in `body`, in order. Parts without a name are left out.
///
/// # Errors
/// The form does not hold (RFC 2046 section 5.1.1), or has too many parts.
pub fn fields(body: &[u8], boundary: &str) -> Result<Vec<(String, Span)>, FormError> {
    let bare = format!("--{boundary}");
    let finder = Finder::new(&bare);
    let mut found = Vec::new();
    let mut at = next(body, 0, &finder)?;
    for number in 1_usize.. {
        if at.closes {
            return Ok(found);
        }
        if number > MAX_PARTS {
            break;
        }
        let next = next(body, at.end, &finder)?;
        let part = Span { start: at.end, end: next.start };
        let (head, value) = split_part(body, part).ok_or(FormError::UnsplitPart(number))?;
        let name = name(head).map_err(|Unclear| FormError::UnclearPart(number))?;
        found.extend(name.map(|name| (name, value)));
        at = next;
    }
    Err(FormError::TooManyParts)
}

/// A line that begins with the boundary.
struct Delimiter {
    /// Where the line break before it begins.
    start: usize,
    /// Where the boundary ends.
    end: usize,
    /// It ends the form.
    closes: bool,
}

/// The first delimiter from `from` on. A longer word that begins like it is content.
fn next(body: &[u8], mut from: usize, bare: &Finder<'_>) -> Result<Delimiter, FormError> {
    loop {
        let found = bare.find(body.get(from..).unwrap_or_default()).ok_or(FormError::Unterminated)?;
        let start = from.saturating_add(found);
        let end = start.saturating_add(bare.needle().len());
        let (before, rest) = (body.get(..start).unwrap_or_default(), body.get(end..).unwrap_or_default());
        if (before.is_empty() || before.ends_with(b"\r\n"))
            && let Some(closes) = line_end(rest)
        {
            return Ok(Delimiter { start: start.saturating_sub(2), end, closes });
        }
        // To Werkzeug, for one, each of CR and LF is a line break.
        let begins = before.is_empty() || before.ends_with(b"\r") || before.ends_with(b"\n");
        if begins && loose_line_end(rest) {
            return Err(FormError::UnclearBoundary);
        }
        from = end;
    }
}

/// Whether a delimiter closes the form, if what follows its boundary ends the line: two dashes or none, padding,
/// and a line break or, after the dashes, nothing more.
fn line_end(rest: &[u8]) -> Option<bool> {
    let dashed = rest.strip_prefix(b"--");
    let rest = unpadded(dashed.unwrap_or(rest));
    let ends = rest.starts_with(b"\r\n") || (dashed.is_some() && rest.is_empty());
    ends.then_some(dashed.is_some())
}

/// As [`line_end`], with any line break.
fn loose_line_end(rest: &[u8]) -> bool {
    let dashed = rest.strip_prefix(b"--");
    let rest = unpadded(dashed.unwrap_or(rest));
    rest.starts_with(b"\r") || rest.starts_with(b"\n") || (dashed.is_some() && rest.is_empty())
}

fn unpadded(text: &[u8]) -> &[u8] {
    let padding = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    text.get(padding..).unwrap_or_default()
}

/// Headers, which may be none, and value of a part that begins right after its boundary, where padding may stand.
fn split_part(body: &[u8], part: Span) -> Option<(&[u8], Span)> {
    let text = unpadded(body.get(part.start..part.end)?); // from the line break on
    let (head, value) = text.split_at_checked(memmem::find(text, b"\r\n\r\n")?)?;
    let start = part.end.checked_sub(value.len())?.checked_add(4)?;
    Some((head, Span { start, end: part.end }))
}

/// Readers differ in what is said here.
struct Unclear;

/// The field's name, from its `content-disposition`.
fn name(head: &[u8]) -> Result<Option<String>, Unclear> {
    let head = String::from_utf8_lossy(head);
    let lines = head.split("\r\n");
    if lines.clone().any(|line| line.starts_with([' ', '\t']) || line.contains(['\r', '\n'])) {
        return Err(Unclear);
    }
    let disposition = only(lines.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    }))?;
    let Some((_, text)) = disposition.and_then(|value| value.split_once(';')) else {
        return Ok(None);
    };
    // `name*` and `name*0` are other ways to give it (RFC 2231)
    let is_name =
        |key: &str| key.split('*').next().is_some_and(|key| key.trim().eq_ignore_ascii_case("name"));
    match only(params(text).filter(|(key, _)| is_name(key)))? {
        Some((key, _)) if key.contains('*') => Err(Unclear),
        name => Ok(name.map(|(_, name)| name)),
    }
}

/// The one item, if there is any.
fn only<T>(mut items: impl Iterator<Item = T>) -> Result<Option<T>, Unclear> {
    let first = items.next();
    if items.next().is_some() { Err(Unclear) } else { Ok(first) }
}

/// Parameters `a=b; c="d"`, where a quoted value may hold anything (RFC 9110 section 5.6.6); those without a value
/// are left out.
fn params(text: &str) -> impl Iterator<Item = (&str, String)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (key, after) = rest.split_once('=')?;
        let (value, next) = if let Some(quoted) = after.trim_start().strip_prefix('"') {
            unquote(quoted)
        } else {
            let (value, next) = after.split_once(';').unwrap_or((after, ""));
            (value.trim().to_owned(), next)
        };
        rest = next;
        // `key` may hold parameters without a value before it
        Some((key.rsplit(';').next().unwrap_or_default().trim(), value))
    })
}

/// The text up to the closing quote, and what follows it.
fn unquote(text: &str) -> (String, &str) {
    let (mut value, mut chars) = (String::new(), text.chars());
    while let Some(char) = chars.next() {
        match char {
            '"' => break,
            '\\' => value.extend(chars.next()),
            _ => value.push(char),
        }
    }
    (value, chars.as_str())
}

#[cfg(test)]
mod tests;
