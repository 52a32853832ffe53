//! The commit gate: judges an answer while the client has not seen a byte of it.

use sluice_core::meter::{Meter, Seen};
use sluice_core::openai::Operation;
use sluice_core::sse::Splitter;

/// Why an answer that began well is a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An error event or an error body inside a 200.
    Error,
    /// The model said nothing.
    Empty,
    /// A body that is not what the operation answers with.
    Invalid,
    /// A content type that is not what was asked for.
    ContentType,
}

impl Fault {
    /// Its name in the record.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error_event",
            Self::Empty => "empty",
            Self::Invalid => "invalid",
            Self::ContentType => "wrong_content_type",
        }
    }

    /// Its name in the message to the client.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Error => "an error in the answer",
            Self::Empty => "an empty answer",
            Self::Invalid => "an answer that cannot be read",
            Self::ContentType => "a wrong content type",
        }
    }
}

/// What is known of an answer so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Neither good nor bad yet.
    Open,
    /// Content has come: let it go.
    Good,
    /// Let the next target try.
    Bad(Fault),
}

/// Judges one stream, event by event.
#[derive(Debug)]
pub struct Gate {
    splitter: Splitter,
    meter: Meter,
}

impl Gate {
    /// Judges the stream that answers an `operation`.
    #[must_use]
    pub fn new(operation: Operation) -> Self {
        Self { splitter: Splitter::default(), meter: Meter::new(operation) }
    }

    /// Takes the next bytes of the stream, and with `end` its last; the verdict is all that it is asked for.
    pub fn judge(&mut self, bytes: &[u8], end: bool) -> Verdict {
        self.feed(bytes, end, false)
    }

    /// As [`Self::judge`], and knows at the end [how it ended](Self::is_unterminated).
    pub fn watch(&mut self, bytes: &[u8], end: bool) -> Verdict {
        self.feed(bytes, end, true)
    }

    fn feed(&mut self, bytes: &[u8], end: bool, goes_on: bool) -> Verdict {
        let Self { splitter, meter } = self;
        let mut verdict = Verdict::Open;
        let mut each = |piece: sluice_core::sse::Piece<'_>| {
            if verdict != Verdict::Open && !goes_on {
                return; // of many events at once the first ones tell
            }
            let seen = meter.piece(piece);
            if verdict == Verdict::Open {
                verdict = judge(seen, meter.finish_reason());
            }
        };
        splitter.feed(bytes, &mut each);
        if end {
            splitter.finish(&mut each);
        }
        // A stream that ends without a word has said nothing, whatever frame it came in.
        if end && verdict == Verdict::Open { Verdict::Bad(Fault::Empty) } else { verdict }
    }

    /// Whether the stream, if it ends here, ends without its terminator or an error event.
    #[must_use]
    pub fn is_unterminated(&self) -> bool {
        self.meter.end() == sluice_core::meter::StreamEnd::Unterminated
    }
}

/// Judges a whole body that answers an `operation`.
#[must_use]
pub fn judge_whole(operation: Operation, body: &[u8]) -> Verdict {
    let mut meter = Meter::new(operation);
    judge(meter.body(body), meter.finish_reason())
}

/// Judges a whole body by what the meter in front of us says in the facts `ai.answer` and `ai.finish_reason`.
pub(crate) fn judge_told(answer: &str, finish_reason: Option<&str>) -> Verdict {
    judge(Seen::named(answer), finish_reason)
}

fn judge(seen: Seen, finish_reason: Option<&str>) -> Verdict {
    match seen {
        Seen::Nothing => Verdict::Open,
        Seen::Finished { empty: true } if is_silence(finish_reason) => Verdict::Bad(Fault::Empty),
        Seen::Content | Seen::Finished { .. } => Verdict::Good,
        Seen::Error => Verdict::Bad(Fault::Error),
        Seen::Invalid => Verdict::Bad(Fault::Invalid),
    }
}

/// An empty answer can be a true one: `length` (all tokens went into hidden reasoning) or `content_filter` would
/// come from the next provider as well. Ending of its own accord without a word is a provider's fault.
fn is_silence(finish_reason: Option<&str>) -> bool {
    matches!(finish_reason, None | Some("stop" | "end_turn" | "completed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLE: &str =
        r#"data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#;
    const HELLO: &str = r#"data: {"choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":null}]}"#;

    fn finish(reason: &str) -> String {
        format!(r#"data: {{"choices":[{{"index":0,"delta":{{}},"finish_reason":"{reason}"}}]}}"#)
    }

    #[test]
    fn a_stream_is_judged_alike_at_every_split_point() {
        let error = r#"data: {"error":{"message":"overloaded","type":"server_error"}}"#;
        let (stop, length) = (finish("stop"), finish("length"));
        for (name, events, want) in [
            ("content first", vec![HELLO], Verdict::Good),
            ("role then content", vec![": hi", ROLE, HELLO], Verdict::Good),
            ("error first", vec![error], Verdict::Bad(Fault::Error)),
            ("role then error", vec![ROLE, error], Verdict::Bad(Fault::Error)),
            ("role then stop", vec![ROLE, &stop, "data: [DONE]"], Verdict::Bad(Fault::Empty)),
            ("role then length", vec![ROLE, &length, "data: [DONE]"], Verdict::Good),
            ("terminator only", vec!["data: [DONE]"], Verdict::Bad(Fault::Empty)),
            ("nothing", vec![], Verdict::Bad(Fault::Empty)),
            ("a page", vec!["data: <html>"], Verdict::Bad(Fault::Invalid)),
        ] {
            let stream: String = events.iter().map(|event| format!("{event}\n\n")).collect();
            for split in 0..=stream.len() {
                let (head, tail) = stream.as_bytes().split_at(split);
                for take in [Gate::judge, Gate::watch] {
                    let mut gate = Gate::new(Operation::Chat);
                    let first = take(&mut gate, head, false);
                    let verdict = if first == Verdict::Open { take(&mut gate, tail, true) } else { first };
                    assert_eq!(verdict, want, "{name} split at {split}");
                }
            }
        }
    }

    #[test]
    fn a_whole_body_is_judged() {
        for (body, want) in [
            (r#"{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}"#, Verdict::Good),
            (
                r#"{"choices":[{"message":{"content":""},"finish_reason":"stop"}]}"#,
                Verdict::Bad(Fault::Empty),
            ),
            (r#"{"choices":[{"message":{"content":null},"finish_reason":"length"}]}"#, Verdict::Good),
            (r#"{"choices":[]}"#, Verdict::Bad(Fault::Empty)),
            (r#"{"error":{"message":"no"}}"#, Verdict::Bad(Fault::Error)),
            ("<html>", Verdict::Bad(Fault::Invalid)),
            ("", Verdict::Bad(Fault::Invalid)),
        ] {
            assert_eq!(judge_whole(Operation::Chat, body.as_bytes()), want, "{body}");
        }
    }
}
