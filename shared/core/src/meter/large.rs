//! Reads what can be read of a JSON answer that is too large to be kept: how much text it is, and the usage at its end.

use super::Meter;
use super::usage::{Counts, quarters};
use crate::json::Reader;

/// How much of its end is kept, in bytes: usage stands there, behind all that the model has said.
const TAIL_BYTES: usize = 16 * 1024;

/// The member that is looked for.
const USAGE: &[u8] = b"\"usage\"";

/// The end of a large answer, as far as it has come.
#[derive(Debug, Default)]
pub(super) struct Large {
    tail: Vec<u8>,
}

impl Large {
    /// Takes the next part. Until the provider says what it used, all of it counts for text, as an event that is too
    /// large to be read does; but for operations that answer with something else.
    pub(super) fn take(&mut self, meter: &mut Meter, part: &[u8]) {
        meter.content = true;
        if !meter.is_opaque() {
            meter.quarters = meter.quarters.saturating_add(quarters(part));
        }
        let last = part.get(part.len().saturating_sub(TAIL_BYTES)..).unwrap_or_default();
        let kept = TAIL_BYTES.saturating_sub(last.len());
        self.tail.drain(..self.tail.len().saturating_sub(kept));
        self.tail.extend_from_slice(last);
    }

    /// That was all of it.
    pub(super) fn finish(&self, meter: &mut Meter) {
        meter.counts.update(&usage_in(&self.tail));
    }
}

/// The last usage in the end of a document. Text does not look like it: within a string the quotes would be escaped.
fn usage_in(tail: &[u8]) -> Counts {
    let mut counts = Counts::NONE;
    let start = tail.windows(USAGE.len()).rposition(|window| window == USAGE);
    let behind = start.and_then(|start| tail.get(start..)?.strip_prefix(USAGE));
    let value = behind.and_then(|behind| behind.trim_ascii_start().strip_prefix(b":"));
    if let Some(value) = value {
        let mut read = Counts::NONE;
        if read.read(&mut Reader::new(value)).is_ok() {
            counts = read;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::{Source, Usage};
    use crate::openai::Operation;

    fn usage_of(operation: Operation, parts: &[&[u8]]) -> Usage {
        let (mut meter, mut large) = (Meter::new(operation), Large::default());
        for part in parts {
            large.take(&mut meter, part);
        }
        large.finish(&mut meter);
        meter.usage(7)
    }

    const END: &[u8] =
        br#"..."}}], "usage" : {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}, "id": "x"}"#;

    #[test]
    fn usage_at_the_end_is_read_at_every_split_point() {
        for at in 0..=END.len() {
            let (first, rest) = END.split_at(at);
            let usage = usage_of(Operation::Chat, &[&[b'w'; 40_000], first, rest]);
            assert_eq!((usage.input, usage.output, usage.source), (9, 5, Source::Reported), "{at}");
        }
    }

    #[test]
    fn without_usage_text_is_estimated_and_data_is_not() {
        let text = [b'w'; 400];
        for (operation, output) in [
            (Operation::Chat, 200),
            (Operation::TextCompletion, 200),
            (Operation::Responses, 200),
            (Operation::Messages, 200),
            (Operation::Embeddings, 0),
            (Operation::Other, 0),
        ] {
            let usage = usage_of(operation, &[&text, &text]);
            assert_eq!(
                (usage.input, usage.output, usage.source),
                (7, output, Source::Estimated),
                "{operation:?}"
            );
        }
    }

    #[test]
    fn what_only_looks_like_usage_is_text() {
        for end in [
            br#"say \"usage\": {\"prompt_tokens\": 1, \"completion_tokens\": 1}"}"#.as_slice(),
            br#""usage": null}"#,
            br#""usage": {"prompt_tokens": 1, "#,
            br#""usage" "#,
            br#""usage"#,
        ] {
            let usage = usage_of(Operation::Chat, &[end]);
            assert_eq!(usage.source, Source::Estimated, "{}", String::from_utf8_lossy(end));
        }
    }

    #[test]
    fn no_more_than_the_end_is_kept() {
        let (mut meter, mut large) = (Meter::new(Operation::Chat), Large::default());
        for size in [1, 100, TAIL_BYTES, 5, 3 * TAIL_BYTES, 7] {
            large.take(&mut meter, &vec![b'w'; size]);
            assert!(large.tail.len() <= TAIL_BYTES);
        }
        assert_eq!(large.tail.len(), TAIL_BYTES);
    }
}
