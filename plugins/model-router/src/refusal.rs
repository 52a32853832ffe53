//! Why a request is answered here instead of being sent on.

use sluice_core::context;
use sluice_core::filter::{Host, Next};
use sluice_core::json;
use sluice_core::openai::error::{Code, LocalReply};

/// Characters of a model that an error repeats.
const SHOWN_CHARS: usize = 200;

/// An error to answer with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its code, which brings the status.
    pub code: Code,
    /// The request's member at fault.
    pub param: Option<&'static str>,
    /// For whoever wrote the client.
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, param: None, message: message.into() }
    }

    pub(crate) fn invalid_json(error: json::Error, body: &[u8]) -> Self {
        Self::new(Code::InvalidJson, format!("The body could not be read: {}.", error.at(body)))
    }

    pub(crate) fn missing_model() -> Self {
        let message = "You must name a model: `model` must be a string and not empty.";
        Self { param: Some("model"), ..Self::new(Code::MissingModel, message) }
    }

    pub(crate) fn not_found(method: &str, path: &str) -> Self {
        let path: String = path.chars().take(SHOWN_CHARS).collect();
        Self::new(Code::NotFound, format!("There is no endpoint {method} {path}."))
    }

    pub(crate) fn model_not_found(model: &str) -> Self {
        let message = format!("The model `{}` does not exist or you do not have access to it.", shown(model));
        Self { param: Some("model"), ..Self::new(Code::ModelNotFound, message) }
    }

    pub(crate) fn model_not_allowed(model: &str) -> Self {
        let message = format!("This API key may not use the model `{}`.", shown(model));
        Self { param: Some("model"), ..Self::new(Code::ModelNotAllowed, message) }
    }

    /// Answers the client and tells the log why.
    pub(crate) fn reply(&self, host: &mut dyn Host) -> Next {
        context::ERROR.set(host, self.code.name());
        Next::Reply(LocalReply::error(self.code, self.param, &self.message))
    }
}

/// The beginning of a model's name.
fn shown(model: &str) -> String {
    let mut shown: String = model.chars().take(SHOWN_CHARS).collect();
    if shown.len() < model.len() {
        shown.push('…');
    }
    shown
}
