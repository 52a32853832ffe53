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
        ("multipart/form-data; boundary=a; boundary=b", None),
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
    ] {
        assert_eq!(read(&body, "b").map(|fields| fields.len()), want, "{body:.200?}");
    }
}

#[test]
fn what_other_readers_might_take_for_another_field_is_refused() {
    let part = |head: &str| format!("--b\r\n{head}\r\n\r\nx\r\n--b--");
    let disposition = "Content-Disposition: form-data";
    for head in [
        format!("{disposition};\r\n name=\"model\""),
        format!("X: y\n{disposition}; name=\"model\""),
        format!("X: y\r{disposition}; name=\"model\""),
        format!("{disposition}; name=\"a\"; name=\"model\""),
        format!("{disposition}; name=\"a\"; Name*=utf-8''model"),
        format!("{disposition}; name*0=\"model\""),
        format!("{disposition}; name=\"a\"\r\n{disposition}; name=\"model\""),
    ] {
        assert_eq!(read(&part(&head), "b"), Err(FormError::UnclearPart(1)), "{head:?}");
    }
    let form = part("X: y");
    let loose = [
        form.replace("\r\n", "\n"),
        form.replace("x\r\n", "x\n--b\r\nY: z\r\n\r\nx\r\n"),
        form.replace("x\r\n", "x\r--b \n\r\n"),
        form.replace("x\r\n", "x\n--b--\r\n"),
        form.replacen("--b\r\n", "--b\nX: y\r\n--b\r\n", 1),
    ];
    for body in loose {
        assert_eq!(read(&body, "b"), Err(FormError::UnclearBoundary), "{body:?}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(body in "(--b|\r\n|name=|;|\"|:|content-disposition|.){0,40}", value in ".{0,20}") {
        let _ = fields(body.as_bytes(), "b");
        let _ = boundary(&value);
    }
}
