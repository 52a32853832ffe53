//! There is a record for every end that a request can come to, and its times add up.

use std::collections::HashMap;

use serde_json::{Value, json};
use sluice_e2e::cache::at_once;
use sluice_e2e::wait;

use crate::bed::{self, Metered};
use crate::client;
use crate::kinds;
use crate::traffic::{Planned, Random};

fn one(n: usize, kind: &'static str) -> Planned {
    kinds::one(n, kind, &mut Random::new(n as u64))
}

/// Sends one request of `kind` and waits for its record.
#[track_caller]
fn record(bed: &Metered, n: usize, kind: &'static str) -> Value {
    let planned = one(n, kind);
    client::send(bed, std::slice::from_ref(&planned));
    records(bed, n + 1).swap_remove(n)
}

/// Waits for so many records.
#[track_caller]
fn records(bed: &Metered, count: usize) -> Vec<Value> {
    wait::until(&format!("{count} records"), || {
        let log = bed.gateway.access_log();
        (log.len() >= count).then(|| log.into_iter().map(|line| line["ai_log"].clone()).collect())
    })
}

/// `upload_ms`, `provider_ms` and `gateway_ms` are parts of `duration_ms` that do not overlap: what is neither the
/// client's nor the provider's is the gateway's.
#[track_caller]
fn assert_times(record: &Value) {
    let time = |name: &str| record[name].as_u64();
    let duration = time("duration_ms").unwrap_or_else(|| panic!("no duration: {record}"));
    let [upload, provider] = ["upload_ms", "provider_ms"].map(|name| time(name).unwrap_or(0));
    if let Some(gateway) = time("gateway_ms") {
        assert_eq!(upload + provider + gateway, duration.max(upload + provider), "{record}");
        assert!(upload + provider + gateway <= duration, "{record}");
    }
    let attempts = record["attempts"].as_array().map_or(0, Vec::len);
    assert_eq!(time("provider_ms").is_some(), attempts > 0, "{record}");
    let times = &record["times"];
    let [started, ended] = ["started_us", "ended_us"].map(|name| times[name].as_u64().expect("a time"));
    let limited = times["limited_us"].as_u64().unwrap_or(started);
    assert!(started <= limited && limited <= ended, "{record}");
    assert!((ended / 1_000).abs_diff(started / 1_000 + duration) <= 1, "{record}");
}

#[track_caller]
fn assert_is(record: &Value, status: u16, end: &str, error: &str, verdicts: &[&str]) {
    let told = ["status", "end", "error"].map(|name| record[name].clone());
    let error = if error.is_empty() { Value::Null } else { json!(error) };
    assert_eq!(told, [json!(status), json!(end), error], "{record}");
    let attempts = record["attempts"].as_array().cloned().unwrap_or_default();
    let told: Vec<&str> = attempts.iter().filter_map(|attempt| attempt["verdict"].as_str()).collect();
    assert_eq!(told, verdicts, "{record}");
    assert_times(record);
}

#[test]
fn every_end_is_recorded_with_its_reason_and_times_that_add_up() {
    let bed = bed::start(1);
    let ends: [(&str, u16, &str, &str, &[&str]); 27] = [
        ("plain", 200, "complete", "", &["ok"]),
        ("stream", 200, "complete", "", &["ok"]),
        ("cache", 200, "complete", "", &["ok"]),
        ("missing-key", 401, "refused", "missing_api_key", &[]),
        ("bad-key", 401, "refused", "invalid_api_key", &[]),
        ("forbidden-model", 403, "refused", "model_not_allowed", &[]),
        ("unknown-model", 404, "refused", "model_not_found", &[]),
        ("bad-path", 404, "refused", "not_found", &[]),
        ("bad-json", 400, "refused", "invalid_json", &[]),
        ("bad-type", 400, "refused", "unsupported_content_type", &[]),
        ("too-large", 413, "refused", "request_too_large", &[]),
        ("list-models", 200, "complete", "", &[]),
        ("show-limits", 200, "complete", "", &[]),
        ("banned", 400, "refused", "content_policy_violation", &[]),
        ("service-blocked", 400, "refused", "content_policy_violation", &[]),
        ("said", 400, "refused", "content_policy_violation", &["withheld"]),
        ("fallback", 200, "complete", "", &["status_500", "status_500", "ok"]),
        ("provider-400", 422, "complete", "", &["status_422"]),
        ("error-event", 200, "error_event", "", &["error_event"]),
        ("cut", 200, "unterminated", "upstream_error", &["unterminated"]),
        ("reset", 200, "provider_reset", "", &["cut"]),
        ("idle", 200, "timeout", "upstream_timeout", &["timeout"]),
        ("first-token", 200, "complete", "", &["timeout", "timeout", "ok"]),
        ("exhausted", 502, "refused", "upstream_error", &["status_503"; 6]),
        ("nobody", 502, "provider_reset", "upstream_error", &["connect_failure"; 2]),
        ("leave-before", 0, "client_gone", "", &["client_gone"]),
        ("leave-within", 200, "client_gone", "", &["client_gone"]),
    ];
    for (n, (kind, status, end, error, verdicts)) in ends.into_iter().enumerate() {
        let record = record(&bed, n, kind);
        eprintln!("{kind}: {record}");
        assert_is(&record, status, end, error, verdicts);
    }
    limited_and_kept(&bed, ends.len());
}

/// What the same request becomes the second time, or when another is on its way.
fn limited_and_kept(bed: &Metered, recorded: usize) {
    let kept: Vec<Planned> = (0..2).map(|_| one(1_000, "cache-same")).collect();
    client::send(bed, &kept[..1]);
    client::send(bed, &kept[1..]);
    let many: Vec<Vec<u8>> = (0..3).map(|_| one(1_000, "cache-slow").bytes).collect();
    at_once(bed.gateway.address(), &many);
    let slow: Vec<Vec<u8>> = (0..3).map(|n| one(2_000 + n, "limited-slow").bytes).collect();
    at_once(bed.gateway.address(), &slow);
    let records = records(bed, recorded + 8).split_off(recorded);
    let mut labels: HashMap<&str, usize> = HashMap::new();
    for record in &records {
        let (cache, error) = (record["cache"].as_str().unwrap_or(""), record["error"].as_str().unwrap_or(""));
        *labels.entry(if error.is_empty() { cache } else { error }).or_default() += 1;
        assert_times(record);
        if cache.starts_with("hit") {
            assert_is(record, 200, "complete", "", &[]);
        }
    }
    let want = [
        ("miss", 2),
        ("hit", 1),
        ("hit; reason=coalesced", 2),
        ("bypass; reason=model", 1),
        ("concurrency_limit_exceeded", 2),
    ];
    assert_eq!(labels, HashMap::from(want), "{records:?}");
}
