//! `GET /v1/limits`: how the caller's buckets stand, for the caller and for `sluice explain`.
//!
//! With `?model=…` the limits that a request to that model would meet; without, those that look at no model.

use serde_json::{Map, Value, json};
use sluice_core::filter::{Headers, Host, Next};
use sluice_core::openai::error::{Code, LocalReply};
use sluice_core::redis::Call;

use crate::claim::{self, Claim};
use crate::config::{Config, Limit, OnError};
use crate::phase::UNAVAILABLE_RETRY_MS;
use crate::reply::retry_after;
use crate::reservation::Answer;
use crate::store::{self, Standing, local};
use crate::worker::Worker;

/// Whether a request asks for its limits; by `HEAD`, for the head of the answer.
pub(crate) fn is_asked(headers: &Headers) -> bool {
    let path = headers.text(":path").and_then(|path| path.split(['?', '#']).next());
    matches!(headers.text(":method"), Some("GET" | "HEAD")) && matches!(path, Some("/v1/limits" | "/limits"))
}

/// Which buckets are asked about.
#[derive(Debug)]
pub(crate) struct Question(Vec<Claim>);

impl Question {
    pub(crate) const fn new(claims: Vec<Claim>) -> Self {
        Self(claims)
    }

    /// Asks Redis; `None` if it cannot be asked.
    pub(crate) fn ask(&self, host: &mut dyn Host, config: &Config, worker: &Worker) -> Option<Call> {
        if self.0.is_empty() {
            return None;
        }
        worker.ask(host, &store::redis::peek(&claim::wants(config, &self.0), 0)).ok()
    }

    /// Answers from this Envoy's memory.
    pub(crate) fn answer_locally(&self, host: &mut dyn Host, config: &Config) -> Next {
        let standings = local::peek(host, &claim::wants(config, &self.0), host.now_ms());
        self.list(config, &standings)
    }

    /// Answers with what Redis said; without a word from it, as requests are decided then.
    pub(crate) fn answer(&self, host: &mut dyn Host, config: &Config, answer: Option<Answer>) -> Next {
        if self.0.is_empty() {
            return self.list(config, &[]);
        }
        let decision = answer.and_then(|answer| answer.decision(&claim::wants(config, &self.0)));
        match decision {
            Some(decision) => self.list(config, &decision.standings),
            None if config.redis.as_ref().is_none_or(|worker| worker.on_error() == OnError::Local) => {
                self.answer_locally(host, config)
            }
            None => {
                let message = "The limits cannot be read at the moment. Try again shortly.";
                let mut reply = LocalReply::error(Code::LimitsUnavailable, None, message);
                reply.headers.extend(retry_after(UNAVAILABLE_RETRY_MS));
                Next::Reply(reply)
            }
        }
    }

    fn list(&self, config: &Config, standings: &[Standing]) -> Next {
        let limits = self.0.iter().filter_map(|claim| config.limits.get(claim.limit));
        let limits: Vec<Value> =
            limits.zip(standings).map(|(limit, standing)| shown(limit, standing)).collect();
        Next::Reply(LocalReply::json(json!({"limits": limits}).to_string()))
    }
}

fn shown(limit: &Limit, standing: &Standing) -> Value {
    let mut shown = Map::new();
    let mut add = |name: &str, value: Value| drop(shown.insert(name.to_owned(), value));
    let number = |amount: u64| {
        limit.measure.shown(amount).parse::<serde_json::Number>().map_or(Value::Null, Value::Number)
    };
    add("name", limit.name.as_str().into());
    add("measure", limit.measure.name().into());
    add("limit", number(limit.amount));
    add("used", number(standing.level.saturating_sub(standing.held)));
    add("held", number(standing.held));
    add("remaining", number(standing.remaining()));
    if limit.per_ms > 0 {
        add("per_ms", limit.per_ms.into());
        add("resets_in_ms", standing.resets_in_ms.into());
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_reading_the_limits_asks_for_them() {
        for (method, path, want) in [
            ("GET", "/v1/limits", true),
            ("GET", "/limits?model=m", true),
            ("HEAD", "/v1/limits?model=m", true),
            ("POST", "/v1/limits", false),
            ("HEAD", "/v1/limits/m", false),
            ("HEAD", "/v1/models", false),
        ] {
            let pair = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
            let headers = Headers::new(vec![pair(":method", method), pair(":path", path)]);
            assert_eq!(is_asked(&headers), want, "{method} {path}");
        }
    }
}
