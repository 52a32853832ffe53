//! The rule that serves, and its chains.

use model_router::config::{RawTarget, Sticky};
use model_router::rules;
use sluice_core::when::Caller;

use crate::gateway::{Endpoint, Gateway, Hop, Provider, Rule, Target};

/// A rule that does not match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// `models[0]`.
    pub rule: String,
    /// Its globs.
    pub globs: Vec<String>,
    /// Why it does not match.
    pub reason: String,
}

/// The rule that serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// `models[1]`.
    pub rule: String,
    /// Its globs.
    pub globs: Vec<String>,
    /// What the split hashes: `consumer`, `request` or `header x-user`.
    pub split_by: String,
    /// Why `split_by` has no value in this request, so that each request is split by itself.
    pub unsplit: Option<String>,
    /// Index in `targets` of the one that this request gets; `None`: any, by share.
    pub picked: Option<usize>,
    /// Targets in the order of the file, each with the chain that begins with it.
    pub targets: Vec<Chain>,
    /// Attempts in all.
    pub attempts: u32,
}

/// A target and what follows when it fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Weight as configured.
    pub weight: u32,
    /// Its share of requests in hundredths of a percent, rounded; 10000 is all.
    pub share: u32,
    /// The target, then the fallbacks in order.
    pub steps: Vec<Step>,
}

/// One target of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Provider.
    pub provider: String,
    /// Model that it is asked for.
    pub model: String,
    /// Base URLs of its replicas.
    pub urls: Vec<String>,
    /// Attempts at it before the next; 0: `retry.attempts` ends before.
    pub attempts: u32,
}

/// What a request that `decision` was made for gets.
pub(super) fn serve(
    gateway: &Gateway,
    name: String,
    own: &Rule,
    decision: &rules::Decision<'_>,
    caller: &Caller<'_>,
) -> Served {
    let (split_by, value) = match &decision.rule.sticky {
        Sticky::Consumer => ("consumer".to_owned(), caller.consumer),
        Sticky::Request => ("request".to_owned(), None),
        Sticky::Header(name) => (format!("header {name}"), (caller.header)(name)),
    };
    let settled = value.is_some_and(|value| !value.is_empty());
    let unsplit = (!settled && split_by != "request").then(|| format!("this request has no {split_by}"));
    let weights: Vec<&RawTarget> = decision.rule.targets.iter().filter(|target| target.weight > 0).collect();
    let picked = decision.rule.targets.iter().position(|target| target.name == decision.target.name);
    Served {
        rule: name,
        globs: own.matches.clone(),
        split_by,
        unsplit,
        picked: picked.filter(|_| settled || weights.len() == 1),
        targets: chains(gateway, own, decision),
        attempts: decision.target.attempts,
    }
}

fn chains(gateway: &Gateway, own: &Rule, decision: &rules::Decision<'_>) -> Vec<Chain> {
    let sum: u64 = decision.rule.targets.iter().map(|target| u64::from(target.weight)).sum();
    let chain = |(target, own_target): (&RawTarget, &Target)| Chain {
        weight: target.weight,
        share: share(target.weight, sum),
        steps: steps(gateway, own, &own_target.hop, decision.base_model, target.attempts),
    };
    decision.rule.targets.iter().zip(&own.targets).map(chain).collect()
}

/// Rounded to the nearest hundredth of a percent.
fn share(weight: u32, sum: u64) -> u32 {
    let doubled = u64::from(weight).saturating_mul(20_000).saturating_add(sum);
    let share = doubled.checked_div(sum.saturating_mul(2)).unwrap_or_default();
    u32::try_from(share).unwrap_or_default()
}

fn steps(gateway: &Gateway, rule: &Rule, target: &Hop, base_model: &str, attempts: u32) -> Vec<Step> {
    let mut left = attempts;
    let mut steps = Vec::new();
    for hop in std::iter::once(target).chain(&rule.fallback) {
        let attempts = left.min(gateway.retry.per_target);
        left = left.saturating_sub(attempts);
        let model = hop.model.as_deref().unwrap_or(base_model).to_owned();
        let urls = gateway.provider(&hop.provider).map(urls).unwrap_or_default();
        steps.push(Step { provider: hop.provider.clone(), model, urls, attempts });
    }
    steps
}

fn urls(provider: &Provider) -> Vec<String> {
    let base = |endpoint: &Endpoint| {
        format!("{}://{}{}", provider.scheme.as_str(), endpoint.authority(provider.scheme), provider.path)
    };
    provider.endpoints.iter().map(base).collect()
}

impl Served {
    /// Attempts after which the longest chain has come to its end.
    pub(super) fn once_through(&self) -> u32 {
        let sum =
            |chain: &Chain| chain.steps.iter().fold(0_u32, |sum, step| sum.saturating_add(step.attempts));
        self.targets.iter().map(sum).max().unwrap_or_default()
    }
}
