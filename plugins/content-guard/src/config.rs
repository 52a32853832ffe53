//! The plugin's JSON, as written ([`RawConfig`]) and as checked ([`Config`]).

mod check;

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sluice_core::config::Env;

pub use self::check::{Action, Check, Direction, RawCheck};
use crate::local::{Local, LocalCheck};
use crate::verdict::Categories;

/// Default of `max_body_bytes`: that of `gateway.yaml`'s `max_request_body`.
pub const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;

/// Default of `max_answer_bytes`: no model writes that much text.
pub const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// Less would hold no answer at all.
const MIN_ANSWER_BYTES: usize = 1024;

/// Default of `max_hold_ms`: a reader bears a second.
pub const MAX_HOLD_MS: u64 = 1_000;

/// Default of `window_chars`: a paragraph says what a text is about.
pub const WINDOW_CHARS: usize = 400;

/// What a client is told unless the operator says it otherwise.
pub const MESSAGE: &str = "This request cannot be answered.";

/// The configuration as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RawConfig {
    /// What becomes of text that cannot be checked.
    #[serde(default)]
    pub on_error: OnError,
    /// Longest request body that is checked, in bytes; a longer one is refused with 413.
    #[serde(default = "max_body_bytes")]
    pub max_body_bytes: usize,
    /// Longest answer that is checked as a whole, in bytes.
    #[serde(default = "max_answer_bytes")]
    pub max_answer_bytes: usize,
    /// How long text of a stream is held back at most, in milliseconds, but for the time that services take.
    #[serde(default = "max_hold_ms")]
    pub max_hold_ms: u64,
    /// How much text of a stream a service is shown at once, in characters.
    #[serde(default = "window_chars")]
    pub window_chars: usize,
    /// What is looked for; all that apply are run.
    pub checks: Vec<RawCheck>,
    /// What a client gets where a check blocks.
    #[serde(default)]
    pub refusal: Refusal,
}

fn max_body_bytes() -> usize {
    MAX_BODY_BYTES
}

fn max_answer_bytes() -> usize {
    MAX_ANSWER_BYTES
}

fn max_hold_ms() -> u64 {
    MAX_HOLD_MS
}

fn window_chars() -> usize {
    WINDOW_CHARS
}

/// What becomes of text that cannot be checked: a service does not answer, a body cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// It is withheld.
    #[default]
    Deny,
    /// It passes unchecked.
    Allow,
}

/// What a client gets where a check blocks.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Refusal {
    /// As an error or as an answer.
    #[serde(rename = "as")]
    pub form: Form,
    /// What it says.
    pub message: String,
}

impl Default for Refusal {
    fn default() -> Self {
        Self { form: Form::default(), message: MESSAGE.to_owned() }
    }
}

/// The form of a refusal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// 400 `content_policy_violation`; in a stream that has begun, an error event.
    #[default]
    Error,
    /// An answer like a model's, whose finish reason is `content_filter`.
    Completion,
}

/// The configuration in use, with what this worker knows of the services.
#[derive(Debug)]
pub struct Config {
    /// What becomes of text that cannot be checked.
    pub on_error: OnError,
    /// Longest request body that is checked, in bytes.
    pub max_body_bytes: usize,
    /// Longest answer that is checked as a whole, in bytes.
    pub max_answer_bytes: usize,
    /// How long text of a stream is held back at most, in milliseconds.
    pub max_hold_ms: u64,
    /// How much text of a stream a service is shown at once, in characters.
    pub window_chars: usize,
    /// In the order of the configuration.
    pub checks: Vec<Check>,
    /// The local ones among them, compiled.
    pub local: Local,
    /// What a client gets where a check blocks.
    pub refusal: Refusal,
    pub(crate) categories: RefCell<Categories>,
}

impl Config {
    /// Checks `raw` and reads the services' keys.
    ///
    /// # Errors
    /// The first part that does not hold, as `path: what is wrong`; never a key.
    pub fn check(raw: RawConfig, env: &Env<'_>) -> Result<Self, String> {
        if raw.checks.is_empty() {
            return Err("checks: must hold at least one check".to_owned());
        }
        if raw.max_body_bytes == 0 {
            return Err("max_body_bytes: must be at least 1".to_owned());
        }
        if raw.max_answer_bytes < MIN_ANSWER_BYTES {
            return Err(format!("max_answer_bytes: must be at least {MIN_ANSWER_BYTES}"));
        }
        if !(50..=10_000).contains(&raw.window_chars) {
            return Err("window_chars: must be from 50 to 10000".to_owned());
        }
        if !(10..=30_000).contains(&raw.max_hold_ms) {
            return Err("max_hold_ms: must be from 10 to 30000".to_owned());
        }
        if raw.refusal.message.is_empty() || raw.refusal.message.len() > 4096 {
            return Err("refusal.message: must be 1 to 4096 bytes long".to_owned());
        }
        let (mut checks, mut rules, mut names) = (Vec::new(), Vec::new(), BTreeSet::new());
        for (index, raw) in raw.checks.into_iter().enumerate() {
            let (check, rule) = check::check(raw, env).map_err(|error| format!("checks[{index}].{error}"))?;
            if !names.insert(check.name.to_ascii_lowercase()) {
                return Err(format!("checks[{index}].name: stands twice"));
            }
            rules.extend(rule.map(|rule| LocalCheck { check: index, rule }));
            checks.push(check);
        }
        let local = Local::new(rules).map_err(|error| error.to_string())?;
        Ok(Self {
            on_error: raw.on_error,
            max_body_bytes: raw.max_body_bytes,
            max_answer_bytes: raw.max_answer_bytes,
            max_hold_ms: raw.max_hold_ms,
            window_chars: raw.window_chars,
            checks,
            local,
            refusal: raw.refusal,
            categories: RefCell::default(),
        })
    }
}

#[cfg(test)]
mod tests;
