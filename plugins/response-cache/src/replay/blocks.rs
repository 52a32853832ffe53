//! From a stream of an Anthropic message to the document that it adds up to.
//!
//! Source: <https://docs.anthropic.com/en/docs/build-with-claude/streaming#event-types>, and `accumulate_event` of
//! <https://github.com/anthropics/anthropic-sdk-python/blob/main/src/anthropic/lib/streaming/_messages.py>.

use sluice_core::json::{Kind, Reader, Span, Str};

use super::events;
use super::raw::{
    MAX_MEMBERS, Member, Object, array, compact, count, elements, get, given, is_empty, is_null, kind,
    members, text,
};

/// Content blocks of one message. A long turn with tools of the provider has some hundred.
const MAX_BLOCKS: usize = 4096;

/// What the events of a stream add up to.
#[derive(Default)]
struct Message<'a> {
    members: Vec<Member<'a>>,
    usage: Vec<Member<'a>>,
    blocks: Vec<Block<'a>>,
}

/// A content block: as it starts, and what its deltas add.
struct Block<'a> {
    members: Vec<Member<'a>>,
    /// Parts of `text`, or of `thinking`.
    said: Vec<&'a [u8]>,
    /// Parts of a string that holds the JSON of `input`.
    input: Vec<&'a [u8]>,
    citations: Vec<&'a [u8]>,
}

/// The document of the whole stream `body`.
pub(super) fn document(body: &[u8]) -> Option<Vec<u8>> {
    let events = events::read(body)?;
    let mut message = Message::default();
    for (_, data) in events.iter().filter(|(_, data)| !events::is_done(data)) {
        message.event(&members(data)?)?;
    }
    compact(&message.end()?)
}

impl<'a> Message<'a> {
    fn event(&mut self, event: &[Member<'a>]) -> Option<()> {
        match text(get(event, b"type")?)? {
            b"message_start" => self.start(get(event, b"message")?),
            b"content_block_start" => self.block(event),
            b"content_block_delta" => {
                let at = get(event, b"index").and_then(count)?;
                let block = self.blocks.get_mut(usize::try_from(at).ok()?)?;
                block.delta(&members(get(event, b"delta")?)?)
            }
            b"message_delta" => self.delta(event),
            b"content_block_stop" | b"message_stop" | b"ping" => Some(()),
            _ => None, // what it adds is not known
        }
    }

    fn start(&mut self, message: &'a [u8]) -> Option<()> {
        self.members = members(message)?;
        self.usage = given(&self.members, b"usage").map_or(Some(Vec::new()), members)?;
        is_empty(get(&self.members, b"content")?).then_some(())
    }

    /// Blocks start in order.
    fn block(&mut self, event: &[Member<'a>]) -> Option<()> {
        let index = get(event, b"index").and_then(count)?;
        let is_next = usize::try_from(index).ok()? == self.blocks.len();
        if !is_next || self.blocks.len() >= MAX_BLOCKS {
            return None;
        }
        let members = members(get(event, b"content_block")?)?;
        self.blocks.push(Block { members, said: Vec::new(), input: Vec::new(), citations: Vec::new() });
        Some(())
    }

    /// What stands beside `delta` and `usage` is news of the message too. Counts are running totals.
    fn delta(&mut self, event: &[Member<'a>]) -> Option<()> {
        for (name, value) in event {
            match *name {
                b"type" => {}
                b"delta" => overwrite(&mut self.members, &members(value)?)?,
                b"usage" if is_null(value) => {}
                b"usage" => overwrite(&mut self.usage, &members(value)?)?,
                name => overwrite(&mut self.members, &[(name, value)])?,
            }
        }
        Some(())
    }

    fn end(self) -> Option<Vec<u8>> {
        let blocks: Option<Vec<_>> = self.blocks.into_iter().map(Block::end).collect();
        let blocks = array(blocks?);
        let usage = self.usage.into_iter().fold(Object::new(), |out, (name, value)| out.with(name, value));
        let usage = usage.end();
        let has_usage = get(&self.members, b"usage").is_some();
        let mut out = Object::new();
        for (name, value) in &self.members {
            match *name {
                b"content" => out.add(name, &blocks),
                b"usage" => out.add(name, &usage),
                _ => out.add(name, value),
            }
        }
        if !has_usage && usage.len() > 2 {
            out.add("usage", usage);
        }
        Some(out.end())
    }
}

/// Null says nothing where something is known. `None` if there are too many members.
fn overwrite<'a>(members: &mut Vec<Member<'a>>, news: &[Member<'a>]) -> Option<()> {
    for (name, value) in news {
        match members.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) if !is_null(value) => *old = value,
            Some(_) => {}
            None => members.push((name, value)),
        }
    }
    (members.len() <= MAX_MEMBERS).then_some(())
}

impl<'a> Block<'a> {
    fn delta(&mut self, delta: &[Member<'a>]) -> Option<()> {
        let value = |name| get(delta, name);
        match text(value(b"type")?)? {
            b"text_delta" => self.say(b"text", value(b"text")?),
            b"thinking_delta" => self.say(b"thinking", value(b"thinking")?),
            b"input_json_delta" => {
                self.input.push(text(value(b"partial_json")?)?);
                Some(())
            }
            b"citations_delta" => {
                self.citations.push(value(b"citation")?);
                Some(())
            }
            b"signature_delta" => overwrite(&mut self.members, &[(b"signature", value(b"signature")?)]),
            _ => None, // what it adds is not known
        }
    }

    fn say(&mut self, name: &[u8], more: &'a [u8]) -> Option<()> {
        let is_mine = get(&self.members, b"type").and_then(text) == Some(name);
        self.said.push(text(more).filter(|_| is_mine)?);
        Some(())
    }

    fn end(mut self) -> Option<Vec<u8>> {
        let input = input(&self.input.concat())?;
        for (missing, name) in
            [(!input.is_empty(), b"input".as_slice()), (!self.citations.is_empty(), b"citations")]
        {
            if missing && get(&self.members, name).is_none() {
                self.members.push((name, b"null"));
            }
        }
        let kind = get(&self.members, b"type").and_then(text)?;
        let mut out = Object::new();
        for (name, value) in &self.members {
            match *name {
                b"text" | b"thinking" if *name == kind => out.add(name, self.spoken(value)?),
                b"input" if !input.is_empty() => out.add(name, &input),
                b"citations" if !self.citations.is_empty() => out.add(name, self.cited(value)?),
                _ => out.add(name, value),
            }
        }
        let has_said = self.said.is_empty() || get(&self.members, kind).is_some();
        has_said.then(|| out.end())
    }

    fn spoken(&self, start: &[u8]) -> Option<Vec<u8>> {
        Some([b"\"", text(start)?, &self.said.concat(), b"\""].concat())
    }

    fn cited(&self, start: &'a [u8]) -> Option<Vec<u8>> {
        let first = if is_null(start) { Vec::new() } else { elements(start)? };
        Some(array(first.into_iter().chain(self.citations.iter().copied())))
    }
}

/// The JSON within `parts`, a string as it stands between its quotes; empty if nothing but space is in it.
fn input(parts: &[u8]) -> Option<Vec<u8>> {
    let span = Span { start: 0, end: parts.len() };
    let json = Str { span, raw: parts, escaped: parts.contains(&b'\\') }.decode().ok()?;
    let json = json.trim_ascii();
    if json.is_empty() {
        return Some(Vec::new());
    }
    let mut reader = Reader::new(json.as_bytes());
    reader.skip().and_then(|_| reader.end()).ok()?;
    (kind(json.as_bytes()) == Some(Kind::Object)).then(|| json.as_bytes().to_vec())
}
