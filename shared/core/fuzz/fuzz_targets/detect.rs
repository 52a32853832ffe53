//! Any text: folding maps back into it, and detectors find whole characters of it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_core::detect::{Detector, Form, fold};

fuzz_target!(|input: (bool, &str)| {
    let (is_json, text) = input;
    let folded = fold(text, if is_json { Form::Json } else { Form::Plain });
    for detector in Detector::ALL {
        let (mut found, from) = (Vec::new(), 0);
        detector.find(folded.text(), from, &mut found);
        assert!(detector.open(folded.text(), from) <= folded.text().len());
        for range in found {
            assert!(!folded.text()[range.clone()].is_empty());
            assert!(!text[folded.original(range)].is_empty());
        }
    }
});
