//! Which checks look at a request and its answer: content-guard's own configuration.

use content_guard::Config;
use content_guard::config::Check as Checked;
use model_router::config::Rule;
use model_router::rules::base_model;
use sluice_core::when::{Caller, Content};

use super::Question;
use crate::gateway::{Finder, Guard};

/// A check, and whether it looks at the request or its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// `guard.checks[0]`.
    pub check: String,
    /// Its name.
    pub name: String,
    /// Why it does not apply; `None`: it does.
    pub outside: Option<String>,
    /// What it looks at: `request`, `response` or both.
    pub on: Vec<&'static str>,
    /// What it looks for: `keywords`, `regex`, `detect` or `service`.
    pub by: &'static str,
    /// What happens to what it finds: `block`, `mask` or `log`.
    pub action: &'static str,
}

/// What each check makes of `question`, in the order of the file. `rule` is the one that serves.
pub(super) fn look(
    config: &Config,
    guard: &Guard,
    question: &Question,
    caller: &Caller<'_>,
    rule: Option<&Rule>,
) -> Vec<Check> {
    let one = |(at, (check, own)): (usize, (&Checked, &crate::gateway::Check))| Check {
        check: format!("guard.checks[{at}]"),
        name: check.name.clone(),
        outside: outside(check, question, caller, rule),
        on: check.on.iter().map(|direction| direction.name()).collect(),
        by: by(&own.finder),
        action: check.action.name(),
    };
    config.checks.iter().zip(&guard.checks).enumerate().map(one).collect()
}

fn by(finder: &Finder) -> &'static str {
    match finder {
        Finder::Keywords { .. } => "keywords",
        Finder::Regex(_) => "regex",
        Finder::Detect(_) => "detect",
        Finder::Service(_) => "service",
    }
}

fn outside(check: &Checked, question: &Question, caller: &Caller<'_>, rule: Option<&Rule>) -> Option<String> {
    let matches = |model: &str| check.models.as_ref().is_none_or(|globs| globs.matches(model));
    let as_sent = || rule.is_some_and(|rule| matches(base_model(rule, &question.model)));
    if !matches(&question.model) && !as_sent() {
        return Some("no glob in `models` matches the model".to_owned());
    }
    let content =
        Content { input_tokens: question.input_tokens, tools: question.tools, images: question.images };
    check.when.unmet(caller, &content).map(|unmet| unmet.to_string())
}
