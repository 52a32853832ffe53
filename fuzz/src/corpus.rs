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

/// Keeps `inputs`, as many as there is room for: the shortest, and of the others some of every length.
///
/// # Errors
/// The file cannot be written.
pub fn write(target: &str, mut inputs: Vec<Vec<u8>>) -> io::Result<()> {
    inputs.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    inputs.dedup();
    let lines: Vec<String> = inputs.iter().map(|input| format!("{}\n", input.escape_ascii())).collect();
    std::fs::write(file(target), choose(&lines, MAX_BYTES).concat())
}

/// The first of `lines` in half of the room; of the rest as many as the other half holds, spread over all of it: what
/// reaches deepest is long.
fn choose(lines: &[String], room: usize) -> Vec<&str> {
    let mut used = 0;
    let first = lines.iter().take_while(|line| {
        used += line.len();
        used <= room / 2
    });
    let (first, rest) = lines.split_at(first.count());
    let room = room - first.iter().map(String::len).sum::<usize>();
    let bytes: usize = rest.iter().map(String::len).sum();
    let (mut seen, mut used) = (0, 0);
    let spread = rest.iter().filter(|line| {
        seen += line.len();
        let is_kept = (used + line.len()) * bytes <= room * seen;
        used += if is_kept { line.len() } else { 0 };
        is_kept
    });
    first.iter().chain(spread).map(String::as_str).collect()
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

    #[test]
    fn the_shortest_are_kept_and_some_of_every_length() {
        let lines: Vec<String> = (1..=100).map(|length| "x".repeat(length)).collect();
        let kept: Vec<usize> = choose(&lines, 1_000).iter().map(|line| line.len()).collect();
        assert_eq!(kept[..31], (1..=31).collect::<Vec<_>>());
        assert!(
            kept.iter().sum::<usize>() <= 1_000 && kept[31..].iter().any(|length| *length > 90),
            "{kept:?}"
        );
        assert_eq!(choose(&lines, 5_050).len(), 100);
        assert_eq!(choose(&lines, 0).len(), 0);
    }
}
