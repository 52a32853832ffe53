use sluice_core::context;
use sluice_core::filter::Level;
use sluice_core::target::{ATTRIBUTE, Target};
use sluice_core::testing::FakeHost;

use super::*;

const CHAT: &str = "/v1/chat/completions";

fn filter(config: &str) -> ProviderAdapter {
    let raw = serde_json::from_str(config).unwrap();
    ProviderAdapter::new(Rc::new(ProviderAdapter::check(raw, &|_| None).unwrap()))
}

fn host(path: &str, headers: &[(&str, &str)]) -> FakeHost {
    let head = [
        (":method", "POST"),
        (":path", path),
        (":authority", "gateway"),
        ("content-type", "application/json"),
    ];
    let mut host = FakeHost::with_request(&[&head, headers].concat());
    let target = Target {
        provider: "pai".into(),
        model: Some("deepseek-r1".into()),
        host: "pai.internal:8000".into(),
        path: "/api/v1".into(),
        attempts: 2,
    };
    host.set_attribute(&ATTRIBUTE.join("."), &target.to_metadata());
    context::STARTED.set_number(&mut host, 1_000);
    context::INPUT_ESTIMATE.set_number(&mut host, 77);
    host.advance_ms(1_400);
    host
}

/// Takes a request to the point where the provider answers with these headers.
fn answered(host: &mut FakeHost, body: &str, headers: &[(&str, &str)]) -> (ProviderAdapter, Next) {
    let mut filter = filter("{}");
    if matches!(filter.on_request_headers(host, false), Next::Whole { .. }) {
        filter.on_request_body(host, body.as_bytes(), true);
    }
    host.respond(headers);
    let next = filter.on_response_headers(host, false);
    (filter, next)
}

/// What the client gets of a body that passes in these parts.
fn pass<'a>(
    filter: &mut ProviderAdapter,
    host: &mut FakeHost,
    parts: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<u8> {
    let mut out = Vec::new();
    let mut show = |host: &mut FakeHost, part: &[u8], end| {
        host.response_body = None;
        filter.on_response_body(host, part, end);
        out.extend(host.response_body.take().unwrap_or(part.to_vec()));
    };
    for part in parts {
        show(host, part, false);
    }
    show(host, b"", true);
    out
}

fn stream(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/core/testdata/streams");
    std::fs::read(format!("{folder}/{name}.sse")).unwrap()
}

fn fact(host: &FakeHost, fact: context::Fact) -> String {
    fact.get(host).unwrap_or_default()
}

/// Input, output, cached, reasoning, source.
fn usage(host: &FakeHost) -> String {
    [
        context::INPUT_TOKENS,
        context::OUTPUT_TOKENS,
        context::CACHED_TOKENS,
        context::REASONING_TOKENS,
        context::USAGE_SOURCE,
    ]
    .map(|name| fact(host, name))
    .join(" ")
}

const EVENTS: &[(&str, &str)] = &[(":status", "200"), ("content-type", "text/event-stream; charset=utf-8")];
const JSON: &[(&str, &str)] = &[(":status", "200"), ("content-type", "application/json")];
const STREAM: &str = r#"{"model":"gpt-4o","stream":true}"#;

#[test]
fn every_series_is_declared() {
    sluice_core::testing::declare(ProviderAdapter::METRICS);
}

#[test]
fn a_request_is_written_for_its_target() {
    let mut host = host("/v1/chat/completions?a=1", &[]);
    let mut filter =
        filter(r#"{"providers":{"pai":{"headers":{"X-Team":"search"}},"other":{"headers":{"x-no":"1"}}}}"#);
    let next = filter.on_request_headers(&mut host, false);
    assert!(matches!(next, Next::Whole { .. }), "{next:?}");
    assert_eq!(filter.on_request_body(&mut host, br#"{"model": "gpt-4o", "n": 1e0}"#, true), Next::Pass);
    assert_eq!(host.request_header(":path").unwrap(), "/api/v1/chat/completions?a=1");
    assert_eq!(host.request_header(":authority").unwrap(), "pai.internal:8000");
    assert_eq!(host.request_header("x-team").unwrap(), "search");
    assert_eq!(host.request_header("x-no"), None);
    assert_eq!(host.request_body.as_deref(), Some(&br#"{"model": "deepseek-r1", "n": 1e0}"#[..]));
    assert_eq!(fact(&host, context::PROVIDER), "pai");
    assert_eq!(fact(&host, context::PROVIDER_MODEL), "deepseek-r1");
}

#[test]
fn the_model_is_the_target_s_else_the_rule_s_else_the_client_s() {
    let body = r#"{"model":"openai/gpt-4o"}"#;
    for (target, base, path, sent, known) in [
        (Some("r1"), "gpt-4o", CHAT, r#"{"model":"r1"}"#, "r1"),
        (None, "gpt-4o", CHAT, r#"{"model":"gpt-4o"}"#, "gpt-4o"),
        (None, "", CHAT, body, "openai/gpt-4o"),
        (None, "", "/openai/deployments/d/chat/completions", r#"{"model":"d"}"#, "d"),
    ] {
        let mut host = host(path, &[]);
        let target = Target { provider: "p".into(), model: target.map(str::to_owned), ..Target::default() };
        host.set_attribute(&ATTRIBUTE.join("."), &target.to_metadata());
        context::BASE_MODEL.set(&mut host, base);
        answered(&mut host, body, JSON);
        let got = host.request_body.clone().unwrap_or(body.as_bytes().to_vec());
        assert_eq!(
            (String::from_utf8(got).unwrap(), fact(&host, context::PROVIDER_MODEL)),
            (sent.into(), known.into())
        );
    }
}

#[test]
fn a_body_in_which_nothing_changes_is_not_looked_at() {
    let azure = "/openai/deployments/d/chat/completions";
    for (path, model, asked, stream, estimate, unseen) in [
        (CHAT, None, "gpt-4o", "false", 77, true),
        (CHAT, Some("gpt-4o"), "gpt-4o", "false", 77, true),
        (CHAT, Some("r1"), "gpt-4o", "false", 77, false),
        (CHAT, None, "gpt-4o", "true", 77, false),
        (CHAT, None, "gpt-4o", "", 77, false),
        (CHAT, None, "", "false", 77, false),
        (CHAT, None, "gpt-4o", "false", 0, false),
        (azure, None, "d", "false", 77, false),
        (azure, Some("d"), "d", "false", 77, false),
    ] {
        let mut host = host(path, &[]);
        let target = Target { provider: "p".into(), model: model.map(str::to_owned), ..Target::default() };
        host.set_attribute(&ATTRIBUTE.join("."), &target.to_metadata());
        for (fact, value) in [(context::MODEL, asked), (context::STREAM, stream)] {
            fact.set(&mut host, value);
        }
        context::INPUT_ESTIMATE.set_number(&mut host, estimate);
        let next = filter("{}").on_request_headers(&mut host, false);
        assert_eq!(next == Next::Pass, unseen, "{path} {model:?} {asked} {stream} {estimate}");
        // In a further attempt the length is that of the body before.
        assert_ne!(filter("{}").on_request_headers(&mut host, false), Next::Pass);
    }
}

#[test]
fn only_listed_headers_leave_the_gateway() {
    let stays = [
        "accept",
        "content-length",
        "user-agent",
        "x-request-id",
        "traceparent",
        "openai-beta",
        "anthropic-version",
        "x-stainless-lang",
        "idempotency-key",
        "x-mine",
    ];
    let goes = [
        "authorization",
        "cookie",
        "x-api-key",
        "api-key",
        "accept-encoding",
        "x-forwarded-for",
        "x-ai-cluster",
        "openai-organization",
        "openai-project",
        "x-envoy-attempt-count",
        "referer",
        "x-minee",
    ];
    for (key, wants_key) in [("", false), ("1a2b3c4d", true)] {
        let headers: Vec<_> = stays.iter().chain(&goes).map(|name| (*name, "1")).collect();
        let mut host = host(CHAT, &headers);
        context::PROVIDER_KEY.set(&mut host, key);
        filter(r#"{"pass_headers":["X-Mine"]}"#).on_request_headers(&mut host, false);
        for name in stays {
            assert!(host.request_header(name).is_some(), "{name}");
        }
        for name in goes {
            let stays = wants_key && name == "authorization";
            assert_eq!(host.request_header(name).is_some(), stays, "{name}");
        }
        assert_eq!(host.request_header(":method").unwrap(), "POST");
    }
}

#[test]
fn without_a_target_only_headers_are_removed_and_a_worker_warns_once() {
    let config = Rc::new(Config::default());
    let mut warnings = 0;
    for _ in 0..3 {
        let mut host = host(CHAT, &[("cookie", "a")]);
        host.attributes.clear();
        let mut filter = ProviderAdapter::new(Rc::clone(&config));
        assert_eq!(filter.on_request_headers(&mut host, false), Next::Pass);
        assert_eq!(host.request_header("cookie"), None);
        assert_eq!(host.request_header(":path").unwrap(), CHAT);
        assert_eq!(host.request_header(":authority").unwrap(), "gateway");
        assert_eq!(fact(&host, context::PROVIDER), "");
        warnings += host.logs.iter().filter(|(level, _)| *level == Level::Warn).count();
    }
    assert_eq!(warnings, 1);
}

#[test]
fn a_body_that_cannot_be_read_goes_as_it_is() {
    for body in ["", "{", "[]", "nope", "\u{feff}{}"] {
        let mut host = host(CHAT, &[]);
        answered(&mut host, body, JSON);
        assert_eq!(host.request_body, None, "{body}");
    }
    let mut host = host("/v1/files", &[]);
    host.request.retain(|(name, _)| name != "content-type");
    host.request.push(("content-type".into(), b"application/octet-stream".to_vec()));
    assert_eq!(filter("{}").on_request_headers(&mut host, false), Next::Pass);
}

#[test]
fn a_body_of_no_named_type_is_json_as_it_is_to_the_router() {
    for kind in ["", ";", "; charset=utf-8"] {
        let mut host = host(CHAT, &[]);
        host.set_header(Side::Request, "content-type", kind);
        answered(&mut host, STREAM, JSON);
        let want = r#"{"stream_options":{"include_usage":true},"model":"deepseek-r1","stream":true}"#;
        assert_eq!(host.request_body.as_deref(), Some(want.as_bytes()), "{kind:?}");
    }
}

#[test]
fn the_model_of_a_form_is_replaced() {
    let mut host = host("/v1/audio/transcriptions", &[]);
    host.request.retain(|(name, _)| name != "content-type");
    host.request.push(("content-type".into(), b"multipart/form-data; boundary=b".to_vec()));
    let form = "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--b--\r\n";
    answered(&mut host, form, JSON);
    assert_eq!(host.request_body.unwrap(), form.replace("whisper-1", "deepseek-r1").into_bytes());
}

#[test]
fn a_client_that_did_not_ask_for_usage_gets_the_stream_it_would_have_got() {
    let (with, without) = (stream("chat-usage"), stream("chat-plain"));
    for body in [STREAM, r#"{"stream":true,"stream_options":{"include_usage":false}}"#] {
        for at in 0..=with.len() {
            let mut host = host(CHAT, &[]);
            let (mut filter, next) =
                answered(&mut host, body, &[EVENTS, &[("content-length", "1585")]].concat());
            assert_eq!((next, host.response_header("content-length")), (Next::Watch, None));
            let (head, tail) = with.split_at(at);
            assert_eq!(pass(&mut filter, &mut host, [head, tail]), without, "at {at}");
            assert_eq!(usage(&host), "19 10 4 3 reported");
        }
        let mut host = host(CHAT, &[]);
        let (mut filter, _) = answered(&mut host, body, EVENTS);
        assert_eq!(pass(&mut filter, &mut host, with.chunks(1)), without);
    }
}

#[test]
fn a_client_that_asked_for_usage_gets_every_byte() {
    let stream = stream("chat-usage");
    let mut host = host(CHAT, &[]);
    let body = r#"{"model":"deepseek-r1","stream":true,"stream_options":{"include_usage":true}}"#;
    let (mut filter, _) = answered(&mut host, body, EVENTS);
    assert_eq!(host.request_body, None);
    assert_eq!(pass(&mut filter, &mut host, stream.chunks(7)), stream);
    assert_eq!(host.response_body, None);
    assert_eq!(usage(&host), "19 10 4 3 reported");
}

#[test]
fn a_stream_leaves_its_facts() {
    for (name, path, want) in [
        ("chat-usage", CHAT, "gpt-4o-2024-08-06 stop complete 400 / 19 10 4 3 reported"),
        ("chat-plain", CHAT, "gpt-4o-2024-08-06 stop complete 400 / 77 7   estimated"),
        ("chat-cut", CHAT, "gpt-4o-2024-08-06  unterminated 400 / 77 2   estimated"),
        ("chat-empty", CHAT, "gpt-4o-2024-08-06 stop complete  / 77 0   estimated"),
        ("chat-error-first", CHAT, "  error_event  / 77 0   estimated"),
        ("responses", "/v1/responses", "gpt-4o-2024-08-06 completed complete 400 / 37 11 5 2 reported"),
        ("messages", "/v1/messages", "claude-3-7-sonnet-20250219 end_turn complete 400 / 31 15 6  reported"),
    ] {
        let mut host = host(path, &[]);
        let (mut filter, _) = answered(&mut host, STREAM, EVENTS);
        pass(&mut filter, &mut host, stream(name).chunks(50));
        let words = [context::RESPONSE_MODEL, context::FINISH_REASON, context::STREAM_END, context::TTFT_MS];
        let got = format!("{} / {}", words.map(|name| fact(&host, name)).join(" "), usage(&host));
        assert_eq!(got, want, "{name}");
        assert_eq!(fact(&host, context::METER), "provider-adapter");
    }
}

#[test]
fn a_json_answer_leaves_its_facts() {
    let body = r#"{"model":"m","choices":[{"message":{"content":"a"},"finish_reason":"stop"}],
        "usage":{"prompt_tokens":3,"completion_tokens":4}}"#;
    for parts in [vec![body.as_bytes()], body.as_bytes().chunks(9).collect()] {
        let mut host = host(CHAT, &[]);
        let (mut filter, next) = answered(&mut host, "{}", JSON);
        assert_eq!(next, Next::Watch);
        assert_eq!(pass(&mut filter, &mut host, parts), body.as_bytes());
        assert_eq!(usage(&host), "3 4   reported");
        assert_eq!(fact(&host, context::STREAM_END), "complete");
        assert_eq!(
            (fact(&host, context::RESPONSE_MODEL), fact(&host, context::FINISH_REASON)),
            ("m".into(), "stop".into())
        );
        assert_eq!(fact(&host, context::TTFT_MS), "");
        assert_eq!(fact(&host, context::ANSWER), "content");
    }
}

#[test]
fn it_is_told_what_a_whole_answer_is_worth() {
    for (body, want) in [
        (r#"{"choices":[{"message":{"content":"a"}}]}"#, "content"),
        (r#"{"choices":[{"message":{"content":""}}]}"#, "empty"),
        (r#"{"error":{"message":"no"}}"#, "error"),
        ("<html>", "invalid"),
    ] {
        let mut host = host(CHAT, &[]);
        let (mut filter, _) = answered(&mut host, "{}", JSON);
        pass(&mut filter, &mut host, body.as_bytes().chunks(5));
        assert_eq!(fact(&host, context::ANSWER), want, "{body}");
    }
}

#[test]
fn a_json_answer_that_is_too_large_passes_with_its_usage_estimated() {
    let mut host = host(CHAT, &[]);
    let (mut filter, _) = answered(&mut host, "{}", JSON);
    let part = vec![b'w'; 1 << 20];
    assert_eq!(pass(&mut filter, &mut host, [&part[..]; 9]).len(), 9 << 20);
    assert_eq!(usage(&host), "77 2359296   estimated", "a token for each four bytes");
    assert_eq!(fact(&host, context::STREAM_END), "complete", "a document needs no terminator");
}

#[test]
fn what_cannot_be_read_or_is_no_answer_passes_unseen() {
    for (headers, next, want) in [
        (
            &[(":status", "200"), ("content-type", "text/event-stream"), ("content-encoding", "gzip")][..],
            Next::Pass,
            "77 0   estimated",
        ),
        (
            &[(":status", "200"), ("content-type", "application/json"), ("content-encoding", "identity")],
            Next::Watch,
            "    ", // it will be when it comes
        ),
        (&[(":status", "200"), ("content-type", "application/vnd.api+json")], Next::Watch, "    "),
        (&[(":status", "200"), ("content-type", "audio/mpeg")], Next::Pass, "    "),
        (&[(":status", "200")], Next::Pass, "    "),
        (&[(":status", "429"), ("content-type", "application/json")], Next::Pass, "    "),
    ] {
        let mut host = host(CHAT, &[]);
        assert_eq!(answered(&mut host, STREAM, headers).1, next, "{headers:?}");
        assert_eq!(usage(&host), want, "{headers:?}");
    }
}

#[test]
fn an_answer_that_another_filter_has_claimed_is_not_metered() {
    let mut host = host(CHAT, &[]);
    context::METER.set(&mut host, "other");
    assert_eq!(answered(&mut host, STREAM, EVENTS).1, Next::Pass);
    assert_eq!((usage(&host).trim(), fact(&host, context::METER)), ("", "other".into()));
}

#[test]
fn a_provider_cannot_write_our_headers_nor_tell_the_client_about_its_account() {
    for status in ["200", "429", "503"] {
        let mut host = host(CHAT, &[]);
        let goes = [
            "x-ai-retry",
            "x-sluice-error",
            "x-ai-cache",
            "x-envoy-ratelimited",
            "x-envoy-upstream-service-time",
            "set-cookie",
            "openai-organization",
            "openai-project",
        ];
        let stays =
            [":status", "x-aid", "openai-version", "retry-after", "x-request-id", "x-ratelimit-limit-tokens"];
        let headers: Vec<_> = goes.iter().chain(&stays[1..]).map(|name| (*name, "1")).collect();
        answered(&mut host, "{}", &[&[(":status", status)][..], &headers].concat());
        let left: Vec<_> = host.response.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(left, stays);
    }
}

#[test]
fn a_failed_attempt_leaves_nothing_to_the_next() {
    let mut host = host(CHAT, &[]);
    let (mut first, _) = answered(&mut host, STREAM, EVENTS);
    pass(&mut first, &mut host, [&stream("chat-usage")[..]]);
    filter("{}").on_request_headers(&mut host, false);
    first.on_done(&mut host); // in whichever order Envoy tells of it
    for name in [
        context::RESPONSE_MODEL,
        context::FINISH_REASON,
        context::STREAM_END,
        context::METER,
        context::TTFT_MS,
    ] {
        assert_eq!(fact(&host, name), "", "{}", name.0);
    }
    assert_eq!(usage(&host).trim(), "");
}

#[test]
fn what_a_client_has_had_is_published_before_it_can_leave() {
    let mut host = host(CHAT, &[]);
    let (mut filter, _) = answered(&mut host, STREAM, EVENTS);
    assert_eq!(usage(&host), "    ", "nothing has come");
    let event = br#"data: {"choices":[{"delta":{"content":"four"}}]}"#;
    let event = [&event[..], b"\n\n"].concat();
    for (advance, want) in [(0, 1), (0, 2), (10, 3), (240, 4), (300, 5)] {
        host.advance_ms(advance);
        filter.on_response_body(&mut host, &event, false);
        assert_eq!(context::OUTPUT_TOKENS.number(&host), Some(want), "after {advance} ms");
    }
    assert_eq!(
        (fact(&host, context::STREAM_END), fact(&host, context::TTFT_MS)),
        (String::new(), "400".into())
    );
    filter.on_response_body(&mut host, &event, false);
    assert_eq!(usage(&host), "77 6   estimated");
    filter.on_done(&mut host); // the client has left
    assert_eq!(usage(&host), "77 6   estimated");
    assert_eq!(fact(&host, context::STREAM_END), "");
}

#[test]
fn a_later_attempt_starts_from_the_client_s_request() {
    let mut host = host("/v1/chat/completions?a=1", &[]);
    let config = r#"{"providers":{"pai":{"headers":{"user-agent":"pai-only"}}},"pass_headers":["x-mine"]}"#;
    let body = br#"{"model": "gpt-4o"}"#;
    let mut first = filter(config);
    first.on_request_headers(&mut host, false);
    first.on_request_body(&mut host, body, true);
    assert_eq!(host.request_header("user-agent").as_deref(), Some("pai-only"));
    // Envoy gives the next attempt the headers as this one left them, and the body as it came.
    host.request_body = None;
    let next = Target { provider: "b".into(), host: "b".into(), path: "/b/v1".into(), ..Target::default() };
    host.set_attribute(&ATTRIBUTE.join("."), &next.to_metadata());
    let mut second = filter(config);
    second.on_request_headers(&mut host, false);
    second.on_request_body(&mut host, body, true);
    assert_eq!(host.request_header(":path").as_deref(), Some("/b/v1/chat/completions?a=1"));
    assert_eq!(host.request_header("user-agent"), None, "another provider's header");
    assert_eq!(host.request_body.as_deref(), Some(&body[..]), "set again, so that its length is corrected");
}

#[test]
fn what_only_a_later_attempt_needs_is_not_noted_where_none_can_come() {
    for (attempts, noted) in [(0, CHAT), (1, ""), (2, CHAT)] {
        let mut host = host(CHAT, &[]);
        let target = Target { provider: "p".into(), attempts, ..Target::default() };
        host.set_attribute(&ATTRIBUTE.join("."), &target.to_metadata());
        answered(&mut host, "{}", JSON);
        assert_eq!(fact(&host, context::CLIENT_PATH), noted, "{attempts}");
    }
}
