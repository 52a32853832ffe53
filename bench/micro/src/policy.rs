//! What each filter takes for an ordinary request, apart from the host.
//!
//! Each is run as it stands in the chain: it finds the facts of those before it, and is shown what they let through.

use std::error::Error;
use std::rc::Rc;

use serde_json::{Value, json};
use sluice_core::filter::{Filter, Side};
use sluice_core::target::{ATTRIBUTE, Target};

use crate::bed::{Bed, CALLS, State};
use crate::chain::{Exchange, Replay, Shown, Stream, plugin, record};
use crate::harness::{Case, Work};
use crate::texts;

type Filters = Vec<Box<dyn Stream>>;

/// How much the gateway has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Load {
    /// Three consumers, five rules, one limit.
    Usual,
    /// Ten thousand consumers, a hundred rules, five limits, a thousand keywords and all detectors, a cache that misses.
    Everything,
}

/// A filter's part of an exchange.
pub(crate) struct Part {
    /// Load, exchange and filter.
    pub(crate) name: String,
    replay: Replay,
}

/// Every filter's part of every exchange.
pub(crate) fn parts() -> Result<Vec<Part>, Box<dyn Error>> {
    let mut parts = Vec::new();
    for (load, called) in [(Load::Usual, "usual"), (Load::Everything, "everything")] {
        for (exchange, of) in exchanges() {
            let all = record(gateway(load)?, provider()?, &exchange)?;
            for ((name, shown), stream) in all.into_iter().zip(gateway(load)?.into_iter().chain(provider()?))
            {
                parts.push(Part::new(format!("{of}, {called}: {name}"), stream, shown));
            }
        }
    }
    let nothing = Exchange { body: texts::chat(1024, false), ..exchange(false, Vec::new()) };
    for (name, shown) in record(vec![plugin::<Nothing>(json!({}))?], Vec::new(), &nothing)? {
        parts.push(Part::new(name.to_owned(), plugin::<Nothing>(json!({}))?, shown));
    }
    Ok(parts)
}

impl Part {
    fn new(name: String, stream: Box<dyn Stream>, shown: Shown) -> Self {
        Self { name, replay: Replay::new(stream, Rc::new(shown)) }
    }

    /// Calls of the host by kind, in a request that is not the first.
    pub(crate) fn calls(&mut self) -> [u64; CALLS.len()] {
        let mut bed = Bed::default();
        self.replay.run(&mut bed);
        let before = bed.calls();
        later(&mut bed);
        self.replay.run(&mut bed);
        std::array::from_fn(|at| bed.calls().get(at).unwrap_or(&0) - before.get(at).unwrap_or(&0))
    }

    /// The case that measures it.
    pub(crate) fn case(self) -> Case {
        let (mut bed, mut replay) = (Bed::default(), self.replay);
        Case::new(self.name, Work::Once, move || {
            later(&mut bed);
            replay.run(&mut bed);
        })
    }
}

/// The next request comes: windows slide, and the cache has not kept the answer.
fn later(bed: &mut Bed) {
    bed.later_ns += 1_000_000;
    bed.shared.retain(|key, _| !key.starts_with("rc."));
}

/// Does nothing: what the measuring itself takes.
struct Nothing;

impl Filter for Nothing {
    const NAME: &'static str = "nothing";

    type Raw = Value;
    type Config = ();

    fn check(_: Value, _: &sluice_core::config::Env<'_>) -> Result<(), String> {
        Ok(())
    }

    fn new(_: Rc<()>) -> Self {
        Self
    }
}

fn exchanges() -> [(Exchange, &'static str); 4] {
    let events = texts::events(20);
    [
        (exchange(false, vec![texts::answer()]), "chat-1k"),
        (
            Exchange { body: texts::chat(16 << 10, false), ..exchange(false, vec![texts::answer()]) },
            "chat-16k",
        ),
        (exchange(true, vec![events.concat()]), "stream-20"),
        (exchange(true, events), "stream-20 in 24 parts"),
    ]
}

fn exchange(is_stream: bool, parts: Vec<String>) -> Exchange {
    let mut request = State::default();
    request.now_ns = 1_700_000_000_000_000_000;
    let body = texts::chat(1024, is_stream);
    let (bearer, length) = (format!("Bearer {}", texts::key(2)), body.len().to_string());
    request.set_headers(
        Side::Request,
        &[
            (":authority", "127.0.0.1:10000"),
            (":path", "/v1/chat/completions"),
            (":method", "POST"),
            (":scheme", "http"),
            ("accept", "application/json"),
            ("content-type", "application/json"),
            ("content-length", &length),
            ("authorization", &bearer),
            ("user-agent", "OpenAI/Python 1.99.0"),
            ("x-stainless-lang", "python"),
            ("x-forwarded-proto", "http"),
            ("x-request-id", "435385c2-1207-4070-9ab7-8685035ac03d"),
            ("x-envoy-attempt-count", "1"),
        ],
    );
    let target = Target {
        provider: "openai".into(),
        model: None,
        host: "api.openai.com".into(),
        path: "/v1".into(),
        attempts: 2,
    };
    request.set_attribute(&ATTRIBUTE.join("."), target.to_metadata().as_bytes());
    request.set_attribute("source.address", b"127.0.0.1:51234");
    request.set_attribute("xds.route_name", b"ai");
    let kind = if is_stream { "text/event-stream" } else { "application/json" };
    let length: usize = parts.iter().map(String::len).sum();
    let answer = [
        (":status", "200".to_owned()),
        ("content-type", kind.to_owned()),
        ("content-length", length.to_string()),
        ("date", "Tue, 14 Nov 2023 22:13:20 GMT".to_owned()),
        ("openai-organization", "acme".to_owned()),
        ("x-request-id", "req_1".to_owned()),
        ("x-ratelimit-limit-tokens", "200000".to_owned()),
        ("x-ratelimit-remaining-tokens", "199000".to_owned()),
    ];
    let answer = answer.into_iter().filter(|(name, _)| !is_stream || *name != "content-length").collect();
    Exchange { request, body, answer, parts }
}

fn gateway(load: Load) -> Result<Filters, Box<dyn Error>> {
    let prices = json!([{"match": "gpt-4*", "input": 2.5, "cached": 1.25, "output": 10}, {"match": "*", "input": 0.5, "output": 1.5}]);
    let mut filters = vec![
        plugin::<ai_log::AiLog>(json!({"prices": prices, "models": ["gpt-4o-mini", "gpt-4o"]}))?,
        plugin::<consumer_auth::ConsumerAuth>(consumers(if load == Load::Usual { 3 } else { 10_000 }))?,
        plugin::<model_router::ModelRouter>(rules(if load == Load::Usual { 5 } else { 100 }))?,
        plugin::<token_limit::TokenLimit>(limits(load, prices))?,
    ];
    if load == Load::Everything {
        filters.push(plugin::<content_guard::ContentGuard>(guard(1000))?);
        filters.push(plugin::<response_cache::ResponseCache>(json!({"memory_bytes": 64 << 20}))?);
    }
    Ok(filters)
}

fn provider() -> Result<Filters, Box<dyn Error>> {
    let keys = json!({"providers": {"openai": {"keys": [
        {"key": {"value": "sk-provider-one-0123456789"}}, {"key": {"value": "sk-provider-two-0123456789"}}]}}});
    Ok(vec![
        plugin::<fallback::Fallback>(json!({}))?,
        plugin::<key_rotation::KeyRotation>(keys)?,
        plugin::<provider_adapter::ProviderAdapter>(json!({}))?,
    ])
}

/// So many consumers, each with a key, a tier and bounds on its models.
pub(crate) fn consumers(count: usize) -> Value {
    let consumer = |number| {
        json!({"name": format!("consumer-{number}"), "tier": "gold", "models": ["gpt-*"],
               "keys": [{"sha256": consumer_auth::Digest::of(texts::key(number).as_bytes()).to_hex()}]})
    };
    json!({"consumers": (0..count).map(consumer).collect::<Vec<_>>()})
}

/// So many rules, of which the last but one matches.
pub(crate) fn rules(count: usize) -> Value {
    let rule = |number: usize| {
        let glob = if number + 2 == count { "gpt-4*".to_owned() } else { format!("vendor-{number}/*") };
        json!({"match": [glob], "targets": [
            {"name": "openai", "cluster": format!("rule-{number}.openai"), "weight": 90, "attempts": 2},
            {"name": "local", "cluster": format!("rule-{number}.local"), "weight": 10, "attempts": 2}]})
    };
    json!({"rules": (0..count).map(rule).collect::<Vec<_>>(), "limits": true})
}

fn limits(load: Load, prices: Value) -> Value {
    let tokens =
        json!({"name": "tokens", "by": ["consumer"], "total_tokens": 1_000_000_000_u64, "per_ms": 60_000});
    let more = [
        json!({"name": "requests", "by": ["consumer"], "requests": 1_000_000_000_u64, "per_ms": 60_000}),
        json!({"name": "at-once", "by": ["consumer"], "in_flight": 1000}),
        json!({"name": "budget", "by": ["tier"], "cost_usd": 1_000_000.0, "per_ms": 86_400_000_u64}),
        json!({"name": "model", "by": ["model"], "output_tokens": 1_000_000_000_u64, "per_ms": 3_600_000}),
    ];
    let more = more.into_iter().take(if load == Load::Usual { 0 } else { 4 });
    let limits: Vec<Value> = std::iter::once(tokens).chain(more).collect();
    json!({"limits": limits, "prices": prices})
}

fn guard(keywords: usize) -> Value {
    json!({"checks": [
        {"name": "words", "keywords": texts::keywords(keywords), "action": "block"},
        {"name": "pii", "detect": ["email", "phone", "card", "cn_id", "api_key", "jwt", "private_key"], "action": "mask"},
    ]})
}
