//! The plugin's JSON, as written ([`Raw`]) and as checked ([`Config`]).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sluice_core::glob::{Glob, GlobSet};

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

/// Conditions as written.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawWhen {
    /// Tier of the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// Name of the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
    /// Globs by header name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Least estimated input tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_input_tokens: Option<u64>,
    /// Most estimated input tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_input_tokens: Option<u64>,
    /// `tools`, `images` or both.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub has: Vec<String>,
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

/// Conditions of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct When {
    /// Tier of the caller.
    pub tier: Option<String>,
    /// Name of the caller.
    pub consumer: Option<String>,
    /// Header names in lower case, each with a glob for its value.
    pub headers: Vec<(String, Glob)>,
    /// Least estimated input tokens.
    pub min_input_tokens: Option<u64>,
    /// Most estimated input tokens.
    pub max_input_tokens: Option<u64>,
    /// The request must offer tools.
    pub tools: bool,
    /// The request must hold images.
    pub images: bool,
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
        Ok(Self { max_body_bytes: raw.max_body_bytes, rules })
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
        when: check_when(raw.when).map_err(|error| format!("when.{error}"))?,
        strip_prefix: raw.strip_prefix,
        sticky: check_sticky(raw.sticky.as_deref().unwrap_or("consumer"))?,
        targets: raw.targets,
    })
}

fn check_when(raw: RawWhen) -> Result<When, String> {
    if let (Some(min), Some(max)) = (raw.min_input_tokens, raw.max_input_tokens)
        && min > max
    {
        return Err(format!("min_input_tokens: {min} is more than max_input_tokens, {max}"));
    }
    let header = |(name, glob): (String, String)| match glob.parse() {
        Ok(glob) => Ok((name.to_ascii_lowercase(), glob)),
        Err(error) => Err(format!("headers.{name}: {error}")),
    };
    let mut when = When {
        tier: raw.tier,
        consumer: raw.consumer,
        headers: raw.headers.into_iter().map(header).collect::<Result<_, _>>()?,
        min_input_tokens: raw.min_input_tokens,
        max_input_tokens: raw.max_input_tokens,
        ..When::default()
    };
    for (index, feature) in raw.has.iter().enumerate() {
        match feature.as_str() {
            "tools" => when.tools = true,
            "images" => when.images = true,
            other => return Err(format!("has[{index}]: {other:?} is neither tools nor images")),
        }
    }
    Ok(when)
}

fn check_sticky(text: &str) -> Result<Sticky, String> {
    match (text, text.strip_prefix("header:")) {
        ("consumer", _) => Ok(Sticky::Consumer),
        ("request", _) => Ok(Sticky::Request),
        (_, Some(name)) if !name.is_empty() => Ok(Sticky::Header(name.to_ascii_lowercase())),
        _ => Err(format!("sticky: {text:?} is none of consumer, request, header:<name>")),
    }
}

fn check_targets(targets: &[RawTarget]) -> Result<(), String> {
    let mut names = BTreeSet::new();
    for (index, target) in targets.iter().enumerate() {
        let problem = if target.name.is_empty() {
            "name: must not be empty".to_owned()
        } else if !names.insert(target.name.as_str()) {
            format!("name: {:?} stands twice in this rule", target.name)
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
