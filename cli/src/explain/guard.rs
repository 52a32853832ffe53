//! Which checks look at a request and its answer: the conditions that content-guard is told, judged as it does.

use model_router::config::Rule;
use model_router::rules::base_model;
use serde_json::Value;
use sluice_core::glob::GlobSet;
use sluice_core::when::{Caller, Content, RawWhen, When};

use super::Question;

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
    pub on: Vec<String>,
    /// What it looks for: `keywords`, `regex`, `detect` or `service`.
    pub by: &'static str,
    /// What happens to what it finds: `block`, `mask` or `log`.
    pub action: String,
}

/// What each check makes of `question`, in the order of the file. `config` is content-guard's JSON, `rule` the one that
/// serves.
///
/// # Errors
/// The JSON is none that content-guard takes: a fault of this program.
pub(super) fn look(
    config: &Value,
    question: &Question,
    caller: &Caller<'_>,
    rule: Option<&Rule>,
) -> Result<Vec<Check>, String> {
    let checks = config.get("checks").and_then(Value::as_array).into_iter().flatten();
    checks.enumerate().map(|(at, check)| one(at, check, question, caller, rule)).collect()
}

fn one(
    at: usize,
    check: &Value,
    question: &Question,
    caller: &Caller<'_>,
    rule: Option<&Rule>,
) -> Result<Check, String> {
    let text = |name: &str| check.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let by = ["keywords", "regex", "detect", "service"].into_iter().find(|by| check.get(by).is_some());
    Ok(Check {
        check: format!("guard.checks[{at}]"),
        name: text("name"),
        outside: outside(check, question, caller, rule).map_err(|why| format!("guard.checks[{at}].{why}"))?,
        on: texts(check, "on"),
        by: by.unwrap_or_default(),
        action: text("action"),
    })
}

fn texts(check: &Value, name: &str) -> Vec<String> {
    let items = check.get(name).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn outside(
    check: &Value,
    question: &Question,
    caller: &Caller<'_>,
    rule: Option<&Rule>,
) -> Result<Option<String>, String> {
    let globs = texts(check, "models");
    let models = GlobSet::parse(&globs).map_err(|(at, error)| format!("models[{at}]: {error}"))?;
    let as_sent = rule.map(|rule| base_model(rule, &question.model));
    let matches = models.matches(&question.model) || as_sent.is_some_and(|model| models.matches(model));
    if !globs.is_empty() && !matches {
        return Ok(Some("no glob in `models` matches the model".to_owned()));
    }
    let when = check.get("when").cloned().map_or(Ok(RawWhen::default()), serde_json::from_value);
    let when = When::try_from(when.map_err(|error| format!("when: {error}"))?)?;
    let content =
        Content { input_tokens: question.input_tokens, tools: question.tools, images: question.images };
    Ok(when.unmet(caller, &content).map(|unmet| unmet.to_string()))
}
