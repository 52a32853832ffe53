use super::*;

fn headers(pairs: &[(&str, &str)]) -> Headers {
    Headers::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect())
}

/// The body with every `secret` in its texts replaced.
fn replaced(packing: Packing, direction: Direction, bytes: &[u8]) -> Vec<u8> {
    let mut body = Body::new(packing, direction, bytes.to_vec());
    let mut document = body.document().unwrap();
    let found: Vec<_> = document
        .passages()
        .iter()
        .enumerate()
        .filter_map(|(number, passage)| {
            passage.text.find("secret").map(|at| (number, at..at.saturating_add(6)))
        })
        .collect();
    for (number, range) in found {
        document.replace(number, range, "\"é\"\n");
    }
    body.take(document).unwrap();
    body.into_bytes()
}

#[test]
fn plain_text_is_one_text() {
    for (text, want) in [
        ("a secret.\r\n", "a \"é\"\n.\r\n"),
        ("", ""),
        ("1\n00:00 --> 00:01\n\u{feff}x", "1\n00:00 --> 00:01\n\u{feff}x"),
    ] {
        assert_eq!(replaced(Packing::Plain, Direction::Response, text.as_bytes()), want.as_bytes());
    }
    let mut latin = Body::new(Packing::Plain, Direction::Response, b"caf\xe9".to_vec());
    assert!(latin.document().is_err());
}

#[test]
fn every_text_field_of_a_form_is_text() {
    let form = |first: &str, second: &[u8]| {
        let mut bytes = format!(
            "--b\r\ncontent-disposition: form-data; name=\"prompt\"\r\n\r\n{first}\r\n--b\r\n\
             content-disposition: form-data; name=\"model\"\r\n\r\nsecret\r\n--b\r\n\
             content-disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n"
        )
        .into_bytes();
        bytes.extend_from_slice(second);
        bytes.extend_from_slice(b"\r\n--b--\r\n");
        bytes
    };
    let packing = || Packing::Form("b".to_owned());
    let got = replaced(packing(), Direction::Request, &form("a secret", b"\xff secret"));
    assert_eq!(got, form("a \"é\"\n", b"\xff secret"), "what is not UTF-8 is a file, not text");
    let got = replaced(packing(), Direction::Request, &form("", b"the secret file"));
    assert_eq!(got, form("", "the \"é\"\n file".as_bytes()));
    assert!(Body::new(packing(), Direction::Request, b"--b\r\n".to_vec()).document().is_err());
}

#[test]
fn a_field_that_is_no_file_must_be_utf_8() {
    for (name, readable) in [
        ("prompt", false),
        ("", false),
        ("filename", false),
        ("file", true),
        ("image[]", true),
        ("image[0]", true),
    ] {
        let mut form =
            format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\nsecret").into_bytes();
        form.extend_from_slice(b"\xff\r\n--b--\r\n");
        let mut body = Body::new(Packing::Form("b".to_owned()), Direction::Request, form);
        assert_eq!(body.document().is_ok(), readable, "{name}");
    }
}

#[test]
fn what_is_not_read_stays_as_it_is() {
    let json = br#"{ "model":"secret","messages":[{"role":"user","content":"a s\u0065cret"}],"x":1.0e1 }"#;
    let got = replaced(Packing::Json, Direction::Request, json);
    let want = br#"{ "model":"secret","messages":[{"role":"user","content":"a \"\u00e9\"\n"}],"x":1.0e1 }"#;
    assert_eq!(String::from_utf8_lossy(&got).replace('é', "\\u00e9"), String::from_utf8_lossy(want));
    assert!(Body::new(Packing::Json, Direction::Request, b"{".to_vec()).document().is_err());
}

#[test]
fn headers_tell_how_a_body_is_to_be_read() {
    for (kind, encoding, want) in [
        ("application/json", "", Promise::Json),
        ("application/json", "gzip", Promise::Unread),
        ("text/event-stream", "", Promise::Stream),
        ("text/event-stream", "br", Promise::Unread),
        ("text/vtt; charset=utf-8", "identity", Promise::Plain),
        ("text/plain", "gzip", Promise::Unread),
        ("", "", Promise::Plain),
        ("application/jsonl", "", Promise::Plain),
        ("audio/mpeg", "", Promise::Media),
        ("Image/PNG", "gzip", Promise::Media),
        ("application/octet-stream", "", Promise::Media),
    ] {
        let headers = headers(&[("content-type", kind), ("content-encoding", encoding)]);
        assert_eq!(Promise::of(&headers), want, "{kind} {encoding}");
    }
    for (kind, encoding, want) in [
        ("application/json", "", Some(Packing::Json)),
        ("", "", Some(Packing::Json)),
        ("application/json", "gzip", None),
        ("text/plain", "", None),
        ("multipart/form-data; boundary=b", "", Some(Packing::Form("b".to_owned()))),
    ] {
        let headers = headers(&[("content-type", kind), ("content-encoding", encoding)]);
        assert_eq!(Packing::of_request(&headers), want, "{kind} {encoding}");
    }
}
