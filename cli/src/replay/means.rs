//! What answers were like so far, for requests that were not answered then and would be now.

use std::collections::HashMap;

use token_limit::learnt::FIRST_GUESS;

use super::provider::{Basis, Outcome, Tokens};
use super::record::Record;

/// How long an answer takes of which nothing is known, in microseconds.
const FIRST_DURATION_US: u64 = 1_000_000;

/// Questions whose answers are remembered.
const MAX_QUESTIONS: usize = 1_000_000;

/// Sums over the answers of one rule.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    count: u64,
    output: u64,
    duration_us: u64,
}

/// What answers were like: for each rule, and to each question that the log tells apart.
#[derive(Default)]
pub(super) struct Means {
    rules: HashMap<usize, Sums>,
    questions: HashMap<u64, Tokens>,
}

impl Means {
    /// An answer came to its end.
    pub(super) fn learn(&mut self, record: &Record, rule: usize, outcome: &Outcome) {
        let Some(output) = outcome.tokens.output.filter(|_| outcome.complete) else { return };
        if outcome.basis == Basis::Estimated {
            return;
        }
        if let Some(digest) = record.digest().filter(|_| self.questions.len() < MAX_QUESTIONS) {
            self.questions.insert(digest, outcome.tokens);
        }
        let sums = self.rules.entry(rule).or_default();
        sums.count = sums.count.saturating_add(1);
        sums.output = sums.output.saturating_add(output);
        let duration_us = outcome.ended_us.saturating_sub(record.decided_us());
        sums.duration_us = sums.duration_us.saturating_add(duration_us);
    }

    /// Tokens and the end of an answer to a request that begins at `now_us`.
    pub(super) fn estimate(&self, record: &Record, rule: usize, now_us: u64) -> (Tokens, u64) {
        let sums = self.rules.get(&rule).copied().unwrap_or_default();
        let mean = |sum: u64, first: u64| sum.checked_div(sums.count).unwrap_or(first);
        let each = mean(sums.output, FIRST_GUESS);
        let most = record.max_output.map(|max| max.saturating_mul(record.choices.unwrap_or(1).max(1)));
        let output = most.map_or(each, |most| each.min(most));
        let known = record.digest().and_then(|digest| self.questions.get(&digest).copied());
        let tokens = Tokens { input: record.input_estimate, cached: None, output: Some(output) };
        let tokens = known.unwrap_or(tokens);
        (tokens, now_us.saturating_add(mean(sums.duration_us, FIRST_DURATION_US)))
    }
}
