//! Walks through messages, items, parts and whatever else a document holds, and notes its texts.

use super::names::{
    CONTENT, FILES, FREE, PARTS, PROTOCOL, ROLES, SCHEMA_NAMES, SCHEMA_TYPES, TYPES, is_file, is_one_of,
    is_word,
};
use super::{Form, MAX_TEXTS, Text, Texts};
use crate::json::{Error, Kind, Reader, Span, Str};

/// Containers within each other that are looked into. Schemas need about ten; more would only cost stack.
const MAX_DEPTH: u32 = 64;

/// Containers within each other that can be parts: a document within a tool's result within a message is at 6.
const MAX_PARTS: u32 = 16;

/// A walk, and what it has found.
#[derive(Debug, Default)]
pub(super) struct Walk {
    pub(super) found: Texts,
    runs: u32,
    depth: u32,
}

impl Walk {
    /// Begins a text of its own.
    pub(super) const fn run(&mut self) -> u32 {
        self.runs = self.runs.saturating_add(1);
        self.runs
    }

    pub(super) fn push(&mut self, text: Str<'_>, form: Form, run: u32) {
        if self.found.texts.len() >= MAX_TEXTS {
            self.found.unknown.get_or_insert(text.span);
            return;
        }
        self.found.texts.push(Text { span: text.span, form, run });
    }

    /// Notes the name of a member that anybody may choose.
    pub(super) fn key(&mut self, key: Str<'_>) {
        let run = self.run();
        self.push(key, Form::Plain, run);
    }

    fn string(&mut self, reader: &mut Reader<'_>, form: Form) -> Result<(), Error> {
        let (text, run) = (reader.string()?, self.run());
        self.push(text, form, run);
        Ok(())
    }

    /// A value that cannot be read.
    pub(super) fn unreadable(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        let span = reader.skip()?;
        self.found.unknown.get_or_insert(span);
        Ok(())
    }

    /// Enters a container, unless it lies too deep.
    fn deeper(
        &mut self,
        reader: &mut Reader<'_>,
        read: impl FnOnce(&mut Self, &mut Reader<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if self.depth >= MAX_DEPTH {
            return self.unreadable(reader);
        }
        self.depth = self.depth.saturating_add(1);
        let done = read(self, reader);
        self.depth = self.depth.saturating_sub(1);
        done
    }

    /// A value in which everything is text, the names of members too.
    pub(super) fn free(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        match reader.kind() {
            Some(Kind::String) => self.string(reader, Form::Plain),
            Some(Kind::Array) => self.deeper(reader, |walk, reader| reader.array(|reader| walk.free(reader))),
            Some(Kind::Object) => {
                self.deeper(reader, |walk, reader| reader.object(|reader, key| walk.free_member(reader, key)))
            }
            _ => Ok(()),
        }
    }

    fn free_member(&mut self, reader: &mut Reader<'_>, key: Str<'_>) -> Result<(), Error> {
        if !is_one_of(key, SCHEMA_NAMES) {
            self.key(key);
        }
        if key.is("type") && reader.kind() == Some(Kind::String) {
            let text = reader.string()?;
            if !is_one_of(text, SCHEMA_TYPES) {
                let run = self.run();
                self.push(text, Form::Plain, run);
            }
            return Ok(());
        }
        self.free(reader)
    }

    /// A string that is content, or an array of its parts.
    pub(super) fn content(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        if reader.kind() != Some(Kind::Array) {
            return self.element(reader, None);
        }
        let run = self.run();
        self.deeper(reader, |walk, reader| reader.array(|reader| walk.element(reader, Some(run))))
    }

    fn element(&mut self, reader: &mut Reader<'_>, run: Option<u32>) -> Result<(), Error> {
        match (reader.kind(), run) {
            (Some(Kind::String), Some(run)) => {
                let text = reader.string()?;
                self.push(text, Form::Plain, run);
                Ok(())
            }
            (Some(Kind::Object), _) => self.part(reader, run, true),
            (Some(Kind::Number), _) => self.unreadable(reader),
            _ => self.free(reader),
        }
    }

    /// An object of the protocol: a message, an item, a part, or what belongs to one. `typed`: it is what its `type`
    /// says, so that an unknown one may be anything. Its text is a part of `run`.
    pub(super) fn part(
        &mut self,
        reader: &mut Reader<'_>,
        run: Option<u32>,
        typed: bool,
    ) -> Result<(), Error> {
        if self.depth >= MAX_PARTS {
            return self.free(reader);
        }
        let start = reader.position();
        let known = !typed || has_known_type(reader);
        self.deeper(reader, |walk, reader| reader.object(|reader, key| walk.member(reader, key, run)))?;
        if !known {
            self.found.unknown.get_or_insert(Span { start, end: reader.position() });
        }
        Ok(())
    }

    /// A member of such an object.
    pub(super) fn member(
        &mut self,
        reader: &mut Reader<'_>,
        key: Str<'_>,
        run: Option<u32>,
    ) -> Result<(), Error> {
        if !is_word(key.raw) {
            self.key(key);
        }
        match reader.kind() {
            Some(Kind::String) => self.string_member(reader, key, run),
            Some(Kind::Object | Kind::Array) if key.is("logprobs") => {
                let span = reader.skip()?;
                self.found.logprobs.push(span);
                Ok(())
            }
            Some(Kind::Object | Kind::Array) if is_one_of(key, &["metadata", "cache_control"]) => Ok(()),
            Some(Kind::Object | Kind::Array) if is_one_of(key, FREE) => self.free(reader),
            Some(Kind::Object) if key.is("source") && is_plain(reader) => self.plain(reader),
            Some(Kind::Object) => self.part(reader, None, false),
            Some(Kind::Array) if is_one_of(key, CONTENT) => self.content(reader),
            Some(Kind::Array) => {
                self.deeper(reader, |walk, reader| reader.array(|reader| walk.other_element(reader)))
            }
            _ => Ok(()),
        }
    }

    /// A document that is given as text.
    fn plain(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        let is_data =
            |reader: &mut Reader<'_>, key: Str<'_>| key.is("data") && reader.kind() == Some(Kind::String);
        self.deeper(reader, |walk, reader| {
            reader.object(|reader, key| match is_data(reader, key) {
                true => walk.string(reader, Form::Plain),
                false => walk.member(reader, key, None),
            })
        })
    }

    /// An element of an array that is no content: tool calls, choices, annotations.
    fn other_element(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        match reader.kind() {
            Some(Kind::Object) => self.part(reader, None, false),
            _ => self.free(reader),
        }
    }

    fn string_member(
        &mut self,
        reader: &mut Reader<'_>,
        key: Str<'_>,
        run: Option<u32>,
    ) -> Result<(), Error> {
        let text = reader.string()?;
        if is_protocol(key, text) {
            return Ok(());
        }
        let form = if is_one_of(key, &["arguments", "partial_json"]) { Form::Json } else { Form::Plain };
        let run = run.filter(|_| is_one_of(key, PARTS)).unwrap_or_else(|| self.run());
        self.push(text, form, run);
        Ok(())
    }
}

/// Whether the string `text` of the member `key` is the protocol's own, or a file.
pub(super) fn is_protocol(key: Str<'_>, text: Str<'_>) -> bool {
    if key.is("role") {
        return is_one_of(text, ROLES);
    }
    (is_one_of(key, PROTOCOL) && is_word(text.raw)) || (is_one_of(key, FILES) && is_file(text.raw))
}

/// Whether the `source` to be read next says that its `data` is text, and no file
/// (<https://docs.anthropic.com/en/docs/build-with-claude/citations#plain-text-documents>).
fn is_plain(reader: &Reader<'_>) -> bool {
    let mut plain = false;
    let read = reader.clone().object(|reader, key| {
        if key.is("type") && reader.kind() == Some(Kind::String) {
            plain |= reader.string()?.is("text");
        }
        Ok(())
    });
    read.is_ok() && plain
}

/// Whether the object to be read next has a type that is known, or none. Two types are none that is known: readers
/// differ in which one counts.
fn has_known_type(reader: &Reader<'_>) -> bool {
    let mut known = true;
    let mut types = 0_u32;
    let read = reader.clone().object(|reader, key| {
        if key.is("type") {
            types = types.saturating_add(1);
            known = reader.kind() == Some(Kind::String) && is_one_of(reader.string()?, TYPES);
        }
        Ok(())
    });
    read.is_ok() && known && types < 2
}
