//! Tells from a provider's answer whether the key is at fault, and for how long it has to rest.

use serde::Deserialize;
use serde_json::Value;
use sluice_core::filter::{Host, Side};
use sluice_core::retry_after;

use crate::config::Config;

/// The code of an account without credit, on a 429
/// (<https://platform.openai.com/docs/guides/error-codes/api-errors>).
const INSUFFICIENT_QUOTA: &str = "insufficient_quota";

/// What is wrong with the key of an attempt, and for how many milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// 429: it has used up a rate limit.
    Limited { ms: u64 },
    /// 401 or 403: the provider does not accept it.
    Refused { status: u16, ms: u64 },
    /// 402 or `insufficient_quota`: its account is out of credit.
    Spent { ms: u64 },
}

/// Judges the response's headers. `None`: the key is not at fault; 5xx and 408 are the provider's own, other 4xx
/// the client's.
pub(crate) fn of_headers(config: &Config, host: &dyn Host) -> Option<Verdict> {
    match host.header(Side::Response, ":status")?.as_slice() {
        b"429" => Some(Verdict::Limited { ms: cooldown_ms(config, host) }),
        b"401" => Some(Verdict::Refused { status: 401, ms: config.quarantine_ms }),
        b"403" => Some(Verdict::Refused { status: 403, ms: config.quarantine_ms }),
        // DeepSeek and OpenRouter say with the status what OpenAI says with `insufficient_quota`
        // (<https://api-docs.deepseek.com/quick_start/error_codes>).
        b"402" => Some(Verdict::Spent { ms: config.quarantine_ms }),
        _ => None,
    }
}

fn cooldown_ms(config: &Config, host: &dyn Host) -> u64 {
    let asked_ms = retry_after::wait_ms(&host.headers(Side::Response), host.now_ms());
    asked_ms.unwrap_or(config.cooldown_ms).min(config.max_cooldown_ms)
}

/// Judges the body of a 429, whole or its first part. `None`: it adds nothing to the headers.
pub(crate) fn of_body(config: &Config, body: &[u8]) -> Option<Verdict> {
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let spent = [answer.error.code, answer.error.kind].iter().any(|code| code == INSUFFICIENT_QUOTA);
    spent.then_some(Verdict::Spent { ms: config.quarantine_ms })
}

#[derive(Deserialize)]
struct Answer {
    error: AnswerError,
}

/// Providers put numbers and `null` into `code`, too.
#[derive(Deserialize)]
struct AnswerError {
    #[serde(default)]
    code: Value,
    #[serde(default, rename = "type")]
    kind: Value,
}
