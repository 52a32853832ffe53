//! Any connection to the bridge: only whole commands go out, only whole responses come back, however they are cut.

use std::rc::Rc;

use redis_bridge::{Config, RedisBridge};
use sluice_core::network::{NetworkFilter, Way};
use sluice_core::redis::command_names;
use sluice_core::testing::FakeHost;

use crate::parts::{chunks, pair};

/// Goes to Redis where a request is refused, so that it answers.
const NUDGE: &[u8] = b"*1\r\n$4\r\nPING\r\n";

/// Small enough for the fuzzer to reach.
const MAX_BYTES: usize = 128;

/// What comes out of the bridge for these bytes, and whether it closed the connection.
fn pass(bridge: &mut RedisBridge, way: Way, bytes: &[u8], size: usize) -> (Vec<u8>, bool) {
    let (mut host, mut out) = (FakeHost::default(), Vec::new());
    for chunk in bytes.chunks(size) {
        let onward = bridge.on_bytes(&mut host, way, chunk);
        out.extend(onward.bytes);
        if onward.close {
            return (out, true);
        }
    }
    (out, false)
}

/// The request: odd it is the whole head and body, else a body that gets a head.
fn request(number: usize, text: &[u8]) -> Vec<u8> {
    if number % 2 == 1 {
        return text.to_vec();
    }
    [format!("POST / HTTP/1.1\r\ncontent-length: {}\r\n\r\n", text.len()).as_bytes(), text].concat()
}

/// First byte: size of a chunk; the rest: a request, NUL, replies.
pub(crate) fn check(input: &[u8]) {
    let (size, input) = chunks(input);
    let (asked, replies) = pair(input);
    let asked = request(size, asked);
    let config = Rc::new(Config { max_request_bytes: MAX_BYTES, max_reply_bytes: MAX_BYTES });
    let bridge = || RedisBridge::new(Rc::clone(&config));
    let (mut one, mut other) = (bridge(), bridge());
    let (whole, in_chunks) =
        (pass(&mut one, Way::Out, &asked, asked.len().max(1)), pass(&mut other, Way::Out, &asked, size));
    assert!(!whole.1);
    // what stands behind a request shows only at once with it
    assert!(whole == in_chunks || whole.0 == NUDGE, "{whole:?} {in_chunks:?}");
    if whole != in_chunks || whole.0.is_empty() {
        return;
    }
    assert!(asked.ends_with(&whole.0) || whole.0 == NUDGE);
    assert!(command_names(&whole.0).is_ok_and(|names| !names.is_empty()) && whole.0.len() <= MAX_BYTES);
    let back = pass(&mut one, Way::Back, replies, replies.len().max(1));
    let back_in_chunks = pass(&mut other, Way::Back, replies, size);
    if back == back_in_chunks && !back.0.is_empty() {
        let (head, body) = back.0.split_at(back.0.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4);
        let head = std::str::from_utf8(head).unwrap();
        assert!(
            head.starts_with("HTTP/1.1 ") && head.contains(&format!("content-length: {}\r\n", body.len()))
        );
    }
}
