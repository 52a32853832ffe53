//! Any bytes as Redis replies and commands, at any chunking: the same frames are found, and what is found can be read.

use sluice_core::redis::{DecodeError, Frames, Progress, command_names, decode};

mod bridge;

use crate::parts::{chunks, first};

/// Feeds ever longer prefixes, as a connection does.
fn count(bytes: &[u8], size: usize, replies: usize) -> Result<Progress, DecodeError> {
    let mut frames = Frames::new(replies);
    let mut end = 0;
    loop {
        end = (end + size).min(bytes.len());
        match frames.feed(&bytes[..end]) {
            Ok(Progress::More) if end < bytes.len() => {}
            other => return other,
        }
    }
}

/// First byte: size of a chunk; second: how many replies are awaited; the rest: what comes, also as what goes through the
/// bridge.
pub fn check(input: &[u8]) {
    bridge::check(input);
    let (size, input) = chunks(input);
    let (replies, bytes) = first(input);
    let replies = replies % 8;
    let whole = count(bytes, bytes.len().max(1), replies);
    let parts = count(bytes, size, replies);
    let read = decode(bytes, replies);
    match whole {
        Ok(Progress::Complete(end)) => {
            assert_eq!(parts, whole);
            let within = decode(&bytes[..end], replies);
            assert!(matches!(within, Ok(_) | Err(DecodeError::TooMany)));
            assert!(end == bytes.len() || read.is_err());
        }
        Ok(Progress::More) => assert!(parts == whole && read.is_err()),
        Err(_) => assert!(parts.is_err() && read.is_err()),
    }
    if let Ok(names) = command_names(bytes) {
        assert_eq!(count(bytes, size, names.len()), Ok(Progress::Complete(bytes.len())));
    }
}
