//! Section `guard`: what may go to a model and come back.

mod finder;
mod reader;
mod service;

use std::collections::BTreeMap;
use std::time::Duration;

pub(super) use finder::folded;
pub(super) use reader::read;

use sluice_core::detect::Detector;

use super::When;
use super::address::{Endpoint, Scheme};
use super::secret::Secret;

/// What is looked at, and what then happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// What happens to a text that could not be checked.
    pub on_error: Failure,
    /// Longest time that text of a stream is held back.
    pub max_hold: Duration,
    /// In the order of the file; at least one.
    pub checks: Vec<Check>,
    /// What the client gets where a check blocks.
    pub refusal: Refusal,
}

/// What happens to a text that could not be checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Failure {
    /// It does not pass.
    #[default]
    Deny,
    /// It passes.
    Allow,
}

impl Failure {
    const NAMES: [(&str, Self); 2] = [("deny", Self::Deny), ("allow", Self::Allow)];

    /// The name in gateway.yaml and in content-guard's configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(_, mode)| *mode == self).map_or("", |(name, _)| name)
    }
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name in records, metrics and placeholders: 1 to 64 letters, digits, `-` and `_`; unique, whatever the case.
    pub name: String,
    /// Requests are looked at. At least one of the two is.
    pub requests: bool,
    /// Answers are looked at.
    pub responses: bool,
    /// Globs, of which the model as asked, with or without the prefix that its rule takes off, must match one; empty:
    /// every model.
    pub models: Vec<String>,
    /// What else must hold.
    pub when: When,
    /// What is looked for.
    pub finder: Finder,
    /// What happens to what is found.
    pub action: Action,
}

/// What happens to what is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    /// The request or the answer ends.
    #[default]
    Block,
    /// It is replaced.
    Mask,
    /// It is only recorded.
    Log,
}

impl Action {
    const NAMES: [(&str, Self); 3] = [("block", Self::Block), ("mask", Self::Mask), ("log", Self::Log)];

    /// The name in gateway.yaml and in content-guard's configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(_, action)| *action == self).map_or("", |(name, _)| name)
    }
}

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finder {
    /// Words and phrases; at least one, no two alike.
    Keywords {
        /// In the order of the file.
        words: Vec<String>,
        /// Only where they are no part of a longer word.
        whole_words: bool,
    },
    /// Regular expressions; at least one, none of which matches nothing.
    Regex(Vec<String>),
    /// Built-in detectors; at least one, each once.
    Detect(Vec<Detector>),
    /// What a service says.
    Service(Box<Service>),
}

/// A moderation service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// Where it is.
    pub endpoint: Endpoint,
    /// What is asked for there: `/…`, with the query if there is one.
    pub path: String,
    /// What it speaks.
    pub protocol: Contract,
    /// Longest wait for a verdict.
    pub timeout: Duration,
    /// Sent as `authorization: Bearer`.
    pub key: Option<Secret>,
    /// Headers added to every call, names in lower case. A value may be a secret, but none of the environment.
    pub headers: BTreeMap<String, Secret>,
    /// Model that a service of [`Contract::Openai`] is asked for; `None`: its default.
    pub model: Option<String>,
    /// Least risk that counts; `None`: what the service itself flags.
    pub min_risk: Option<Risk>,
}

/// What a moderation service speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Contract {
    /// OpenAI's moderations.
    #[default]
    Openai,
    /// One text a call, as `docs/plugins/content-guard.md` says.
    Generic,
}

impl Contract {
    const NAMES: [(&str, Self); 2] = [("openai", Self::Openai), ("generic", Self::Generic)];

    /// The name in gateway.yaml and in content-guard's configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(_, contract)| *contract == self).map_or("", |(name, _)| name)
    }
}

/// How sure a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Risk {
    /// Hardly.
    Low,
    /// Rather.
    Medium,
    /// Very.
    High,
}

impl Risk {
    const NAMES: [(&str, Self); 3] = [("low", Self::Low), ("medium", Self::Medium), ("high", Self::High)];

    /// The name in gateway.yaml and in content-guard's configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(_, risk)| *risk == self).map_or("", |(name, _)| name)
    }
}

/// What the client gets where a check blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its form.
    pub form: Form,
    /// What it says, in one line of at most 500 characters.
    pub message: String,
}

impl Default for Refusal {
    fn default() -> Self {
        Self { form: Form::Error, message: "This request cannot be answered.".to_owned() }
    }
}

/// The form of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// 400 `content_policy_violation`.
    Error,
    /// An answer that ends with `content_filter`.
    Completion,
}

impl Form {
    const NAMES: [(&str, Self); 2] = [("error", Self::Error), ("completion", Self::Completion)];

    /// The name in gateway.yaml and in content-guard's configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(_, form)| *form == self).map_or("", |(name, _)| name)
    }
}

impl Guard {
    /// The services that are asked, each with the name of its check.
    pub fn services(&self) -> impl Iterator<Item = (&str, &Service)> {
        self.checks.iter().filter_map(|check| match &check.finder {
            Finder::Service(service) => Some((check.name.as_str(), &**service)),
            _ => None,
        })
    }
}

impl Service {
    /// Every secret that is sent to it: its key, and the values of its headers.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.key.iter().chain(self.headers.values())
    }
}
