//! The texts of one event of a stream: parts of texts that go on in later events, and whole ones.

use super::names::is_one_of;
use super::walk::{Walk, is_protocol};
use super::{Form, Text};
use crate::json::{Error, Kind, Reader, Span, Str};

/// What one event says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Its texts, in their order.
    pub said: Vec<Said>,
    /// Channels whose names begin so have come to their end with this event; an empty name: all of them.
    pub ends: Vec<String>,
    /// Values of `logprobs`, objects or arrays. They repeat text, token by token.
    pub logprobs: Vec<Span>,
    /// A part whose content cannot be told.
    pub unknown: bool,
}

/// One text of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Where it stands.
    pub text: Text,
    /// Which text it goes on with. `None`: it is whole.
    pub channel: Option<String>,
}

/// Reads the data of an event of any protocol. Which one it is, its members tell: an answer in another protocol than
/// was asked for is read all the same.
///
/// # Errors
/// It is not one JSON document.
pub fn event(data: &[u8]) -> Result<Event, Error> {
    let mut scan = Scan { head: Head::of(data)?, ..Scan::default() };
    let mut reader = Reader::new(data);
    match reader.kind() {
        Some(Kind::Object) => reader.object(|reader, key| scan.member(reader, key))?,
        _ => scan.walk.free(&mut reader)?,
    }
    reader.end()?;
    scan.end_by_type();
    Ok(scan.result())
}

/// The members at the top that tell which text an event belongs to.
#[derive(Default)]
struct Head {
    kind: String,
    /// `index` or `output_index`.
    index: u64,
    /// `content_index` or `summary_index`.
    part: u64,
}

impl Head {
    fn of(data: &[u8]) -> Result<Self, Error> {
        let mut head = Self::default();
        let mut reader = Reader::new(data);
        if reader.kind() != Some(Kind::Object) {
            return Ok(head);
        }
        reader.object(|reader, key| {
            match reader.kind() {
                Some(Kind::String) if key.is("type") => head.kind = reader.string()?.decode()?.into_owned(),
                Some(Kind::Number) if is_one_of(key, &["index", "output_index"]) => {
                    head.index = reader.number()?.as_u64().unwrap_or(head.index);
                }
                Some(Kind::Number) if is_one_of(key, &["content_index", "summary_index"]) => {
                    head.part = reader.number()?.as_u64().unwrap_or(head.part);
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(head)
    }
}

#[derive(Default)]
struct Scan {
    head: Head,
    walk: Walk,
    /// One for each text found; those at the end may be missing.
    channels: Vec<Option<String>>,
    ends: Vec<String>,
}

impl Scan {
    fn result(mut self) -> Event {
        let found = self.walk.found;
        self.channels.resize(found.texts.len(), None);
        let said = found.texts.into_iter().zip(self.channels);
        Event {
            said: said.map(|(text, channel)| Said { text, channel }).collect(),
            ends: self.ends,
            logprobs: found.logprobs,
            unknown: found.unknown.is_some(),
        }
    }

    fn member(&mut self, reader: &mut Reader<'_>, key: Str<'_>) -> Result<(), Error> {
        match reader.kind() {
            Some(Kind::Array) if key.is("choices") => reader.array(|reader| self.choice(reader)),
            Some(Kind::String) if key.is("delta") => {
                let (text, form) = (reader.string()?, self.form());
                let Head { kind, index, part } = &self.head;
                let channel = format!("output/{index}/{kind}/{part}/");
                self.push(text, form, channel);
                Ok(())
            }
            Some(Kind::Object) if is_one_of(key, &["delta", "content_block"]) => {
                self.deltas(reader, &format!("block/{}", self.head.index))
            }
            Some(Kind::Object) if key.is("usage") => Ok(()),
            _ => self.walk.member(reader, key, None),
        }
    }

    /// How the `delta` of a Responses event is to be read.
    fn form(&self) -> Form {
        if self.head.kind.ends_with("arguments.delta") { Form::Json } else { Form::Plain }
    }

    fn push(&mut self, text: Str<'_>, form: Form, channel: String) {
        self.channels.resize(self.walk.found.texts.len(), None);
        let run = self.walk.run();
        self.walk.push(text, form, run);
        self.channels.push(Some(channel));
    }

    fn choice(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        if reader.kind() != Some(Kind::Object) {
            return self.walk.free(reader);
        }
        let index = index_of(reader).unwrap_or(0);
        let path = format!("choices/{index}");
        let mut finished = false;
        reader.object(|reader, key| match reader.kind() {
            Some(Kind::Object) if key.is("delta") => self.deltas(reader, &path),
            Some(Kind::String) if key.is("text") => {
                let text = reader.string()?;
                self.push(text, Form::Plain, format!("{path}/text/"));
                Ok(())
            }
            Some(Kind::String) if key.is("finish_reason") => {
                finished = true;
                self.walk.member(reader, key, None)
            }
            _ => self.walk.member(reader, key, None),
        })?;
        if finished {
            self.ends.push(format!("{path}/"));
        }
        Ok(())
    }

    /// An object whose strings, and those within it, each go on with the one of the same path.
    fn deltas(&mut self, reader: &mut Reader<'_>, path: &str) -> Result<(), Error> {
        if path.len() > MAX_PATH {
            return self.walk.unreadable(reader);
        }
        reader.object(|reader, key| {
            let name = String::from_utf8_lossy(key.raw);
            self.delta(reader, Some(key), &format!("{path}/{name}"))
        })
    }

    fn delta(&mut self, reader: &mut Reader<'_>, key: Option<Str<'_>>, path: &str) -> Result<(), Error> {
        let is = |names| key.is_some_and(|key| is_one_of(key, names));
        match reader.kind() {
            Some(Kind::String) => {
                let text = reader.string()?;
                if key.is_some_and(|key| is_protocol(key, text)) {
                    return Ok(());
                }
                let form = if is(&["arguments", "partial_json"]) { Form::Json } else { Form::Plain };
                if is(&["name"]) {
                    let run = self.walk.run(); // it comes whole
                    self.walk.push(text, form, run);
                } else {
                    self.push(text, form, format!("{path}/"));
                }
                Ok(())
            }
            Some(Kind::Object) if is(&["input"]) => self.walk.free(reader),
            Some(Kind::Object) => self.deltas(reader, path),
            Some(Kind::Array) => self.elements(reader, path),
            _ => Ok(()),
        }
    }

    /// Elements are known by their `index`, else by their place.
    fn elements(&mut self, reader: &mut Reader<'_>, path: &str) -> Result<(), Error> {
        if path.len() > MAX_PATH {
            return self.walk.unreadable(reader);
        }
        let mut place = 0_u64;
        reader.array(|reader| {
            let index = index_of(reader).unwrap_or(place);
            place = place.saturating_add(1);
            self.delta(reader, None, &format!("{path}/{index}"))
        })
    }

    fn end_by_type(&mut self) {
        let Head { kind, index, part } = &self.head;
        let end = match kind.as_str() {
            "content_block_stop" => format!("block/{index}/"),
            "message_delta"
            | "message_stop"
            | "response.completed"
            | "response.incomplete"
            | "response.failed" => String::new(),
            "response.output_item.done" => format!("output/{index}/"),
            _ => match kind.strip_suffix(".done") {
                Some(kind) => format!("output/{index}/{kind}.delta/{part}/"),
                None => return,
            },
        };
        self.ends.push(end);
    }
}

/// Bytes of a channel's name that are looked into; deltas of today's protocols have fewer than 50.
const MAX_PATH: usize = 256;

/// `index` of the object to be read next.
fn index_of(reader: &mut Reader<'_>) -> Option<u64> {
    let mut index = None;
    if reader.kind() != Some(Kind::Object) {
        return None;
    }
    let read = reader.clone().object(|reader, key| {
        if key.is("index") && reader.kind() == Some(Kind::Number) {
            index = reader.number()?.as_u64();
        }
        Ok(())
    });
    read.ok().and(index)
}
