//! Judges whether an answer is complete and ended as answers do.

use sluice_core::meter::{Meter, Seen};
use sluice_core::openai::Operation;

use super::raw::{elements, get, given, is_one_of, members};
use super::{events, raw};
use crate::form::Form;

/// Choices of one answer. OpenAI allows 128.
pub(super) const MAX_CHOICES: usize = 1024;

/// What is known of an answer that may be stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// Why it ended, in the provider's word, by the last choice that says; empty for embeddings.
    pub finish_reason: String,
    /// Model that answered; empty if it does not say.
    pub model: String,
    /// Input tokens as reported, else 0.
    pub input_tokens: u64,
    /// Output tokens as reported, else estimated.
    pub output_tokens: u64,
    /// Whether the provider has reported both.
    pub has_usage: bool,
}

/// Why an answer is not stored, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotStored(pub &'static str);

const ERROR: NotStored = NotStored("error");
const INVALID: NotStored = NotStored("json");
const CUT: NotStored = NotStored("cut");

/// Judges `body`, the whole of a successful answer to `operation`.
///
/// # Errors
/// What speaks against storing it: `cut` (no terminator, or a choice without its end), `error`, `length`,
/// `content_filter`, `refusal`, `finish_reason` (another end than the normal ones), `json` (not what the operation
/// answers with), `choices` (none or too many), `empty` (the model says nothing, which is seldom what it would say
/// again), `size` (an event too large to be read), `form` (the operation has no such answers).
pub fn judge(operation: Operation, form: Form, body: &[u8]) -> Result<Judged, NotStored> {
    let mut meter = Meter::new(operation);
    match (operation, form) {
        (Operation::Other, _) | (Operation::Embeddings, Form::Stream) => return Err(NotStored("form")),
        (_, Form::Document) => document(operation, &mut meter, body)?,
        (_, Form::Stream) => stream(operation, &mut meter, body)?,
    }
    if operation != Operation::Embeddings && !meter.has_content() {
        return Err(NotStored("empty"));
    }
    let usage = meter.usage(0);
    Ok(Judged {
        finish_reason: meter.finish_reason().unwrap_or_default().to_owned(),
        model: meter.model().unwrap_or_default().to_owned(),
        input_tokens: usage.input,
        output_tokens: usage.output,
        has_usage: meter.has_usage(),
    })
}

fn document(operation: Operation, meter: &mut Meter, body: &[u8]) -> Result<(), NotStored> {
    match meter.body(body) {
        Seen::Error => return Err(ERROR),
        Seen::Invalid => return Err(INVALID),
        _ => {}
    }
    let answer = members(body).ok_or(INVALID)?;
    if given(&answer, b"error").is_some() {
        return Err(ERROR);
    }
    match operation {
        Operation::Chat | Operation::TextCompletion => {
            let mut ends = Ends::default();
            ends.note(get(&answer, b"choices").ok_or(INVALID)?)?;
            ends.judge()
        }
        Operation::Responses => responses_end(&answer),
        Operation::Messages => messages_end(&answer),
        _ => get(&answer, b"data").and_then(elements).map(|_| ()).ok_or(INVALID),
    }
}

fn stream(operation: Operation, meter: &mut Meter, body: &[u8]) -> Result<(), NotStored> {
    let mut read = Ok(());
    let whole = events::each(body, |raw| match meter.event(raw) {
        Seen::Error => read = read.and(Err(ERROR)),
        Seen::Invalid => read = read.and(Err(INVALID)),
        _ => {}
    });
    whole.ok_or(NotStored("size"))?;
    read?;
    if !meter.is_terminated() {
        return Err(CUT);
    }
    let mut events = events::read(body).ok_or(NotStored("size"))?;
    let is_typed = matches!(operation, Operation::Responses | Operation::Messages);
    events.pop_if(|(_, data)| is_typed && events::is_done(data)); // needless there, but some servers send it
    let (last, before) = events.split_last().ok_or(CUT)?;
    match operation {
        Operation::Responses => {
            let event = members(&last.1).ok_or(INVALID)?;
            responses_end(&members(get(&event, b"response").ok_or(CUT)?).ok_or(INVALID)?)
        }
        Operation::Messages => messages_stream(before, last),
        _ => choices_stream(before, last),
    }
}

fn choices_stream(before: &[events::Event<'_>], last: &events::Event<'_>) -> Result<(), NotStored> {
    let mut ends = Ends::default();
    if !events::is_done(&last.1) {
        return Err(INVALID); // something follows the terminator
    }
    for (_, data) in before {
        let chunk = members(data).ok_or(INVALID)?;
        ends.note(given(&chunk, b"choices").unwrap_or(b"[]"))?;
    }
    ends.judge()
}

/// How the choices of an answer ended, as far as it is known.
#[derive(Default)]
struct Ends<'a>(Vec<(u64, Option<&'a [u8]>)>);

impl<'a> Ends<'a> {
    fn note(&mut self, choices: &'a [u8]) -> Result<(), NotStored> {
        for choice in elements(choices).ok_or(INVALID)? {
            let choice = members(choice).ok_or(INVALID)?;
            if given(&choice, b"error").is_some() {
                return Err(ERROR);
            }
            let index = get(&choice, b"index").and_then(raw::count).ok_or(INVALID)?;
            let end = given(&choice, b"finish_reason");
            if let Some((_, known)) = self.0.iter_mut().find(|(known, _)| *known == index) {
                *known = end.or(*known);
                continue;
            }
            if self.0.len() >= MAX_CHOICES {
                return Err(NotStored("choices"));
            }
            self.0.push((index, end));
        }
        Ok(())
    }

    fn judge(&self) -> Result<(), NotStored> {
        if self.0.is_empty() {
            return Err(NotStored("choices"));
        }
        let normal = ["stop", "tool_calls", "function_call"];
        self.0.iter().try_for_each(|(_, end)| normal_end(*end, &normal))
    }
}

fn normal_end(end: Option<&[u8]>, normal: &[&str]) -> Result<(), NotStored> {
    let Some(end) = end else {
        return Err(CUT);
    };
    if is_one_of(end, normal) {
        return Ok(());
    }
    let words: [(&[&str], _); 3] = [
        (&["length", "max_tokens", "max_output_tokens", "model_context_window_exceeded"], "length"),
        (&["content_filter"], "content_filter"),
        (&["refusal"], "refusal"),
    ];
    let reason = words.into_iter().find(|(words, _)| is_one_of(end, words));
    Err(NotStored(reason.map_or("finish_reason", |(_, reason)| reason)))
}

/// <https://platform.openai.com/docs/api-reference/responses/object#responses/object-status>
fn responses_end(response: &[raw::Member<'_>]) -> Result<(), NotStored> {
    if given(response, b"error").is_some() {
        return Err(ERROR);
    }
    if get(response, b"output").and_then(elements).is_none() {
        return Err(INVALID);
    }
    let incomplete = given(response, b"incomplete_details").and_then(members);
    let reason = incomplete.as_deref().and_then(|details| get(details, b"reason"));
    normal_end(reason.or_else(|| given(response, b"status")), &["completed"])
}

/// <https://docs.anthropic.com/en/api/handling-stop-reasons>
fn messages_end(message: &[raw::Member<'_>]) -> Result<(), NotStored> {
    if get(message, b"content").and_then(elements).is_none() {
        return Err(INVALID);
    }
    normal_end(given(message, b"stop_reason"), &["end_turn", "stop_sequence", "tool_use"])
}

/// One message begins, its blocks end, it says why it ends, and then it ends.
fn messages_stream(before: &[events::Event<'_>], last: &events::Event<'_>) -> Result<(), NotStored> {
    let (mut begun, mut open, mut end) = (false, 0_usize, None);
    for (_, data) in before {
        let event = members(data).ok_or(INVALID)?;
        let kind = get(&event, b"type").and_then(raw::text).ok_or(INVALID)?;
        match kind {
            b"message_start" if begun => return Err(INVALID),
            b"message_start" => begun = true,
            b"content_block_start" => open = open.saturating_add(1),
            b"content_block_stop" => open = open.checked_sub(1).ok_or(INVALID)?,
            b"message_delta" => {
                let delta = members(get(&event, b"delta").ok_or(INVALID)?).ok_or(INVALID)?;
                end = given(&delta, b"stop_reason").or(end);
            }
            b"message_stop" => return Err(INVALID), // the last event is another
            _ => {}
        }
    }
    let stop = members(&last.1).and_then(|event| get(&event, b"type"));
    if !begun || open > 0 || stop.and_then(raw::text) != Some(b"message_stop") {
        return Err(CUT);
    }
    normal_end(end, &["end_turn", "stop_sequence", "tool_use"])
}
