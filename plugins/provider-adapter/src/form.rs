//! Replaces the model's name in a multipart form (RFC 7578), as audio and image requests are.

use memchr::memmem;
use sluice_core::json::{Edit, Span, splice};

/// The boundary that `content_type` names.
pub(crate) fn boundary(content_type: &str) -> Option<&str> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    parameter(parameters, "boundary").filter(|boundary| !boundary.is_empty())
}

/// `body` with `model` as the value of its part `model`; `None` if it has no such part, or has that value already.
/// The new value is written as it is: a model's name with a line break in it is nobody's.
pub(crate) fn rewrite(body: &[u8], boundary: &str, model: &str) -> Option<Vec<u8>> {
    let span = model_part(body, boundary)?;
    if span.of(body) == model.as_bytes() || model.contains(['\r', '\n']) {
        return None;
    }
    Some(splice(body, &[Edit { span, with: model.as_bytes() }]))
}

/// Where the value of the first part named `model` stands.
fn model_part(body: &[u8], boundary: &str) -> Option<Span> {
    let delimiter = format!("--{boundary}");
    let mut at = if body.starts_with(delimiter.as_bytes()) { 0 } else { next(body, 0, &delimiter)? };
    loop {
        let head = at.checked_add(delimiter.len())?;
        let length = memmem::find(body.get(head..)?, b"\r\n\r\n")?;
        let start = head.checked_add(length)?.checked_add(4)?;
        // the delimiter's own line break is not part of the value, and an empty value has no other
        let end = next(body, start.saturating_sub(2), &delimiter)?.saturating_sub(2).max(start);
        if names_model(body.get(head..start)?) {
            return Some(Span { start, end });
        }
        at = next(body, start.saturating_sub(2), &delimiter)?;
    }
}

/// Where the next delimiter at the start of a line begins, from `from` on.
fn next(body: &[u8], from: usize, delimiter: &str) -> Option<usize> {
    let line = format!("\r\n{delimiter}");
    memmem::find(body.get(from..)?, line.as_bytes())?.checked_add(from)?.checked_add(2)
}

fn names_model(head: &[u8]) -> bool {
    let Ok(head) = std::str::from_utf8(head) else {
        return false;
    };
    head.split("\r\n").filter_map(|line| line.split_once(':')).any(|(name, value)| {
        name.trim().eq_ignore_ascii_case("content-disposition") && parameter(value, "name") == Some("model")
    })
}

/// Value of a parameter, without its quotes.
fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    parameters.split(';').find_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"model\"\r\n\
        Content-Type: audio/wav\r\n\r\nRIFF\r\n--bx\0model\r\n--b\r\n\
        content-disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--b--\r\n";

    #[test]
    fn only_the_model_s_value_is_replaced() {
        let got = rewrite(FORM.as_bytes(), "b", "whisper-large").unwrap();
        assert_eq!(String::from_utf8(got).unwrap(), FORM.replace("whisper-1", "whisper-large"));
        let empty = FORM.replace("whisper-1", "");
        let got = rewrite(empty.as_bytes(), "b", "m").unwrap();
        assert_eq!(String::from_utf8(got).unwrap(), FORM.replace("whisper-1", "m"));
    }

    #[test]
    fn a_form_without_a_model_stays_as_it_is() {
        for form in
            ["", "--b--\r\n", "--b\r\n", "--b\r\n\r\nmodel", &FORM.replace("name=\"model\"", "name=\"n\"")]
        {
            assert_eq!(rewrite(form.as_bytes(), "b", "m"), None, "{form:?}");
        }
        assert_eq!(rewrite(FORM.as_bytes(), "b", "whisper-1"), None);
        assert_eq!(rewrite(FORM.as_bytes(), "other", "m"), None);
        for end in 0..FORM.len() {
            let _ = rewrite(&FORM.as_bytes()[..end], "b", "m");
        }
    }

    #[test]
    fn the_boundary_may_be_quoted() {
        for (content_type, want) in [
            ("multipart/form-data; boundary=b", Some("b")),
            ("Multipart/Form-Data; charset=utf-8; Boundary=\"b c\"", Some("b c")),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("application/json; boundary=b", None),
        ] {
            assert_eq!(boundary(content_type), want, "{content_type}");
        }
    }
}
