//! Any bytes as Redis replies and commands, at any chunking: the same frames are found, and what is found can be read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_core::redis::{DecodeError, Frames, Progress, command_names, decode};

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

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (size, replies, bytes) = (usize::from(input.0).max(1), usize::from(input.1 % 8), input.2);
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
});
