//! What a scripted provider is told to do; also the JSON by which a request tells it.

use std::collections::BTreeMap;

use serde::Deserialize;

/// How to answer one request. The default is a healthy provider that behaves exactly as OpenAI does.
///
/// In a stream, `error_after`, `cut_after` and `reset_after` count content events: 0 is after the role chunk.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// HTTP status; from 400 on the body is an error in OpenAI's shape.
    pub status: u16,
    /// Further response headers, `retry-after` for one.
    pub headers: BTreeMap<String, String>,
    /// Whole body instead of an answer (a stream's bytes, if one was asked for).
    pub body: Option<String>,
    /// `content-type` instead of the right one.
    pub content_type: Option<String>,
    /// Milliseconds before the response headers.
    pub delay_ms: u64,
    /// Milliseconds between the response headers (and role chunk) and the first content.
    pub first_token_ms: u64,
    /// Milliseconds between content events.
    pub gap_ms: u64,
    /// Never answers at all, until the client goes away.
    pub hang: bool,
    /// Sends headers, and of a stream the role chunk, then nothing until the client goes away.
    pub hang_first_token: bool,
    /// Sends this many content events, then nothing until the client goes away.
    pub hang_after: Option<usize>,
    /// Closes the connection with a reset instead of answering.
    pub reset: bool,
    /// The first event of a stream (or the body of a 200) is an error.
    pub error_first: bool,
    /// An error event after this many content events.
    pub error_after: Option<usize>,
    /// The answer is complete but has no content.
    pub empty: bool,
    /// The stream ends properly after this many content events, without finish reason and `[DONE]`.
    pub cut_after: Option<usize>,
    /// The connection is reset in mid-chunk after this many content events.
    pub reset_after: Option<usize>,
    /// Content events of a stream.
    pub events: usize,
    /// Text to answer with, one event per word, instead of the default one.
    pub say: Option<String>,
    /// Bytes of filling in the first content event or the message.
    pub filling: usize,
    /// Answers with a tool call.
    pub tools: bool,
    /// The first half of the events is `reasoning_content`.
    pub reasoning: bool,
    /// `finish_reason` instead of the right one.
    pub finish_reason: Option<String>,
    /// Where usage is reported.
    pub usage: Usage,
    /// Bytes per write, and per chunk of a chunked body.
    pub write_size: Option<usize>,
    /// Pauses for a moment, or for `gap_ms` if that is longer, at this byte of the body, so that what follows comes by
    /// itself.
    pub pause_at: Option<usize>,
    /// `content-encoding: gzip`, asked for or not.
    pub gzip: bool,
    /// Chunked body with a trailer `x-mock-trailer: end`, streaming or not.
    pub trailers: bool,
    /// CRLF line ends in a stream.
    pub crlf: bool,
    /// A comment at the start of a stream and before each content event.
    pub comments: bool,
    /// Sends only this many bytes of a body whose `content-length` says more.
    pub truncate: Option<usize>,
}

/// Where a stream reports usage.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Usage {
    /// As OpenAI: `null` in every chunk and a last chunk without choices, if `include_usage` asks for it.
    #[default]
    Asked,
    /// In the chunk with the finish reason, asked for or not.
    Finish,
    /// Running totals in every chunk and in the last one, asked for or not.
    Every,
    /// `null` in every chunk, and never more.
    Null,
    /// Never, in whole bodies neither.
    Never,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            status: 200,
            headers: BTreeMap::new(),
            body: None,
            content_type: None,
            delay_ms: 0,
            first_token_ms: 0,
            gap_ms: 0,
            hang: false,
            hang_first_token: false,
            hang_after: None,
            reset: false,
            error_first: false,
            error_after: None,
            empty: false,
            cut_after: None,
            reset_after: None,
            events: 5,
            say: None,
            filling: 0,
            tools: false,
            reasoning: false,
            finish_reason: None,
            usage: Usage::Asked,
            write_size: None,
            pause_at: None,
            gzip: false,
            trailers: false,
            crlf: false,
            comments: false,
            truncate: None,
        }
    }
}

impl Script {
    /// Reads a script written as JSON.
    #[must_use]
    pub fn json(json: serde_json::Value) -> Self {
        serde_json::from_value(json).expect("a script")
    }

    /// Answers with an error status.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// Adds a response header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.to_owned(), value.to_owned());
        self
    }
}
