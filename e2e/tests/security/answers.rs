//! A provider that oversteps: headers by which it would steer the gateway, other requests, or the caller's client.

use serde_json::{Map, Value, json};

use crate::bed::shared;

/// Headers of an answer that are the gateway's to write, or say something of the provider's own host.
const OURS: [&str; 31] = [
    "x-ai-retry",
    "x-ai-cluster",
    "x-ai-stream",
    "x-ai-cache",
    "x-ai-anything",
    "x-sluice-error",
    "x-envoy-ratelimited",
    "x-envoy-overloaded",
    "x-envoy-immediate-health-check-fail",
    "x-envoy-degraded",
    "x-envoy-upstream-service-time",
    "x-envoy-attempt-count",
    "x-envoy-decorator-operation",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "x-ratelimit-remaining-tokens",
    "anthropic-ratelimit-requests-remaining",
    "set-cookie",
    "openai-organization",
    "openai-project",
    "alt-svc",
    "strict-transport-security",
    "clear-site-data",
    "nel",
    "report-to",
    "proxy-authenticate",
    "www-authenticate",
    "keep-alive",
    "proxy-connection",
    "upgrade",
];

/// A number, as some of these headers hold one, and too long to stand in a record's identifiers or times by chance.
const CANARY: &str = "1729172917";

fn headers(names: &[&str]) -> Value {
    json!(names.iter().map(|name| ((*name).to_owned(), json!(CANARY))).collect::<Map<String, Value>>())
}

#[test]
fn a_provider_cannot_speak_for_the_gateway_or_of_its_own_host() {
    let bed = shared();
    for (n, (status, stream)) in
        [(200, false), (200, true), (400, false), (404, false), (422, true)].into_iter().enumerate()
    {
        let test = format!("overstep-{n}");
        let fault = json!({"status": status, "headers": headers(&OURS)});
        let answered = bed.ask(&test, stream, json!({"a": fault}));
        assert_eq!(answered.reply.status, status, "{}", answered.reply.text());
        assert_eq!(answered.asked(), ["a"], "no further attempt, {status}");
        let told: Vec<_> =
            answered.reply.headers.iter().filter(|(_, value)| value.contains(CANARY)).collect();
        assert!(told.is_empty(), "{status}: {told:?}");
        let record = bed.ai_log(&test);
        assert!(!record.to_string().contains(CANARY), "{record}");
    }
}

#[test]
fn a_failing_provider_cannot_keep_the_next_one_from_being_asked() {
    let bed = shared();
    for (n, status) in [429, 500, 503].into_iter().enumerate() {
        let test = format!("forbid-{n}");
        let answered = bed.ask(&test, false, json!({"a": {"status": status, "headers": headers(&OURS)}}));
        assert_eq!((answered.reply.status, answered.asked()), (200, vec!["a", "b"]), "{status}");
        assert!(!format!("{:?}", answered.reply.headers).contains(CANARY), "{:?}", answered.reply.headers);
    }
}

#[test]
fn a_provider_cannot_send_the_caller_elsewhere() {
    let bed = shared();
    for status in [301, 302, 303, 307, 308] {
        let test = format!("redirect-{status}");
        let fault = json!({"status": status, "headers": {"location": "http://127.0.0.1:9/v1"}, "body": "{}"});
        let answered = bed.ask(&test, false, json!({"*": fault}));
        assert_eq!(answered.reply.header("location"), None, "{status}");
    }
}
