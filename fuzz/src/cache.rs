//! What the cache reads: requests, answers, and entries out of its store.

mod entry;
mod fingerprint;
mod replay;

/// The same bytes as an entry, as two bodies with a NUL between them, and as an answer.
pub fn check(input: &[u8]) {
    entry::check(input);
    fingerprint::check(input);
    replay::check(input);
}
