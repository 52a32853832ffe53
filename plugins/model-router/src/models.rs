//! `GET /v1/models`: the models that this caller may ask for.
//!
//! Shape: <https://platform.openai.com/docs/api-reference/models/list>

use serde_json::{Value, json};
use sluice_core::context::ALLOWED_MODELS;
use sluice_core::filter::Host;
use sluice_core::glob::Glob;
use sluice_core::when::Caller;

use crate::config::{Config, Rule};

/// Models that a caller may ask for.
#[derive(Debug)]
pub enum Allowed {
    /// Every model.
    All,
    /// Those that match.
    Only(Glob),
    /// None, as the fact cannot be read.
    Nothing,
}

impl Allowed {
    /// Reads `globs` joined by commas; `None`: all.
    #[must_use]
    pub fn new(globs: Option<&str>) -> Self {
        // within braces, commas separate globs, and braces of their own still nest
        let parse = |globs: &str| format!("{{{globs}}}").parse();
        globs.map_or(Self::All, |globs| parse(globs).map_or(Self::Nothing, Self::Only))
    }

    /// Reads the caller's fact.
    pub(crate) fn of(host: &dyn Host) -> Self {
        Self::new(ALLOWED_MODELS.get(host).as_deref())
    }

    /// Whether `model` is among them.
    #[must_use]
    pub fn has(&self, model: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(globs) => globs.matches(model),
            Self::Nothing => false,
        }
    }
}

/// The list's body: each model that a rule spells out, in the order of the rules. Models that only a wildcard
/// matches cannot be listed.
pub(crate) fn list(config: &Config, caller: &Caller<'_>, allowed: &Allowed) -> String {
    let mut names: Vec<String> = Vec::new();
    let globs = open_rules(config, caller).flat_map(|rule| rule.models.iter());
    for name in globs.filter_map(Glob::literals).flatten() {
        if allowed.has(&name) && !names.contains(&name) {
            names.push(name);
        }
    }
    let data: Vec<Value> = names.iter().map(|name| object(name)).collect();
    json!({"object": "list", "data": data}).to_string()
}

/// One model's body, if a rule would take it, also by a wildcard.
pub(crate) fn retrieve(
    config: &Config,
    model: &str,
    caller: &Caller<'_>,
    allowed: &Allowed,
) -> Option<String> {
    let found = allowed.has(model) && open_rules(config, caller).any(|rule| rule.models.matches(model));
    found.then(|| object(model).to_string())
}

/// Rules whose conditions on the caller hold.
fn open_rules<'a>(config: &'a Config, caller: &Caller<'_>) -> impl Iterator<Item = &'a Rule> {
    config.rules.iter().filter(|rule| rule.when.unmet_by_caller(caller).is_none())
}

fn object(model: &str) -> Value {
    json!({"id": model, "object": "model", "created": 0, "owned_by": "sluice"})
}
