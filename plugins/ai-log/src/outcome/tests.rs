//! Every way in which a request can end, as Envoy describes it.

use proptest::prelude::*;

use super::*;

/// Name, status, flags, details, `ai.stream_end`, `ai.error`; end, error code, verdict on the running attempt.
type Case = (
    &'static str,
    (u64, u64, &'static str, &'static str, &'static str),
    (End, Option<&'static str>, &'static str),
);

const BROKEN: &str = "upstream_reset_after_response_started{remote_reset}";
const EARLY: &str = "upstream_reset_before_response_started{connection_termination}";

const CASES: &[Case] = &[
    ("answered", (200, 0, "via_upstream", "complete", ""), (End::Complete, None, "ok")),
    ("answered, not metered", (200, 0, "via_upstream", "", ""), (End::Complete, None, "ok")),
    ("the provider's own 400", (400, 0, "via_upstream", "", ""), (End::Complete, None, "ok")),
    ("an error event", (200, 0, "via_upstream", "error_event", ""), (End::ErrorEvent, None, "error_event")),
    (
        "a stream without its terminator",
        (200, 0, "via_upstream", "unterminated", "upstream_error"),
        (End::Unterminated, Some("upstream_error"), "unterminated"),
    ),
    ("a reset in mid-stream", (200, 0x10, BROKEN, "", ""), (End::ProviderReset, None, "cut")),
    ("a connection lost in mid-stream", (200, 0x40, BROKEN, "", ""), (End::ProviderReset, None, "cut")),
    ("a reset that Envoy tells without a flag", (200, 0, BROKEN, "", ""), (End::ProviderReset, None, "cut")),
    ("a reset after the terminator", (200, 0x10, BROKEN, "complete", ""), (End::Complete, None, "ok")),
    (
        "a client gone in mid-stream",
        (200, 0x4000, "via_upstream", "", ""),
        (End::ClientGone, None, "client_gone"),
    ),
    (
        "a client gone in mid-stream, by its details",
        (200, 0x4000, "downstream_remote_disconnect", "", ""),
        (End::ClientGone, None, "client_gone"),
    ),
    (
        "a stream reset by an HTTP/2 client",
        (200, 0x1000_0000, "http2.remote_reset", "", ""),
        (End::ClientGone, None, "client_gone"),
    ),
    (
        "a client that hangs up on the terminator",
        (200, 0x4000, "", "complete", ""),
        (End::Complete, None, "ok"),
    ),
    (
        "a client gone before the answer",
        (0, 0x4000, "downstream_remote_disconnect", "", ""),
        (End::ClientGone, None, "client_gone"),
    ),
    (
        "a client gone while a second attempt waits",
        (0, 0x4000, "downstream_remote_disconnect", "error_event", ""),
        (End::ClientGone, None, "client_gone"),
    ),
    ("nothing at all", (0, 0, "", "", ""), (End::ClientGone, None, "client_gone")),
    (
        "no answer in time",
        (504, 0x4, "response_timeout", "", ""),
        (End::Timeout, Some("upstream_timeout"), "timeout"),
    ),
    (
        "no first token in time",
        (504, 0x4, "upstream_per_try_timeout", "", ""),
        (End::Timeout, Some("upstream_timeout"), "timeout"),
    ),
    (
        "no further token in time",
        (200, 0x4, "upstream_per_try_idle_timeout", "", ""),
        (End::Timeout, None, "timeout"),
    ),
    ("an idle stream", (200, 0x1_0000, "stream_idle_timeout", "", ""), (End::Timeout, None, "timeout")),
    (
        "a client that does not send",
        (408, 0x1_0000, "stream_idle_timeout", "", ""),
        (End::Timeout, None, "timeout"),
    ),
    (
        "a request over its whole time",
        (504, 0x8_0000, "upstream_max_stream_duration_reached", "", ""),
        (End::Timeout, Some("upstream_timeout"), "timeout"),
    ),
    (
        "a refused connection",
        (503, 0x20, EARLY, "", ""),
        (End::ProviderReset, Some("upstream_error"), "connect_failure"),
    ),
    (
        "a refused connection, tried often enough",
        (503, 0x8020, EARLY, "", ""),
        (End::ProviderReset, Some("upstream_error"), "connect_failure"),
    ),
    (
        "a name that does not resolve",
        (503, 0x400_0000, "dns_resolution_failure", "", ""),
        (End::ProviderReset, Some("upstream_error"), "connect_failure"),
    ),
    (
        "a reset before the answer",
        (503, 0x40, EARLY, "", ""),
        (End::ProviderReset, Some("upstream_error"), "reset"),
    ),
    (
        "a reset after a failed answer",
        (503, 0x40, EARLY, "error_event", ""),
        (End::ProviderReset, Some("upstream_error"), "reset"),
    ),
    (
        "a provider that does not speak HTTP",
        (502, 0x80_0000, "upstream_reset_before_response_started{protocol_error}", "", ""),
        (End::ProviderReset, Some("upstream_error"), "reset"),
    ),
    (
        "no healthy host",
        (503, 0x2, "no_healthy_upstream", "", ""),
        (End::Refused, Some("no_healthy_target"), "no_host"),
    ),
    (
        "no such cluster",
        (503, 0x100_0000, "cluster_not_found", "", ""),
        (End::Refused, Some("no_healthy_target"), "no_host"),
    ),
    ("no route", (404, 0x100, "route_not_found", "", ""), (End::Refused, Some("not_found"), "refused")),
    (
        "a body over the limit",
        (413, 0, "request_payload_too_large", "", ""),
        (End::Refused, Some("request_too_large"), "refused"),
    ),
    (
        "bad HTTP from the client",
        (400, 0x4_0000, "http1.codec_error", "", ""),
        (End::Refused, None, "refused"),
    ),
    (
        "a filter's refusal",
        (404, 0, "", "", "model_not_found"),
        (End::Refused, Some("model_not_found"), "refused"),
    ),
    (
        "an exhausted chain",
        (502, 0, "", "error_event", "upstream_error"),
        (End::Refused, Some("upstream_error"), "refused"),
    ),
    (
        "a filter's timeout",
        (504, 0, "", "", "upstream_timeout"),
        (End::Timeout, Some("upstream_timeout"), "timeout"),
    ),
    ("an unknown end of stream", (200, 0, "via_upstream", "sideways", ""), (End::Complete, None, "ok")),
];

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn outcome((status, flags, details, stream_end, error): (u64, u64, &str, &str, &str)) -> Outcome {
    let (stream_end, error) = (some(stream_end), Code::named(error));
    Outcome {
        status,
        unsent: false,
        flags,
        details: details.to_owned(),
        stream_end,
        error,
        error_header: None,
        withheld_answer: false,
    }
}

#[test]
fn every_end_has_its_name_and_its_blame() {
    for (name, envoy, (end, error, verdict)) in CASES {
        let outcome = outcome(*envoy);
        assert_eq!(outcome.end(), *end, "{name}");
        assert_eq!(outcome.error_code().map(Code::name), *error, "{name}");
        assert_eq!(outcome.verdict(None), *verdict, "{name}");
    }
}

#[test]
fn the_code_that_the_client_was_shown_is_the_one_in_the_record() {
    let mapped = Outcome {
        error_header: Some(Code::UpstreamTimeout),
        ..outcome((503, 0x40, "upstream_reset_before_response_started", "", ""))
    };
    assert_eq!((mapped.end(), mapped.error_code()), (End::ProviderReset, Some(Code::UpstreamTimeout)));
    let rewritten = Outcome {
        error_header: Some(Code::UpstreamError),
        ..outcome((502, 0, "via_upstream", "error_event", ""))
    };
    assert_eq!((rewritten.end(), rewritten.error_code()), (End::Refused, Some(Code::UpstreamError)));
}

#[test]
fn what_fallback_saw_of_a_broken_attempt_holds() {
    for (name, envoy, broke, want) in [
        ("no host after a refused connection", (503, 0x2, "", "", ""), "connect_failure", "connect_failure"),
        ("a client gone", (0, 0x4000, "", "", ""), "reset", "client_gone"),
        ("a client gone after a timeout", (0, 0x4000, "", "", ""), "timeout", "timeout"),
        ("a reset", (503, 0x40, EARLY, "", ""), "timeout", "timeout"),
        ("a timeout", (504, 0x4, "upstream_per_try_timeout", "", ""), "reset", "timeout"),
        ("an answer", (200, 0, "via_upstream", "complete", ""), "reset", "ok"),
        ("a cut answer", (200, 0x10, BROKEN, "", ""), "reset", "cut"),
    ] {
        assert_eq!(outcome(envoy).verdict(Some(broke)), want, "{name}");
    }
}

proptest! {
    #[test]
    fn whatever_envoy_says_has_an_end(
        status in 0u64..700,
        flags: u64,
        details in ".{0,40}",
        stream_end in "(complete|error_event|unterminated|)",
        error in "(upstream_timeout|upstream_error|)",
    ) {
        let outcome = outcome((status, flags, &details, &stream_end, &error));
        prop_assert!(!outcome.end().name().is_empty() && !outcome.verdict(None).is_empty());
        prop_assert!(!(outcome.end() == End::Refused && outcome.status == 0 && error.is_empty()));
    }
}

#[test]
fn an_answer_that_is_held_when_the_client_leaves_did_not_reach_it() {
    for (flags, unsent, want) in [
        (0x4000, true, End::ClientGone),
        (0x4000, false, End::Complete), // it hung up on the terminator
        (0, true, End::Complete),       // nothing was to be sent
    ] {
        let outcome = Outcome { unsent, ..outcome((200, flags, "", "complete", "")) };
        assert_eq!(outcome.end(), want, "{flags:x} {unsent}");
    }
}
