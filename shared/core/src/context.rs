//! The registry of per-request facts: the only place where their names are spelled.
//!
//! A fact is an entry of Envoy's filter state: clients cannot forge it, filters of both stages read it, and the
//! access log prints it as `%FILTER_STATE(wasm.<name>:PLAIN)%`. Values are short UTF-8 scalars, but for
//! [`ATTEMPTS`], [`METADATA`], [`GUARD`] and [`AI_LOG`], which are JSON. Each has one writer. Absent is normal: the reader decides.

use std::net::{IpAddr, SocketAddr};

use crate::filter::Host;

/// A fact: its name, and its place in [`ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fact(pub &'static str, usize);

macro_rules! facts {
    ($($(#[$doc:meta])* $name:ident = $key:literal;)*) => {
        #[allow(clippy::upper_case_acronyms, non_camel_case_types, reason = "variants count the facts")]
        enum Place { $($name),* }
        $(
            $(#[$doc])*
            pub const $name: Fact = Fact($key, Place::$name as usize);
        )*
        /// Every fact, for tests and documentation.
        pub const ALL: &[Fact] = &[$($name),*];
    };
}

facts! {
    /// Name of the caller. Written by `consumer-auth`.
    CONSUMER = "ai.consumer";
    /// Tier of the caller. Written by `consumer-auth`.
    TIER = "ai.tier";
    /// First 8 hex digits of the SHA-256 of the caller's key; absent without one. Written by `consumer-auth`.
    KEY_ID = "ai.key_id";
    /// The caller's free metadata, one JSON object of strings; absent when there is none. Written by
    /// `consumer-auth`.
    METADATA = "ai.consumer_metadata";
    /// Model as the client asked for it. Written by `model-router`.
    MODEL = "ai.model";
    /// Model to send where the target names none: as asked, less the rule's `strip_prefix`. Written by
    /// `model-router`, only where it differs from [`MODEL`].
    BASE_MODEL = "ai.base_model";
    /// `true` if the client asked for a stream. Written by `model-router`.
    STREAM = "ai.stream";
    /// [`crate::openai::Operation`] by name. Written by `model-router`.
    OPERATION = "ai.operation";
    /// The rule that matched: its first glob. Written by `model-router`.
    RULE = "ai.rule";
    /// The target that was picked, `provider` or `provider/model`. Written by `model-router`.
    TARGET = "ai.target";
    /// Estimated input tokens. Written by `model-router`.
    INPUT_ESTIMATE = "ai.input_estimate";
    /// The request's own cap on output tokens. Written by `model-router`.
    MAX_OUTPUT = "ai.max_output";
    /// Answers that the request asks for at once; absent for one. Written by `model-router`.
    CHOICES = "ai.choices";
    /// What else the request holds, comma separated: `tools`, `images`; absent when neither. Written by
    /// `model-router`.
    HAS = "ai.has";
    /// What became of the request at the limits: `admitted`, `admitted_locally` or `admitted_unchecked` (the store did
    /// not answer), `refused:<limit>`, `refused_unchecked`; absent when no limit applies. Written by `token-limit`.
    LIMIT = "ai.limit";
    /// How full the fullest of the limits that apply was after the decision, in percent, and which it is:
    /// `93:<limit>`. Written by `token-limit`, in this Envoy or by Redis' word; absent where none was asked.
    LIMIT_FILL = "ai.limit_fill";
    /// Microseconds since the epoch when the limits decided. Written by `token-limit`.
    LIMITED_US = "ai.limited_us";
    /// What the cache did, as in the header `x-ai-cache`: `hit`, `miss` or `bypass`, most with `; reason=…`; absent where
    /// there is no cache. Written by `response-cache`.
    CACHE = "ai.cache";
    /// First 16 hex digits of the digest of what was asked, as far as it changes the answer: equal questions have equal
    /// ones, whoever asks. Absent where the cache does not look at the request. Written by `response-cache`.
    CACHE_KEY = "ai.cache_key";
    /// Bytes of a whole answer that is fit to be kept; absent of any other. Written by `response-cache`.
    CACHE_BYTES = "ai.cache_bytes";
    /// Name of the filter that keeps the answer as the provider gave it and frees the client's copy of usage that was
    /// not asked for; `provider-adapter` then leaves usage in. Absent when nobody keeps it. Written by `response-cache`.
    RECORDER = "ai.recorder";
    /// JSON list of what the checks found, each with check, on (`request`, `response`), category, risk, action and count;
    /// absent when nothing. Never the text itself. Written by `content-guard`.
    GUARD = "ai.guard";
    /// JSON list of attempts that have ended: provider, model, key, status, verdict, ms. Written by `fallback`.
    ATTEMPTS = "ai.attempts";
    /// The failed attempts in words, for the error that ends an exhausted chain. Written by `fallback`.
    TRIED = "ai.tried";
    /// Milliseconds since the epoch when the running attempt began; empty once it is in [`ATTEMPTS`]. Written by
    /// `fallback`.
    ATTEMPT_START = "ai.attempt_start_ms";
    /// How the running attempt broke off, when it ended without an answer. Written by `fallback`.
    ATTEMPT_BROKE = "ai.attempt_broke";
    /// Milliseconds since the epoch when it broke off. Written by `fallback`.
    ATTEMPT_ENDED = "ai.attempt_ended_ms";
    /// `:path` as the client sent it. Written by `provider-adapter` in the first attempt: what it does to headers
    /// is still there in the next.
    CLIENT_PATH = "ai.client_path";
    /// Globs of the models that the caller may use, comma separated; absent: all. Written by `consumer-auth`.
    ALLOWED_MODELS = "ai.allowed_models";
    /// Provider of the running attempt. Written by `provider-adapter`.
    PROVIDER = "ai.provider";
    /// Model sent in the running attempt. Written by `provider-adapter`.
    PROVIDER_MODEL = "ai.provider_model";
    /// First 8 hex digits of the SHA-256 of the provider key in use; empty without one. Written by `key-rotation`.
    PROVIDER_KEY = "ai.provider_key";
    /// Provider keys that this request has been tried with, by fingerprint, comma separated; absent where a provider
    /// has but one. Written by `key-rotation`.
    TRIED_KEYS = "ai.tried_keys";
    /// Model the provider says it answered with. Written by the meter.
    RESPONSE_MODEL = "ai.response_model";
    /// Name of the filter that meters this response; whoever sees the response first claims it.
    METER = "ai.meter";
    /// Input tokens. Written by the meter.
    INPUT_TOKENS = "ai.usage.input";
    /// Output tokens, reasoning included. Written by the meter.
    OUTPUT_TOKENS = "ai.usage.output";
    /// Input tokens that the provider read from its cache. Written by the meter.
    CACHED_TOKENS = "ai.usage.cached";
    /// Output tokens spent on reasoning. Written by the meter.
    REASONING_TOKENS = "ai.usage.reasoning";
    /// `reported` by the provider or `estimated` by us. Written by the meter.
    USAGE_SOURCE = "ai.usage.source";
    /// Milliseconds that filters held the request for an answer from elsewhere, `token-limit:2,content-guard:310`, in
    /// the order in which they went on; what took less than one is not in it. Written by the adapter.
    WAITS = "ai.waits";
    /// Microseconds since the epoch when the whole request had come. Written by `model-router`.
    RECEIVED_US = "ai.received_us";
    /// Milliseconds since the epoch when the request arrived. Written by `ai-log`.
    STARTED = "ai.started_ms";
    /// Milliseconds from the request to the first content token. Written by the meter.
    TTFT_MS = "ai.ttft_ms";
    /// Why the answer ended, in the provider's word. Written by the meter.
    FINISH_REASON = "ai.finish_reason";
    /// How the response body ended: `complete`, `error_event`, `unterminated`. Written by the meter; absent when
    /// it broke off.
    STREAM_END = "ai.stream_end";
    /// What a whole JSON answer is worth: `content`, `empty`, `error` or `invalid`; absent of a stream, and of one that
    /// nobody read. Written by the meter, before any filter behind it sees the answer's end.
    ANSWER = "ai.answer";
    /// Code of the error that the gateway itself answered with. Written by the adapter when a filter replies.
    ERROR = "ai.error";
    /// The finished record, one JSON object. Written by `ai-log`.
    AI_LOG = "ai_log";
}

/// The client's address as Envoy sees it: that of the connection, or what `xff_num_trusted_hops` makes of it.
#[must_use]
pub fn client_address(host: &dyn Host) -> Option<IpAddr> {
    let text = String::from_utf8(host.attribute(&["source", "address"])?).ok()?;
    text.parse::<SocketAddr>().ok().map(|address| address.ip())
}

impl Fact {
    /// The fact of this name, if it is one of [`ALL`].
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        ALL.iter().find(|fact| fact.0 == name).copied()
    }

    /// Its place in [`ALL`].
    #[must_use]
    pub const fn place(self) -> usize {
        self.1
    }

    /// Publishes the fact.
    pub fn set(self, host: &mut dyn Host, value: &str) {
        host.publish(self, value.as_bytes());
    }

    /// Publishes a number.
    pub fn set_number(self, host: &mut dyn Host, value: u64) {
        host.publish_number(self, value);
    }

    /// What `read` makes of the fact, if it was published and is UTF-8. An empty value counts as absent.
    #[must_use]
    pub fn read<T>(self, host: &dyn Host, read: impl FnOnce(&str) -> T) -> Option<T> {
        let (mut read, mut made) = (Some(read), None);
        host.read_fact(self, &mut |value| {
            let text = std::str::from_utf8(value).ok().filter(|text| !text.is_empty());
            made = text.and_then(|text| Some(read.take()?(text)));
        });
        made
    }

    /// The fact, as [`Self::read`].
    #[must_use]
    pub fn get(self, host: &dyn Host) -> Option<String> {
        self.read(host, str::to_owned)
    }

    /// Whether there is one, as [`Self::read`].
    #[must_use]
    pub fn is_set(self, host: &dyn Host) -> bool {
        self.read(host, |_| ()).is_some()
    }

    /// Whether it is this word.
    #[must_use]
    pub fn is(self, host: &dyn Host, word: &str) -> bool {
        self.read(host, |text| text == word) == Some(true)
    }

    /// The fact as a number.
    #[must_use]
    pub fn number(self, host: &dyn Host) -> Option<u64> {
        host.fact_number(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_stands_at_its_place_under_its_name() {
        for (place, fact) in ALL.iter().enumerate() {
            assert_eq!((fact.place(), Fact::named(fact.0)), (place, Some(*fact)));
        }
        assert_eq!(Fact::named("ai.nothing"), None);
    }
}
