//! What a request asks of the cache, or why it asks nothing.

use sluice_core::content::RequestBody;
use sluice_core::context;
use sluice_core::filter::{Headers, Host, Side};
use sluice_core::openai::Operation;

use crate::config::Config;
use crate::control::Control;
use crate::entry::Entry;
use crate::fingerprint::{self, Circumstances, Key, Scope};
use crate::replay::{Wanted, replay};
use crate::store::clear::tag;

/// Request headers that change an answer: what the request means, and with which other one a provider may take it for a
/// repetition, whose answer it then is.
const MEANINGFUL: [&str; 5] =
    ["idempotency-key", "openai-beta", "anthropic-version", "anthropic-beta", CONTENT_TYPE];

/// The header that names the cluster a request goes to. Of several values Envoy takes the first.
const CLUSTER: &str = "x-ai-cluster";

/// Of this one a charset of UTF-8 means nothing, for JSON has no other (RFC 8259 section 8.1). Any other parameter might
/// mean something to a provider, which then reads other words than we do.
const CONTENT_TYPE: &str = "content-type";

/// Why nothing is asked: the request is answered by the provider, and its answer is not kept.
pub(crate) type Bypass = &'static str;

/// What is known of a request before its body.
#[derive(Debug)]
pub(crate) struct Head {
    headers: Headers,
    control: Control,
    operation: Operation,
    consumer: String,
    scope: Scope,
    scope_value: String,
    model: String,
    base_model: Option<String>,
}

impl Head {
    /// Reads the head of a request; `end` if it has no body.
    pub(crate) fn of(host: &dyn Host, config: &Config, end: bool) -> Result<Self, Bypass> {
        let headers = host.headers(Side::Request);
        let operation = operation(host, &headers);
        if headers.text(":method") != Some("POST") || operation == Operation::Other {
            return Err("operation");
        }
        if end || RequestBody::of(&headers) != RequestBody::Json {
            return Err("body");
        }
        let control = Control::of(&headers);
        if control.no_store {
            return Err("no-store");
        }
        let (model, base_model) =
            (context::MODEL.get(host).unwrap_or_default(), context::BASE_MODEL.get(host));
        let matches = |model: &str| config.models.as_ref().is_none_or(|globs| globs.matches(model));
        if !matches(&model) && !base_model.as_deref().is_some_and(matches) {
            return Err("model");
        }
        let consumer = context::CONSUMER.get(host).unwrap_or_default();
        let (scope, scope_value) = scope(host, config.scope, &consumer).ok_or("consumer")?;
        Ok(Self { headers, control, operation, consumer, scope, scope_value, model, base_model })
    }

    /// Reads the whole `body`, and publishes what it asks in a few digits.
    pub(crate) fn read(&self, host: &mut dyn Host, config: &Config, body: &[u8]) -> Result<Question, Bypass> {
        let (rule, target) = (context::RULE.get(host), context::TARGET.get(host));
        let circumstances = Circumstances {
            scope: self.scope,
            scope_value: &self.scope_value,
            path: self.headers.text(":path").unwrap_or_default(),
            rule: rule.as_deref(),
            target: target.as_deref(),
            base_model: self.base_model.as_deref(),
            cluster: self.headers.get(CLUSTER),
            headers: meaningful(&self.headers, config),
        };
        let asked = fingerprint::read(&circumstances, body).map_err(|_| "body")?;
        context::CACHE_KEY.set(host, &asked.gist.short());
        if let Some(reason) = asked.bypass {
            return Err(reason);
        }
        Ok(Question {
            key: asked.key,
            operation: self.operation,
            wanted: Wanted { stream: asked.stream, usage: asked.usage },
            control: self.control,
            follows: !asked.stream || config.coalesce_streams,
            consumer_tag: tag(&self.consumer),
            model_tag: tag(self.base_model.as_ref().unwrap_or(&self.model)),
            since_ms: host.now_ms(),
        })
    }
}

/// What a request asks of the cache.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) key: Key,
    pub(crate) operation: Operation,
    pub(crate) wanted: Wanted,
    pub(crate) control: Control,
    /// It may wait for another's answer.
    pub(crate) follows: bool,
    pub(crate) consumer_tag: u32,
    pub(crate) model_tag: u32,
    /// When it was asked, in milliseconds since the epoch.
    pub(crate) since_ms: u64,
}

impl Question {
    /// The body of the answer that `entry` makes; else why it is none.
    pub(crate) fn answer(&self, entry: &Entry, now_ms: u64) -> Result<String, &'static str> {
        if !self.control.allows_age(now_ms.saturating_sub(entry.stored_ms)) {
            return Err("max-age");
        }
        let body = replay(entry.operation, entry.form, &entry.body, self.wanted);
        // a local reply is text; no more than text is kept
        body.and_then(|body| String::from_utf8(body).ok()).ok_or("form")
    }

    /// Milliseconds that it may still wait.
    pub(crate) fn left_ms(&self, config: &Config, now_ms: u64) -> u64 {
        config.max_wait_ms.saturating_sub(now_ms.saturating_sub(self.since_ms))
    }
}

fn operation(host: &dyn Host, headers: &Headers) -> Operation {
    let of_path = || Operation::of_path(headers.text(":path").unwrap_or_default());
    context::OPERATION.read(host, Operation::from_name).unwrap_or_else(of_path)
}

/// Among whom the answer is shared. A consumer without a tier shares with nobody, and nobody who has no name shares at
/// all where names count.
fn scope(host: &dyn Host, scope: Scope, consumer: &str) -> Option<(Scope, String)> {
    let of_consumer = || (!consumer.is_empty()).then(|| (Scope::Consumer, consumer.to_owned()));
    match scope {
        Scope::Everyone => Some((scope, String::new())),
        Scope::Tier => context::TIER.get(host).map(|tier| (scope, tier)).or_else(of_consumer),
        Scope::Consumer => of_consumer(),
    }
}

fn meaningful<'a>(headers: &'a Headers, config: &Config) -> Vec<(&'a str, &'a [u8])> {
    let means = |name: &str| MEANINGFUL.contains(&name) || config.headers.iter().any(|known| known == name);
    headers
        .iter()
        .filter(|(name, _)| means(name))
        .map(|(name, value)| (name, if name == CONTENT_TYPE { plain_type(value) } else { value }))
        .collect()
}

/// A media type, less the charset that JSON has anyway.
fn plain_type(value: &[u8]) -> &[u8] {
    let end = value.iter().position(|byte| *byte == b';').unwrap_or(value.len());
    let (essence, parameters) = value.split_at(end);
    let parameters = parameters.to_ascii_lowercase();
    let says_nothing = matches!(parameters.trim_ascii_end(), b"" | b";charset=utf-8" | b"; charset=utf-8");
    if says_nothing { essence.trim_ascii() } else { value }
}
