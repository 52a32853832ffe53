//! Any answer of any operation in any form: what can be kept can be given as it came, and nothing breaks.

#![no_main]

use libfuzzer_sys::fuzz_target;
use response_cache::form::Form;
use response_cache::replay::{Wanted, judge, replay};
use sluice_core::openai::Operation;

const OPERATIONS: [Operation; 5] = [
    Operation::Chat,
    Operation::TextCompletion,
    Operation::Embeddings,
    Operation::Responses,
    Operation::Messages,
];

fuzz_target!(|input: (u8, bool, bool, &[u8])| {
    let (number, is_stream, usage, body) = input;
    let operation = OPERATIONS[usize::from(number) % OPERATIONS.len()];
    let form = if is_stream { Form::Stream } else { Form::Document };
    let is_good = judge(operation, form, body).is_ok();
    for stream in [true, false] {
        let given = replay(operation, form, body, Wanted { stream, usage });
        if is_good && stream == is_stream && (!stream || !usage) {
            assert!(given.is_some());
        }
    }
});
