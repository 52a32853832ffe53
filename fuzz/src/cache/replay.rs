//! Any answer of any operation in any form: what can be kept can be given as it came, and nothing breaks.

use response_cache::form::Form;
use response_cache::replay::{Wanted, judge, replay};
use sluice_core::openai::Operation;

use crate::parts::first;

const OPERATIONS: [Operation; 5] = [
    Operation::Chat,
    Operation::TextCompletion,
    Operation::Embeddings,
    Operation::Responses,
    Operation::Messages,
];

/// First byte: operation, whether it is a stream, whether usage is asked for; the rest: the answer.
pub(crate) fn check(input: &[u8]) {
    let (number, body) = first(input);
    let (is_stream, usage) = (number & 64 != 0, number & 128 != 0);
    let operation = OPERATIONS[number % 64 % OPERATIONS.len()];
    let form = if is_stream { Form::Stream } else { Form::Document };
    let is_good = judge(operation, form, body).is_ok();
    for stream in [true, false] {
        let given = replay(operation, form, body, Wanted { stream, usage });
        if is_good && stream == is_stream && (!stream || !usage) {
            assert!(given.is_some());
        }
    }
}
