//! From a document of an Anthropic message to a stream of events.
//!
//! Source: <https://docs.anthropic.com/en/docs/build-with-claude/streaming#event-types>.

use sluice_core::json::Kind;

use super::events::Stream;
use super::raw::{
    Member, Object, compact, elements, get, given, is_empty, is_null, kind, members, quote, text,
};

/// Members that are not known when the message starts.
const LATE: [&[u8]; 3] = [b"stop_reason", b"stop_sequence", b"stop_details"];

/// The stream of the whole document `body`.
pub(super) fn stream(body: &[u8]) -> Option<Vec<u8>> {
    let body = compact(body)?;
    let message = members(&body)?;
    let mut out = Stream::of(body.len());
    event(&mut out, "message_start", &[("message", &start(&message)?)])?;
    for (index, block) in elements(get(&message, b"content")?)?.into_iter().enumerate() {
        content_block(&mut out, index, &members(block)?)?;
    }
    let mut delta = Object::new();
    for (name, value) in message.iter().filter(|(name, _)| LATE.contains(name)) {
        delta.add(name, value);
    }
    let usage = given(&message, b"usage")?;
    event(&mut out, "message_delta", &[("delta", &delta.end()), ("usage", usage)])?;
    event(&mut out, "message_stop", &[])?;
    Some(out.end())
}

fn event(out: &mut Stream, kind: &str, members: &[(&str, &[u8])]) -> Option<()> {
    let data = Object::new().with("type", quote(kind.as_bytes()));
    let data = members.iter().fold(data, |data, (name, value)| data.with(name, value));
    out.add(kind.as_bytes(), &data.end())
}

/// The message before anything is said.
fn start(message: &[Member<'_>]) -> Option<Vec<u8>> {
    let mut out = Object::new();
    for (name, value) in message {
        match *name {
            b"content" => out.add(name, "[]"),
            b"usage" => out.add(name, start_usage(value)?),
            name if LATE.contains(&name) => out.add(name, "null"),
            _ => out.add(name, value),
        }
    }
    Some(out.end())
}

/// Usage before any output; the last event has the whole of it.
fn start_usage(usage: &[u8]) -> Option<Vec<u8>> {
    let mut out = Object::new();
    for (name, value) in members(usage)? {
        match name {
            b"output_tokens" => out.add(name, "0"),
            b"output_tokens_details" => {}
            _ => out.add(name, value),
        }
    }
    Some(out.end())
}

fn content_block(out: &mut Stream, index: usize, block: &[Member<'_>]) -> Option<()> {
    let index = index.to_string();
    let mut start = Object::new();
    let mut deltas = Vec::new();
    let of = text(get(block, b"type")?)?;
    for (name, value) in block {
        let (first, more) = split(of, name, value)?;
        start.add(name, first);
        deltas.extend(more);
    }
    let start = start.end();
    event(out, "content_block_start", &[("index", index.as_bytes()), ("content_block", &start)])?;
    for delta in deltas {
        event(out, "content_block_delta", &[("index", index.as_bytes()), ("delta", &delta)])?;
    }
    event(out, "content_block_stop", &[("index", index.as_bytes())])
}

/// What a member of a block `of` this type is when the block starts, and the deltas that follow.
fn split<'a>(of: &[u8], name: &[u8], value: &'a [u8]) -> Option<(&'a [u8], Vec<Vec<u8>>)> {
    let delta = |kind: &str, name: &str, value: &[u8]| {
        Object::new().with("type", quote(kind.as_bytes())).with(name, value).end()
    };
    Some(match (of, name) {
        (b"text", b"text") if text(value)?.is_empty() => (value, Vec::new()),
        (b"text", b"text") => (b"\"\"", vec![delta("text_delta", "text", value)]),
        (b"thinking", b"thinking") if text(value)?.is_empty() => (value, Vec::new()),
        (b"thinking", b"thinking") => (b"\"\"", vec![delta("thinking_delta", "thinking", value)]),
        (b"thinking", b"signature") if text(value).is_some_and(|value| !value.is_empty()) => {
            (b"\"\"", vec![delta("signature_delta", "signature", value)])
        }
        (b"text", b"citations") if !is_null(value) && !is_empty(value) => {
            let cited = elements(value)?.into_iter();
            (b"[]", cited.map(|citation| delta("citations_delta", "citation", citation)).collect())
        }
        (_, b"input")
            if of.ends_with(b"tool_use") && kind(value) == Some(Kind::Object) && !is_empty(value) =>
        {
            (b"{}", vec![delta("input_json_delta", "partial_json", &quote(value))])
        }
        _ => (value, Vec::new()),
    })
}
