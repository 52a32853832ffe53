//! Any text: folding maps back into it, and detectors find whole characters of it.

use sluice_core::detect::{Detector, Form, fold};

pub(crate) fn check(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    for form in [Form::Json, Form::Plain] {
        within(&text, form);
    }
}

fn within(text: &str, form: Form) {
    let folded = fold(text, form);
    for detector in Detector::ALL {
        let (mut found, from) = (Vec::new(), 0);
        detector.find(folded.text(), from, &mut found);
        assert!(detector.open(folded.text(), from) <= folded.text().len());
        for range in found {
            assert!(!folded.text()[range.clone()].is_empty());
            assert!(!text[folded.original(range)].is_empty());
        }
    }
}
