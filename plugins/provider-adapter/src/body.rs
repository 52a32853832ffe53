//! Writes a JSON request for its provider: the model's name, and usage asked for in streams.

use sluice_core::json::{Edit, Error, Kind, Reader, Span, Str, opening, splice};
use sluice_core::openai::Operation;
use sluice_core::order;

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
    let asks = request.options.last().is_some_and(|options| options.asks == Some(true));
    let forced_usage = streams && !asks;

    let mut edits = Edits::default();
    if let Some(model) = model {
        request.name_model(model, &mut edits);
    }
    if streams {
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
struct Options {
    /// Its value.
    span: Span,
    is_object: bool,
    /// The last `include_usage` in it, if there is one, is true.
    asks: Option<bool>,
    /// Values of `include_usage` that are not true, by whatever case of letters.
    declines: Vec<Span>,
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
        for Options { span, is_object, asks, declines } in &self.options {
            if !is_object {
                edits.replace(*span, r#"{"include_usage":true}"#.to_owned());
            } else if asks.is_none() {
                edits.insert_into(body, *span, r#""include_usage":true"#);
            }
            declines.iter().for_each(|span| edits.replace(*span, "true".to_owned()));
        }
    }
}

impl Options {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let (mut asks, mut declines) = (None, Vec::new());
        let is_object = reader.kind() == Some(Kind::Object);
        let start = reader.position();
        if is_object {
            reader.object(|reader, key| {
                if key.is_like("include_usage") {
                    let is_true = reader.clone().bool() == Ok(true);
                    let span = reader.skip()?;
                    declines.extend((!is_true).then_some(span));
                    asks = if key.is("include_usage") { Some(is_true) } else { asks };
                }
                Ok(())
            })?;
        } else {
            reader.skip()?;
        }
        Ok(Self { span: Span { start, end: reader.position() }, is_object, asks, declines })
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
        order::by_place(&mut self.spans, |(span, _)| (span.start, 0));
        let edits = self.spans.iter().map(|(span, with)| Edit { span: *span, with: with.as_bytes() });
        let edits: Vec<_> = edits.collect();
        (!edits.is_empty()).then(|| splice(body, &edits))
    }
}

#[cfg(test)]
mod tests;
