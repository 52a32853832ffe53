//! The ends of callouts.
#![allow(unsafe_code, reason = "Envoy hands over pointers")]

use super::current::{self, Answer};
use super::ffi::{self, Bytes, Pair};
use super::hostcalls;

/// Makes an answer readable while `call` runs, which is told the size of its body. One that failed has neither headers
/// nor body.
///
/// # Safety
/// Whoever gave it keeps it until this returns.
pub(crate) unsafe fn with_answer(
    result: u32,
    headers: (*const Pair, usize),
    chunks: (*const Bytes, usize),
    call: impl FnOnce(usize),
) {
    // SAFETY: the caller's promise.
    let answer = if result == ffi::SUCCESS { unsafe { answer(headers, chunks) } } else { Answer::default() };
    let size = answer.body.len();
    current::set_answer(answer);
    call(size);
    current::set_answer(Answer::default());
}

/// # Safety
/// Whoever gave them keeps them until this returns.
unsafe fn answer(headers: (*const Pair, usize), chunks: (*const Bytes, usize)) -> Answer {
    // SAFETY: the caller's promise; a null pointer comes with a size of 0.
    unsafe {
        let headers = if headers.0.is_null() {
            Default::default()
        } else {
            hostcalls::copied(std::slice::from_raw_parts(headers.0, headers.1))
        };
        let body = if chunks.0.is_null() {
            Vec::new()
        } else {
            joined(std::slice::from_raw_parts(chunks.0, chunks.1))
        };
        Answer { headers, body }
    }
}

/// What the chunks hold, in one piece.
///
/// # Safety
/// Whoever gave them keeps them until this returns.
pub(crate) unsafe fn joined(chunks: &[Bytes]) -> Vec<u8> {
    let mut all = Vec::new();
    // SAFETY: the caller's promise.
    chunks.iter().for_each(|chunk| all.extend_from_slice(unsafe { chunk.get() }));
    all
}
