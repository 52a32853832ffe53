//! From a document of chat or text completion to a stream of chunks.
//!
//! Each choice says its role, then all of its message, then each tool call, then why it ends.

use sluice_core::json::Kind;
use sluice_core::openai::Operation;
use sluice_core::order;

use super::events::Stream;
use super::fold::{Lists, Value};
use super::raw::{Member, Object, array, compact, count, elements, get, given, is_null, kind, members, text};

/// Members that every chunk repeats; OpenAI's client takes some from the last one.
const REPEATED: [&[u8]; 5] = [b"id", b"created", b"model", b"service_tier", b"system_fingerprint"];

/// The chunks as they are written.
struct Chunks<'a> {
    out: Stream,
    object: &'a [u8],
    document: Vec<Member<'a>>,
    /// Usage was asked for, so each chunk says that it is not there yet.
    usage: bool,
}

/// The stream of the whole document `body`, with its usage if that is asked for.
pub(super) fn stream(operation: Operation, body: &[u8], usage: bool) -> Option<Vec<u8>> {
    let body = compact(body)?;
    let document = members(&body)?;
    let is_chat = operation == Operation::Chat;
    let object: &[u8] = if is_chat { br#""chat.completion.chunk""# } else { br#""text_completion""# };
    let counts = given(&document, b"usage").filter(|counts| kind(counts) == Some(Kind::Object));
    let choices = choices(get(&document, b"choices")?)?;
    let mut chunks = Chunks { out: Stream::of(body.len()), object, document, usage };
    for (index, choice) in &choices {
        let index = index.to_string();
        if is_chat {
            chat_choice(&mut chunks, index.as_bytes(), choice)?;
        } else {
            text_choice(&mut chunks, index.as_bytes(), choice)?;
        }
    }
    if usage {
        chunks.write(b"[]", counts?)?;
    }
    chunks.out.add(b"", b"[DONE]")?;
    Some(chunks.out.end())
}

/// The choices in order of their indexes, of which none stands twice: a client puts each where its index says.
fn choices(raw: &[u8]) -> Option<Vec<(u64, Vec<Member<'_>>)>> {
    let mut choices = Vec::new();
    for choice in elements(raw)? {
        let choice = members(choice)?;
        choices.push((get(&choice, b"index").and_then(count)?, choice));
    }
    order::by_key(&mut choices, |(index, _)| (*index, 0));
    let mut next = choices.iter().skip(1);
    let is_once = choices.iter().all(|(index, _)| next.next().is_none_or(|(next, _)| index < next));
    (is_once && !choices.is_empty()).then_some(choices)
}

impl Chunks<'_> {
    /// Writes the chunk of one choice.
    fn choice(&mut self, choice: Object) -> Option<()> {
        self.write(&array([choice.end()]), b"null")
    }

    fn write(&mut self, choices: &[u8], usage: &[u8]) -> Option<()> {
        let is_first = self.out.is_empty();
        let mut chunk = Object::new();
        for (name, value) in &self.document {
            match *name {
                b"object" => chunk.add("object", self.object),
                b"choices" | b"usage" => {}
                name if is_first || REPEATED.contains(&name) => chunk.add(name, value),
                _ => {}
            }
        }
        if get(&self.document, b"object").is_none() {
            chunk.add("object", self.object);
        }
        chunk.add("choices", choices);
        if self.usage {
            chunk.add("usage", usage);
        }
        self.out.add(b"", &chunk.end())
    }
}

fn chat_choice(chunks: &mut Chunks<'_>, index: &[u8], choice: &[Member<'_>]) -> Option<()> {
    let message = members(get(choice, b"message")?)?;
    let (head, rest) = deltas(&message)?;
    let logprobs = get(choice, b"logprobs");
    if get(choice, b"delta").is_some() {
        return None; // it would be taken for a part of the message
    }
    let part = |delta: &[u8], logprobs: Option<&[u8]>| {
        let mut part = Object::new().with("index", index).with("delta", delta);
        if let Some(logprobs) = logprobs {
            part.add("logprobs", logprobs);
        }
        part
    };
    let none = logprobs.map(|_| b"null".as_slice());
    chunks.choice(part(&head, none).with("finish_reason", "null"))?;
    if rest.len() > 2 || logprobs.is_some_and(|logprobs| !is_null(logprobs)) {
        chunks.choice(part(&rest, logprobs).with("finish_reason", "null"))?;
    }
    for delta in tool_calls(&message)? {
        chunks.choice(part(&delta, none).with("finish_reason", "null"))?;
    }
    let end = part(b"{}", none).with("finish_reason", given(choice, b"finish_reason")?);
    chunks.choice(with_others(end, choice, b"message"))?;
    Some(())
}

fn text_choice(chunks: &mut Chunks<'_>, index: &[u8], choice: &[Member<'_>]) -> Option<()> {
    let said = get(choice, b"text").filter(|said| text(said).is_some())?;
    let mut all = Object::new().with("text", said).with("index", index);
    let mut end = Object::new().with("text", r#""""#).with("index", index);
    if let Some(logprobs) = get(choice, b"logprobs") {
        all.add("logprobs", logprobs);
        end.add("logprobs", "null");
    }
    chunks.choice(all.with("finish_reason", "null"))?;
    end.add("finish_reason", given(choice, b"finish_reason")?);
    chunks.choice(with_others(end, choice, b"text"))?;
    Some(())
}

/// The members of `choice` that are not written yet.
fn with_others(end: Object, choice: &[Member<'_>], said: &[u8]) -> Object {
    let is_other = |name: &[u8]| !matches!(name, b"index" | b"logprobs" | b"finish_reason") && name != said;
    let others = choice.iter().filter(|(name, _)| is_other(name));
    others.fold(end, |end, (name, value)| end.with(name, value))
}

/// The delta that begins the message, and the one with all but its tool calls. `None` if a client would make
/// another message of them.
fn deltas(message: &[Member<'_>]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut head = Object::new().with("role", given(message, b"role").unwrap_or(br#""assistant""#));
    let mut rest = Object::new();
    for (name, value) in message {
        let is_late = match *name {
            b"role" => continue,
            b"tool_calls" if value.len() > 2 && !is_null(value) => continue,
            _ => !is_null(value) && !matches!(*value, b"\"\"" | b"[]" | b"{}"),
        };
        if is_late {
            rest.add(name, value);
        }
        if !is_late {
            head.add(name, value);
        } else if *name == b"content" && text(value).is_some() {
            head.add(name, r#""""#);
        }
    }
    let rest = rest.end();
    let folded = Value::EMPTY.fold(&rest, Lists::Indexed)?.end();
    (folded == rest).then(|| (head.end(), rest))
}

/// The delta of each tool call.
fn tool_calls(message: &[Member<'_>]) -> Option<Vec<Vec<u8>>> {
    let calls = given(message, b"tool_calls").map_or(Some(Vec::new()), elements)?;
    let mut deltas = Vec::new();
    for (index, call) in calls.into_iter().enumerate() {
        let call = members(call)?;
        let call = call.iter().filter(|(name, _)| *name != b"index");
        let delta = Object::new().with("index", index.to_string());
        let delta = call.fold(delta, |delta, (name, value)| delta.with(name, value));
        deltas.push(Object::new().with("tool_calls", array([delta.end()])).end());
    }
    Some(deltas)
}
