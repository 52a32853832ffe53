//! How Envoy keeps the filters' metrics: which parts of their names are labels, and the buckets of histograms.

use serde_json::{Value, json};
use sluice_core::metric;

/// Tokens: powers of four, as OpenTelemetry advises.
/// <https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/#metric-gen_aiclienttokenusage>
const TOKENS: &[u64] =
    &[1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216, 67_108_864];

/// Whole requests: powers of two from 10 ms, as OpenTelemetry advises.
/// <https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/#metric-gen_aiclientoperationduration>
const DURATION_MS: &[u64] =
    &[10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 5_120, 10_240, 20_480, 40_960, 81_920, 163_840, 655_360];

/// What goes before the first token.
const TTFT_MS: &[u64] =
    &[1, 5, 10, 20, 40, 60, 80, 100, 250, 500, 750, 1_000, 2_500, 5_000, 7_500, 10_000, 30_000, 60_000];

/// Between two tokens.
const PER_TOKEN_US: &[u64] = &[
    1_000, 2_500, 5_000, 10_000, 15_000, 20_000, 25_000, 30_000, 40_000, 50_000, 75_000, 100_000, 150_000,
    200_000, 300_000, 400_000, 500_000, 1_000_000, 2_500_000,
];

const PER_SECOND: &[u64] = &[1, 5, 10, 20, 30, 40, 50, 75, 100, 150, 200, 300, 500, 1_000, 2_000];

/// What the gateway itself and calls to its helpers take.
const CALL_MS: &[u64] =
    &[1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500, 1_000, 2_000, 5_000, 10_000, 30_000];

/// Histograms by how their names begin.
const BUCKETS: &[(&str, &[u64])] = &[
    ("gen_ai_client_token_usage", TOKENS),
    ("gen_ai_client_operation_duration_milliseconds", DURATION_MS),
    ("gen_ai_server_time_to_first_token_milliseconds", TTFT_MS),
    ("gen_ai_server_time_per_output_token_microseconds", PER_TOKEN_US),
    ("ai_log_output_tokens_per_second", PER_SECOND),
    ("ai_log_gateway_milliseconds", CALL_MS),
    ("redis_call_ms", CALL_MS),
    ("content_guard_call_ms", CALL_MS),
];

/// `stats_config` of the bootstrap.
pub(super) fn config() -> Value {
    let tag = |(name, regex)| json!({"tag_name": name, "regex": regex});
    let histogram = |(name, buckets): &(&str, &[u64])| json!({"match": {"prefix": format!("wasmcustom.{name}")}, "buckets": buckets});
    json!({
        "stats_tags": metric::tags().map(tag).collect::<Vec<_>>(),
        "histogram_bucket_settings": BUCKETS.iter().map(histogram).collect::<Vec<_>>(),
    })
}
