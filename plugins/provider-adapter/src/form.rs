//! Replaces the model's name in a multipart form (RFC 7578), as audio and image requests are.

use sluice_core::form::fields;
use sluice_core::json::{Edit, splice};

/// `body` with `model` as the value of its part `model`, of each if there are several; `None` if it has no such
/// part, has that value already, or cannot be read. The new value is written as it is: a model's name with a line
/// break in it is nobody's.
pub(crate) fn rewrite(body: &[u8], boundary: &str, model: &str) -> Option<Vec<u8>> {
    let fields = fields(body, boundary).ok()?;
    let others = fields.iter().filter(|(name, span)| name == "model" && span.of(body) != model.as_bytes());
    let edits: Vec<_> = others.map(|(_, span)| Edit { span: *span, with: model.as_bytes() }).collect();
    (!edits.is_empty() && !model.contains(['\r', '\n'])).then(|| splice(body, &edits))
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
        let twice =
            FORM.replace("--b--", "--b\r\ncontent-disposition: form-data; name=model\r\n\r\nx\r\n--b--");
        let got = String::from_utf8(rewrite(twice.as_bytes(), "b", "m").unwrap()).unwrap();
        assert_eq!(got, twice.replace("whisper-1", "m").replace("\nx\r", "\nm\r"));
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
}
