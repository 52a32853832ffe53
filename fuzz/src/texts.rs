//! Any bytes as a request, an answer or a stream's event: texts lie within it, in order, and decode to text.

use sluice_core::texts::{self, Texts};

mod detect;

fn within(doc: &[u8], texts: &Texts) {
    let mut end = 0;
    for text in &texts.texts {
        assert!(text.span.start >= end && text.span.end <= doc.len(), "{:?}", text.span);
        end = text.span.end;
        let decoded = text.decode(doc);
        for (at, _) in decoded.text.char_indices() {
            assert!(decoded.raw(at) <= text.span.len());
        }
    }
}

/// The same bytes as a document, and as a text that is looked through.
pub fn check(doc: &[u8]) {
    detect::check(doc);
    for texts in [texts::request(doc), texts::answer(doc)].into_iter().flatten() {
        within(doc, &texts);
    }
    if let Ok(event) = texts::event(doc) {
        assert!(event.said.iter().all(|said| said.text.span.end <= doc.len()));
    }
}
