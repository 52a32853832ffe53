//! `sluice cache`: asks the gateway that runs what its cache holds, and makes it forget.
//!
//! response-cache answers on a listener of its own, on this machine alone, whose port Envoy's admin interface tells.

mod stats;

use std::fmt;
use std::time::Duration;

use serde_json::Value;
use sluice_core::config::shown;

pub use stats::Stats;

use crate::admin::Admin;
use crate::file::did_you_mean;
use crate::gateway::Gateway;
use crate::render::OPERATOR;

/// Longest wait for an answer: clearing may take Redis.
const ANSWER: Duration = Duration::from_secs(10);
/// Largest answer that is read, in bytes: it is a few numbers.
const MAX_ANSWER: u64 = 1 << 20;

/// What is to be forgotten; nothing named: everything. Displays as the end of a sentence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clear {
    /// Only what this consumer has.
    pub consumer: Option<String>,
    /// Only answers of this model.
    pub model: Option<String>,
}

impl fmt::Display for Clear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.consumer, &self.model) {
            (None, None) => f.write_str("everything"),
            (Some(consumer), None) => write!(f, "what {consumer} has"),
            (None, Some(model)) => write!(f, "what there is of {model}"),
            (Some(consumer), Some(model)) => write!(f, "what {consumer} has of {model}"),
        }
    }
}

impl Clear {
    /// Why it may clear nothing: no such consumer is in the file.
    #[must_use]
    pub fn doubt(&self, gateway: &Gateway) -> Option<String> {
        let name = self.consumer.as_ref()?;
        let mut names = gateway.consumers.iter().map(|consumer| consumer.name.as_str());
        if gateway.consumers.is_empty() || names.any(|known| known == name) {
            return None;
        }
        let names = gateway.consumers.iter().map(|consumer| consumer.name.as_str());
        Some(format!(
            "no consumer named {:?}{}",
            shown(name),
            did_you_mean(name, names, "the file has others")
        ))
    }
}

impl Clear {
    /// The model by each name under which its answers may be kept: as asked, and less the prefix that a rule takes off.
    fn models(&self, gateway: &Gateway) -> Vec<Option<String>> {
        let Some(model) = &self.model else { return vec![None] };
        let mut models = vec![Some(model.clone())];
        for prefix in gateway.models.iter().filter_map(|rule| rule.strip_prefix.as_deref()) {
            let rest = model.strip_prefix(prefix).map(str::to_owned).filter(|rest| !rest.is_empty());
            if rest.is_some() && !models.contains(&rest) {
                models.push(rest);
            }
        }
        models
    }
}

/// What the cache of the gateway that runs with this configuration holds, and how often it was hit.
///
/// # Errors
/// No such gateway runs, or its cache does not answer.
pub fn stats(gateway: &Gateway) -> Result<Stats, String> {
    let operator = Operator::of(gateway)?;
    let held = operator.ask(operator.agent.get(&operator.url).call())?;
    let counted = operator.admin.json("/stats?format=json&filter=response_cache").unwrap_or_default();
    Stats::read(&held, &counted)
        .ok_or_else(|| format!("{}: what answers is no cache of Sluice", operator.url))
}

/// Makes the cache of the gateway that runs with this configuration forget; its answer in JSON.
///
/// # Errors
/// No such gateway runs, or its cache does not answer.
pub fn clear(gateway: &Gateway, clear: &Clear) -> Result<Value, String> {
    let operator = Operator::of(gateway)?;
    let mut cleared = Value::Null;
    for model in clear.models(gateway) {
        let named = [("consumer", clear.consumer.as_deref()), ("model", model.as_deref())];
        let named = named.into_iter().filter_map(|(name, value)| Some((name, value?)));
        cleared = operator.ask(operator.agent.delete(&operator.url).query_pairs(named).call())?;
    }
    Ok(cleared)
}

/// The way to the cache of a gateway that runs.
struct Operator {
    admin: Admin,
    agent: ureq::Agent,
    url: String,
}

impl Operator {
    fn of(gateway: &Gateway) -> Result<Self, String> {
        if gateway.cache.is_none() {
            return Err(
                "the file has no `cache`; add the section, or name the file that the gateway runs with"
                    .into(),
            );
        }
        let admin = Admin::new(gateway.admin);
        let listeners = admin.json("/listeners?format=json").ok_or_else(|| {
            format!("no gateway answers at {}, its `admin`; start it with `sluice run`", gateway.admin)
        })?;
        let address = address(&listeners).ok_or_else(|| {
            format!(
                "the gateway at {} runs without a cache; it has not taken `cache` of this file over",
                gateway.admin
            )
        })?;
        let config = ureq::Agent::config_builder().timeout_global(Some(ANSWER)).proxy(None);
        let agent = config.http_status_as_error(false).max_redirects(0).build().into();
        Ok(Self { admin, agent, url: format!("http://{address}/cache") })
    }

    fn ask(&self, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Value, String> {
        let mut answer = answer.map_err(|error| format!("{}: {error}", self.url))?;
        let body = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_vec();
        let body = body.map_err(|error| format!("{}: {error}", self.url))?;
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        match answer.status().as_u16() {
            200 => Ok(body),
            status => {
                let why =
                    body.pointer("/error/message").and_then(Value::as_str).map(|why| format!(": {why}"));
                Err(format!("the cache answered {status}{}", why.unwrap_or_default()))
            }
        }
    }
}

/// Where the operators' listener really listens.
fn address(listeners: &Value) -> Option<String> {
    let all = listeners.get("listener_statuses")?.as_array()?;
    let own = all.iter().find(|listener| listener.get("name").and_then(Value::as_str) == Some(OPERATOR))?;
    let socket = own.get("local_address")?.get("socket_address")?;
    let port = socket.get("port_value")?.as_u64().filter(|port| *port > 0)?;
    Some(format!("{}:{port}", socket.get("address")?.as_str()?))
}

#[cfg(test)]
mod tests;
