//! Any answer to any operation: it is read without a trap, alike at any chunking, and alike whether or not the meter knows
//! an event from the last one.

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

/// What a meter knows.
fn known(meter: &Meter) -> impl PartialEq + std::fmt::Debug {
    let words = [meter.model(), meter.finish_reason(), meter.error()].map(|word| word.map(str::to_owned));
    (words, meter.usage(0), meter.end(), meter.has_content(), meter.is_terminated())
}

/// Reads the events as they are, and each behind a comment that the last one did not have.
fn read_each(operation: Operation, stream: &[u8]) {
    let (mut meter, mut other, mut number) = (Meter::new(operation), Meter::new(operation), 0_u8);
    let mut each = |raw: &[u8]| {
        number = number.wrapping_add(1);
        let comment = format!(": {number}\n").into_bytes();
        if raw.starts_with(b"\xEF\xBB\xBF") {
            return; // no mark any more where something stands before it
        }
        let (seen, strip) = meter.event_without_usage(raw);
        let (other_seen, other_strip) = other.event_without_usage(&[&*comment, raw].concat());
        assert_eq!((seen, known(&meter)), (other_seen, known(&other)));
        match (strip, other_strip) {
            (Strip::Replace(with), Strip::Replace(other)) => {
                // Data of several lines is written anew, without the comment.
                assert_eq!(with, other.strip_prefix(&*comment).unwrap_or(&other));
            }
            (strip, other) => assert_eq!(strip, other),
        }
    };
    let mut splitter = Splitter::default();
    splitter.feed(stream, |piece| each(piece.bytes()));
    splitter.finish(|piece| each(piece.bytes()));
}

/// First byte: the operation; second: size of a chunk; the rest: the answer.
pub fn check(input: &[u8]) {
    let (number, input) = first(input);
    let (size, stream) = chunks(input);
    let operation = &OPERATIONS[number % OPERATIONS.len()];
    let read_whole = read(*operation, stream, stream.len().max(1));
    assert_eq!(read(*operation, stream, size), read_whole);
    read_each(*operation, stream);
    let _ = judge_body(*operation, stream);
}
