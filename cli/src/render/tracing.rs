//! Tracing: what Envoy's tracer tells of a request and of its attempts, and the cluster of the collector.
//!
//! A request is a span of kind server, each attempt at a provider one of kind client below it. Envoy applies the same
//! tags to both; only of a request that has ended is there a `request.duration`, by which they are told apart. Were
//! the tags of the request on its attempts as well, its tokens would be counted once more with each. What a tag names
//! and is not known, Envoy leaves out.
//!
//! Names: <https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/>

use serde_json::{Map, Value, json};
use sluice_core::config::SecretSource;
use sluice_core::context::{self, Fact};

use super::clusters::{Cluster, named, service};
use super::{Rendering, seconds};
use crate::gateway::{Gateway, Secret, Tracing};

/// Where spans go.
const CLUSTER: &str = "sluice.traces";
/// Most exports under way, and as many that wait: what a collector that hangs can make Envoy hold.
const EXPORTS: u32 = 16;
/// Spans that make a worker export before its time is up.
const BATCH: u32 = 128;
/// Longest time that a span waits for others, in milliseconds.
const FLUSH_MS: u32 = 1000;

/// What the whole request is, by attribute.
const OF_REQUEST: [(&str, Fact); 14] = [
    ("gen_ai.operation.name", context::OPERATION),
    ("gen_ai.provider.name", context::PROVIDER),
    ("gen_ai.request.model", context::MODEL),
    ("gen_ai.response.model", context::RESPONSE_MODEL),
    ("gen_ai.response.finish_reasons", context::FINISH_REASON),
    ("gen_ai.usage.input_tokens", context::INPUT_TOKENS),
    ("gen_ai.usage.output_tokens", context::OUTPUT_TOKENS),
    ("gen_ai.usage.cache_read.input_tokens", context::CACHED_TOKENS),
    ("gen_ai.usage.reasoning.output_tokens", context::REASONING_TOKENS),
    ("sluice.consumer", context::CONSUMER),
    ("sluice.rule", context::RULE),
    ("sluice.target", context::TARGET),
    ("sluice.cache", context::CACHE),
    ("sluice.limit", context::LIMIT),
];

/// What one attempt is, by attribute.
const OF_ATTEMPT: [(&str, Fact); 3] = [
    ("sluice.attempt.provider", context::PROVIDER),
    ("sluice.attempt.model", context::PROVIDER_MODEL),
    ("sluice.attempt.key", context::PROVIDER_KEY),
];

/// The connection manager's part.
pub(super) fn tracing(tracing: &Tracing) -> Value {
    json!({
        "provider": {"name": "envoy.tracers.opentelemetry", "typed_config": tracer(tracing)},
        "#": "The tracer's own sampler decides: this is a cap, which a traceparent could not pass.",
        "random_sampling": {"value": 100},
        "#1": "A path and its query are the client's own words.",
        "max_path_tag_length": 0,
        "spawn_upstream_span": true,
        "operation": span_name(context::OPERATION, "request.method", context::MODEL),
        "upstream_operation": span_name(context::PROVIDER, "'attempt'", context::PROVIDER_MODEL),
        "custom_tags": tags(),
    })
}

/// The fact `first`, or else what the expression `otherwise` gives, and the model if there is one.
fn span_name(first: Fact, otherwise: &str, model: Fact) -> String {
    format!(
        "%CEL({known} ? {first} : {otherwise})%%CEL({asked} ? ' ' : '')%{model}",
        known = is_known(first),
        first = fact(first),
        asked = is_known(model),
        model = text(model),
    )
}

fn tracer(tracing: &Tracing) -> Value {
    let authority = tracing.endpoint.authority(tracing.scheme);
    let uri = format!("{}://{authority}{}", tracing.scheme.as_str(), tracing.path);
    let header = |(name, value): (&String, &Secret)| {
        json!({
            "header": {"key": name, "value": header_value(value.source())},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        })
    };
    json!({
        "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
        "service_name": tracing.service,
        "sampler": sampler(tracing),
        "http_service": {
            "http_uri": {"uri": uri, "cluster": CLUSTER, "timeout": seconds(tracing.timeout)},
            "request_headers_to_add": tracing.headers.iter().map(header).collect::<Vec<_>>(),
        },
    })
}

/// A traceparent's flag where there is one, else a share of all traces.
fn sampler(tracing: &Tracing) -> Value {
    let kind = "type.googleapis.com/envoy.extensions.tracers.opentelemetry.samplers.v3";
    json!({
        "name": "envoy.tracers.opentelemetry.samplers.parent_based",
        "typed_config": {
            "@type": format!("{kind}.ParentBasedSamplerConfig"),
            "wrapped_sampler": {
                "name": "envoy.tracers.opentelemetry.samplers.trace_id_ratio_based",
                "typed_config": {
                    "@type": format!("{kind}.TraceIdRatioBasedSamplerConfig"),
                    "sampling_percentage": {"numerator": tracing.sample.units(), "denominator": "TEN_THOUSAND"},
                },
            },
        },
    })
}

/// As Envoy's formatter reads it: a variable of its environment, or text in which `%` is doubled.
fn header_value(value: &SecretSource) -> String {
    match value {
        SecretSource::Env(name) => format!("%ENVIRONMENT({name})%"),
        SecretSource::Value(value) => value.replace('%', "%%"),
    }
}

fn tags() -> Vec<Value> {
    let tag = |name: &str, value: String| json!({"tag": name, "value": value});
    let whole = OF_REQUEST.iter().map(|(name, known)| tag(name, of_request(&fact(*known))));
    let attempts = OF_ATTEMPT.iter().map(|(name, known)| tag(name, of_attempt(&fact(*known))));
    let others = [
        tag("error.type", of_request(&error_type())),
        tag("sluice.attempts", of_request("upstream.request_attempt_count")),
        tag("sluice.tried", of_request(&fact(context::TRIED))),
    ];
    whole.chain(others).chain(attempts).collect()
}

/// The gateway's own code, else the status of a failure, else how a stream broke.
fn error_type() -> String {
    let (error, end) = (fact(context::ERROR), fact(context::STREAM_END));
    format!(
        "{failed} ? {error} : response.code >= 400 ? response.code : {ended} && {end} != b'complete' ? {end} : \
         response.flags != 0 ? response.code_details : ''",
        failed = is_known(context::ERROR),
        ended = is_known(context::STREAM_END),
    )
}

fn of_request(expression: &str) -> String {
    format!("%CEL(has(request.duration) ? ({expression}) : '')%")
}

fn of_attempt(expression: &str) -> String {
    format!("%CEL(has(request.duration) ? '' : ({expression}))%")
}

/// The fact in an expression.
fn fact(fact: Fact) -> String {
    format!("filter_state['wasm.{}']", fact.0)
}

fn is_known(fact: Fact) -> String {
    format!("'wasm.{}' in filter_state", fact.0)
}

/// The fact in a format.
fn text(fact: Fact) -> String {
    format!("%FILTER_STATE(wasm.{}:PLAIN)%", fact.0)
}

/// The collector's cluster. Its name never changes: no request has a part in it.
pub(super) fn cluster(gateway: &Gateway, rendering: &Rendering<'_>) -> Option<Cluster> {
    let tracing = gateway.tracing.as_ref()?;
    let connect = tracing.timeout.min(gateway.timeouts.connect);
    let body = service(tracing.scheme, &tracing.endpoint, connect, EXPORTS, rendering);
    Some(named(CLUSTER.into(), "Where spans go.", body))
}

/// Whether the listener holds a secret; a query is taken for one.
pub(super) fn has_secrets_in_it(gateway: &Gateway) -> bool {
    gateway.tracing.as_ref().is_some_and(|tracing| {
        let mut headers = tracing.headers.values();
        tracing.path.contains('?') || headers.any(|value| matches!(value.source(), SecretSource::Value(_)))
    })
}

/// Settings of Envoy's runtime: spans go in batches. The same without tracing, which can so be added while Envoy
/// runs.
pub(super) fn settings() -> Map<String, Value> {
    [("tracing.opentelemetry.min_flush_spans", BATCH), ("tracing.opentelemetry.flush_interval_ms", FLUSH_MS)]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect()
}
