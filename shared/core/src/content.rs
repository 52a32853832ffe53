//! What a message's headers say of its body. One reader for all filters: were two to differ, a body could pass as
//! something that nobody reads.

use crate::filter::Headers;
use crate::form;

/// The parameter that names an encoding of text, and `charset*` (RFC 2231).
const CHARSET: &[u8] = b"charset";

/// Names of UTF-8, and of what is a part of it.
const UTF8: [&[u8]; 4] = [b"utf-8", b"utf8", b"us-ascii", b"ascii"];

/// What a request's headers say of its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestBody {
    /// One JSON object; also where no type is named.
    Json,
    /// `multipart/form-data`, with its boundary.
    Form(String),
    /// Encoded, so that nobody here can read it.
    Unread,
    /// Anything else; a form that names no boundary, too.
    Other,
}

impl RequestBody {
    /// Reads `content-type` and `content-encoding`.
    #[must_use]
    pub fn of(headers: &Headers) -> Self {
        if is_encoded(headers) {
            return Self::Unread;
        }
        let value = headers.get("content-type").unwrap_or_default();
        let kind = essence(value);
        if kind.is_empty() || is_json(kind) {
            return if is_utf8(value) { Self::Json } else { Self::Other };
        }
        form::boundary(&String::from_utf8_lossy(value)).map_or(Self::Other, Self::Form)
    }
}

/// What a response's headers promise of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `text/event-stream`
    Stream,
    /// One JSON document.
    Json,
    /// Either of them, but encoded, so that nobody here can read it.
    Unread,
    /// Anything else.
    Other,
}

impl Shape {
    /// Reads `content-type` and `content-encoding`.
    #[must_use]
    pub fn of(headers: &Headers) -> Self {
        let shape = match essence(headers.get("content-type").unwrap_or_default()) {
            kind if kind.eq_ignore_ascii_case(b"text/event-stream") => Self::Stream,
            kind if is_json(kind) => Self::Json,
            _ => return Self::Other,
        };
        if is_encoded(headers) { Self::Unread } else { shape }
    }
}

/// Whether no parameter says that the text is anything but UTF-8, which JSON always is (RFC 8259 section 8.1). To a provider
/// that believes one, other bytes would be quotes: of UTF-7, `+ACI-`.
fn is_utf8(content_type: &[u8]) -> bool {
    let allows = |parameter: &[u8]| {
        let (name, value) = parameter.split_at(memchr::memchr(b'=', parameter).unwrap_or(parameter.len()));
        let is_charset =
            name.trim_ascii().get(..CHARSET.len()).is_some_and(|name| name.eq_ignore_ascii_case(CHARSET));
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
        !is_charset || UTF8.iter().any(|name| name.eq_ignore_ascii_case(value))
    };
    content_type.split(|byte| *byte == b';').skip(1).all(allows)
}

/// The media type without its parameters.
fn essence(content_type: &[u8]) -> &[u8] {
    content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
}

/// `application/json`, or a type built on it (RFC 6839 section 3.1), in any case.
fn is_json(essence: &[u8]) -> bool {
    let suffix = essence.last_chunk::<5>();
    essence.eq_ignore_ascii_case(b"application/json")
        || suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case(b"+json"))
}

fn is_encoded(headers: &Headers) -> bool {
    if !headers.has("content-encoding") {
        return false;
    }
    let mut encodings = headers.iter().filter(|(name, _)| *name == "content-encoding");
    encodings.any(|(_, value)| !value.is_empty() && !value.eq_ignore_ascii_case(b"identity"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> Headers {
        Headers::new(
            pairs.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect(),
        )
    }

    #[test]
    fn a_request_s_body_is_json_a_form_or_not_for_us() {
        let form = |boundary: &str| RequestBody::Form(boundary.to_owned());
        for (kind, want) in [
            ("", RequestBody::Json),
            (";", RequestBody::Json),
            ("; charset=utf-8", RequestBody::Json),
            ("Application/JSON ; x=y", RequestBody::Json),
            ("application/json; Charset=\"UTF-8\"", RequestBody::Json),
            ("application/json;charset = us-ascii ;x", RequestBody::Json),
            ("application/json; charset=utf-7", RequestBody::Other),
            ("application/json; charset=utf-16", RequestBody::Other),
            ("application/json; charset", RequestBody::Other),
            ("application/json; charset*=utf-8''utf-7", RequestBody::Other),
            ("application/json; charset=utf-8; charset=utf-7", RequestBody::Other),
            ("; charset=shift_jis", RequestBody::Other),
            ("application/problem+json", RequestBody::Json),
            ("text/json", RequestBody::Other),
            ("application/jsonl", RequestBody::Other),
            ("text/plain; x=json", RequestBody::Other),
            ("multipart/form-data; boundary=b", form("b")),
            ("Multipart/Form-Data ;boundary=\"b c\"", form("b c")),
            ("multipart/form-data", RequestBody::Other),
            ("multipart/mixed; boundary=b", RequestBody::Other),
        ] {
            assert_eq!(RequestBody::of(&headers(&[("content-type", kind)])), want, "{kind:?}");
        }
        assert_eq!(RequestBody::of(&headers(&[])), RequestBody::Json);
    }

    #[test]
    fn an_answer_promises_a_stream_json_or_something_else() {
        for (kind, want) in [
            ("text/event-stream; charset=utf-8", Shape::Stream),
            ("Application/JSON;x", Shape::Json),
            ("application/vnd.api+json", Shape::Json),
            ("text/html", Shape::Other),
            ("", Shape::Other),
        ] {
            assert_eq!(Shape::of(&headers(&[("content-type", kind)])), want, "{kind:?}");
        }
        assert_eq!(Shape::of(&headers(&[])), Shape::Other);
    }

    #[test]
    fn what_is_encoded_is_not_read() {
        let json = ("content-type", "application/json");
        for (encodings, encoded) in [
            (&["gzip"][..], true),
            (&["Identity"], false),
            (&[""], false),
            (&["identity", "br"], true),
            (&["identity, br"], true),
        ] {
            let encodings: Vec<_> = encodings.iter().map(|value| ("content-encoding", *value)).collect();
            let headers = headers(&[&[json], &encodings[..]].concat());
            assert_eq!(RequestBody::of(&headers) == RequestBody::Unread, encoded, "{encodings:?}");
            assert_eq!(Shape::of(&headers) == Shape::Unread, encoded, "{encodings:?}");
        }
        let audio = [("content-type", "audio/mpeg"), ("content-encoding", "gzip")];
        assert_eq!(Shape::of(&headers(&audio)), Shape::Other);
    }
}
