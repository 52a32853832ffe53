//! Replaces the model's name in a multipart form (RFC 7578), as audio and image requests are.

use sluice_core::form::fields;
use sluice_core::json::{Edit, splice};

/// `body` with `model` as the value of its part `model`; `None` if it has no such part, or has that value already.
/// The new value is written as it is: a model's name with a line break in it is nobody's.
pub(crate) fn rewrite(body: &[u8], boundary: &str, model: &str) -> Option<Vec<u8>> {
    let (_, span) = fields(body, boundary).find(|(name, _)| name == "model")?;
    if span.of(body) == model.as_bytes() || model.contains(['\r', '\n']) {
        return None;
    }
    Some(splice(body, &[Edit { span, with: model.as_bytes() }]))
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
}
