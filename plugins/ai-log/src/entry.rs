//! All that is known of a request when it is over, read once: the record and the metrics are made of it.

use serde_json::{Map, Value};
use sluice_core::context::{self, Fact};
use sluice_core::filter::Host;
use sluice_core::openai::error::Code;
use sluice_core::price::{Prices, Served};

use crate::asked::Asked;
use crate::attempt::Attempts;
use crate::blame::{self, Blame};
use crate::finding::Finding;
use crate::outcome::{End, Outcome};
use crate::times::Times;
use crate::usage::{Cost, Usage};

/// A request that is over. What is not known is `None`, or empty.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its headers; `None`: it broke off before they were complete.
    pub(crate) asked: Option<Asked>,
    /// Who asked.
    pub(crate) caller: Caller,
    /// What was asked, and where it was to go.
    pub(crate) question: Question,
    /// Model by the provider's word.
    pub(crate) response_model: Option<String>,
    /// Provider of the last attempt.
    pub(crate) provider: Option<String>,
    /// Model of the last attempt.
    pub(crate) provider_model: Option<String>,
    /// What became of it at the limits.
    pub(crate) limit: Option<String>,
    /// The fullest limit.
    pub(crate) fill: Option<Fill>,
    /// What became of it at the cache.
    pub(crate) cache: Option<String>,
    /// What the cache knows the question by.
    pub(crate) cache_key: Option<String>,
    /// Length of the answer, where it is fit to be kept.
    pub(crate) cache_bytes: Option<u64>,
    /// What the checks found.
    pub(crate) findings: Vec<Finding>,
    /// The attempts.
    pub(crate) attempts: Attempts,
    /// Tokens.
    pub(crate) usage: Usage,
    /// What they cost.
    pub(crate) cost: Cost,
    /// Why the answer ended.
    pub(crate) finish_reason: Option<String>,
    /// Where the time went.
    pub(crate) times: Times,
    /// Status that the client got; 0: none.
    pub(crate) status: u64,
    /// Code of the gateway's error.
    pub(crate) error: Option<Code>,
    /// How it ended.
    pub(crate) end: End,
    /// Whose error it is.
    pub(crate) blame: Option<Blame>,
}

/// Who asked.
#[derive(Debug, Default)]
pub(crate) struct Caller {
    /// By name.
    pub(crate) consumer: Option<String>,
    /// Their tier.
    pub(crate) tier: Option<String>,
    /// Fingerprint of the key.
    pub(crate) key_id: Option<String>,
    /// Free metadata: a JSON object on one line.
    pub(crate) metadata: Option<String>,
}

/// What `model-router` tells of the request. Without a model it tells nothing.
#[derive(Debug, Default)]
pub(crate) struct Question {
    /// Model as asked.
    pub(crate) model: Option<String>,
    /// Whether a stream was asked for.
    pub(crate) stream: Option<bool>,
    /// What else is in it.
    pub(crate) has: Vec<&'static str>,
    /// Estimated input tokens.
    pub(crate) input_estimate: Option<u64>,
    /// The request's cap on output tokens.
    pub(crate) max_output: Option<u64>,
    /// Answers that it asks for, if several.
    pub(crate) choices: Option<u64>,
    /// The rule that matched.
    pub(crate) rule: Option<String>,
    /// The target that was picked.
    pub(crate) target: Option<String>,
}

/// How full the fullest limit was.
#[derive(Debug)]
pub(crate) struct Fill {
    /// The limit by name.
    pub(crate) limit: String,
    /// In percent.
    pub(crate) percent: u64,
}

impl Entry {
    /// Reads everything.
    pub(crate) fn read(host: &dyn Host, prices: &Prices, asked: Option<Asked>) -> Self {
        let outcome = Outcome::read(host);
        let (end, error) = (outcome.end(), outcome.error_code());
        let question = Question::read(host);
        let provider = context::PROVIDER.get(host);
        let provider_model = context::PROVIDER_MODEL.get(host);
        let ended_us = host.now_ns() / 1_000;
        let last = (provider.as_deref(), provider_model.as_deref());
        let attempts = Attempts::read(host, &outcome, last, ended_us / 1_000);
        // In an attempt that failed, what the provider said is not what the client got, nor what it pays for.
        let counts = outcome.status < 400 || outcome.is_withheld();
        let told = |fact: Fact| if counts { fact.get(host) } else { None };
        let response_model = told(context::RESPONSE_MODEL);
        let usage = if counts { Usage::read(host, question.stream) } else { Usage::default() };
        let served = Served {
            is_error: outcome.status >= 400 && !outcome.withheld_answer,
            reached_provider: attempts.reached,
            provider: provider.as_deref().unwrap_or_default(),
            models: [provider_model.as_deref(), response_model.as_deref(), question.model.as_deref()],
            input_estimate: question.input_estimate.unwrap_or(0),
            ..usage.served()
        };
        let cost = Cost::of(host, prices, served, &usage);
        let limit = context::LIMIT.get(host);
        let cache = context::CACHE.get(host);
        Self {
            caller: Caller::read(host),
            fill: limit.as_ref().and_then(|_| context::LIMIT_FILL.read(host, Fill::parse)?),
            cache_bytes: cache.as_ref().and_then(|_| context::CACHE_BYTES.number(host)),
            cache_key: cache.as_ref().and_then(|_| context::CACHE_KEY.get(host)),
            findings: context::GUARD.read(host, Finding::list).unwrap_or_default(),
            times: Times::read(host, asked.as_ref(), (&attempts, &outcome, end), limit.is_some(), ended_us),
            finish_reason: told(context::FINISH_REASON),
            blame: blame::judge(&outcome, end, error),
            status: outcome.status,
            asked,
            question,
            response_model,
            provider,
            provider_model,
            limit,
            cache,
            attempts,
            usage,
            cost,
            error,
            end,
        }
    }

    /// The limit that refused it.
    pub(crate) fn refused_by(&self) -> Option<&str> {
        self.limit.as_deref()?.strip_prefix("refused:")
    }

    /// Whether the limits have let it pass.
    pub(crate) fn is_admitted(&self) -> bool {
        self.limit.as_deref().is_some_and(|limit| limit.starts_with("admitted"))
    }

    /// Whether a model has answered it well, now or to the cache. A filter that answers with a 2xx by itself (how the limits
    /// of a model stand, a refusal in the form of an answer) does so whatever the model is called.
    pub(crate) const fn is_answered_by_model(&self) -> bool {
        let is_success = self.status >= 200 && self.status < 300;
        is_success && (self.provider.is_some() || self.usage.source.is_some())
    }
}

impl Caller {
    fn read(host: &dyn Host) -> Self {
        let Some(consumer) = context::CONSUMER.get(host) else {
            return Self::default(); // nobody is known by a key alone
        };
        Self {
            consumer: Some(consumer),
            tier: context::TIER.get(host),
            key_id: context::KEY_ID.get(host),
            metadata: context::METADATA.read(host, object).flatten(),
        }
    }
}

/// The object on one line; `None` if it is no JSON object.
fn object(json: &str) -> Option<String> {
    let object: Map<String, Value> = serde_json::from_str(json).ok()?;
    Some(Value::Object(object).to_string())
}

impl Question {
    fn read(host: &dyn Host) -> Self {
        let Some(model) = context::MODEL.get(host) else {
            return Self::default();
        };
        let held = |has: &str| {
            let holds = |what: &&str| has.split(',').any(|word| word == *what);
            ["tools", "images"].into_iter().filter(holds).collect()
        };
        Self {
            model: Some(model),
            stream: context::STREAM.read(host, |stream| stream.parse().ok()).flatten(),
            has: context::HAS.read(host, held).unwrap_or_default(),
            input_estimate: context::INPUT_ESTIMATE.number(host),
            max_output: context::MAX_OUTPUT.number(host),
            choices: context::CHOICES.number(host),
            rule: context::RULE.get(host),
            target: context::TARGET.get(host),
        }
    }
}

impl Fill {
    /// Reads `93:<limit>`.
    fn parse(fact: &str) -> Option<Self> {
        let (percent, limit) = fact.split_once(':')?;
        Some(Self { limit: limit.to_owned(), percent: percent.parse().ok()? })
    }
}
