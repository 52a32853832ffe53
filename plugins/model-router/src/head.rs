//! What a request's headers ask for.

use percent_encoding::percent_decode_str;
use sluice_core::content::RequestBody;
use sluice_core::filter::Headers;
use sluice_core::openai::error::Code;

use crate::refusal::Refusal;

/// What to do with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// `GET /v1/models`
    ListModels,
    /// `GET /v1/models/{model}`
    RetrieveModel(String),
    /// `GET /v1/limits`, for a request to this model with about so many input tokens.
    ShowLimits(Option<String>, u64),
    /// Read its body, then route it.
    Route(Shape),
}

/// Form of a body that names a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// One JSON object.
    Json,
    /// `multipart/form-data`, with its boundary.
    Form(String),
}

/// Tells what to do.
///
/// # Errors
/// An unknown endpoint, or a body that cannot be read.
pub(crate) fn read(headers: &Headers) -> Result<Call, Refusal> {
    let (method, path) = (headers.text(":method").unwrap_or_default(), path(headers));
    if method != "POST" {
        let readable = matches!(method, "GET" | "HEAD");
        let call = readable.then(|| models(path).or_else(|| limits(headers, path))).flatten();
        return call.ok_or_else(|| Refusal::not_found(method, path));
    }
    if is_ambiguous(path) {
        return Err(Refusal::not_found(method, path));
    }
    shape(headers).map(Call::Route)
}

/// Whether servers differ in what `path` means: a segment of it is `.` or `..`, be it encoded, padded or followed by
/// parameters (`..;a=b`), or holds a slash, a backslash, a control character or what is encoded twice. The provider
/// might take it for another operation than the one that is metered and that the caller may use.
fn is_ambiguous(path: &str) -> bool {
    if !path.contains(['%', '\\', '.']) {
        return false; // as good as every path
    }
    path.split(['/', '\\']).any(|segment| {
        let Ok(text) = percent_decode_str(segment).decode_utf8() else { return true };
        let name = text.split(';').next().unwrap_or_default().trim();
        matches!(name, "." | "..") || text.contains(|char: char| "/\\%".contains(char) || char.is_control())
    })
}

/// Model named by the path, Azure's way: `/openai/deployments/{model}/chat/completions`
/// (<https://learn.microsoft.com/azure/ai-services/openai/reference>).
pub(crate) fn path_model(headers: &Headers) -> Option<String> {
    let (_, after) = path(headers).split_once("/openai/deployments/")?;
    let (model, _) = after.split_once('/')?;
    decoded(model)
}

/// Path without its query.
fn path(headers: &Headers) -> &str {
    headers.text(":path").and_then(|path| path.split(['?', '#']).next()).unwrap_or_default()
}

fn models(path: &str) -> Option<Call> {
    let path = path.strip_prefix("/v1").unwrap_or(path);
    match path.strip_prefix("/models")?.trim_end_matches('/') {
        "" => Some(Call::ListModels),
        rest => decoded(rest.strip_prefix('/')?).map(Call::RetrieveModel),
    }
}

/// The model and the input tokens stand in the query: `?model=gpt-4o&input_tokens=1200`.
fn limits(headers: &Headers, path: &str) -> Option<Call> {
    if !matches!(path, "/v1/limits" | "/limits") {
        return None;
    }
    let query = headers.text(":path").and_then(|path| path.split_once('?')).map_or("", |(_, query)| query);
    let find = |wanted: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| *name == wanted).and_then(|(_, value)| decoded(value))
    };
    let tokens = find("input_tokens").and_then(|tokens| tokens.parse().ok()).unwrap_or(0);
    Some(Call::ShowLimits(find("model"), tokens))
}

fn decoded(segment: &str) -> Option<String> {
    let text = percent_decode_str(segment).decode_utf8().ok()?;
    (!text.is_empty()).then(|| text.into_owned())
}

fn shape(headers: &Headers) -> Result<Shape, Refusal> {
    let message = match RequestBody::of(headers) {
        RequestBody::Json => return Ok(Shape::Json),
        RequestBody::Form(boundary) => return Ok(Shape::Form(boundary)),
        RequestBody::Unread => "A compressed body cannot be read here; send it without content-encoding.",
        RequestBody::Other => {
            "The content-type must be application/json, or multipart/form-data with its boundary."
        }
    };
    Err(Refusal::new(Code::UnsupportedContentType, message))
}
