//! Any stream, at any chunking: the pieces are the stream, and chunking changes no event.

use sluice_core::sse::{Piece, Splitter, encode, parse};

use crate::parts::chunks;

/// Small enough for the fuzzer to reach.
const LIMIT: usize = 64;

fn split<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> (Vec<u8>, Vec<Vec<u8>>) {
    let (mut stream, mut events) = (Vec::new(), Vec::new());
    let mut splitter = Splitter::with_limit(LIMIT);
    let mut take = |piece: Piece<'_>| {
        stream.extend_from_slice(piece.bytes());
        if let Piece::Event(raw) = piece {
            events.push(raw.to_vec());
        }
    };
    for chunk in chunks {
        splitter.feed(chunk, &mut take);
        assert!(splitter.held() <= LIMIT);
    }
    splitter.finish(&mut take);
    (stream, events)
}

/// First byte: size of a chunk; the rest: the stream.
pub fn check(input: &[u8]) {
    let (size, stream) = chunks(input);
    let (joined, events) = split(stream.chunks(size));
    assert_eq!(joined, stream);
    assert_eq!(events, split(std::iter::once(stream)).1);
    for raw in &events {
        let event = parse(raw);
        if let Some(data) = event.data {
            assert_eq!(parse(&encode(event.name, &data)).data, Some(data));
        }
    }
}
