//! How an input of several parts is cut: plainly, so that one can be written by hand.

/// The first byte as a number, 0 if there is none, and what follows it.
pub(crate) fn first(input: &[u8]) -> (usize, &[u8]) {
    input.split_first().map_or((0, input), |(first, rest)| (usize::from(*first), rest))
}

/// The first byte as the size of a chunk, at least 1, and what follows it.
pub(crate) fn chunks(input: &[u8]) -> (usize, &[u8]) {
    let (size, rest) = first(input);
    (size.max(1), rest)
}

/// What stands before the first NUL, which no text from outside holds, and what after it.
pub(crate) fn pair(input: &[u8]) -> (&[u8], &[u8]) {
    let at = input.iter().position(|byte| *byte == 0).unwrap_or(input.len());
    let (one, other) = input.split_at(at);
    (one, other.get(1..).unwrap_or_default())
}
