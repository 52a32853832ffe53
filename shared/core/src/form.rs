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
    param(params, "boundary").filter(|name| (1..=MAX_BOUNDARY_BYTES).contains(&name.len()))
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
    /// The boundary does not stand there, at the beginning or at the end.
    #[error("the form does not end with its boundary and two dashes")]
    Unterminated,
}

/// Name of each field and where its value stands in `body`, in order. Parts without a name are left out.
///
/// # Errors
/// The form does not hold (RFC 2046 section 5.1.1), or has too many parts.
pub fn fields(body: &[u8], boundary: &str) -> Result<Vec<(String, Span)>, FormError> {
    let delimiter = Finder::new(&format!("\r\n--{boundary}")).into_owned();
    let mut found = Vec::new();
    let mut at = opening(body, &delimiter).ok_or(FormError::Unterminated)?;
    for number in 1_usize.. {
        if at.closes {
            return Ok(found);
        }
        if number > MAX_PARTS {
            break;
        }
        let next = next(body, at.end, &delimiter).ok_or(FormError::Unterminated)?;
        let part = Span { start: at.end, end: next.start };
        let (head, value) = split_part(body, part).ok_or(FormError::UnsplitPart(number))?;
        found.extend(name(head).map(|name| (name, value)));
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

/// The delimiter of the first part: at the start of the body, or after a preamble.
fn opening(body: &[u8], delimiter: &Finder<'_>) -> Option<Delimiter> {
    let bare = delimiter.needle().get(2..)?;
    let at_once = body.strip_prefix(bare).and_then(line_end);
    match at_once {
        Some(closes) => Some(Delimiter { start: 0, end: bare.len(), closes }),
        None => next(body, 0, delimiter),
    }
}

/// The first delimiter from `from` on. A longer word that begins like it is content.
fn next(body: &[u8], mut from: usize, delimiter: &Finder<'_>) -> Option<Delimiter> {
    loop {
        let start = delimiter.find(body.get(from..)?)?.checked_add(from)?;
        let end = start.checked_add(delimiter.needle().len())?;
        if let Some(closes) = line_end(body.get(end..)?) {
            return Some(Delimiter { start, end, closes });
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

/// The field's name, from its `content-disposition`.
fn name(head: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(head);
    let disposition = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    });
    let (_, params) = disposition?.split_once(';')?;
    param(params, "name")
}

/// Value of parameter `name` in `a=b; c="d"`, where a quoted value may hold anything (RFC 9110 section 5.6.6).
fn param(params: &str, name: &str) -> Option<String> {
    let mut rest = params;
    loop {
        let (key, after) = rest.split_once('=')?;
        let (value, next) = if let Some(quoted) = after.trim_start().strip_prefix('"') {
            unquote(quoted)
        } else {
            let (value, next) = after.split_once(';').unwrap_or((after, ""));
            (value.trim().to_owned(), next)
        };
        // `key` may hold parameters without a value before it
        if key.rsplit(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(name) {
            return Some(value);
        }
        rest = next;
    }
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(body: &str, boundary: &str) -> Result<Vec<(String, String)>, FormError> {
        let text = |(name, value): (String, Span)| {
            (name, String::from_utf8_lossy(value.of(body.as_bytes())).into_owned())
        };
        Ok(fields(body.as_bytes(), boundary)?.into_iter().map(text).collect())
    }

    #[test]
    fn the_boundary_is_read_from_the_content_type() {
        for (value, want) in [
            ("multipart/form-data; boundary=abc", Some("abc")),
            ("multipart/form-data;charset=x ;Boundary= \"a;b \\\"c\" ; x=y", Some("a;b \"c")),
            ("multipart/form-data; x=\"boundary=no\"; boundary=yes", Some("yes")),
            ("multipart/form-data; flag; boundary=yes", Some("yes")),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("multipart/form-data; boundary=\"\"", None),
            ("application/json; boundary=b", None),
        ] {
            assert_eq!(boundary(value).as_deref(), want, "{value}");
        }
        assert_eq!(boundary(&format!("multipart/form-data; boundary={}", "a".repeat(71))), None);
    }

    #[test]
    fn fields_are_found_among_files() {
        let body = "preamble\r\n--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x; name=\\\"model\\\"\"\r\n\
            Content-Type: audio/mpeg\r\n\r\n\0\r\n--\r\n\r\ncontent\r\n--b \t\r\ncontent-disposition: form-data; name=model\r\n\r\n\
            whisper-1\r\n--b\r\nx: y\r\n\r\nno name\r\n--b\r\nContent-Disposition:form-data;name=\"empty\"\r\n\r\n\r\n--b--\r\n";
        let want = [("file", "\0\r\n--\r\n\r\ncontent"), ("model", "whisper-1"), ("empty", "")];
        let want = want.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(read(body, "b").unwrap(), want);
    }

    #[test]
    fn a_form_is_read_to_its_end_or_refused() {
        use FormError::{TooManyParts, UnsplitPart, Unterminated};
        let field = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n";
        let unsplit = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n";
        for (body, want) in [
            ("--b--".to_owned(), Ok(0)),
            ("--b-- \t\r\n".to_owned(), Ok(0)),
            (format!("preamble\r\n{field}--b--"), Ok(1)),
            (format!("{field}--b--\r\nepilogue\r\n{field}--b--"), Ok(1)),
            (format!("{field}--b\r\n\r\nno headers\r\n{field}--b--"), Ok(2)),
            (format!("{field}--b \t\r\n\r\n\r\n{field}--b--\r\n"), Ok(2)),
            (format!("{field}--bx\r\n\r\n\r\n2\r\n--b--"), Ok(1)), // `--bx` and what follows are content
            (format!("{field}--b--x\r\n{field}--b--"), Ok(2)),     // and so is this
            (format!("{field}--b --\r\n{field}--b--"), Ok(2)),
            (format!("{}--b--", field.repeat(MAX_PARTS)), Ok(MAX_PARTS)),
            (format!("{}--b--", field.repeat(MAX_PARTS + 1)), Err(TooManyParts)),
            (format!("{unsplit}--b--"), Err(UnsplitPart(1))),
            (format!("{field}{unsplit}{field}--b--"), Err(UnsplitPart(2))),
            (String::new(), Err(Unterminated)),
            ("--".to_owned(), Err(Unterminated)),
            ("--b".to_owned(), Err(Unterminated)),
            (field.to_owned(), Err(Unterminated)),
            (format!("{field}--b"), Err(Unterminated)),
            (format!("{field}--b-"), Err(Unterminated)),
            (format!("{field}--b--x"), Err(Unterminated)),
            (format!("{field}--c--"), Err(Unterminated)),
            (field.replace("\r\n", "\n") + "--b--", Err(Unterminated)),
        ] {
            assert_eq!(read(&body, "b").map(|fields| fields.len()), want, "{body:.200?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in "(--b|\r\n|name=|;|\"|:|content-disposition|.){0,40}", value in ".{0,20}") {
            let _ = fields(body.as_bytes(), "b");
            let _ = boundary(&value);
        }
    }
}
