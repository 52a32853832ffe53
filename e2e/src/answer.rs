//! What a provider sends back: a request and a [`Script`] make the steps of one response.

mod chat;
mod responses;
mod voice;

use std::io::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::script::Script;
use voice::Voice;

/// What the request asked for, as far as the answer depends on it.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Path without query.
    pub path: String,
    /// `model` of the body, `none` without one.
    pub model: String,
    /// A stream was asked for.
    pub stream: bool,
    /// `stream_options.include_usage`.
    pub include_usage: bool,
}

impl Asked {
    /// Reads path and body of a request.
    #[must_use]
    pub fn new(path: &str, body: &Value) -> Self {
        Self {
            path: path.split('?').next().unwrap_or_default().to_owned(),
            model: body["model"].as_str().unwrap_or("none").to_owned(),
            stream: body["stream"] == true,
            include_usage: body["stream_options"]["include_usage"] == true,
        }
    }
}

/// One thing to do while sending a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Sends these bytes, as one chunk where the body is chunked.
    Data(Vec<u8>),
    /// Sends nothing for a while.
    Pause(Duration),
    /// Sends nothing until the client goes away.
    Hang,
    /// Breaks the connection in the middle of a chunk.
    Reset,
}

/// One response.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers, but for those that delimit the body.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<Step>,
    /// `content-length`; a chunked body without.
    pub length: Option<usize>,
    /// Trailers of a chunked body.
    pub trailers: Vec<(&'static str, &'static str)>,
}

impl Answer {
    /// What the provider called `provider` answers.
    #[must_use]
    pub fn new(provider: &str, asked: &Asked, script: &Script) -> Self {
        let stream = asked.stream && script.status < 400;
        let mut body =
            if stream { streamed(provider, asked, script) } else { whole(provider, asked, script) };
        if script.gzip {
            body = vec![Step::Data(gzip(&joined(&body)))];
        }
        if let Some(size) = script.write_size {
            body = split(&body, size);
        }
        if let Some(offset) = script.pause_at {
            body = pause_at(body, offset, MOMENT.max(Duration::from_millis(script.gap_ms)));
        }
        let chunked = stream || script.trailers;
        let length = (!chunked).then(|| joined(&body).len());
        if let Some(kept) = script.truncate {
            body = vec![Step::Data(joined(&body).into_iter().take(kept).collect()), Step::Reset];
        }
        let trailers = if script.trailers { vec![("x-mock-trailer", "end")] } else { Vec::new() };
        Self { status: script.status, headers: headers(provider, stream, script), body, length, trailers }
    }

    /// All bytes of the body, pauses and faults left out.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        joined(&self.body)
    }
}

fn headers(provider: &str, stream: bool, script: &Script) -> Vec<(String, String)> {
    let kind = if stream { "text/event-stream; charset=utf-8" } else { "application/json" };
    let mut headers = vec![
        ("content-type".to_owned(), script.content_type.clone().unwrap_or_else(|| kind.to_owned())),
        ("x-request-id".to_owned(), format!("req-{provider}")),
    ];
    if script.gzip {
        headers.push(("content-encoding".to_owned(), "gzip".to_owned()));
    }
    headers.extend(script.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
    headers
}

fn whole(provider: &str, asked: &Asked, script: &Script) -> Vec<Step> {
    let body = match &script.body {
        Some(body) => body.clone(),
        None if script.status >= 400 || script.error_first => error(provider, script.status).to_string(),
        None => Voice::new(provider, asked, script).whole(&asked.path),
    };
    let body = Step::Data(body.into_bytes());
    if script.hang_first_token { vec![Step::Hang, body] } else { vec![body] }
}

fn streamed(provider: &str, asked: &Asked, script: &Script) -> Vec<Step> {
    if let Some(body) = &script.body {
        return vec![Step::Data(body.clone().into_bytes())];
    }
    let mut steps = play(&Voice::new(provider, asked, script), asked, script);
    for step in &mut steps {
        if let (Step::Data(event), true) = (step, script.crlf) {
            *event = String::from_utf8_lossy(event).replace('\n', "\r\n").into_bytes();
        }
    }
    steps
}

/// The events of a stream, up to the point where the script breaks it off.
fn play(voice: &Voice<'_>, asked: &Asked, script: &Script) -> Vec<Step> {
    let fault = Step::Data(format!("data: {}\n\n", error(voice.provider, 500)).into_bytes());
    let comment = script.comments.then(|| Step::Data(b": keep-alive\n\n".to_vec()));
    let mut steps: Vec<Step> = comment.clone().into_iter().collect();
    if script.error_first {
        steps.push(fault);
        return steps;
    }
    steps.extend(data(voice.opening(&asked.path)));
    if script.hang_first_token {
        steps.push(Step::Hang);
    }
    steps.push(Step::Pause(Duration::from_millis(script.first_token_ms)));
    let events = if script.empty { 0 } else { voice.words.len() };
    for index in 0..=events {
        let end = [
            (script.cut_after, None),
            (script.reset_after, Some(Step::Reset)),
            (script.hang_after, Some(Step::Hang)),
            (script.error_after, Some(fault.clone())),
        ];
        if let Some((_, last)) = end.into_iter().find(|(after, _)| *after == Some(index)) {
            steps.extend(last);
            return steps;
        }
        if index < events {
            steps.extend(comment.clone());
            steps.extend(data(voice.content(&asked.path, index)));
            steps.push(Step::Pause(Duration::from_millis(script.gap_ms)));
        }
    }
    steps.extend(data(voice.closing(&asked.path)));
    steps
}

fn data(events: Vec<String>) -> Vec<Step> {
    events.into_iter().map(|event| Step::Data(event.into_bytes())).collect()
}

/// An error object in OpenAI's shape, as a provider words it.
fn error(provider: &str, status: u16) -> Value {
    let (kind, code) = match status {
        400 => ("invalid_request_error", "bad_parameter"),
        401 | 403 => ("invalid_request_error", "invalid_api_key"),
        404 => ("invalid_request_error", "unknown_url"),
        429 => ("requests", "rate_limit_exceeded"),
        _ => ("server_error", "server_error"),
    };
    json!({"error": {"message": format!("{provider} is scripted to fail"), "type": kind, "param": null, "code": code}})
}

fn joined(steps: &[Step]) -> Vec<u8> {
    let data = steps
        .iter()
        .filter_map(|step| if let Step::Data(data) = step { Some(data.as_slice()) } else { None });
    data.collect::<Vec<_>>().concat()
}

fn split(steps: &[Step], size: usize) -> Vec<Step> {
    let pieces = steps.iter().flat_map(|step| match step {
        Step::Data(data) => data.chunks(size.max(1)).map(|piece| Step::Data(piece.to_vec())).collect(),
        other => vec![other.clone()],
    });
    pieces.collect()
}

/// Long enough for the other side to read what came before.
const MOMENT: Duration = Duration::from_millis(2);

/// The steps with a `pause` at the byte `offset` of their data.
fn pause_at(steps: Vec<Step>, offset: usize, pause: Duration) -> Vec<Step> {
    let mut offset = offset;
    let pieces = steps.into_iter().flat_map(|step| match step {
        Step::Data(data) => {
            let at = offset.min(data.len());
            let is_here = offset > 0 && offset <= data.len();
            offset -= at;
            if !is_here {
                return vec![Step::Data(data)];
            }
            let (before, after) = data.split_at(at);
            vec![Step::Data(before.to_vec()), Step::Pause(pause), Step::Data(after.to_vec())]
        }
        other => vec![other],
    });
    pieces.filter(|step| !matches!(step, Step::Data(data) if data.is_empty())).collect()
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).expect("writing to memory");
    encoder.finish().expect("writing to memory")
}

#[cfg(test)]
mod tests;
