//! Routes: how long an attempt may take, and when Envoy makes another.

use consumer_auth::CONSUMER_HEADER;
use serde_json::{Value, json};

use super::seconds;
use crate::gateway::Gateway;

/// Name of the route configuration and of the virtual host.
pub(super) const NAME: &str = "gateway";

/// The route configuration.
pub(super) fn routes(gateway: &Gateway) -> Value {
    let timeouts = &gateway.timeouts;
    let stream = json!({"per_try_timeout": seconds(timeouts.first_token)});
    json!({
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": NAME,
        "virtual_hosts": [{
            "name": NAME,
            "domains": ["*"],
            "include_request_attempt_count": true,
            "#": "x-request-id becomes the gateway's own, as in the record: whom to ask at a provider stands here.",
            "response_headers_to_add": [{
                "header": {"key": "x-provider-request-id", "value": "%RESP(x-request-id)%"},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }],
            "routes": [
                {
                    "#": "Streams: an attempt may take so long to its first token (its headers are held until then).\nThe pause between two chunks is fallback's to watch: per_try_idle_timeout dies with per_try_timeout.",
                    "name": "stream",
                    "match": {"prefix": "/", "headers": [
                        {"name": "x-ai-stream", "string_match": {"exact": "true"}},
                    ]},
                    "route": route(gateway, stream),
                },
                {
                    "#": "Whole answers come when they are complete: only the deadline of the request holds.",
                    "name": "whole",
                    "match": {"prefix": "/"},
                    "route": route(gateway, json!({})),
                },
            ],
        }],
    })
}

fn route(gateway: &Gateway, attempt_timeouts: Value) -> Value {
    let mut retry = json!({
        "#": "fallback marks a failed answer with x-ai-retry; broken and refused connections fail by themselves.",
        "retry_on": "retriable-headers,reset,connect-failure,refused-stream",
        "retriable_headers": [{"name": "x-ai-retry", "present_match": true}],
        "#1": "model-router sets x-envoy-max-retries to what its chain needs; this is the most of any.",
        "num_retries": most_retries(gateway),
        "retry_back_off": {
            "base_interval": seconds(gateway.retry.backoff),
            "max_interval": seconds(gateway.retry.backoff.saturating_mul(10)),
        },
        "#2": "So many attempts at one target, each at another replica if there is one, then the next in the chain.",
        "retry_priority": {
            "name": "envoy.retry_priorities.previous_priorities",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig",
                "update_frequency": gateway.retry.per_target,
            },
        },
        "retry_host_predicate": [{
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
            },
        }],
        "host_selection_retry_max_attempts": 5,
    });
    if let (Value::Object(retry), Value::Object(more)) = (&mut retry, attempt_timeouts) {
        retry.extend(more);
    }
    json!({
        "cluster_header": "x-ai-cluster",
        "#": "The whole request, all attempts together.",
        "timeout": seconds(gateway.timeouts.request),
        "#1": "Off: an answer that is held at the gate looks idle from here.",
        "idle_timeout": "0s",
        "#2": "ring_hash: the same caller goes to the same replica. consumer-auth sets the header where there are consumers.",
        "hash_policy": [
            {"header": {"header_name": CONSUMER_HEADER}, "terminal": true},
            {"connection_properties": {"source_ip": true}},
        ],
        "retry_policy": retry,
    })
}

fn most_retries(gateway: &Gateway) -> u32 {
    let attempts = gateway.models.iter().map(|rule| gateway.attempts(rule)).max();
    attempts.unwrap_or(1).saturating_sub(1)
}
