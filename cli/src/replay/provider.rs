//! What the providers would answer: what they did answer, as far as the record tells, and else an assumption.

use super::record::{Attempt, Record};
use crate::gateway::{Gateway, Hop, Rule};
use sluice_core::openai::error::Code;

/// A provider that is asked, and the model it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) provider: String,
    pub(super) model: String,
}

impl Step {
    fn is_of(&self, attempt: &Attempt) -> bool {
        self.provider == attempt.provider && attempt.model.as_ref().is_none_or(|model| *model == self.model)
    }
}

/// The steps of a request, one for each attempt it may have: the target's, the fallbacks', and again from the top.
pub(super) fn chain(gateway: &Gateway, rule: &Rule, target: &Hop, base_model: &str) -> Vec<Step> {
    let step = |hop: &Hop| Step {
        provider: hop.provider.clone(),
        model: hop.model.as_deref().unwrap_or(base_model).to_owned(),
    };
    let each = usize::try_from(gateway.retry.per_target).unwrap_or(1);
    let attempts = usize::try_from(gateway.attempts(rule)).unwrap_or(usize::MAX);
    let hops = std::iter::once(target).chain(&rule.fallback);
    let once: Vec<Step> = hops.flat_map(|hop| std::iter::repeat_n(step(hop), each)).collect();
    once.iter().cycle().take(attempts.min(once.len().saturating_mul(8))).cloned().collect()
}

/// Tokens as metered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    pub(super) input: Option<u64>,
    pub(super) cached: Option<u64>,
    pub(super) output: Option<u64>,
}

impl Tokens {
    pub(super) fn of(record: &Record) -> Self {
        Self { input: record.input_tokens, cached: record.cached_tokens, output: record.output_tokens }
    }
}

/// How much of an outcome the record tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Basis {
    /// All of it.
    #[default]
    Recorded,
    /// What was used, of another provider.
    Assumed,
    /// Nothing: it is as others were.
    Estimated,
}

/// What came of a request behind the gateway's own decisions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Who was asked last.
    pub(super) served: Option<Step>,
    pub(super) response_model: Option<String>,
    pub(super) reached_provider: bool,
    /// HTTP status; 0: none.
    pub(super) status: u64,
    /// The gateway's error.
    pub(super) error: Option<String>,
    pub(super) tokens: Tokens,
    /// The answer came to its end.
    pub(super) complete: bool,
    pub(super) ended_us: u64,
    pub(super) basis: Basis,
}

impl Outcome {
    /// As the record tells it.
    pub(super) fn recorded(record: &Record) -> Self {
        let served = record.provider.as_ref().filter(|_| !record.is_hit()).map(|provider| Step {
            provider: provider.clone(),
            model: record.provider_model.clone().unwrap_or_default(),
        });
        // Of an answer that the checks withheld the record does not tell how it ended, but it was metered to its end.
        let withheld = is_withheld(record) && record.output_tokens.is_some();
        Self {
            served,
            response_model: record.response_model.clone(),
            reached_provider: record.reached_provider(),
            status: record.status,
            error: record.error.clone(),
            tokens: Tokens::of(record),
            complete: (record.end == "complete" || withheld) && !record.is_hit(),
            ended_us: record.times.ended_us,
            basis: Basis::Recorded,
        }
    }

    fn answered(step: Option<&Step>, tokens: Tokens, ended_us: u64, basis: Basis) -> Self {
        Self {
            served: step.cloned(),
            reached_provider: true,
            status: 200,
            tokens,
            complete: basis != Basis::Estimated, // an estimate teaches nothing
            ended_us,
            basis,
            ..Self::default()
        }
    }

    fn failed(step: Option<&Step>, record: &Record) -> Self {
        let code = Code::UpstreamError;
        Self {
            served: step.cloned(),
            reached_provider: true,
            status: code.status().into(),
            error: Some(code.name().to_owned()),
            ended_us: record.times.ended_us,
            basis: Basis::Assumed,
            ..Self::default()
        }
    }
}

/// Whether the content checks kept an answer from the client.
pub(super) fn is_withheld(record: &Record) -> bool {
    record.error.as_deref().is_some_and(Code::withholds)
}

/// What comes of a request that goes along `chain`; `estimate` makes tokens and an end for one of which the record
/// tells none.
pub(super) fn outcome(record: &Record, chain: &[Step], estimate: impl Fn() -> (Tokens, u64)) -> Outcome {
    if record.attempts.is_empty() {
        let (tokens, ended_us) = estimate();
        return Outcome::answered(chain.first(), tokens, ended_us, Basis::Estimated);
    }
    if follows(record, chain) {
        return Outcome::recorded(record);
    }
    let last = record.attempts.last();
    for step in chain {
        let asked = record.attempts.iter().any(|attempt| step.is_of(attempt));
        if !asked && record.output_tokens.or(record.input_tokens).is_some() {
            return Outcome::answered(Some(step), Tokens::of(record), record.times.ended_us, Basis::Assumed);
        }
        if !asked {
            let (tokens, ended_us) = estimate();
            return Outcome::answered(Some(step), tokens, ended_us, Basis::Estimated);
        }
        if !has_failed(record) && last.is_some_and(|last| step.is_of(last)) {
            return Outcome::recorded(record);
        }
    }
    Outcome::failed(chain.last(), record)
}

fn has_failed(record: &Record) -> bool {
    record.error.as_deref() == Some(Code::UpstreamError.name())
}

/// Whether the attempts of `record` are what `chain` leads to: it begins with the first, holds them all, and has nobody
/// before the last of them who was not asked; if all failed, nobody at all.
fn follows(record: &Record, chain: &[Step]) -> bool {
    let asked = |step: &Step| record.attempts.iter().any(|attempt| step.is_of(attempt));
    let (Some(first), Some(last)) = (record.attempts.first(), record.attempts.last()) else { return false };
    let Some(at) = chain.iter().position(|step| step.is_of(last)) else { return false };
    chain.first().is_some_and(|step| step.is_of(first))
        && record.attempts.iter().all(|attempt| chain.iter().any(|step| step.is_of(attempt)))
        && chain.iter().take(at).all(asked)
        && (!has_failed(record) || chain.iter().all(asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(names: &str) -> Vec<Step> {
        let step = |name: char| Step { provider: name.to_string(), model: "m".to_owned() };
        names.chars().map(step).collect()
    }

    fn record(asked: &str, failed: bool) -> Record {
        let attempt = |name: char| Attempt {
            provider: name.to_string(),
            model: Some("m".to_owned()),
            verdict: "status_503".to_owned(),
        };
        let attempts: Vec<_> = asked.chars().map(attempt).collect();
        Record {
            provider: attempts.last().map(|last| last.provider.clone()),
            provider_model: Some("m".to_owned()),
            attempts,
            error: failed.then(|| "upstream_error".to_owned()),
            status: if failed { 502 } else { 200 },
            output_tokens: (!failed).then_some(5),
            ..Record::default()
        }
    }

    #[test]
    fn providers_answer_as_they_did_and_those_not_asked_as_others_did() {
        for (asked, failed, chain, served, error, basis) in [
            ("a", false, "aab", "a", false, Basis::Recorded),
            ("aab", false, "aabb", "b", false, Basis::Recorded),
            ("ab", true, "ab", "b", true, Basis::Recorded),
            ("a", false, "ba", "b", false, Basis::Assumed),
            ("ab", false, "ba", "b", false, Basis::Recorded),
            ("ab", false, "a", "a", true, Basis::Assumed),
            ("ab", false, "acb", "c", false, Basis::Assumed),
            ("ab", true, "abc", "c", false, Basis::Estimated),
            ("ab", true, "ba", "a", true, Basis::Assumed),
            ("", false, "ab", "a", false, Basis::Estimated),
        ] {
            let outcome = outcome(&record(asked, failed), &steps(chain), || (Tokens::default(), 7));
            let told = outcome.served.map(|step| step.provider);
            assert_eq!(
                (told.as_deref(), outcome.error.is_some(), outcome.basis),
                (Some(served), error, basis),
                "{asked} {failed} along {chain}"
            );
        }
    }
}
