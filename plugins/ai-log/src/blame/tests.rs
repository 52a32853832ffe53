//! Every way to fail, and whose fault it is.

use super::*;

const BROKEN: &str = "upstream_reset_after_response_started{remote_reset}";

/// Status, flags, details, `ai.stream_end`, `ai.error`; class and type.
type Case =
    (&'static str, (u64, u64, &'static str, &'static str, &'static str), Option<(Class, &'static str)>);

const CASES: &[Case] = &[
    ("answered", (200, 0, "via_upstream", "complete", ""), None),
    ("a redirection", (302, 0, "via_upstream", "", ""), None),
    ("hung up on the terminator", (200, 0x4000, "", "complete", ""), None),
    ("the provider's 400", (400, 0, "via_upstream", "", ""), Some((Class::Provider, "status_400"))),
    ("the provider's 529", (529, 0, "via_upstream", "", ""), Some((Class::Provider, "status_529"))),
    ("an exhausted chain", (502, 0, "", "", "upstream_error"), Some((Class::Provider, "upstream_error"))),
    (
        "a timeout of Envoy's",
        (504, 0x4, "response_timeout", "", ""),
        Some((Class::Provider, "upstream_timeout")),
    ),
    (
        "a refused connection",
        (503, 0x20, "upstream_reset_before_response_started{x}", "", ""),
        Some((Class::Provider, "upstream_error")),
    ),
    (
        "no healthy host",
        (503, 0x2, "no_healthy_upstream", "", ""),
        Some((Class::Provider, "no_healthy_target")),
    ),
    ("cut in its midst", (200, 0x10, BROKEN, "", ""), Some((Class::Provider, "provider_reset"))),
    ("idle in its midst", (200, 0x1_0000, "stream_idle_timeout", "", ""), Some((Class::Provider, "timeout"))),
    ("an error event", (200, 0, "via_upstream", "error_event", ""), Some((Class::Provider, "error_event"))),
    ("no terminator", (200, 0, "via_upstream", "unterminated", ""), Some((Class::Provider, "unterminated"))),
    (
        "no terminator, told to the client",
        (200, 0, "via_upstream", "unterminated", "upstream_error"),
        Some((Class::Provider, "upstream_error")),
    ),
    (
        "a client gone",
        (0, 0x4000, "downstream_remote_disconnect", "", ""),
        Some((Class::Client, "client_gone")),
    ),
    ("a client gone in its midst", (200, 0x4000, "", "", ""), Some((Class::Client, "client_gone"))),
    ("nothing at all", (0, 0, "", "", ""), Some((Class::Client, "client_gone"))),
    ("a slow client", (408, 0x1_0000, "stream_idle_timeout", "", ""), Some((Class::Caller, "timeout"))),
    ("bad HTTP", (400, 0x4_0000, "http1.codec_error", "", ""), Some((Class::Caller, "status_400"))),
    (
        "a body over the limit",
        (413, 0, "request_payload_too_large", "", ""),
        Some((Class::Caller, "request_too_large")),
    ),
    ("no route", (404, 0x100, "route_not_found", "", ""), Some((Class::Caller, "not_found"))),
    ("a trap", (503, 0, "wasm_fail_stream", "", ""), Some((Class::Gateway, "status_503"))),
    (
        "withheld in its midst",
        (200, 0, "via_upstream", "complete", "content_policy_violation"),
        Some((Class::Content, "content_policy_violation")),
    ),
];

#[test]
fn every_error_has_its_class_and_its_type() {
    for (name, (status, flags, details, stream_end, error), want) in CASES {
        let outcome = Outcome {
            status: *status,
            flags: *flags,
            details: (*details).to_owned(),
            stream_end: Some((*stream_end).to_owned()).filter(|end| !end.is_empty()),
            error: Code::named(error),
            ..Outcome::default()
        };
        let blame = judge(&outcome, outcome.end(), outcome.error_code());
        let got = blame.as_ref().map(|blame| (blame.class, &*blame.kind));
        assert_eq!(got, *want, "{name}");
    }
}

#[test]
fn each_code_of_the_gateway_is_somebodys_fault() {
    for code in Code::ALL {
        let outcome = Outcome { status: code.status().into(), error: Some(code), ..Outcome::default() };
        let Blame { class, kind } = judge(&outcome, outcome.end(), outcome.error_code()).unwrap();
        let want = match (code, code.status()) {
            (Code::ContentPolicyViolation, _) => Class::Content,
            (Code::GuardUnavailable | Code::LimitsUnavailable, _) => Class::Gateway,
            (_, 429) => Class::Limit,
            (_, 500..) => Class::Provider,
            _ => Class::Caller,
        };
        assert_eq!((class, &*kind), (want, code.name()));
    }
}
