//! The record of attempts: which target was tried, and what became of it.

use std::rc::Rc;

use serde::Serialize;
use sluice_core::context;
use sluice_core::filter::{Headers, Host, Side};
use sluice_core::openai::Operation;
use sluice_core::target::Target;

/// Longest list of attempts kept, in bytes; what comes after is left out.
const MAX_RECORD_BYTES: usize = 8 * 1024;

/// One attempt that has ended, as it stands in the fact [`context::ATTEMPTS`].
#[derive(Debug, Serialize)]
struct Ended<'a> {
    provider: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    status: u16,
    verdict: &'a str,
    ms: u64,
}

/// The running attempt.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// Counted from 1.
    number: u32,
    started_ms: u64,
    target: Option<Rc<Target>>,
    /// What was asked for.
    pub(crate) operation: Operation,
}

impl Attempt {
    /// Opens the record of an attempt; one before it that broke off is closed first.
    pub(crate) fn begin(host: &mut dyn Host) -> Self {
        let headers = host.headers(Side::Request);
        let number = headers.text("x-envoy-attempt-count").and_then(|value| value.parse().ok()).unwrap_or(1);
        if number > 1 {
            close_broken(host);
        }
        let (started_ms, target) = (host.now_ms(), host.target());
        let attempt = Self { number, started_ms, target, operation: operation(host, &headers) };
        context::ATTEMPT_START.set_number(host, attempt.started_ms);
        attempt
    }

    /// Envoy will not make another attempt after this one.
    pub(crate) fn is_last(&self) -> bool {
        self.target.as_ref().is_some_and(|target| target.attempts > 0 && self.number >= target.attempts)
    }

    /// Whether it has lasted `limit` milliseconds by Envoy's timers, which run up to a few per cent ahead of the
    /// clock.
    pub(crate) fn has_lasted(&self, host: &dyn Host, limit: u64) -> bool {
        self.age_ms(host) >= limit.saturating_sub(limit / 20)
    }

    /// Milliseconds since it began.
    pub(crate) fn age_ms(&self, host: &dyn Host) -> u64 {
        host.now_ms().saturating_sub(self.started_ms)
    }

    /// Closes the record of an attempt that was answered with `status`.
    pub(crate) fn close(&self, host: &mut dyn Host, status: u16, verdict: &str) {
        let provider = self.target.as_ref().map_or("", |target| target.provider.as_str());
        let ms = self.age_ms(host);
        append(host, provider, status, verdict, ms);
        context::ATTEMPT_START.set(host, "");
    }

    /// Adds the attempt to the words that an exhausted chain ends with.
    pub(crate) fn lament(&self, host: &mut dyn Host, words: &str) {
        let mut tried = context::TRIED.get(host).unwrap_or_default();
        if tried.len() > MAX_RECORD_BYTES {
            return;
        }
        if !tried.is_empty() {
            tried.push_str("; ");
        }
        match self.target.as_deref() {
            Some(Target { provider, model: Some(model), .. }) => {
                tried.push_str(&format!("{provider} ({model})"))
            }
            Some(Target { provider, .. }) => tried.push_str(provider),
            None => tried.push_str("provider"),
        }
        tried.push_str(": ");
        tried.push_str(words);
        context::TRIED.set(host, &tried);
    }
}

/// What was asked for; without the router's fact, told from the path. (While the answer comes, an upstream filter
/// can no longer read request headers.)
fn operation(host: &dyn Host, headers: &Headers) -> Operation {
    let of_path = || Operation::of_path(&String::from_utf8_lossy(headers.get(":path").unwrap_or_default()));
    context::OPERATION.read(host, Operation::from_name).unwrap_or_else(of_path)
}

/// Closes an attempt that ended without an answer. Its facts are still there: nobody has begun another.
fn close_broken(host: &mut dyn Host) {
    let Some(started_ms) = context::ATTEMPT_START.number(host) else { return };
    let provider = context::PROVIDER.get(host).unwrap_or_default();
    let verdict = context::ATTEMPT_BROKE.get(host).unwrap_or_else(|| "reset".to_owned());
    let ended_ms = context::ATTEMPT_ENDED.number(host).unwrap_or_else(|| host.now_ms());
    append(host, &provider, 0, &verdict, ended_ms.saturating_sub(started_ms));
}

fn append(host: &mut dyn Host, provider: &str, status: u16, verdict: &str, ms: u64) {
    let model = context::PROVIDER_MODEL.get(host);
    let key = context::PROVIDER_KEY.get(host);
    let ended = Ended { provider, model: model.as_deref(), key: key.as_deref(), status, verdict, ms };
    let Ok(entry) = serde_json::to_string(&ended) else { return };
    let list = context::ATTEMPTS.get(host).unwrap_or_default();
    if list.len() > MAX_RECORD_BYTES {
        return;
    }
    let list = match list.strip_suffix(']') {
        Some(open) => format!("{open},{entry}]"),
        None => format!("[{entry}]"),
    };
    context::ATTEMPTS.set(host, &list);
}
