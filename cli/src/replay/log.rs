//! Reads an access log in the order in which its requests were decided on, whatever their order in the file.
//!
//! A line is written when its request is over, so one that ran for an hour stands an hour too late. The file is read
//! twice: once to learn when each request was decided on, of which 16 bytes are kept, then along that list. So the
//! memory is that list, and never the log.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use super::record::{Entry, Unread};

/// Longest line in bytes: prompts and answers have at most 64 KiB each, six times that in the worst of escapes.
const MAX_LINE: u64 = 1 << 20;

/// Line numbers that are kept of each kind of line that cannot be read.
const SHOWN_LINES: usize = 10;

/// Lines of one kind that tell of no request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// What is the matter with them.
    pub why: Unread,
    /// How many there are.
    pub count: u64,
    /// The numbers of the first ones, from 1.
    pub lines: Vec<u64>,
}

/// A log that has been looked through.
pub(super) struct Log {
    file: BufReader<File>,
    order: Vec<(u64, u64)>, // when decided, where in the file
    /// Lines that tell of no request.
    pub(super) skipped: Vec<Skipped>,
}

impl Log {
    /// Opens the file at `path`; `-` is standard input. What is no plain file is copied first, as it is read twice.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if path == Path::new("-") {
            return Self::read(spool(io::stdin().lock())?);
        }
        let file = File::open(path)?;
        Self::read(if file.metadata()?.is_file() { file } else { spool(file)? })
    }

    fn read(file: File) -> io::Result<Self> {
        let mut log = Self { file: BufReader::new(file), order: Vec::new(), skipped: Vec::new() };
        let (mut line, mut offset, mut number) = (Vec::new(), 0_u64, 0_u64);
        loop {
            let length = next_line(&mut log.file, &mut line)?;
            if length == 0 {
                break;
            }
            number = number.saturating_add(1);
            match Entry::parse(&line) {
                Ok(entry) => log.order.push((entry.record.decided_us(), offset)),
                Err(why) => log.skip(why, number),
            }
            offset = offset.saturating_add(length);
        }
        log.order.sort_unstable(); // of those decided in the same microsecond the first line is first
        Ok(log)
    }

    fn skip(&mut self, why: Unread, line: u64) {
        let known = match self.skipped.iter_mut().position(|skipped| skipped.why == why) {
            Some(at) => self.skipped.get_mut(at),
            None => {
                self.skipped.push(Skipped { why, count: 0, lines: Vec::new() });
                self.skipped.last_mut()
            }
        };
        if let Some(skipped) = known {
            skipped.count = skipped.count.saturating_add(1);
            if skipped.lines.len() < SHOWN_LINES {
                skipped.lines.push(line);
            }
        }
    }

    /// Shows each request to `each`, in the order in which they were decided on.
    pub(super) fn each(&mut self, mut each: impl FnMut(Entry)) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        let (mut line, mut at) = (Vec::new(), 0_u64);
        for (_, offset) in std::mem::take(&mut self.order) {
            self.file.seek_relative(distance(at, offset))?;
            let length = next_line(&mut self.file, &mut line)?;
            at = offset.saturating_add(length);
            let entry = Entry::parse(&line).map_err(|_| io::Error::other("the log was changed meanwhile"))?;
            each(entry);
        }
        Ok(())
    }
}

fn distance(from: u64, to: u64) -> i64 {
    let far = i64::try_from(from.abs_diff(to)).unwrap_or(i64::MAX);
    if to < from { far.saturating_neg() } else { far }
}

/// Reads the next line into `line`, and returns its whole length with its end; 0 at the end of the file. Of a line
/// that is too long to be a record, only the beginning is kept.
fn next_line(file: &mut BufReader<File>, line: &mut Vec<u8>) -> io::Result<u64> {
    line.clear();
    let kept = file.by_ref().take(MAX_LINE).read_until(b'\n', line)?;
    let kept = u64::try_from(kept).unwrap_or(u64::MAX);
    if kept < MAX_LINE || line.ends_with(b"\n") {
        return Ok(kept);
    }
    file.skip_until(b'\n').map(|rest| kept.saturating_add(u64::try_from(rest).unwrap_or(u64::MAX)))
}

/// A copy in a file without a name.
fn spool(mut from: impl Read) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    io::copy(&mut from, &mut file)?;
    file.rewind()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn log(text: &[u8]) -> Log {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        file.rewind().unwrap();
        Log::read(file).unwrap()
    }

    fn line(id: &str, started_us: u64, padding: usize) -> String {
        let times = format!(r#""times":{{"started_us":{started_us},"ended_us":{started_us}}}"#);
        format!(
            "{{\"ai_log\":{{\"version\":1,\"request_id\":\"{id}\",\"prompt\":\"{}\",{times}}}}}\n",
            "x".repeat(padding)
        )
    }

    #[test]
    fn requests_come_in_the_order_of_their_decisions() {
        let text =
            [line("c", 30, 20_000), line("a", 10, 0), line("d", 30, 9_000), line("b", 20, 70_000)].concat();
        let mut ids = Vec::new();
        log(text.trim_end().as_bytes()).each(|entry| ids.push(entry.record.request_id)).unwrap();
        assert_eq!(ids, ["a", "b", "c", "d"]);
    }

    #[test]
    fn lines_without_a_request_are_counted_with_their_numbers() {
        let long = "x".repeat(3 << 20);
        let text =
            format!("{{\"ai_log\":null}}\n{}{long}\n\n{}{{\"ai_log\":", line("a", 1, 0), line("b", 2, 0));
        let mut log = log(text.as_bytes());
        let told: Vec<_> = log.skipped.iter().map(|skipped| (skipped.why, skipped.lines.clone())).collect();
        assert_eq!(told, [(Unread::NoRecord, vec![1]), (Unread::Broken, vec![3, 4, 6])]);
        let mut ids = Vec::new();
        log.each(|entry| ids.push(entry.record.request_id)).unwrap();
        assert_eq!(ids, ["a", "b"]);
    }

    #[test]
    fn of_very_many_broken_lines_some_are_named() {
        let log = log("?\n".repeat(1_000).as_bytes());
        assert_eq!((log.skipped[0].count, log.skipped[0].lines.len()), (1_000, SHOWN_LINES));
    }
}
