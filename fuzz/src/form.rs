//! Any form: values stand between delimiters, in order, and another value takes one's place alone.

use sluice_core::content::RequestBody;
use sluice_core::filter::Headers;
use sluice_core::form::fields;

use crate::parts::pair;

/// The boundary of a `content-type`, or the text itself as boundary.
fn boundary(text: &str) -> Option<String> {
    let headers = Headers::new(vec![("content-type".to_owned(), text.as_bytes().to_vec())]);
    match RequestBody::of(&headers) {
        RequestBody::Form(boundary) => {
            assert!((1..=70).contains(&boundary.len()));
            Some(boundary)
        }
        _ => Some(text.to_owned()).filter(|text| (1..=70).contains(&text.len())),
    }
}

/// Boundary or `content-type`, NUL, body.
pub fn check(input: &[u8]) {
    let (kind, body) = pair(input);
    if kind.iter().any(u8::is_ascii_control) {
        return; // stands in no header
    }
    let Some(boundary) = std::str::from_utf8(kind).ok().and_then(boundary) else { return };
    let Ok(found) = fields(body, &boundary) else { return };
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    let mut end = 0;
    for (at, (name, span)) in found.iter().enumerate() {
        assert!(span.start >= end && span.end <= body.len(), "{name}: {span:?}");
        end = span.end;
        assert!(
            body[..span.start].ends_with(b"\r\n\r\n") && body[span.end..].starts_with(&delimiter),
            "{name}"
        );
        let other = [&body[..span.start], b"other", &body[span.end..]].concat();
        let again = fields(&other, &boundary).unwrap();
        assert_eq!(again.len(), found.len());
        for (number, ((name, span), (other_name, other_span))) in found.iter().zip(&again).enumerate() {
            assert_eq!(name, other_name);
            let want = if number == at { &b"other"[..] } else { span.of(body) };
            assert_eq!(other_span.of(&other), want);
        }
    }
}
