//! The plugin's JSON, as written ([`Raw`]) and as checked ([`Config`]).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sluice_core::config::shown;
use sluice_core::glob::GlobSet;
use sluice_core::when::{RawWhen, When};

/// Default of `max_body_bytes`: room for some images in base64, as `max_request_body` of gateway.yaml.
pub const DEFAULT_MAX_BODY_BYTES: usize = 32 * 1024 * 1024;

/// The configuration as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Raw {
    /// Longest request body, in bytes; more is 413.
    #[serde(default = "max_body_bytes")]
    pub max_body_bytes: usize,
    /// Rules in order: the first that matches counts.
    pub rules: Vec<RawRule>,
    /// `GET /v1/limits` is for `token-limit`, the next filter.
    #[serde(default)]
    pub limits: bool,
}

/// One rule as written.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RawRule {
    /// Globs of which one must match the model as asked.
    #[serde(rename = "match")]
    pub models: Vec<String>,
    /// Conditions; all must hold.
    #[serde(default)]
    pub when: RawWhen,
    /// What to take off the front of the model before it is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strip_prefix: Option<String>,
    /// `consumer` (default), `request` or `header:<name>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<String>,
    /// Targets among which the weights split.
    pub targets: Vec<RawTarget>,
}

/// One target as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RawTarget {
    /// `provider` or `provider/model`; unique within the rule.
    pub name: String,
    /// Envoy cluster that leads to it, and to the rule's fallbacks after it.
    pub cluster: String,
    /// Its share is this over the sum of the rule's weights.
    #[serde(default = "one")]
    pub weight: u32,
    /// Attempts that its whole chain allows, from 1.
    #[serde(default = "one")]
    pub attempts: u32,
}

fn max_body_bytes() -> usize {
    DEFAULT_MAX_BODY_BYTES
}

fn one() -> u32 {
    1
}

/// The configuration in use.
#[derive(Clone, Debug)]
pub struct Config {
    /// Longest request body, in bytes.
    pub max_body_bytes: usize,
    /// Rules in order; at least one.
    pub rules: Vec<Rule>,
    /// `GET /v1/limits` is for `token-limit`.
    pub limits: bool,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its first glob.
    pub name: String,
    /// Globs of which one must match the model as asked.
    pub models: GlobSet,
    /// Conditions; all must hold.
    pub when: When,
    /// What to take off the front of the model before it is sent.
    pub strip_prefix: Option<String>,
    /// What the split hashes.
    pub sticky: Sticky,
    /// Targets; at least one has a weight above 0.
    pub targets: Vec<RawTarget>,
}

/// What the split between targets hashes. Without a value, the request's id takes its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sticky {
    /// Name of the caller.
    Consumer,
    /// The request's id: no stickiness.
    Request,
    /// Value of this header, its name in lower case.
    Header(String),
}

impl TryFrom<Raw> for Config {
    type Error = String;

    fn try_from(raw: Raw) -> Result<Self, String> {
        if raw.rules.is_empty() {
            return Err("rules: must hold at least one rule".to_owned());
        }
        if raw.max_body_bytes == 0 {
            return Err("max_body_bytes: must be at least 1".to_owned());
        }
        let rule = |(index, rule)| check_rule(rule).map_err(|error| format!("rules[{index}].{error}"));
        let rules = raw.rules.into_iter().enumerate().map(rule).collect::<Result<_, _>>()?;
        Ok(Self { max_body_bytes: raw.max_body_bytes, rules, limits: raw.limits })
    }
}

fn check_rule(raw: RawRule) -> Result<Rule, String> {
    let models = GlobSet::parse(&raw.models).map_err(|(index, error)| format!("match[{index}]: {error}"))?;
    let name = raw.models.into_iter().next().ok_or("match: must hold at least one glob")?;
    if raw.strip_prefix.as_deref() == Some("") {
        return Err("strip_prefix: must not be empty".to_owned());
    }
    check_targets(&raw.targets)?;
    Ok(Rule {
        name,
        models,
        when: When::try_from(raw.when).map_err(|error| format!("when.{error}"))?,
        strip_prefix: raw.strip_prefix,
        sticky: check_sticky(raw.sticky.as_deref().unwrap_or("consumer"))?,
        targets: raw.targets,
    })
}

fn check_sticky(text: &str) -> Result<Sticky, String> {
    match (text, text.strip_prefix("header:")) {
        ("consumer", _) => Ok(Sticky::Consumer),
        ("request", _) => Ok(Sticky::Request),
        (_, Some(name)) if !name.is_empty() => Ok(Sticky::Header(name.to_ascii_lowercase())),
        _ => Err(format!("sticky: {:?} is none of consumer, request, header:<name>", shown(text))),
    }
}

fn check_targets(targets: &[RawTarget]) -> Result<(), String> {
    let mut names = BTreeSet::new();
    for (index, target) in targets.iter().enumerate() {
        let problem = if target.name.is_empty() {
            "name: must not be empty".to_owned()
        } else if !names.insert(target.name.as_str()) {
            format!("name: {:?} stands twice in this rule", shown(&target.name))
        } else if target.cluster.is_empty() {
            "cluster: must not be empty".to_owned()
        } else if target.attempts == 0 {
            "attempts: must be at least 1".to_owned()
        } else {
            continue;
        };
        return Err(format!("targets[{index}].{problem}"));
    }
    if targets.iter().all(|target| target.weight == 0) {
        return Err("targets: must hold at least one with a weight above 0".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
