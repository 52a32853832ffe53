//! The record: which members it has, in which order, and how long they may be.

use serde_json::{Map, Value};
use sluice_core::context::{self, Fact};
use sluice_core::filter::{Headers, Host, Side};
use sluice_core::meter::Expected;
use sluice_core::openai::Operation;
use sluice_core::openai::error::ERROR_HEADER;

use crate::conversation::Said;
use crate::excerpt::Excerpt;
use crate::outcome::Outcome;

/// Version of the record's shape.
const VERSION: u64 = 1;
/// Longest path, in bytes: longer ones are somebody's scan.
const MAX_PATH: usize = 512;
/// Longest value of any other text, in bytes: twice the longest model name in use.
const MAX_TEXT: usize = 256;

/// What is told from the request headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// When they came, in milliseconds since the epoch.
    pub(crate) started_ms: u64,
    method: String,
    path: String,
    request_id: String,
}

impl Asked {
    pub(crate) fn new(headers: &Headers, started_ms: u64) -> Self {
        let text = |name, max| {
            let text = String::from_utf8_lossy(headers.get(name).unwrap_or_default());
            clip(&text, max).to_owned()
        };
        // A query may hold a key (`?key=…`).
        let path = String::from_utf8_lossy(headers.get(":path").unwrap_or_default());
        let path = clip(path.split(['?', '#']).next().unwrap_or_default(), MAX_PATH).to_owned();
        Self {
            started_ms,
            method: text(":method", MAX_TEXT),
            path,
            request_id: text("x-request-id", MAX_TEXT),
        }
    }

    /// What the request asks for, by its path.
    pub(crate) fn operation(&self) -> Operation {
        Operation::of_path(&self.path)
    }

    /// Whether it may ask a model.
    pub(crate) fn is_post(&self) -> bool {
        self.method == "POST"
    }

    /// What its answer will be.
    pub(crate) fn expected(&self, host: &dyn Host) -> Expected {
        let operation = context::OPERATION.get(host).map(|name| Operation::from_name(&name));
        Expected {
            operation: operation.unwrap_or_else(|| self.operation()),
            strip: false,
            began_ms: self.started_ms,
            input_estimate: context::INPUT_ESTIMATE.number(host).unwrap_or(0),
        }
    }
}

/// The beginning of `text`, at most `max` bytes long.
fn clip(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or_default()
}

/// One JSON object on one line, made of all that is known of the request.
pub(crate) fn write(host: &dyn Host, asked: Option<&Asked>, said: &Said) -> String {
    let outcome = outcome(host);
    let mut record = Object::default();
    record.number("version", Some(VERSION));
    if let Some(asked) = asked {
        record.text("request_id", Some(&asked.request_id));
        record.text("method", Some(&asked.method));
        record.text("path", Some(&asked.path));
        let operation = context::OPERATION.get(host);
        record.text("operation", Some(operation.as_deref().unwrap_or(asked.operation().name())));
    }
    who_and_where(&mut record, host, &outcome);
    let counts = counts(&outcome);
    if counts {
        usage(&mut record, host);
    }
    // Milliseconds of the clock, like `ttft_ms` and those of the attempts, so that no part exceeds the whole.
    let duration_ms = asked.map(|asked| host.now_ms().saturating_sub(asked.started_ms));
    record.number("duration_ms", duration_ms);
    record.number("status", Some(outcome.status));
    if counts {
        record.fact("finish_reason", host, context::FINISH_REASON);
    }
    record.text("error", outcome.error_code().map(|code| clip(code, MAX_TEXT)));
    record.text("end", Some(outcome.end().name()));
    record.excerpt("prompt", said.prompt.as_ref());
    record.excerpt("answer", said.answer.as_ref());
    record.finish()
}

fn who_and_where(record: &mut Object, host: &dyn Host, outcome: &Outcome) {
    let provider = context::PROVIDER.get(host);
    let model = context::PROVIDER_MODEL.get(host);
    let (provider, model) = (provider.as_deref(), model.as_deref());
    let stream = context::STREAM.get(host).filter(|stream| matches!(stream.as_str(), "true" | "false"));
    record.json("stream", stream.as_deref());
    record.fact("consumer", host, context::CONSUMER);
    record.fact("tier", host, context::TIER);
    record.fact("key_id", host, context::KEY_ID);
    record.json("metadata", metadata(host).as_deref());
    record.fact("model", host, context::MODEL);
    if counts(outcome) {
        record.fact("response_model", host, context::RESPONSE_MODEL);
    }
    record.word("provider", provider);
    record.word("provider_model", model);
    record.fact("rule", host, context::RULE);
    record.fact("target", host, context::TARGET);
    record.fact("limit", host, context::LIMIT);
    record.fact("cache", host, context::CACHE);
    record.json("guard", list(host, context::GUARD).as_deref());
    record.json("attempts", attempts(host, outcome, provider, model).as_deref());
}

/// The caller's metadata on one line; `None` if it is no JSON object.
fn metadata(host: &dyn Host) -> Option<String> {
    let metadata: Map<String, Value> = serde_json::from_str(&context::METADATA.get(host)?).ok()?;
    Some(Value::Object(metadata).to_string())
}

/// Whether the record tells what the provider said. In an attempt that failed that is not what the client got, nor
/// what it pays for; an answer that the content checks withheld has been given all the same.
fn counts(outcome: &Outcome) -> bool {
    outcome.is_answered() || outcome.is_withheld() || outcome.status == 0
}

fn usage(record: &mut Object, host: &dyn Host) {
    for (name, fact) in [
        ("input_tokens", context::INPUT_TOKENS),
        ("output_tokens", context::OUTPUT_TOKENS),
        ("cached_tokens", context::CACHED_TOKENS),
        ("reasoning_tokens", context::REASONING_TOKENS),
    ] {
        record.number(name, fact.number(host));
    }
    record.fact("usage_source", host, context::USAGE_SOURCE);
    record.number("ttft_ms", context::TTFT_MS.number(host));
}

fn outcome(host: &dyn Host) -> Outcome {
    let number = |name| {
        let bytes = host.attribute(&["response", name])?;
        bytes.try_into().ok().map(u64::from_le_bytes)
    };
    let details = host.attribute(&["response", "code_details"]).unwrap_or_default();
    let status = number("code").unwrap_or(0);
    Outcome {
        status,
        unsent: number("size") == Some(0),
        flags: number("flags").unwrap_or(0),
        details: String::from_utf8_lossy(&details).into_owned(),
        stream_end: context::STREAM_END.get(host),
        error: context::ERROR.get(host),
        error_header: (status >= 400)
            .then(|| host.header(Side::Response, ERROR_HEADER))
            .flatten()
            .and_then(|code| String::from_utf8(code).ok()),
    }
}

/// The list of attempts: those that `fallback` saw end, and the one that was running when the request ended.
fn attempts(
    host: &dyn Host,
    outcome: &Outcome,
    provider: Option<&str>,
    model: Option<&str>,
) -> Option<String> {
    let ended = context::ATTEMPTS.get(host).and_then(|list| items(&list));
    let running = running(host, outcome, provider, model);
    let items: Vec<_> = [ended, running].into_iter().flatten().filter(|items| !items.is_empty()).collect();
    (!items.is_empty()).then(|| format!("[{}]", items.join(",")))
}

/// A fact that is a JSON list, on one line; `None` if it is none, or empty.
fn list(host: &dyn Host, fact: Fact) -> Option<String> {
    let items = items(&fact.get(host)?)?;
    (!items.is_empty()).then(|| format!("[{items}]"))
}

/// What stands between the brackets of a JSON list, on one line; `None` if it is no list.
fn items(list: &str) -> Option<String> {
    serde_json::from_str::<Vec<Value>>(list).ok()?;
    let items = list.trim().strip_prefix('[')?.strip_suffix(']')?.trim();
    Some(items.replace(['\n', '\r'], "")) // in JSON they stand only between values
}

fn running(
    host: &dyn Host,
    outcome: &Outcome,
    provider: Option<&str>,
    model: Option<&str>,
) -> Option<String> {
    let started_ms = context::ATTEMPT_START.number(host)?;
    // Where this attempt answered, or began later than that, the end is an earlier attempt's.
    let stale = |ended_ms: &u64| outcome.is_answered() || *ended_ms < started_ms;
    let ended_ms = context::ATTEMPT_ENDED.number(host).filter(|ended_ms| !stale(ended_ms));
    let broke = ended_ms.and_then(|_| context::ATTEMPT_BROKE.get(host));
    let ms = ended_ms.unwrap_or_else(|| host.now_ms()).saturating_sub(started_ms);
    let mut attempt = Object::default();
    attempt.word("provider", provider);
    attempt.word("model", model);
    attempt.fact("key", host, context::PROVIDER_KEY);
    // What is metered is a success, whatever became of it on its way to the client.
    let withheld = outcome.is_withheld() && context::METER.get(host).is_some();
    let status = if withheld { 200 } else { 0 };
    attempt.number("status", Some(if outcome.is_answered() { outcome.status } else { status }));
    attempt.text("verdict", Some(outcome.verdict(broke.as_deref())));
    attempt.number("ms", Some(ms));
    Some(attempt.finish())
}

/// A JSON object under construction. What is absent or empty is left out.
#[derive(Default)]
struct Object(String);

impl Object {
    /// `value` must be JSON.
    fn json(&mut self, name: &str, value: Option<&str>) {
        let Some(value) = value else {
            return;
        };
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.push_str(&quoted(name));
        self.0.push(':');
        self.0.push_str(value);
    }

    fn number(&mut self, name: &str, value: Option<u64>) {
        self.json(name, value.map(|value| value.to_string()).as_deref());
    }

    fn text(&mut self, name: &str, value: Option<&str>) {
        let value = value.filter(|value| !value.is_empty());
        self.json(name, value.map(|value| quoted(clip(value, MAX_PATH))).as_deref());
    }

    fn fact(&mut self, name: &str, host: &dyn Host, fact: Fact) {
        self.word(name, fact.get(host).as_deref());
    }

    /// Text cut to [`MAX_TEXT`].
    fn word(&mut self, name: &str, value: Option<&str>) {
        self.text(name, value.map(|value| clip(value, MAX_TEXT)));
    }

    /// A text of any length, and how long it was if it is cut.
    fn excerpt(&mut self, name: &str, excerpt: Option<&Excerpt>) {
        let Some(Excerpt { text, chars }) = excerpt else {
            return;
        };
        self.json(name, Some(&one_line(&quoted(text))));
        self.number(&format!("{name}_chars"), *chars);
    }

    fn finish(mut self) -> String {
        self.0.push_str(if self.0.is_empty() { "{}" } else { "}" });
        self.0
    }
}

/// A JSON string; control characters are escaped, so it holds no line break.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// A JSON string without what ends a line, or steers a terminal, although JSON lets it stand as it is.
fn one_line(json: &str) -> String {
    let mut line = String::with_capacity(json.len());
    for char in json.chars() {
        match char {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => {
                line.push_str(&format!("\\u{:04x}", u32::from(char)));
            }
            char => line.push(char),
        }
    }
    line
}
