//! What an operator matches by: a pattern, NUL, and what is held against it.

mod cidr;
mod glob;

/// The same pattern as a glob and as a network.
pub fn check(input: &[u8]) {
    glob::check(input);
    cidr::check(input);
}
