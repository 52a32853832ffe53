//! Inputs that are kept, one a line in `corpus/NAME.txt`, escaped as in a byte string of Rust, so that a diff can be read.

use std::io;
use std::path::{Path, PathBuf};

/// Most bytes of one target's file: all are read whenever the tests run.
const MAX_BYTES: usize = 60_000;

/// The file of a target.
#[must_use]
pub fn file(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(format!("{target}.txt"))
}

/// What is kept for a target.
///
/// # Errors
/// The file cannot be read, or a line of it is not escaped as it should be.
pub fn read(target: &str) -> io::Result<Vec<Vec<u8>>> {
    let text = std::fs::read_to_string(file(target))?;
    let wrong =
        |line: &str| io::Error::other(format!("{target}: {line:?} is not escaped as a byte string is"));
    text.lines().map(|line| unescape(line).ok_or_else(|| wrong(line))).collect()
}

/// Keeps `inputs`, the shortest first, as many as there is room for.
///
/// # Errors
/// The file cannot be written.
pub fn write(target: &str, mut inputs: Vec<Vec<u8>>) -> io::Result<()> {
    inputs.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    inputs.dedup();
    let mut text = String::new();
    for input in inputs {
        let line = format!("{}\n", input.escape_ascii());
        if text.len() + line.len() > MAX_BYTES {
            break;
        }
        text.push_str(&line);
    }
    std::fs::write(file(target), text)
}

fn unescape(line: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut rest) = (Vec::new(), line.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let (kind, after) = rest.split_first()?;
        rest = after;
        bytes.push(match kind {
            b't' => b'\t',
            b'r' => b'\r',
            b'n' => b'\n',
            b'\\' | b'\'' | b'"' => *kind,
            b'x' => {
                let (digits, after) = rest.split_at_checked(2)?;
                rest = after;
                u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?
            }
            _ => return None,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives_its_line() {
        let all: Vec<u8> = (0..=u8::MAX).collect();
        let line = all.escape_ascii().to_string();
        assert!(!line.contains('\n'));
        assert_eq!(unescape(&line), Some(all));
        for wrong in ["\\", "\\q", "\\x1", "\\xzz"] {
            assert_eq!(unescape(wrong), None, "{wrong}");
        }
    }
}
