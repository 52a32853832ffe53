//! What is told from the headers of a request.

use std::borrow::Cow;
use std::rc::Rc;

use sluice_core::context;
use sluice_core::filter::{Headers, Host};
use sluice_core::meter::Expected;
use sluice_core::openai::Operation;

use crate::object::{MAX_TEXT, clip};

/// Longest path, in bytes: longer ones are somebody's scan.
const MAX_PATH: usize = 512;

/// A request by its headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// When they came, in microseconds since the epoch.
    pub(crate) started_us: u64,
    /// Its method.
    pub(crate) method: String,
    /// Its path without the query, which may hold a key (`?key=…`).
    pub(crate) path: String,
    /// What it asks for, by its path.
    pub(crate) operation: Operation,
    /// Its `x-request-id`.
    pub(crate) request_id: String,
    /// The values of those headers that are recorded.
    pub(crate) headers: Vec<(Rc<str>, String)>,
}

impl Asked {
    /// Reads the headers; those called `recorded` are kept.
    pub(crate) fn new(headers: &Headers, recorded: &[Rc<str>], started_us: u64) -> Self {
        let read = |name: &str| {
            let text = headers.text(name).map(Cow::Borrowed);
            text.or_else(|| headers.get(name).map(String::from_utf8_lossy))
        };
        let clipped = |name: &str| read(name).map(|text| clip(&text, MAX_TEXT).to_owned());
        let text = |name| clipped(name).unwrap_or_default();
        let path = read(":path").unwrap_or_default();
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let kept = |name: &Rc<str>| Some((Rc::clone(name), clipped(name)?));
        Self {
            started_us,
            method: text(":method"),
            operation: Operation::of_path(path),
            path: clip(path, MAX_PATH).to_owned(),
            request_id: text("x-request-id"),
            headers: recorded.iter().filter_map(kept).collect(),
        }
    }

    /// When the headers came, in milliseconds since the epoch.
    pub(crate) const fn started_ms(&self) -> u64 {
        self.started_us / 1_000
    }

    /// Whether it may ask a model.
    pub(crate) fn is_post(&self) -> bool {
        self.method == "POST"
    }

    /// What its answer will be.
    pub(crate) fn expected(&self, host: &dyn Host) -> Expected {
        Expected {
            operation: self.operation,
            strip: false,
            began_ms: self.started_ms(),
            input_estimate: context::INPUT_ESTIMATE.number(host).unwrap_or(0),
        }
    }
}
