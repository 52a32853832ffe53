//! Answers of every operation in both forms: judged, given again, and converted there and back.

mod choices;
mod judged;
mod messages;
mod odd;
mod responses;

use sluice_core::json::Kind;
use sluice_core::openai::Operation;

use super::raw::{decode, elements, kind, members};
use super::{Wanted, replay};
use crate::form::Form;

const OPERATIONS: [Operation; 5] = [
    Operation::Chat,
    Operation::TextCompletion,
    Operation::Embeddings,
    Operation::Responses,
    Operation::Messages,
];

const STREAM: Wanted = Wanted { stream: true, usage: false };
const STREAM_WITH_USAGE: Wanted = Wanted { stream: true, usage: true };
const DOCUMENT: Wanted = Wanted { stream: false, usage: false };

/// A stream of the test data.
fn recorded(name: &str) -> Vec<u8> {
    let path = format!("{}/../../shared/core/testdata/streams/{name}.sse", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).unwrap()
}

/// A stream of these data, the last of them the terminator.
fn sse(data: &[&str]) -> String {
    data.iter().map(|data| format!("data: {data}\n\n")).collect()
}

/// The data of each event.
fn data(stream: &[u8]) -> Vec<String> {
    let stream = std::str::from_utf8(stream).unwrap();
    stream.lines().filter_map(|line| line.strip_prefix("data: ")).map(str::to_owned).collect()
}

/// The document of a stream, as text.
fn folded(operation: Operation, stream: &str) -> Option<String> {
    let document = replay(operation, Form::Stream, stream.as_bytes(), DOCUMENT)?;
    Some(String::from_utf8(document).unwrap())
}

/// The stream of a document.
fn told(operation: Operation, document: &str, wanted: Wanted) -> Option<Vec<u8>> {
    replay(operation, Form::Document, document.as_bytes(), wanted)
}

/// What JSON means, whatever the order of members, escapes and space; numbers as they stand.
fn meaning(raw: &[u8]) -> String {
    match kind(raw) {
        Some(Kind::Object) => {
            let mut members: Vec<_> = members(raw).unwrap();
            members.sort_unstable();
            let members = members
                .into_iter()
                .map(|(name, value)| format!("{:?}:{}", std::str::from_utf8(name).unwrap(), meaning(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        Some(Kind::Array) => {
            let elements = elements(raw).unwrap().into_iter().map(meaning);
            format!("[{}]", elements.collect::<Vec<_>>().join(","))
        }
        Some(Kind::String) => format!("{:?}", decode(raw).unwrap()),
        _ => String::from_utf8(raw.to_vec()).unwrap(),
    }
}

/// Converts `document` there and back; it must mean the same then, and make the same stream again.
#[track_caller]
fn survives(operation: Operation, document: &str) {
    let stream = told(operation, document, STREAM_WITH_USAGE).expect("a stream");
    let back = folded(operation, std::str::from_utf8(&stream).unwrap()).expect("a document");
    assert_eq!(meaning(back.as_bytes()), meaning(document.as_bytes()));
    let again = told(operation, &back, STREAM_WITH_USAGE).expect("a stream");
    let again = folded(operation, std::str::from_utf8(&again).unwrap()).expect("a document");
    assert_eq!(meaning(again.as_bytes()), meaning(document.as_bytes()));
}
