//! The filter against a fake host: what is held, what goes on, what the record says.

use std::rc::Rc;

use sluice_core::context;
use sluice_core::filter::{Filter, Next, Side};
use sluice_core::target::{ATTRIBUTE, Target};
use sluice_core::testing::FakeHost;

use super::*;

const CONTENT: &[u8] = b"data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n";
const ROLE: &[u8] = b"data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n";

fn target(attempts: u32) -> String {
    Target { provider: "pai".into(), host: "h".into(), attempts, ..Target::default() }.to_metadata()
}

/// An attempt at the `number`-th of `attempts`, whose request has been sent.
fn attempt(number: u32, attempts: u32, stream: bool) -> (Fallback, FakeHost) {
    let mut host = FakeHost::with_request(&[
        (":path", "/v1/chat/completions"),
        ("x-envoy-attempt-count", &number.to_string()),
    ]);
    host.set_attribute(&ATTRIBUTE.join("."), &target(attempts));
    context::STREAM.set(&mut host, if stream { "true" } else { "false" });
    (begin(&mut host, RawConfig::default()), host)
}

fn begin(host: &mut FakeHost, raw: RawConfig) -> Fallback {
    let mut filter = Fallback::new(Rc::new(Fallback::check(raw, &|_| None).unwrap()));
    assert_eq!(filter.on_request_headers(host, false), Next::Pass);
    filter
}

fn fact(host: &FakeHost, fact: context::Fact) -> String {
    fact.get(host).unwrap_or_default()
}

fn replied(next: Next) -> sluice_core::openai::error::LocalReply {
    match next {
        Next::Reply(reply) => reply,
        other => panic!("no reply but {other:?}"),
    }
}

#[test]
fn every_series_is_declared() {
    sluice_core::testing::declare(Fallback::METRICS);
}

#[test]
fn a_failing_status_asks_envoy_for_another_attempt() {
    for status in ["401", "402", "403", "408", "429", "500", "503", "529"] {
        let (mut filter, mut host) = attempt(1, 2, true);
        host.respond(&[(":status", status), ("content-length", "5")]);
        assert_eq!(filter.on_response_headers(&mut host, false), Next::Watch, "{status}");
        assert_eq!(filter.on_response_body(&mut host, b"<html>", true), Next::Pass);
        assert_eq!(host.response_header(":status").as_deref(), Some("502"));
        assert_eq!(host.response_header(RETRY_HEADER), Some(format!("status_{status}")));
        assert!(fact(&host, context::ATTEMPTS).contains(&format!("\"status\":{status}")));
        let body = String::from_utf8(host.response_body.clone().unwrap()).unwrap();
        assert!(body.contains("upstream_error") && !body.contains("html"), "{body}");
    }
}

#[test]
fn nothing_of_a_failed_answer_goes_on() {
    let (mut filter, mut host) = attempt(1, 2, true);
    host.respond(&[(":status", "503")]);
    filter.on_response_headers(&mut host, false);
    filter.on_response_body(&mut host, b"<html>", false);
    assert!(String::from_utf8(host.response_body.take().unwrap()).unwrap().contains("pai: status 503"));
    assert_eq!(filter.on_response_body(&mut host, b"</html>", true), Next::Pass);
    assert_eq!(host.response_body.take(), Some(Vec::new()));
}

#[test]
fn a_hold_that_ends_with_the_first_token_leaves_a_hung_stream_to_envoy() {
    for (first_token_ms, age_ms, want) in [(15_000, 0, 17_000), (15_000, 9_000, 8_000), (60_000, 0, 15_000)] {
        let (_, mut host) = attempt(1, 2, true);
        let raw = RawConfig { first_token_ms: Some(first_token_ms), ..RawConfig::default() };
        let mut filter = begin(&mut host, raw);
        host.advance_ms(age_ms);
        host.respond(&[(":status", "200"), ("content-type", "text/event-stream")]);
        assert_eq!(filter.on_response_headers(&mut host, false), Next::Hold);
        assert_eq!(host.wake_after, Some(want), "first token {first_token_ms} ms, age {age_ms} ms");
    }
}

#[test]
fn a_whole_answer_is_judged_by_the_meter_s_word() {
    for (answer, reason, passes) in [
        ("content", "stop", true),
        ("empty", "length", true),
        ("empty", "stop", false),
        ("error", "", false),
        ("invalid", "", false),
        ("", "", false), // no word: by the body itself
    ] {
        let (mut filter, mut host) = attempt(1, 2, false);
        host.respond(&[(":status", "200"), ("content-type", "application/json")]);
        assert!(matches!(filter.on_response_headers(&mut host, false), Next::Whole { .. }));
        context::ANSWER.set(&mut host, answer);
        context::FINISH_REASON.set(&mut host, reason);
        filter.on_response_body(&mut host, b"<html>", true);
        assert_eq!(host.response_header(RETRY_HEADER).is_none(), passes, "{answer} {reason}");
    }
}

#[test]
fn a_whole_answer_has_no_first_token_to_be_late() {
    let (_, mut host) = attempt(1, 2, false);
    let raw = RawConfig { first_token_ms: Some(300), ..RawConfig::default() };
    let mut filter = begin(&mut host, raw);
    host.advance_ms(700);
    filter.on_done(&mut host);
    assert_eq!(fact(&host, context::ATTEMPT_BROKE), "reset");
}

#[test]
fn a_stream_that_cannot_be_read_is_still_watched_for_pauses() {
    let (_, mut host) = attempt(1, 2, true);
    let mut filter = begin(&mut host, RawConfig { idle_ms: Some(500), ..RawConfig::default() });
    host.respond(&[(":status", "200"), ("content-type", "text/event-stream"), ("content-encoding", "gzip")]);
    assert_eq!(filter.on_response_headers(&mut host, false), Next::End);
    host.idle_ms = 500;
    assert_eq!(filter.on_wake(&mut host), Some(Next::Break));
}

#[test]
fn a_stream_that_stalls_is_broken_off() {
    let (_, mut host) = attempt(1, 2, true);
    let mut filter = begin(&mut host, RawConfig { idle_ms: Some(500), ..RawConfig::default() });
    host.respond(&[(":status", "200"), ("content-type", "text/event-stream")]);
    filter.on_response_headers(&mut host, false);
    filter.on_response_body(&mut host, CONTENT, false);
    assert_eq!(host.wake_after, Some(500));
    host.idle_ms = 200;
    assert_eq!(filter.on_wake(&mut host), None);
    assert_eq!(host.wake_after, Some(300), "what is left of the pause");
    host.idle_ms = 500;
    assert_eq!(filter.on_wake(&mut host), Some(Next::Break));
    assert_eq!(fact(&host, context::STREAM_END), "timeout");
}

#[test]
fn a_clients_own_mistake_is_never_retried() {
    for status in ["400", "404", "413", "422"] {
        let (mut filter, mut host) = attempt(1, 2, false);
        host.respond(&[(":status", status)]);
        assert_eq!(filter.on_response_headers(&mut host, false), Next::Pass);
        assert_eq!(host.response_header(":status").as_deref(), Some(status));
        assert_eq!(host.response_header(RETRY_HEADER), None);
    }
}

#[test]
fn the_last_attempt_is_answered_here_with_every_attempt_named() {
    let (mut first, mut host) = attempt(1, 2, true);
    host.respond(&[(":status", "503")]);
    first.on_response_headers(&mut host, true);
    host.request = vec![("x-envoy-attempt-count".into(), b"2".to_vec())];
    let mut last = begin(&mut host, RawConfig::default());
    host.respond(&[(":status", "429"), ("retry-after", "7")]);
    let reply = replied(last.on_response_headers(&mut host, true));
    assert_eq!(reply.status, 502);
    assert!(reply.body.contains("pai: status 503; pai: status 429"), "{}", reply.body);
    assert!(reply.headers.contains(&("retry-after", "7".to_owned())));
}

#[test]
fn a_stream_is_held_until_its_first_content() {
    let (mut filter, mut host) = attempt(1, 2, true);
    host.respond(&[(":status", "200"), ("content-type", "text/event-stream; charset=utf-8")]);
    assert_eq!(filter.on_response_headers(&mut host, false), Next::Hold);
    assert_eq!(host.wake_after, Some(15_000));
    assert_eq!(filter.on_response_body(&mut host, ROLE, false), Next::Hold);
    assert_eq!(filter.on_response_body(&mut host, CONTENT, false), Next::Watch);
    assert_eq!(fact(&host, context::ATTEMPTS), "", "a running attempt is not in the list");
}

#[test]
fn a_metered_stream_is_not_read_twice() {
    let (mut filter, mut host) = attempt(1, 2, true);
    context::METER.set(&mut host, "provider-adapter");
    host.respond(&[(":status", "200"), ("content-type", "text/event-stream")]);
    filter.on_response_headers(&mut host, false);
    assert_eq!(filter.on_response_body(&mut host, CONTENT, false), Next::End);
    context::STREAM_END.set(&mut host, "unterminated");
    assert_eq!(filter.on_response_body(&mut host, b"", true), Next::Pass);
    let body = String::from_utf8(host.response_body.unwrap()).unwrap();
    assert!(body.contains("upstream_error") && !body.contains("[DONE]"), "{body}");
}

#[test]
fn only_a_stream_without_its_end_gets_an_error_event() {
    let error = b"data: {\"error\":{\"message\":\"late\"}}\n\n".as_slice();
    for (tail, want) in [(b"data: [DONE]\n\n".as_slice(), false), (error, false), (CONTENT, true)] {
        let (mut filter, mut host) = attempt(1, 2, true);
        host.respond(&[(":status", "200"), ("content-type", "text/event-stream")]);
        filter.on_response_headers(&mut host, false);
        filter.on_response_body(&mut host, CONTENT, false);
        filter.on_response_body(&mut host, tail, true);
        assert_eq!(host.response_body.is_some(), want, "{}", String::from_utf8_lossy(tail));
    }
}

#[test]
fn a_wrong_shape_fails_the_attempt() {
    for (kind, stream, verdict) in [
        ("text/html", true, "wrong_content_type"),
        ("text/html", false, "wrong_content_type"),
        ("application/json", true, "wrong_content_type"),
        ("text/event-stream", false, "wrong_content_type"),
    ] {
        let (mut filter, mut host) = attempt(1, 2, stream);
        host.respond(&[(":status", "200"), ("content-type", kind)]);
        filter.on_response_headers(&mut host, false);
        filter.on_response_body(&mut host, b"<html>", false);
        assert_eq!(host.response_header(RETRY_HEADER).as_deref(), Some(verdict), "{kind} {stream}");
    }
}

#[test]
fn a_whole_answer_is_judged_before_it_goes() {
    let good: &[u8] = br#"{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]}"#;
    for (body, want) in
        [(good, None), (br#"{"error":{}}"#.as_slice(), Some("error_event")), (b"x", Some("invalid"))]
    {
        let (mut filter, mut host) = attempt(1, 2, false);
        host.respond(&[(":status", "200"), ("content-type", "application/json")]);
        assert_eq!(filter.on_response_headers(&mut host, false), Next::Whole { max_bytes: 262_144 });
        filter.on_response_body(&mut host, body, true);
        assert_eq!(host.response_header(RETRY_HEADER).as_deref(), want);
    }
}

#[test]
fn a_body_over_the_bound_goes_unjudged() {
    let (mut filter, mut host) = attempt(1, 2, false);
    host.respond(&[(":status", "200"), ("content-type", "application/json")]);
    filter.on_response_headers(&mut host, false);
    assert_eq!(filter.on_response_body(&mut host, &[b'x'; 300_000], false), Next::Pass);
    assert_eq!(host.response_header(RETRY_HEADER), None);
}

#[test]
fn the_hold_ends_by_time_and_by_size() {
    for by_time in [true, false] {
        let (mut filter, mut host) = attempt(1, 2, true);
        host.respond(&[(":status", "200"), ("content-type", "text/event-stream")]);
        filter.on_response_headers(&mut host, false);
        let comment = [b": ".as_slice(), &[b'-'; 262_145], b"\n\n"].concat();
        let next = if by_time {
            filter.on_wake(&mut host)
        } else {
            Some(filter.on_response_body(&mut host, &comment, false))
        };
        assert_eq!(next, Some(Next::Watch));
        assert_eq!(filter.on_wake(&mut host), None, "a second time there is nothing to let go");
    }
}

#[test]
fn an_attempt_that_broke_off_is_recorded_by_the_next() {
    for (reason, age_ms, verdict) in
        [("delayed connect error", 3, "connect_failure"), ("", 5_000, "timeout"), ("", 40, "reset")]
    {
        let (_, mut host) = attempt(1, 3, true);
        let raw = RawConfig { first_token_ms: Some(5_000), ..RawConfig::default() };
        let mut broken = begin(&mut host, raw.clone());
        context::PROVIDER.set(&mut host, "pai");
        host.set_attribute("upstream.transport_failure_reason", reason);
        host.advance_ms(age_ms);
        broken.on_done(&mut host);
        host.advance_ms(100);
        host.request = vec![("x-envoy-attempt-count".into(), b"2".to_vec())];
        begin(&mut host, raw);
        let want = format!(r#"[{{"provider":"pai","status":0,"verdict":"{verdict}","ms":{age_ms}}}]"#);
        assert_eq!(fact(&host, context::ATTEMPTS), want);
        assert!(fact(&host, context::TRIED).starts_with("pai: "));
    }
}

#[test]
fn what_cannot_be_read_passes() {
    let (mut filter, mut host) = attempt(1, 2, true);
    host.respond(&[(":status", "200"), ("content-type", "text/event-stream"), ("content-encoding", "gzip")]);
    assert_eq!(filter.on_response_headers(&mut host, false), Next::Pass);
}

#[test]
fn a_bad_configuration_says_what_to_write() {
    let refuse = |raw: RawConfig| Fallback::check(raw, &|_| None).unwrap_err();
    let raw = RawConfig { retry_on: vec![503, 200], ..RawConfig::default() };
    assert_eq!(refuse(raw), "retry_on[1]: 200 is no status of a failure; write one of 300 to 599");
    let mut raw = RawConfig::default();
    raw.hold.max_ms = 0;
    assert!(refuse(raw).contains("until: headers"));
}

#[test]
fn the_response_side_is_the_one_that_is_changed() {
    let (mut filter, mut host) = attempt(1, 2, true);
    host.respond(&[(":status", "500")]);
    let before = host.request.clone();
    filter.on_response_headers(&mut host, true);
    assert_eq!(host.request, before);
    assert_eq!(host.header(Side::Response, "x-sluice-error"), Some(b"upstream_error".to_vec()));
}
