//! What a request body says about itself, found in one pass.

use sluice_core::form;
use sluice_core::json::{Error, ErrorKind, Kind, Reader, Str};
use sluice_core::openai::error::Code;
use sluice_core::when::Content;

use crate::refusal::Refusal;

/// Bytes of text to a token, on average (<https://platform.openai.com/tokenizer>).
const BYTES_PER_TOKEN: usize = 4;

/// Containers within each other that are searched for text; deeper ones are counted whole.
const MAX_SEARCH_DEPTH: u32 = 32;

/// Members whose value decides how a request is treated. Twice the same one is refused, and so is one in other
/// letters: which one counts differs between JSON readers, so that a provider might serve what was not routed,
/// limited or metered.
const ONCE: [&str; 3] = ["model", "stream", "stream_options"];

/// Names of the output cap: old chat and completions, chat, responses.
const MAX_OUTPUT: [&str; 3] = ["max_completion_tokens", "max_output_tokens", "max_tokens"];

/// Members that ask for several answers.
const CHOICES: [&str; 2] = ["n", "best_of"];

/// Members that hold text for the model.
const TEXT: [&str; 5] = ["messages", "input", "prompt", "system", "instructions"];

/// Members that offer tools: today's name and the first one.
const TOOLS: [&str; 2] = ["tools", "functions"];

/// Members of a content part that hold media instead of text, also Anthropic's.
const MEDIA: [&str; 5] = ["image_url", "input_audio", "file", "image", "source"];

/// Types of content parts that hold an image.
const IMAGE_PARTS: [&str; 3] = ["image_url", "input_image", "image"];

/// What a request says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestFacts {
    /// Model as asked; none if it is missing, empty or no string.
    pub model: Option<String>,
    /// Whether the client asked for a stream.
    pub stream: bool,
    /// The request's own cap on output tokens; the largest, if it names several.
    pub max_output: Option<u64>,
    /// Answers that it asks for at once: `n` or `best_of`; 0 where it says nothing.
    pub choices: u64,
    /// Estimated input tokens: bytes of text over 4, media not counted.
    pub input_tokens: u64,
    /// Whether it offers tools.
    pub tools: bool,
    /// Whether it holds images.
    pub images: bool,
}

impl RequestFacts {
    /// What conditions look at.
    #[must_use]
    pub const fn content(&self) -> Content {
        Content { input_tokens: self.input_tokens, tools: self.tools, images: self.images }
    }
}

/// Reads the whole of a JSON body.
///
/// # Errors
/// `invalid_json`, with the place.
pub fn scan(body: &[u8]) -> Result<RequestFacts, Refusal> {
    if body.trim_ascii().is_empty() {
        return Err(Refusal::new(Code::InvalidJson, "The body is empty; it must be a JSON object."));
    }
    let mut scan = Scan::default();
    let mut reader = Reader::new(body);
    let read = reader.object(|reader, key| scan.member(reader, key)).and_then(|()| reader.end());
    read.map_err(|error| Refusal::invalid_json(error, body))?;
    let tokens = scan.text_bytes.div_ceil(BYTES_PER_TOKEN);
    scan.facts.input_tokens = u64::try_from(tokens).unwrap_or(u64::MAX);
    Ok(scan.facts)
}

/// Reads the whole of a form: transcriptions, image edits and the like. Input tokens are not estimated.
///
/// # Errors
/// `invalid_json` if the form does not hold, or gives the model or the stream flag twice.
pub fn scan_form(body: &[u8], boundary: &str) -> Result<RequestFacts, Refusal> {
    let (mut model, mut stream) = (None, None);
    let fields = form::fields(body, boundary);
    let fields = fields.map_err(|error| unreadable_form(&error.to_string()))?;
    for (name, value) in fields {
        let value = value.of(body);
        let seen = match name.as_str() {
            "model" => model.replace(value).is_some(),
            "stream" => stream.replace(value).is_some(),
            _ => false,
        };
        if seen {
            return Err(unreadable_form(&format!("the form gives `{name}` twice")));
        }
    }
    let model = model.and_then(|model| std::str::from_utf8(model).ok()).filter(|model| !model.is_empty());
    let stream = stream.is_some_and(|stream| stream.eq_ignore_ascii_case(b"true"));
    Ok(RequestFacts { model: model.map(str::to_owned), stream, ..RequestFacts::default() })
}

fn unreadable_form(why: &str) -> Refusal {
    Refusal::new(Code::InvalidJson, format!("The body could not be read: {why}."))
}

#[derive(Default)]
struct Scan {
    facts: RequestFacts,
    text_bytes: usize,
    seen: [bool; ONCE.len()],
}

impl Scan {
    /// Reads a member of the body, or leaves it to be skipped.
    fn member(&mut self, reader: &mut Reader<'_>, key: Str<'_>) -> Result<(), Error> {
        self.once(key)?;
        let kind = reader.kind();
        if key.is("model") && kind == Some(Kind::String) {
            let model = reader.string()?.decode()?.into_owned();
            self.facts.model = (!model.is_empty()).then_some(model);
        } else if key.is("stream") && kind != Some(Kind::Null) {
            self.facts.stream = reader.bool()?;
        } else if is_one_of(key, &MAX_OUTPUT) && kind == Some(Kind::Number) {
            self.facts.max_output = self.facts.max_output.max(reader.number()?.as_u64());
        } else if is_one_of(key, &CHOICES) && kind == Some(Kind::Number) {
            self.facts.choices = self.facts.choices.max(reader.number()?.as_u64().unwrap_or(0));
        } else if is_one_of(key, &TEXT) {
            self.text(reader, MAX_SEARCH_DEPTH, true)?;
        } else if is_one_of(key, &TOOLS) && kind == Some(Kind::Array) {
            reader.array(|reader| {
                self.facts.tools = true;
                self.text(reader, MAX_SEARCH_DEPTH, false)
            })?;
        }
        Ok(())
    }

    /// Notes a key of [`ONCE`].
    fn once(&mut self, key: Str<'_>) -> Result<(), Error> {
        let Some((name, seen)) = ONCE.iter().zip(&mut self.seen).find(|(name, _)| key.is_like(name)) else {
            return Ok(());
        };
        let kind = if key.is(name) { ErrorKind::Duplicate } else { ErrorKind::Spelling(name) };
        if key.is(name) && !std::mem::replace(seen, true) {
            return Ok(());
        }
        Err(Error { offset: key.span.start, kind })
    }

    /// Counts the text in a value of any kind; in messages (`media`) also looks for images.
    fn text(&mut self, reader: &mut Reader<'_>, depth: u32, media: bool) -> Result<(), Error> {
        let inner = depth.saturating_sub(1);
        match reader.kind() {
            Some(Kind::Array) if depth > 0 => reader.array(|reader| self.text(reader, inner, media)),
            Some(Kind::Object) if depth > 0 => {
                reader.object(|reader, key| self.part(reader, key, inner, media))
            }
            Some(Kind::String) => {
                self.add(reader.string()?.raw.len());
                Ok(())
            }
            _ => {
                // a number may be a token's id, however short
                let length = reader.skip()?.len();
                self.add(length.max(BYTES_PER_TOKEN));
                Ok(())
            }
        }
    }

    /// A member of an object within the text.
    fn part(&mut self, reader: &mut Reader<'_>, key: Str<'_>, depth: u32, media: bool) -> Result<(), Error> {
        if media && is_one_of(key, &MEDIA) {
            self.facts.images |= key.is("image_url");
            return Ok(());
        }
        if media && key.is("type") && reader.kind() == Some(Kind::String) {
            self.facts.images |= is_one_of(reader.string()?, &IMAGE_PARTS);
            return Ok(());
        }
        if media && holds_data(key) && reader.kind() == Some(Kind::String) {
            let value = reader.string()?.raw;
            self.add(if value.starts_with(b"data:") { 0 } else { value.len() });
            return Ok(());
        }
        self.text(reader, depth, media)
    }

    fn add(&mut self, bytes: usize) {
        self.text_bytes = self.text_bytes.saturating_add(bytes);
    }
}

/// Whether a value that begins with `data:` is a file there: `file_data`, `video_url`. Anywhere else it is text, which
/// anybody can let begin so.
fn holds_data(key: Str<'_>) -> bool {
    [&b"url"[..], b"data"].iter().any(|end| key.raw.ends_with(end))
}

fn is_one_of(text: Str<'_>, names: &[&str]) -> bool {
    names.iter().any(|name| text.is(name))
}

#[cfg(test)]
mod tests;
