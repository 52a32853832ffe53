//! One check, as written ([`RawCheck`]) and as checked ([`Check`]).

use serde::{Deserialize, Serialize};
use sluice_core::config::{Env, shown};
use sluice_core::detect::Detector;
use sluice_core::glob::GlobSet;
use sluice_core::when::{RawWhen, When};

use crate::local::LocalRule;
use crate::services::{Protocol, RawService, Risk, Service};

/// One check as written. Exactly one of `keywords`, `regex`, `detect` and `service` is given.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawCheck {
    /// Its name, in records, metrics and placeholders.
    pub name: String,
    /// Which way it looks; left out: both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on: Option<Vec<Direction>>,
    /// Globs on the model as asked, with or without the prefix that its rule takes off; none: every model.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// Conditions; all must hold.
    pub when: RawWhen,
    /// What happens to what is found.
    pub action: Action,
    /// Words and phrases, whatever their case and width.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keywords: Option<Vec<String>>,
    /// Keywords count only where they are no part of a longer word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whole_words: Option<bool>,
    /// Regular expressions (<https://docs.rs/regex/latest/regex/#syntax>).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<Vec<String>>,
    /// Built-in detectors by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detect: Option<Vec<Detector>>,
    /// A moderation service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<RawService>,
    /// Least risk, in the service's words, that counts; left out: whatever the service objects to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_risk: Option<Risk>,
}

/// What happens to what a check finds; a later one does more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is only recorded.
    Log,
    /// It is replaced.
    Mask,
    /// The request or the answer ends.
    #[default]
    Block,
}

impl Action {
    /// Its name in records and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Mask => "mask",
            Self::Block => "block",
        }
    }
}

/// Which way text goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// To the model.
    Request,
    /// From it.
    Response,
}

impl Direction {
    /// Its name in records and for services.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Response => "response",
        }
    }
}

/// One check.
#[derive(Debug)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// Which way it looks.
    pub on: Vec<Direction>,
    /// Globs on the model as asked, with or without the prefix that its rule takes off; `None`: every model.
    pub models: Option<GlobSet>,
    /// Conditions; all must hold.
    pub when: When,
    /// What happens to what is found.
    pub action: Action,
    /// Who is asked; `None`: what is looked for is in [`super::Config::local`].
    pub service: Option<Service>,
}

/// What to look for: here, or at a service.
enum Finder {
    Local(LocalRule),
    Service(Service),
}

pub(super) fn check(raw: RawCheck, env: &Env<'_>) -> Result<(Check, Option<LocalRule>), String> {
    check_name(&raw.name)?;
    let on = raw.on.clone().unwrap_or_else(|| vec![Direction::Request, Direction::Response]);
    if on.is_empty() {
        return Err("on: must name request, response or both".to_owned());
    }
    let models = match raw.models.as_slice() {
        [] => None,
        globs => Some(GlobSet::parse(globs).map_err(|(index, error)| format!("models[{index}]: {error}"))?),
    };
    let when = When::try_from(raw.when.clone()).map_err(|error| format!("when.{error}"))?;
    let (name, action) = (raw.name.clone(), raw.action);
    let (service, rule) = match finder(raw, env)? {
        Finder::Local(rule) => (None, Some(rule)),
        Finder::Service(service) => (Some(service), None),
    };
    Ok((Check { name, on, models, when, action, service }, rule))
}

/// Names stand in metrics, logs and placeholders.
fn check_name(name: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if (1..=64).contains(&name.len()) && name.bytes().all(plain) {
        return Ok(());
    }
    Err("name: must be 1 to 64 letters, digits, `_` or `-`".to_owned())
}

fn finder(raw: RawCheck, env: &Env<'_>) -> Result<Finder, String> {
    if raw.whole_words.is_some() && raw.keywords.is_none() {
        return Err("whole_words: has no effect without keywords".to_owned());
    }
    if raw.min_risk.is_some() && raw.service.is_none() {
        return Err("min_risk: has no effect without a service".to_owned());
    }
    let whole_words = raw.whole_words.unwrap_or(false);
    match (raw.keywords, raw.regex, raw.detect, raw.service) {
        (Some(words), None, None, None) if words.is_empty() => Err(none("keywords")),
        (None, Some(expressions), None, None) if expressions.is_empty() => Err(none("regex")),
        (None, None, Some(detectors), None) if detectors.is_empty() => Err(none("detect")),
        (Some(words), None, None, None) => Ok(Finder::Local(LocalRule::Keywords { words, whole_words })),
        (None, Some(expressions), None, None) => Ok(Finder::Local(LocalRule::Regex(expressions))),
        (None, None, Some(detectors), None) => Ok(Finder::Local(LocalRule::Detect(detectors))),
        (None, None, None, Some(service))
            if (raw.action, service.protocol) == (Action::Mask, Protocol::Openai) =>
        {
            Err("action: mask needs protocol generic, for openai does not say what to replace".to_owned())
        }
        (None, None, None, Some(service)) => Ok(Finder::Service(
            Service::check(service, raw.min_risk, env).map_err(|error| format!("service.{error}"))?,
        )),
        _ => {
            let name = shown(&raw.name);
            Err(format!("{name}: exactly one of keywords, regex, detect, service is needed"))
        }
    }
}

fn none(member: &str) -> String {
    format!("{member}: must not be empty")
}
