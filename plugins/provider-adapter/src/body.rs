//! Writes a JSON request for its provider: the model's name, and usage asked for in streams.

use sluice_core::json::{Edit, Error, Kind, Reader, Span, Str, opening, splice};
use sluice_core::openai::Operation;

/// What became of a request body.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rewritten {
    /// The new body; none if the old one stays as it is.
    pub(crate) body: Option<Vec<u8>>,
    /// The model as the client named it, if it did.
    pub(crate) model: Option<String>,
    /// Usage will be in the stream though the client did not ask for it.
    pub(crate) forced_usage: bool,
}

/// Puts `model`, if any, into every top-level `model` member of `body`, or into a new one at the start, and asks
/// for usage if it is a stream of chat or text completions. Every other byte stays. `None` if `body` is not one
/// JSON object.
///
/// <https://platform.openai.com/docs/api-reference/chat/create#chat-create-stream_options>
pub(crate) fn rewrite(body: &[u8], operation: Operation, model: Option<&str>) -> Option<Rewritten> {
    let request = Request::scan(body).ok()?;
    let streams = request.stream && matches!(operation, Operation::Chat | Operation::TextCompletion);
    let forced_usage = streams && request.options.last() != Some(&Options::Asking);

    let mut edits = Edits::default();
    if let Some(model) = model {
        request.name_model(model, &mut edits);
    }
    if forced_usage {
        request.ask_for_usage(body, &mut edits);
    }
    let model = request.models.last().and_then(|(_, name)| Some(name.as_ref()?.decode().ok()?.into_owned()));
    Some(Rewritten { body: edits.apply(body), model, forced_usage })
}

/// Where what matters stands in a request. Members may repeat; readers differ in which one they believe.
#[derive(Default)]
struct Request<'a> {
    models: Vec<(Span, Option<Str<'a>>)>,
    stream: bool,
    options: Vec<Options>,
}

/// One `stream_options` member.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Options {
    /// `include_usage` is true.
    Asking,
    /// `include_usage` has this other value.
    Declining(Span),
    /// An object without `include_usage`.
    Silent(Span),
    /// No object at all.
    Other(Span),
}

impl<'a> Request<'a> {
    fn scan(body: &'a [u8]) -> Result<Self, Error> {
        let mut request = Self::default();
        let mut reader = Reader::new(body);
        reader.object(|reader, key| {
            if key.is("model") {
                let name = if reader.kind() == Some(Kind::String) { Some(reader.string()?) } else { None };
                let span = name.map_or_else(|| reader.skip(), |name| Ok(name.span))?;
                request.models.push((span, name));
            } else if key.is("stream") {
                request.stream = reader.kind() == Some(Kind::Bool) && reader.bool()?;
            } else if key.is("stream_options") {
                request.options.push(Options::read(reader)?);
            }
            Ok(())
        })?;
        reader.end()?;
        Ok(request)
    }

    fn name_model(&self, model: &str, edits: &mut Edits) {
        let name = serde_json::Value::from(model).to_string();
        if self.models.is_empty() {
            edits.insert(format!(r#""model":{name}"#));
        }
        let same = |name: &Option<Str<'_>>| name.is_some_and(|name| name.is(model));
        let others = self.models.iter().filter(|(_, name)| !same(name));
        others.for_each(|(span, _)| edits.replace(*span, name.clone()));
    }

    fn ask_for_usage(&self, body: &[u8], edits: &mut Edits) {
        if self.options.is_empty() {
            edits.insert(r#""stream_options":{"include_usage":true}"#.to_owned());
        }
        for options in &self.options {
            match *options {
                Options::Asking => {}
                Options::Declining(value) => edits.replace(value, "true".to_owned()),
                Options::Other(value) => edits.replace(value, r#"{"include_usage":true}"#.to_owned()),
                Options::Silent(object) => edits.insert_into(body, object, r#""include_usage":true"#),
            }
        }
    }
}

impl Options {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        if reader.kind() != Some(Kind::Object) {
            return Ok(Self::Other(reader.skip()?));
        }
        let start = reader.position();
        let mut declines = None;
        let mut asks = false;
        reader.object(|reader, key| {
            if key.is("include_usage") {
                let mut value = reader.clone();
                asks = value.kind() == Some(Kind::Bool) && value.bool()?;
                declines = Some(reader.skip()?);
            }
            Ok(())
        })?;
        let object = Span { start, end: reader.position() };
        Ok(match declines {
            Some(_) if asks => Self::Asking,
            Some(value) => Self::Declining(value),
            None => Self::Silent(object),
        })
    }
}

/// Changes to make, gathered in any order.
#[derive(Default)]
struct Edits {
    /// Members to put at the document's start.
    members: Vec<String>,
    spans: Vec<(Span, String)>,
}

impl Edits {
    fn insert(&mut self, member: String) {
        self.members.push(member);
    }

    fn replace(&mut self, span: Span, with: String) {
        self.spans.push((span, with));
    }

    /// Puts `members` at the start of the object at `object`.
    fn insert_into(&mut self, body: &[u8], object: Span, members: &str) {
        if let Some((span, more)) = opening(body, object) {
            self.replace(span, format!("{members}{}", if more { "," } else { "" }));
        }
    }

    /// The new body; none without a change.
    fn apply(mut self, body: &[u8]) -> Option<Vec<u8>> {
        if !self.members.is_empty() {
            let members = self.members.join(",");
            let start = body.iter().position(|byte| *byte == b'{').unwrap_or_default();
            self.insert_into(body, Span { start, end: body.len() }, &members);
        }
        self.spans.sort_by_key(|(span, _)| span.start);
        let edits = self.spans.iter().map(|(span, with)| Edit { span: *span, with: with.as_bytes() });
        let edits: Vec<_> = edits.collect();
        (!edits.is_empty()).then(|| splice(body, &edits))
    }
}

#[cfg(test)]
mod tests;
