//! Whether the cache is asked, and for whom its answer is kept: response-cache's own configuration and reading of
//! `cache-control`.

use std::time::Duration;

use model_router::config::Rule;
use model_router::rules::base_model;
use response_cache::Config;
use response_cache::control::Control;
use response_cache::fingerprint::Scope;
use sluice_core::filter::Headers;
use sluice_core::openai::Operation;

use super::{Caller, Question};

/// What the cache does with the request, as far as its head tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cached {
    /// Why it has no part in the request, as in `x-ai-cache`: `model`, `operation`, `no-store`; `None`: it has.
    pub bypass: Option<&'static str>,
    /// The client wants a fresh answer: nothing is looked up, but the answer is kept.
    pub refresh: bool,
    /// How old an answer the client takes at most.
    pub max_age: Option<Duration>,
    /// Who shares the answer: `consumer`, `tier` or `everyone`.
    pub scope: &'static str,
    /// Which consumer or tier.
    pub of: Option<String>,
    /// How long the answer is kept.
    pub ttl: Duration,
}

/// What becomes of `question` in the cache. `rule` is the one that serves.
pub(super) fn look(
    config: &Config,
    question: &Question,
    caller: &Caller,
    rule: Option<&Rule>,
    headers: Vec<(String, Vec<u8>)>,
) -> Cached {
    let control = Control::of(&Headers::new(headers));
    let (scope, of) = match (config.scope, &caller.tier) {
        (Scope::Everyone, _) => ("everyone", None),
        (Scope::Tier, Some(tier)) => ("tier", Some(tier.clone())),
        // who has no tier shares with nobody
        (Scope::Tier, None) | (Scope::Consumer, _) => ("consumer", caller.consumer.clone()),
    };
    Cached {
        bypass: bypass(config, question, rule, control),
        refresh: control.no_cache,
        max_age: control.max_age_ms.map(Duration::from_millis),
        scope,
        of,
        ttl: Duration::from_millis(config.ttl_ms),
    }
}

fn bypass(
    config: &Config,
    question: &Question,
    rule: Option<&Rule>,
    control: Control,
) -> Option<&'static str> {
    let matches = |model: &str| config.models.as_ref().is_none_or(|globs| globs.matches(model));
    let as_sent = || rule.is_some_and(|rule| matches(base_model(rule, &question.model)));
    if Operation::of_path(&question.path) == Operation::Other {
        Some("operation")
    } else if control.no_store {
        Some("no-store")
    } else if !matches(&question.model) && !as_sent() {
        Some("model")
    } else {
        None
    }
}
