//! From a stream of chat or text completion to the document that it adds up to.

use sluice_core::json::Kind;
use sluice_core::openai::Operation;
use sluice_core::order;

use super::events;
use super::fold::{Lists, Value};
use super::judge::MAX_CHOICES;
use super::raw::{
    MAX_MEMBERS, Object, array, compact, count, elements, get, given, is_blank, is_null, kind, members,
};

/// What the chunks of a stream add up to.
#[derive(Default)]
struct Answer<'a> {
    members: Vec<(&'a [u8], &'a [u8])>,
    choices: Vec<Choice<'a>>,
    usage: Option<&'a [u8]>,
}

struct Choice<'a> {
    index: u64,
    /// The message, or the text.
    said: Value<'a>,
    logprobs: Option<Value<'a>>,
    finish_reason: &'a [u8],
    others: Vec<(&'a [u8], Value<'a>)>,
}

/// The document of the whole stream `body`.
pub(super) fn document(operation: Operation, body: &[u8]) -> Option<Vec<u8>> {
    let events = events::read(body)?;
    let mut answer = Answer::default();
    for (_, data) in events.iter().filter(|(_, data)| !events::is_done(data)) {
        for (name, value) in members(data)? {
            answer.member(operation, name, value)?;
        }
    }
    compact(&answer.end(operation)?)
}

impl<'a> Answer<'a> {
    fn member(&mut self, operation: Operation, name: &'a [u8], value: &'a [u8]) -> Option<()> {
        match name {
            b"object" | b"obfuscation" => {}
            b"choices" if is_null(value) => {}
            b"choices" => {
                for choice in elements(value)? {
                    self.choice(operation, &members(choice)?)?;
                }
            }
            b"usage" if kind(value) == Some(Kind::Object) => self.usage = Some(value),
            b"usage" => {}
            _ => self.other(name, value)?,
        }
        Some(())
    }

    /// Who answered is what the first chunk says; of anything else the last one holds.
    fn other(&mut self, name: &'a [u8], value: &'a [u8]) -> Option<()> {
        let Some((_, old)) = self.members.iter_mut().find(|(known, _)| *known == name) else {
            self.members.push((name, value));
            return (self.members.len() <= MAX_MEMBERS).then_some(());
        };
        let is_settled = is_blank(value) || matches!(name, b"id" | b"created" | b"model");
        if is_blank(old) || !is_settled {
            *old = value;
        }
        Some(())
    }

    fn choice(&mut self, operation: Operation, delta: &[(&'a [u8], &'a [u8])]) -> Option<()> {
        let index = get(delta, b"index").and_then(count)?;
        let choice = match self.choices.iter().position(|choice| choice.index == index) {
            Some(at) => self.choices.get_mut(at)?,
            None if self.choices.len() >= MAX_CHOICES => return None,
            None => {
                self.choices.push(Choice::new(index));
                self.choices.last_mut()?
            }
        };
        delta.iter().try_for_each(|(name, value)| choice.member(operation, name, value))
    }

    fn end(mut self, operation: Operation) -> Option<Vec<u8>> {
        let is_chat = operation == Operation::Chat;
        let object: &[u8] = if is_chat { br#""chat.completion""# } else { br#""text_completion""# };
        let mut out = Object::new();
        if let Some(id) = get(&self.members, b"id") {
            out.add("id", id);
        }
        out.add("object", object);
        for (name, value) in self.members.iter().filter(|(name, _)| *name != b"id") {
            out.add(name, value);
        }
        order::by_key(&mut self.choices, |choice| (choice.index, 0));
        let choices: Option<Vec<_>> = self.choices.into_iter().map(|choice| choice.end(is_chat)).collect();
        out.add("choices", array(choices?));
        if let Some(usage) = self.usage {
            out.add("usage", usage);
        }
        Some(out.end())
    }
}

impl<'a> Choice<'a> {
    const fn new(index: u64) -> Self {
        Self { index, said: Value::Raw(b"null"), logprobs: None, finish_reason: b"null", others: Vec::new() }
    }

    fn member(&mut self, operation: Operation, name: &'a [u8], value: &'a [u8]) -> Option<()> {
        let is_chat = operation == Operation::Chat;
        match name {
            b"index" => {}
            b"delta" if is_chat && is_null(value) => {}
            b"delta" if is_chat && kind(value) != Some(Kind::Object) => return None,
            b"delta" if is_chat => {
                let said = if self.said.is_null() { Value::EMPTY } else { self.said.take() };
                self.said = said.fold(value, Lists::Indexed)?;
            }
            b"message" if is_chat => return None, // beside `delta` it is not known which one counts
            b"text" if !is_chat => self.said = self.said.take().fold(value, Lists::Appended)?,
            b"finish_reason" if is_null(value) => {}
            b"finish_reason" => self.finish_reason = value,
            b"logprobs" => {
                let logprobs = self.logprobs.take().unwrap_or(Value::Raw(b"null"));
                self.logprobs = Some(logprobs.fold(value, Lists::Appended)?);
            }
            _ => self.other(name, value)?,
        }
        Some(())
    }

    /// A member that OpenAI's choices do not have: lists go on, of anything else the last one holds.
    fn other(&mut self, name: &'a [u8], value: &'a [u8]) -> Option<()> {
        let Some((_, old)) = self.others.iter_mut().find(|(known, _)| *known == name) else {
            self.others.push((name, Value::Raw(value)));
            return (self.others.len() <= MAX_MEMBERS).then_some(());
        };
        if old.is(Kind::Array) && kind(value) == Some(Kind::Array) {
            *old = old.take().fold(value, Lists::Appended)?;
        } else if !is_blank(value) {
            *old = Value::Raw(value);
        }
        Some(())
    }

    fn end(self, is_chat: bool) -> Option<Vec<u8>> {
        let said = if is_chat { message(self.said)? } else { text(self.said)? };
        let mut out = Object::new()
            .with("index", self.index.to_string())
            .with(if is_chat { "message" } else { "text" }, said);
        if let Some(logprobs) = self.logprobs {
            out.add("logprobs", logprobs.end());
        }
        out.add("finish_reason", self.finish_reason);
        Some(self.others.into_iter().fold(out, |out, (name, value)| out.with(name, value.end())).end())
    }
}

fn text(said: Value<'_>) -> Option<Vec<u8>> {
    said.is(Kind::String).then(|| said.end())
}

/// The message as documents have it: always with a role and a content, tool calls without their index.
fn message(said: Value<'_>) -> Option<Vec<u8>> {
    let Value::Object(mut message) = said else {
        return None;
    };
    let mut out = Object::new();
    for (name, default) in [(b"role".as_slice(), br#""assistant""#.as_slice()), (b"content", b"null")] {
        let at = message.iter().position(|(known, _)| *known == name);
        let value = at.map_or_else(|| default.to_vec(), |at| message.remove(at).1.end());
        out.add(name, value);
    }
    for (name, value) in message {
        let value = value.end();
        let is_calls = name == b"tool_calls" && !is_null(&value);
        let value = if is_calls { tool_calls(&value)? } else { value };
        out.add(name, value);
    }
    Some(out.end())
}

/// `None` where a call has no id: it is a part of another whose place is not known.
fn tool_calls(calls: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for call in elements(calls)? {
        let call = members(call)?;
        given(&call, b"id")?;
        let call = call.into_iter().filter(|(name, _)| *name != b"index");
        out.push(call.fold(Object::new(), |out, (name, value)| out.with(name, value)).end());
    }
    Some(array(out))
}
