//! What a wild provider does, by name: tables of bytes, each the same for whole answers and for streams as far as that
//! makes sense.

use serde_json::{Value, json};

use super::Step::{self, Close, Repeat, Reset, Send, Stall, Trickle};

/// Input tokens that every answer reports.
pub const INPUT: u64 = 11;

/// Output tokens that every answer reports.
pub const OUTPUT: u64 = 5;

/// Bytes of the answers of [`LARGE`], all told: a gibibyte.
pub const LARGE_BYTES: usize = 1 << 30;

/// Bytes of one piece of a large answer.
const PIECE: usize = 1 << 20;

/// Acts that say something else than an answer's first line and headers.
pub const HEADS: [&str; 20] = [
    "reset",
    "close",
    "reset_in_head",
    "close_in_head",
    "not_http",
    "bad_version",
    "bad_status",
    "status_99",
    "status_999",
    "no_colon",
    "bare_nul",
    "two_lengths",
    "negative_length",
    "vast_length",
    "unknown_encoding",
    "switching",
    "no_content",
    "many_headers",
    "huge_header",
    "endless_head",
];

/// Acts that begin an answer and do not end it as they promised.
pub const BROKEN: [&str; 14] = [
    "reset_after_head",
    "close_after_head",
    "reset_in_body",
    "close_in_body",
    "long",
    "short",
    "bad_chunk",
    "vast_chunk",
    "negative_chunk",
    "chunk_without_end",
    "no_last_chunk",
    "huge_trailer",
    "utf8_head",
    "no_json",
];

/// Acts that fall silent, or never come to the point.
pub const SILENT: [&str; 5] =
    ["stall", "stall_in_head", "stall_after_head", "stall_in_body", "endless_continue"];

/// Acts that are an answer, in their way.
pub const WHOLE: [&str; 6] = ["good", "trickle", "utf8", "bare_lf", "until_close", "continues"];

/// Acts that go on for [`LARGE_BYTES`].
pub const LARGE: [&str; 2] = ["large", "large_line"];

/// What `act` does with a request for a `stream` or for a whole answer; an unknown one stalls.
#[must_use]
pub fn steps(act: &str, stream: bool) -> Vec<Step> {
    let answer = Answer { stream };
    answer
        .head_act(act)
        .or_else(|| answer.body_act(act))
        .or_else(|| answer.whole_act(act))
        .unwrap_or_else(|| vec![Stall])
}

/// An answer as it should be, of which acts take what they need.
struct Answer {
    stream: bool,
}

fn send(text: &str) -> Step {
    Send(text.as_bytes().to_vec())
}

fn chunk(data: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat()
}

fn event(json: &Value) -> Vec<u8> {
    format!("data: {json}\n\n").into_bytes()
}

fn delta(delta: &Value, finish: &Value) -> Value {
    json!({"id": "chatcmpl-wild", "object": "chat.completion.chunk", "created": 1, "model": "wild",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
}

fn usage() -> Value {
    json!({"prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT})
}

impl Answer {
    fn head(&self, fields: &str) -> String {
        let kind = if self.stream { "text/event-stream" } else { "application/json" };
        format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n{fields}\r\n")
    }

    /// The head of a body in chunks.
    fn chunked(&self) -> Step {
        send(&self.head("transfer-encoding: chunked\r\n"))
    }

    /// First part and the rest; the first ends within an event, or within the document.
    fn body(&self) -> (Vec<u8>, Vec<u8>) {
        let all = if self.stream { self.events() } else { self.document() };
        // Of a stream the role, a word and part of the next are in it.
        let cut = if self.stream { all.len() / 2 } else { all.len() - 40 };
        (all[..cut].to_vec(), all[cut..].to_vec())
    }

    fn document(&self) -> Vec<u8> {
        json!({"id": "chatcmpl-wild", "object": "chat.completion", "created": 1, "model": "wild",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello, wild world!"},
                "finish_reason": "stop"}], "usage": usage()})
        .to_string()
        .into_bytes()
    }

    fn events(&self) -> Vec<u8> {
        let mut events = event(&delta(&json!({"role": "assistant", "content": ""}), &Value::Null));
        for word in ["Hello", ",", " wild", " world", "!"] {
            events.extend(event(&delta(&json!({"content": word}), &Value::Null)));
        }
        events.extend(self.ending());
        events
    }

    fn ending(&self) -> Vec<u8> {
        let mut last = delta(&json!({}), &json!("stop"));
        let mut events = event(&last);
        last["choices"] = json!([]);
        last["usage"] = usage();
        events.extend(event(&last));
        events.extend_from_slice(b"data: [DONE]\n\n");
        events
    }

    /// All of it with its length, as far as it has one, in one piece.
    fn good(&self) -> Vec<u8> {
        let (first, rest) = self.body();
        let body = [first, rest].concat();
        if self.stream {
            let head = self.head("transfer-encoding: chunked\r\n");
            return [head.into_bytes(), chunk(&body), b"0\r\n\r\n".to_vec()].concat();
        }
        [self.head(&format!("content-length: {}\r\n", body.len())).into_bytes(), body].concat()
    }

    /// A head in which `fields` stand, before an answer as it should be.
    fn odd(&self, fields: &str) -> Vec<Step> {
        let good = String::from_utf8_lossy(&self.good()).into_owned();
        vec![send(&good.replacen("\r\n", &format!("\r\n{fields}\r\n"), 1))]
    }

    fn head_act(&self, act: &str) -> Option<Vec<Step>> {
        let instead = |line: &str| {
            let good = String::from_utf8_lossy(&self.good()).into_owned();
            vec![send(&good.replacen("HTTP/1.1 200 OK", line, 1))]
        };
        Some(match act {
            "reset" => vec![Reset],
            "close" => vec![Close],
            "reset_in_head" => vec![send("HTTP/1.1 200 OK\r\ncontent-ty"), Reset],
            "close_in_head" => vec![send("HTTP/1.1 200 OK\r\ncontent-ty"), Close],
            "not_http" => vec![send("SSH-2.0-OpenSSH_9.2\r\n"), Close],
            "bad_version" => instead("HTTP/9.9 200 OK"),
            "bad_status" => instead("HTTP/1.1 fine OK"),
            "status_99" => instead("HTTP/1.1 99 Early"),
            "status_999" => instead("HTTP/1.1 999 Late"),
            "no_colon" => self.odd("no colon here"),
            "bare_nul" => self.odd("x-nul: a\0b"),
            "two_lengths" => self.odd("content-length: 3\r\ncontent-length: 5"),
            "negative_length" => self.odd("content-length: -1"),
            "vast_length" => self.odd("content-length: 99999999999999999999999"),
            "unknown_encoding" => self.odd("transfer-encoding: braille"),
            "switching" => instead("HTTP/1.1 101 Switching Protocols"),
            "no_content" => instead("HTTP/1.1 204 No Content"),
            "many_headers" => {
                self.odd(&(0..10_000).map(|n| format!("x-{n}: {n}")).collect::<Vec<_>>().join("\r\n"))
            }
            "huge_header" => self.odd(&format!("x-huge: {}", "h".repeat(PIECE))),
            "endless_head" => {
                vec![send("HTTP/1.1 200 OK\r\n"), Repeat(b"x-more: more\r\n".to_vec(), 1 << 20), Stall]
            }
            "endless_continue" => vec![Repeat(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(), 100_000), Stall],
            _ => return None,
        })
    }

    fn body_act(&self, act: &str) -> Option<Vec<Step>> {
        let (first, rest) = self.body();
        let length = first.len() + rest.len();
        let sized = |length: usize| send(&self.head(&format!("content-length: {length}\r\n")));
        let begun =
            |then: &[u8], end: Step| vec![self.chunked(), Send(chunk(&first)), Send(then.to_vec()), end];
        Some(match act {
            "stall_in_head" => vec![send("HTTP/1.1 200 OK\r\ncontent-ty"), Stall],
            "stall_after_head" => vec![self.chunked(), Stall],
            "stall_in_body" => begun(b"", Stall),
            "reset_after_head" => vec![self.chunked(), Reset],
            "close_after_head" => vec![self.chunked(), Close],
            "reset_in_body" => begun(b"ff\r\ndata: {", Reset),
            "close_in_body" => begun(b"ff\r\ndata: {", Close),
            "long" => vec![sized(length + 10), Send([first, rest].concat()), Close],
            "short" => vec![sized(length - 10), Send([first, rest].concat()), Close],
            "bad_chunk" => begun(b"zz\r\nhello\r\n", Close),
            "vast_chunk" => begun(b"ffffffffffffffffffff\r\nhello\r\n", Close),
            "negative_chunk" => begun(b"-5\r\nhello\r\n", Close),
            "chunk_without_end" => begun(b"5\r\nhelloX\r\n", Close),
            "no_last_chunk" => begun(&chunk(&rest), Close),
            "huge_trailer" => begun(
                &[chunk(&rest), b"0\r\nx-huge: ".to_vec(), vec![b'h'; PIECE], b"\r\n\r\n".to_vec()].concat(),
                Close,
            ),
            "utf8_head" => {
                vec![send(&self.head("transfer-encoding: chunked\r\n")), Send(chunk(b"\xff\xfe\xfd")), Close]
            }
            "no_json" => {
                begun(&[chunk(b"\n\ndata: {\"choices\": [{\n\n}]"), b"0\r\n\r\n".to_vec()].concat(), Close)
            }
            _ => return None,
        })
    }

    fn whole_act(&self, act: &str) -> Option<Vec<Step>> {
        Some(match act {
            "good" => vec![Send(self.good())],
            "trickle" => vec![Trickle(self.good())],
            "utf8" => vec![Send(replaced(&self.good(), b"Hello", b"\xff\xc3(\xed"))],
            "bare_lf" => vec![Send(self.good_with_bare_lf())],
            "until_close" => {
                let (first, rest) = self.body();
                vec![send(&self.head("")), Send(first), Send(rest), Close]
            }
            "continues" => vec![Repeat(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(), 20), Send(self.good())],
            "large" => {
                self.large(b"\n\n", b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"", b"\"}}]}")
            }
            "large_line" => self.large(b"", b"", b""),
            _ => return None,
        })
    }

    /// Header lines that end in a line feed alone; the body is untouched.
    fn good_with_bare_lf(&self) -> Vec<u8> {
        let good = self.good();
        let end = good.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
        let head = String::from_utf8_lossy(&good[..end]).replace("\r\n", "\n");
        [head.into_bytes(), good[end..].to_vec()].concat()
    }

    /// A stream of events of a mebibyte each, or of one event that is all of it; a document whose text is as long.
    fn large(&self, end: &[u8], open: &[u8], close: &[u8]) -> Vec<Step> {
        let text = vec![b'w'; PIECE - open.len() - close.len() - end.len()];
        let times = LARGE_BYTES / PIECE;
        if !self.stream {
            let (start, rest) = (b"{\"choices\":[{\"message\":{\"content\":\"", b"\"}}]}");
            let length = start.len() + rest.len() + PIECE * times;
            let head = send(&self.head(&format!("content-length: {length}\r\n")));
            return vec![head, Send(start.to_vec()), Repeat(vec![b'w'; PIECE], times), Send(rest.to_vec())];
        }
        let piece = chunk(&[open, &text, close, end].concat());
        let first = event(&delta(&json!({"role": "assistant", "content": "Hello"}), &Value::Null));
        let line = Send(chunk(b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\""));
        let before = if open.is_empty() { line } else { Send(Vec::new()) };
        let after = if open.is_empty() { Send(chunk(b"\"}}]}\n\n")) } else { Send(Vec::new()) };
        let last = Send([chunk(&self.ending()), b"0\r\n\r\n".to_vec()].concat());
        vec![self.chunked(), Send(chunk(&first)), before, Repeat(piece, times), after, last]
    }
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    // Same length, so that lengths stay true.
    let at = bytes.windows(from.len()).position(|part| part == from);
    let mut bytes = bytes.to_vec();
    if let Some(at) = at {
        bytes.splice(at..at + from.len(), to.iter().copied().chain(vec![b'.'; from.len() - to.len()]));
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_act_is_known_and_none_but_stall_is_the_unknown_one() {
        for act in HEADS.iter().chain(&BROKEN).chain(&SILENT).chain(&WHOLE).chain(&LARGE) {
            for stream in [false, true] {
                let is_stall = steps(act, stream) == [Stall];
                assert_eq!(is_stall, *act == "stall", "{act}");
            }
        }
    }

    #[test]
    fn a_large_answer_is_as_large_as_it_says() {
        for (act, stream) in [("large", false), ("large", true), ("large_line", true)] {
            let size: usize = steps(act, stream)
                .iter()
                .map(|step| match step {
                    Send(bytes) | Trickle(bytes) => bytes.len(),
                    Repeat(bytes, times) => bytes.len() * times,
                    _ => 0,
                })
                .sum();
            assert!((LARGE_BYTES..LARGE_BYTES + 100_000).contains(&size), "{act}: {size}");
        }
    }
}
