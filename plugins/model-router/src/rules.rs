//! Which rule, which target: the plugin's whole policy, shared with `sluice check` and `sluice explain`.

use sluice_core::pick::pick;

use crate::config::{Config, RawTarget, Rule, Sticky, When};
use crate::request::RequestFacts;

/// Who asks, as far as rules look at it.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    /// Name of the caller, if known.
    pub consumer: Option<&'a str>,
    /// Tier of the caller, if known.
    pub tier: Option<&'a str>,
    /// Looks up a request header by its name in lower case.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
    /// What tells this request from others.
    pub request_id: &'a str,
}

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
    /// Another tier, or none.
    #[error("the caller's tier is not {0:?}")]
    Tier(&'a str),
    /// Another caller, or an unknown one.
    #[error("the consumer is not {0:?}")]
    Consumer(&'a str),
    /// The header is missing or its value does not match.
    #[error("header {name} does not match {glob:?}")]
    Header {
        /// Its name.
        name: &'a str,
        /// What it should match.
        glob: &'a str,
    },
    /// The request is too short.
    #[error("about {found} input tokens are fewer than {min}")]
    TooFewTokens {
        /// Estimate.
        found: u64,
        /// Least.
        min: u64,
    },
    /// The request is too long.
    #[error("about {found} input tokens are more than {max}")]
    TooManyTokens {
        /// Estimate.
        found: u64,
        /// Most.
        max: u64,
    },
    /// It offers no tools.
    #[error("the request offers no tools")]
    NoTools,
    /// It holds no images.
    #[error("the request holds no images")]
    NoImages,
}

/// The first rule that matches `model`, and its target for this caller; `None` where no rule matches.
#[must_use]
pub fn decide<'a>(
    config: &'a Config,
    model: &'a str,
    facts: &RequestFacts,
    caller: &Caller<'_>,
) -> Option<Decision<'a>> {
    let rule = config.rules.iter().find(|rule| mismatch(rule, model, facts, caller).is_none())?;
    let targets = rule.targets.iter().map(|target| (target.name.as_str(), target.weight));
    let target = rule.targets.get(pick(split_key(&rule.sticky, caller).as_bytes(), targets)?)?;
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
    caller_mismatch(&rule.when, caller).or_else(|| request_mismatch(&rule.when, facts))
}

/// The condition on the caller that does not hold.
pub(crate) fn caller_mismatch<'a>(when: &'a When, caller: &Caller<'_>) -> Option<Mismatch<'a>> {
    if let Some(tier) = when.tier.as_deref().filter(|tier| caller.tier != Some(*tier)) {
        return Some(Mismatch::Tier(tier));
    }
    if let Some(name) = when.consumer.as_deref().filter(|name| caller.consumer != Some(*name)) {
        return Some(Mismatch::Consumer(name));
    }
    let unlike = |(name, glob): &&'a (String, _)| {
        let glob: &sluice_core::glob::Glob = glob;
        !(caller.header)(name).is_some_and(|value| glob.matches(value))
    };
    let (name, glob) = when.headers.iter().find(unlike)?;
    Some(Mismatch::Header { name, glob: glob.as_str() })
}

/// The condition on the request that does not hold.
fn request_mismatch<'a>(when: &When, facts: &RequestFacts) -> Option<Mismatch<'a>> {
    let found = facts.input_tokens;
    if let Some(min) = when.min_input_tokens.filter(|min| found < *min) {
        return Some(Mismatch::TooFewTokens { found, min });
    }
    if let Some(max) = when.max_input_tokens.filter(|max| found > *max) {
        return Some(Mismatch::TooManyTokens { found, max });
    }
    if when.tools && !facts.tools {
        return Some(Mismatch::NoTools);
    }
    (when.images && !facts.images).then_some(Mismatch::NoImages)
}

/// The model without the rule's prefix; as it is, if nothing else would be left.
fn base_model<'a>(rule: &Rule, model: &'a str) -> &'a str {
    let stripped = rule.strip_prefix.as_deref().and_then(|prefix| model.strip_prefix(prefix));
    stripped.filter(|rest| !rest.is_empty()).unwrap_or(model)
}

fn split_key<'a>(sticky: &Sticky, caller: &Caller<'a>) -> &'a str {
    let key = match sticky {
        Sticky::Consumer => caller.consumer,
        Sticky::Request => None,
        Sticky::Header(name) => (caller.header)(name),
    };
    key.filter(|key| !key.is_empty()).unwrap_or(caller.request_id)
}

#[cfg(test)]
mod tests;
