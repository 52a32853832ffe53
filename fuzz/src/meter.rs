//! Any answer to any operation: it is read without a trap, and alike at any chunking.

use sluice_core::meter::{MAX_COUNT, Meter, Strip, judge_body};
use sluice_core::openai::Operation;
use sluice_core::sse::Splitter;

use crate::parts::{chunks, first};

const OPERATIONS: [Operation; 6] = [
    Operation::Chat,
    Operation::TextCompletion,
    Operation::Embeddings,
    Operation::Responses,
    Operation::Messages,
    Operation::Other,
];

/// What the meter says in the end, and what a client that did not ask for usage gets.
fn read(operation: Operation, stream: &[u8], size: usize) -> (String, Vec<u8>) {
    let (mut meter, mut splitter, mut out) = (Meter::new(operation), Splitter::default(), Vec::new());
    let mut each = |raw: &[u8]| match meter.event_without_usage(raw).1 {
        Strip::Keep => out.extend_from_slice(raw),
        Strip::Drop => {}
        Strip::Replace(with) => {
            assert!(with.len() < raw.len() || raw.split(|byte| *byte == b'\n').count() > 3);
            out.extend(with);
        }
    };
    for chunk in stream.chunks(size) {
        splitter.feed(chunk, |piece| each(piece.bytes()));
    }
    splitter.finish(|piece| each(piece.bytes()));
    assert!(meter.usage(0).output <= MAX_COUNT);
    (format!("{meter:?}"), out)
}

/// First byte: the operation; second: size of a chunk; the rest: the answer.
pub fn check(input: &[u8]) {
    let (number, input) = first(input);
    let (size, stream) = chunks(input);
    let operation = &OPERATIONS[number % OPERATIONS.len()];
    let read_whole = read(*operation, stream, stream.len().max(1));
    assert_eq!(read(*operation, stream, size), read_whole);
    let _ = judge_body(*operation, stream);
}
