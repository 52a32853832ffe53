//! Headers from clients and providers: `name: value` by line.

mod keys;
mod waits;

/// The same lines as a client's headers and as a provider's.
pub fn check(input: &[u8]) {
    let lines = || {
        input.split(|byte| *byte == b'\n').filter_map(|line| {
            let at = line.iter().skip(1).position(|byte| *byte == b':')? + 1; // `:path` begins with one
            let name = std::str::from_utf8(&line[..at]).ok()?.to_ascii_lowercase();
            Some((name, line[at + 1..].trim_ascii().to_vec()))
        })
    };
    keys::check(lines().collect());
    waits::check(lines().collect());
}
