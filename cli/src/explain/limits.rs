//! Which limits a request meets, in which buckets: token-limit's own policy.

use std::time::Duration;

use model_router::config::Rule;
use model_router::rules::base_model;
use serde_json::Number;
use sluice_core::filter::Headers;
use sluice_core::when::Content;
use token_limit::config::{Config, Dimension, Limit as Checked};
use token_limit::subject::{Subject, address_name, key_of};

use super::{Level, Question};

/// A limit, and what it makes of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// `limits[0]`.
    pub limit: String,
    /// Its name.
    pub name: String,
    /// Why it does not apply; `None`: it does.
    pub outside: Option<String>,
    /// What is counted: `total_tokens`, `weighted_tokens`, `cost_usd`…
    pub measure: &'static str,
    /// The most of it.
    pub most: Number,
    /// The window; `None` for requests in flight.
    pub per: Option<Duration>,
    /// A quota: the client is told not to ask again.
    pub terminal: bool,
    /// What the bucket is for, with the values in this request, which may be empty. Nothing: one bucket for all.
    pub bucket: Vec<(String, String)>,
    /// How a running gateway says that the bucket stands.
    pub level: Option<Level>,
}

/// The request as token-limit sees it, once it is routed.
pub(super) fn subject(
    question: &Question,
    caller: &super::Caller,
    rule: Option<&Rule>,
    headers: Vec<(String, Vec<u8>)>,
) -> Subject {
    Subject {
        consumer: caller.consumer.clone(),
        tier: caller.tier.clone(),
        key: caller.key_id.as_ref().map(|id| key_of(caller.consumer.as_deref(), id)),
        model: Some(question.model.clone()),
        base_model: rule.map(|rule| base_model(rule, &question.model).to_owned()),
        rule: rule.map(|rule| rule.name.clone()),
        ip: Some(address_name(question.from)),
        headers: Headers::new(headers),
        content: Content {
            input_tokens: question.input_tokens,
            tools: question.tools,
            images: question.images,
        },
    }
}

/// What each limit makes of `subject`, in the order of the file.
pub(super) fn look(config: &Config, subject: &Subject) -> Vec<Limit> {
    config.limits.iter().enumerate().map(|(at, limit)| one(at, limit, subject)).collect()
}

fn one(at: usize, limit: &Checked, subject: &Subject) -> Limit {
    let values = subject.values(&limit.by).into_iter().map(str::to_owned);
    Limit {
        limit: format!("limits[{at}]"),
        name: limit.name.clone(),
        outside: limit.outside(subject).map(|outside| outside.to_string()),
        measure: limit.measure.name(),
        most: limit.measure.shown(limit.amount).parse().unwrap_or_else(|_| limit.amount.into()),
        per: (limit.per_ms > 0).then(|| Duration::from_millis(limit.per_ms)),
        terminal: limit.terminal,
        bucket: limit.by.iter().map(Dimension::to_string).zip(values).collect(),
        level: None,
    }
}
