//! A line of the access log, as far as a replay looks at it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;
use serde_json::value::RawValue;

/// Version of the record that is read.
const VERSION: u64 = 1;

/// Micro- in a millisecond.
pub(super) const US_PER_MS: u64 = 1_000;

/// Why a line tells of no request that could be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unread {
    /// It is no JSON object, or its record is none.
    Broken,
    /// It has no record: the request never reached a filter.
    NoRecord,
    /// Its record is of another version.
    OtherVersion,
    /// Its record does not say when the request came: it broke off before its headers were complete.
    NoTimes,
}

/// A line of the log.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    /// The client's address.
    pub(super) client: Option<IpAddr>,
    /// What ai-log wrote.
    pub(super) record: Record,
}

#[derive(Deserialize)]
struct Line<'a> {
    client: Option<String>,
    #[serde(borrow)]
    ai_log: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Version {
    version: u64,
}

/// The record. Members that are not here say nothing of a decision.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    pub(super) request_id: String,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) operation: Option<String>,
    pub(super) stream: bool,
    pub(super) consumer: Option<String>,
    pub(super) key_id: Option<String>,
    pub(super) model: Option<String>,
    pub(super) response_model: Option<String>,
    pub(super) provider: Option<String>,
    pub(super) provider_model: Option<String>,
    pub(super) rule: Option<String>,
    pub(super) target: Option<String>,
    pub(super) limit: Option<String>,
    pub(super) cache: Option<String>,
    pub(super) cache_key: Option<String>,
    pub(super) cache_bytes: Option<u64>,
    pub(super) guard: Vec<Finding>,
    pub(super) attempts: Vec<Attempt>,
    pub(super) input_tokens: Option<u64>,
    pub(super) output_tokens: Option<u64>,
    pub(super) cached_tokens: Option<u64>,
    pub(super) usage_source: Option<String>,
    pub(super) cost_usd: Option<f64>,
    pub(super) status: u64,
    pub(super) finish_reason: Option<String>,
    pub(super) error: Option<String>,
    pub(super) end: String,
    pub(super) has: Vec<String>,
    pub(super) input_estimate: Option<u64>,
    pub(super) max_output: Option<u64>,
    pub(super) choices: Option<u64>,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) upload_ms: Option<u64>,
    pub(super) waits: BTreeMap<String, u64>,
    pub(super) times: Times,
}

/// What a check of the guard found.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Finding {
    pub(super) check: String,
    pub(super) on: String,
    pub(super) action: String,
}

/// An attempt at a provider.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Attempt {
    pub(super) provider: String,
    pub(super) model: Option<String>,
    pub(super) verdict: String,
}

/// When, in microseconds since the epoch.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Times {
    /// The headers came.
    pub(super) started_us: u64,
    /// The limits decided; absent where none was asked.
    pub(super) limited_us: Option<u64>,
    /// The exchange was over.
    pub(super) ended_us: u64,
}

impl Entry {
    /// Reads one line.
    ///
    /// # Errors
    /// Why it tells of no request.
    pub(super) fn parse(line: &[u8]) -> Result<Self, Unread> {
        let Line { client, ai_log } = serde_json::from_slice(line).map_err(|_| Unread::Broken)?;
        let json = ai_log.filter(|json| json.get() != "null").ok_or(Unread::NoRecord)?.get();
        let Version { version } = serde_json::from_str(json).map_err(|_| Unread::Broken)?;
        if version != VERSION {
            return Err(Unread::OtherVersion);
        }
        let record: Record = serde_json::from_str(json).map_err(|_| Unread::Broken)?;
        if record.times.started_us == 0 || record.times.ended_us == 0 {
            return Err(Unread::NoTimes);
        }
        Ok(Self { client: client.and_then(|client| client.parse().ok()), record })
    }
}

impl Record {
    /// When the limits decided; where there were none, when the whole request had come.
    pub(super) fn decided_us(&self) -> u64 {
        let upload_us = self.upload_ms.unwrap_or(0).saturating_mul(US_PER_MS);
        self.times.limited_us.unwrap_or_else(|| self.times.started_us.saturating_add(upload_us))
    }

    /// The label of the cache and the reason behind it.
    pub(super) fn cached(&self) -> (Option<&str>, Option<&str>) {
        let Some(text) = self.cache.as_deref() else { return (None, None) };
        let (label, reason) = text.split_once("; reason=").map_or((text, None), |(l, r)| (l, Some(r)));
        (Some(label), reason)
    }

    /// The digest of what was asked.
    pub(super) fn digest(&self) -> Option<u64> {
        u64::from_str_radix(self.cache_key.as_deref()?, 16).ok()
    }

    /// Whether the cache gave the answer.
    pub(super) fn is_hit(&self) -> bool {
        self.cached().0 == Some("hit")
    }

    /// The limit that refused the request.
    pub(super) fn refusing_limit(&self) -> Option<&str> {
        self.limit.as_deref()?.strip_prefix("refused:")
    }

    /// Names of the checks that blocked the request itself (`request`) or its answer (`response`).
    pub(super) fn blocked_by<'a>(&'a self, on: &'a str) -> impl Iterator<Item = &'a str> {
        let blocks = move |finding: &&Finding| finding.on == on && finding.action == "block";
        self.guard.iter().filter(blocks).map(|finding| finding.check.as_str())
    }

    /// Whether a provider has got to see the request, as token-limit tells it.
    pub(super) fn reached_provider(&self) -> bool {
        self.attempts
            .iter()
            .any(|attempt| !["connect_failure", "no_host"].contains(&attempt.verdict.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_of_a_request_or_why_not() {
        for (line, want) in [
            (r#"{"ai_log":{"version":1,"times":{"started_us":5,"ended_us":7}}}"#, Ok(5)),
            (
                r#"{"client":"::1","ai_log":{"version":1,"new":[],"upload_ms":2,"times":{"started_us":5,"ended_us":9}}}"#,
                Ok(2005),
            ),
            (r#"{"ai_log":{"version":1,"times":{"started_us":5,"limited_us":8,"ended_us":9}}}"#, Ok(8)),
            (r#"{"ai_log":{"version":1}}"#, Err(Unread::NoTimes)),
            (r#"{"ai_log":{"version":2,"times":[]}}"#, Err(Unread::OtherVersion)),
            (r#"{"ai_log":{"version":1,"times":7}}"#, Err(Unread::Broken)),
            (r#"{"ai_log":{"version":1,"times":[]}}"#, Err(Unread::NoTimes)), // serde reads lists as structs
            (r#"{"ai_log":null}"#, Err(Unread::NoRecord)),
            (r#"{"time":"now"}"#, Err(Unread::NoRecord)),
            (r#"{"ai_log":{"vers"#, Err(Unread::Broken)),
            ("", Err(Unread::Broken)),
            ("7", Err(Unread::Broken)),
            ("[]", Err(Unread::Broken)),
        ] {
            assert_eq!(Entry::parse(line.as_bytes()).map(|entry| entry.record.decided_us()), want, "{line}");
        }
    }

    #[test]
    fn labels_of_the_cache_are_taken_apart() {
        for (text, want) in [
            (None, (None, None)),
            (Some("hit"), (Some("hit"), None)),
            (Some("miss; reason=no-cache"), (Some("miss"), Some("no-cache"))),
        ] {
            let record = Record { cache: text.map(str::to_owned), ..Record::default() };
            assert_eq!(record.cached(), want);
        }
    }
}
