//! Which rule, which target: the plugin's whole policy, shared with `sluice check` and `sluice explain`.

use sluice_core::pick::pick;
use sluice_core::when::{Caller, Unmet};

use crate::config::{Config, RawTarget, Rule, Sticky};
use crate::request::RequestFacts;

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
pub struct Decision<'a> {
    /// The rule that matched.
    pub rule: &'a Rule,
    /// The target that the split chose.
    pub target: &'a RawTarget,
    /// Model to send where the target names none.
    pub base_model: &'a str,
}

/// Why a rule does not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch<'a> {
    /// None of its globs does.
    #[error("no glob in `match` matches the model")]
    Model,
    /// One of its conditions does not hold.
    #[error("{0}")]
    When(Unmet<'a>),
}

/// The first rule that matches `model`, and its target for this caller; `None` where no rule matches. `request_id` is
/// what tells this request from others.
#[must_use]
pub fn decide<'a>(
    config: &'a Config,
    model: &'a str,
    facts: &RequestFacts,
    caller: &Caller<'_>,
    request_id: &str,
) -> Option<Decision<'a>> {
    let rule = config.rules.iter().find(|rule| mismatch(rule, model, facts, caller).is_none())?;
    let targets = rule.targets.iter().map(|target| (target.name.as_str(), target.weight));
    let target = rule.targets.get(pick(split_key(&rule.sticky, caller, request_id).as_bytes(), targets)?)?;
    Some(Decision { rule, target, base_model: base_model(rule, model) })
}

/// The first reason why `rule` does not match; `None` where it does.
#[must_use]
pub fn mismatch<'a>(
    rule: &'a Rule,
    model: &str,
    facts: &RequestFacts,
    caller: &Caller<'_>,
) -> Option<Mismatch<'a>> {
    if !rule.models.matches(model) {
        return Some(Mismatch::Model);
    }
    rule.when.unmet(caller, &facts.content()).map(Mismatch::When)
}

/// The model without the rule's prefix; as it is, if nothing else would be left.
#[must_use]
pub fn base_model<'a>(rule: &Rule, model: &'a str) -> &'a str {
    let stripped = rule.strip_prefix.as_deref().and_then(|prefix| model.strip_prefix(prefix));
    stripped.filter(|rest| !rest.is_empty()).unwrap_or(model)
}

fn split_key<'a>(sticky: &Sticky, caller: &'a Caller<'_>, request_id: &'a str) -> &'a str {
    let key = match sticky {
        Sticky::Consumer => caller.consumer,
        Sticky::Request => None,
        Sticky::Header(name) => (caller.header)(name),
    };
    key.filter(|key| !key.is_empty()).unwrap_or(request_id)
}

#[cfg(test)]
mod tests;
