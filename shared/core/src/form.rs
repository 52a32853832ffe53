//! Fields of a `multipart/form-data` body (RFC 7578), found without copying it. One reader for all: were the
//! router and the provider's adapter to differ in which part is `model`, a form could ask for one and get another.

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

/// Name of each field and where its value stands in `body`, in order; ends early where the form does not hold.
pub fn fields(body: &[u8], boundary: &str) -> impl Iterator<Item = (String, Span)> {
    let delimiter = Finder::new(&format!("\r\n--{boundary}")).into_owned();
    let opening = delimiter.needle().get(2..).unwrap_or_default();
    let mut at = match body.starts_with(opening) {
        true => Some(opening.len()),
        false => next(body, 0, &delimiter).map(|part| part.1),
    };
    let parts = std::iter::from_fn(move || {
        let start = at?;
        let (end, after) = next(body, start, &delimiter)?;
        at = Some(after);
        Some(Span { start, end })
    });
    parts.take(MAX_PARTS).map_while(|part| split_part(body, part)).filter_map(|(head, value)| {
        let name = name(head)?;
        Some((name, value))
    })
}

/// Where the first `delimiter` from `start` on begins, and where it ends. A longer word that begins like it is
/// content.
fn next(body: &[u8], start: usize, delimiter: &Finder<'_>) -> Option<(usize, usize)> {
    let mut from = start;
    loop {
        let begin = delimiter.find(body.get(from..)?)?.checked_add(from)?;
        let end = begin.checked_add(delimiter.needle().len())?;
        if is_line_end(body.get(end..)?) {
            return Some((begin, end));
        }
        from = end;
    }
}

/// Whether a delimiter's line may end so: after padding, in a line break or the dashes that close the form.
fn is_line_end(rest: &[u8]) -> bool {
    let padding = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let rest = rest.get(padding..).unwrap_or_default();
    rest.is_empty() || rest.starts_with(b"\r\n") || rest.starts_with(b"--")
}

/// Headers and value of a part that begins right after its boundary, where padding may stand.
fn split_part(body: &[u8], part: Span) -> Option<(&[u8], Span)> {
    let text = body.get(part.start..part.end)?;
    let padding = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let text = text.get(padding..)?.strip_prefix(b"\r\n")?;
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

    fn read(body: &str, boundary: &str) -> Vec<(String, String)> {
        let text = |(name, value): (String, Span)| {
            (name, String::from_utf8_lossy(value.of(body.as_bytes())).into_owned())
        };
        fields(body.as_bytes(), boundary).map(text).collect()
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
        assert_eq!(read(body, "b"), want);
    }

    #[test]
    fn a_form_that_does_not_hold_ends_early() {
        let field = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n";
        for (body, want) in [
            (String::new(), 0),
            ("--b--\r\n".to_owned(), 0),
            (field.to_owned(), 0),
            (format!("{field}--b"), 1),
            (format!("{field}--b\r\nContent-Disposition: form-data; name=\"a\"\r\n--b--"), 1),
            (format!("{field}--bx\r\n\r\n\r\n2\r\n--b--"), 1), // `--bx` and what follows are content
            (format!("{}--b--", field.repeat(MAX_PARTS + 5)), MAX_PARTS),
        ] {
            assert_eq!(read(&body, "b").len(), want, "{body:.100}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in "(--b|\r\n|name=|;|\"|:|content-disposition|.){0,40}", value in ".{0,20}") {
            let _ = fields(body.as_bytes(), "b").count();
            let _ = boundary(&value);
        }
    }
}
