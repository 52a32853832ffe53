//! The plugin's JSON, as written ([`RawConfig`]) and as checked ([`Config`]).

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use sluice_core::config::shown;
use sluice_core::glob::GlobSet;
use sluice_core::price::{NANO, Prices, RawPrice, scaled};
use sluice_core::when::{RawWhen, When};
use sluice_core::window::MAX_AMOUNT;

use crate::measure::{MILLI, Measure, RawWeights};
use crate::worker::Worker;

/// Default of `lease_ms`: how long what a dead gateway held stays held.
pub const LEASE_MS: u64 = 30_000;

/// The configuration as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RawConfig {
    /// Limits; all that apply to a request must admit it.
    pub limits: Vec<RawLimit>,
    /// What tokens cost; needed by limits on costs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prices: Vec<RawPrice>,
    /// How long a reservation outlives its gateway, in milliseconds; from 1000.
    #[serde(default = "lease_ms")]
    pub lease_ms: u64,
    /// Where the ledgers are kept; left out: in the memory of this Envoy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<RawRedis>,
}

fn lease_ms() -> u64 {
    LEASE_MS
}

/// One limit as written. Exactly one of the amounts is given.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawLimit {
    /// Its name, in errors, logs, metrics and Redis.
    pub name: String,
    /// What gets a bucket of its own: `consumer`, `tier`, `key`, `model`, `rule`, `ip`, `header:<name>`. None: one
    /// bucket for all.
    pub by: Vec<String>,
    /// Globs on the model as asked, with or without the prefix that its rule takes off; none: every model.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// Conditions; all must hold.
    pub when: RawWhen,
    /// Most input tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
    /// Most output tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tokens: Option<u64>,
    /// Most tokens in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_tokens: Option<u64>,
    /// What each kind of token counts in `total_tokens`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weighted: Option<RawWeights>,
    /// Most requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
    /// Most requests at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<u64>,
    /// Most dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// The window that slides, in milliseconds; not with `in_flight`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_ms: Option<u64>,
    /// A quota: the client is told not to ask again.
    pub terminal: bool,
    /// What the client is told, instead of our words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The Redis store as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RawRedis {
    /// Envoy cluster of the redis-bridge.
    pub cluster: String,
    /// Deadline of a decision, in milliseconds.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u32,
    /// What to do when Redis does not answer in time.
    #[serde(default)]
    pub on_error: OnError,
}

fn timeout_ms() -> u32 {
    50
}

/// What to do with a request when the store does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// Count in the memory of this Envoy until it answers again.
    #[default]
    Local,
    /// Let it pass uncounted.
    Allow,
    /// Refuse it.
    Deny,
}

/// The configuration in use.
#[derive(Debug)]
pub struct Config {
    /// At least one.
    pub limits: Vec<Limit>,
    /// What tokens cost.
    pub prices: Prices,
    /// How long a reservation outlives its gateway, in milliseconds.
    pub lease_ms: u64,
    /// Dimensions that every limit has: their values name the Redis hash slot of a decision.
    pub common: Vec<Dimension>,
    /// The Redis store.
    pub redis: Option<Worker>,
}

/// One limit.
#[derive(Clone, Debug)]
pub struct Limit {
    /// Its name.
    pub name: String,
    /// What its ledgers are called: by whatever makes them other ledgers.
    pub(crate) ledger: String,
    /// What gets a bucket of its own, in a fixed order.
    pub by: Vec<Dimension>,
    /// Globs on the model as asked, with or without the prefix that its rule takes off; `None`: every model.
    pub models: Option<GlobSet>,
    /// Conditions; all must hold.
    pub when: When,
    /// What is counted.
    pub measure: Measure,
    /// The most of it, in units of the ledger.
    pub amount: u64,
    /// The window in milliseconds; 0 for requests in flight.
    pub per_ms: u64,
    /// A quota: the client is told not to ask again.
    pub terminal: bool,
    /// What the client is told, instead of our words.
    pub message: Option<String>,
}

/// What can have a bucket of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dimension {
    /// The caller.
    Consumer,
    /// The caller's tier.
    Tier,
    /// The caller's key.
    Key,
    /// The model as asked, without the prefix that its rule takes off.
    Model,
    /// The rule that routes.
    Rule,
    /// The client's address; of IPv6 its network of 64 bits.
    Ip,
    /// The value of a header, its name in lower case.
    Header(String),
}

impl Dimension {
    /// Those without a name of their own, as they are written.
    pub const NAMES: [(&'static str, Self); 6] = [
        ("consumer", Self::Consumer),
        ("tier", Self::Tier),
        ("key", Self::Key),
        ("model", Self::Model),
        ("rule", Self::Rule),
        ("ip", Self::Ip),
    ];

    fn parse(text: &str) -> Option<Self> {
        let header = text.strip_prefix("header:").filter(|name| !name.is_empty());
        let known = Self::NAMES.into_iter().find(|(name, _)| *name == text).map(|(_, known)| known);
        known.or_else(|| header.map(|name| Self::Header(name.to_ascii_lowercase())))
    }
}

impl fmt::Display for Dimension {
    /// As it is written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header:{name}"),
            by => f.write_str(Self::NAMES.iter().find(|(_, known)| known == by).map_or("", |(name, _)| name)),
        }
    }
}

impl TryFrom<RawConfig> for Config {
    type Error = String;

    fn try_from(raw: RawConfig) -> Result<Self, String> {
        if raw.limits.is_empty() {
            return Err("limits: must hold at least one limit".to_owned());
        }
        if !(1_000..=3_600_000).contains(&raw.lease_ms) {
            return Err("lease_ms: must be from 1000 to 3600000".to_owned());
        }
        let limit = |(index, raw)| check_limit(raw).map_err(|error| format!("limits[{index}].{error}"));
        let limits = raw.limits.into_iter().enumerate().map(limit).collect::<Result<Vec<_>, _>>()?;
        let mut names = BTreeSet::new();
        if let Some(index) = limits.iter().position(|limit| !names.insert(limit.name.clone())) {
            return Err(format!("limits[{index}].name: stands twice"));
        }
        let prices = Prices::check(raw.prices).map_err(|error| format!("prices{error}"))?;
        let costs = limits.iter().position(|limit| limit.measure == Measure::Cost);
        if let (Some(index), None) = (costs, prices.dearest()) {
            return Err(format!("limits[{index}].cost_usd: needs prices"));
        }
        let redis = raw.redis.map(Worker::check).transpose().map_err(|error| format!("redis.{error}"))?;
        Ok(Self { common: common(&limits), limits, prices, lease_ms: raw.lease_ms, redis })
    }
}

/// Dimensions that every limit has.
fn common(limits: &[Limit]) -> Vec<Dimension> {
    let mut of_all = limits.first().map(|limit| limit.by.clone()).unwrap_or_default();
    of_all.retain(|dimension| limits.iter().all(|limit| limit.by.contains(dimension)));
    of_all
}

fn check_limit(raw: RawLimit) -> Result<Limit, String> {
    check_name(&raw.name)?;
    let (measure, amount) = check_amount(&raw)?;
    let models = match raw.models.as_slice() {
        [] => None,
        globs => Some(GlobSet::parse(globs).map_err(|(index, error)| format!("models[{index}]: {error}"))?),
    };
    let (by, per_ms) = (check_by(&raw.by)?, check_window(measure, raw.per_ms)?);
    Ok(Limit {
        ledger: ledger_name(&raw.name, measure, per_ms, &by),
        by,
        models,
        when: When::try_from(raw.when).map_err(|error| format!("when.{error}"))?,
        per_ms,
        measure,
        amount,
        name: raw.name,
        terminal: raw.terminal,
        message: raw.message,
    })
}

/// A limit that counts something else, over another window or by something else, starts anew; one whose amount changes
/// does not.
fn ledger_name(name: &str, measure: Measure, per_ms: u64, by: &[Dimension]) -> String {
    let by: String = by.iter().map(|dimension| format!("-{dimension}")).collect();
    format!("{name}-{}-{per_ms}{by}", measure.name())
}

/// Names stand in metrics, logs and keys of Redis.
fn check_name(name: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=64).contains(&name.len()) && name.bytes().all(plain) {
        return Ok(());
    }
    Err("name: must be 1 to 64 letters, digits, `.`, `_` or `-`".to_owned())
}

fn check_by(by: &[String]) -> Result<Vec<Dimension>, String> {
    let mut dimensions = BTreeSet::new();
    for (index, text) in by.iter().enumerate() {
        let known = "consumer, tier, key, model, rule, ip, header:<name>";
        let dimension =
            Dimension::parse(text).ok_or_else(|| format!("by[{index}]: must be one of {known}"))?;
        if !dimensions.insert(dimension) {
            return Err(format!("by[{index}]: stands twice"));
        }
    }
    Ok(dimensions.into_iter().collect())
}

fn check_amount(raw: &RawLimit) -> Result<(Measure, u64), String> {
    let whole = |measure, amount: Option<u64>| amount.map(|amount| (measure, amount, 1));
    let cost =
        raw.cost_usd.map(|usd| scaled(usd, NANO).ok_or("cost_usd: must be from 0.000000001 to 9007199"));
    let cost = cost.transpose()?.map(|nano| (Measure::Cost, nano, 1));
    let total = match raw.weighted {
        Some(weights) => whole(Measure::Weighted(check_weights(weights)?), raw.total_tokens)
            .map(|(measure, amount, _)| (measure, amount, MILLI)),
        None => whole(Measure::Total, raw.total_tokens),
    };
    if raw.weighted.is_some() && total.is_none() {
        return Err("weighted: needs total_tokens, whose tokens it weights".to_owned());
    }
    let given: Vec<_> = [
        whole(Measure::Input, raw.input_tokens),
        whole(Measure::Output, raw.output_tokens),
        whole(Measure::Requests, raw.requests),
        whole(Measure::InFlight, raw.in_flight),
        total,
        cost,
    ]
    .into_iter()
    .flatten()
    .collect();
    let [(measure, amount, scale)] = given.as_slice() else {
        let all = "input_tokens, output_tokens, total_tokens, requests, in_flight, cost_usd";
        return Err(format!("{}: exactly one of {all} is needed", shown(&raw.name)));
    };
    match amount.checked_mul(*scale) {
        Some(amount @ 1..=MAX_AMOUNT) => Ok((*measure, amount)),
        _ => Err(format!("{}: must be at least 1 and at most 2^53 - 1 units of its ledger", measure.name())),
    }
}

fn check_weights(raw: RawWeights) -> Result<[u64; 3], String> {
    let milli = |name: &str, weight: f64| {
        let milli = scaled(weight, MILLI).filter(|milli| *milli <= 1_000_000 * MILLI);
        milli.ok_or_else(|| format!("weighted.{name}: must be from 0 to 1000000"))
    };
    let (input, output) = (milli("input", raw.input)?, milli("output", raw.output)?);
    Ok([input, raw.cached.map_or(Ok(input), |cached| milli("cached", cached))?, output])
}

fn check_window(measure: Measure, per_ms: Option<u64>) -> Result<u64, String> {
    /// A leap year.
    const MAX: u64 = 366 * 86_400_000;
    match (measure, per_ms) {
        (Measure::InFlight, None) => Ok(0),
        (Measure::InFlight, Some(_)) => Err("per_ms: has no meaning for in_flight".to_owned()),
        (_, Some(per_ms @ 1_000..=MAX)) => Ok(per_ms),
        (_, Some(_)) => Err(format!("per_ms: must be from 1000 to {MAX}")),
        (_, None) => Err("per_ms: is needed".to_owned()),
    }
}
