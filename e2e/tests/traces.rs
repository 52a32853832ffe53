//! Spans of requests: what they tell, what they never tell, and that nobody waits for a collector.
#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use serde_json::{Value, json};
use sluice_e2e::bed::{self, Bed};
use sluice_e2e::client::{self, Reply};
use sluice_e2e::gateway::{Gateway, Options, closed_port};
use sluice_e2e::otlp::{Collector, Manner, Span};
use sluice_e2e::{sse, wait};

const CHAT: &str = "/v1/chat/completions";
const JSON: (&str, &str) = ("content-type", "application/json");
/// A traceparent's ids. <https://www.w3.org/TR/trace-context/#traceparent-header>
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

const CONSUMERS: &str = "consumers:
  - {name: app, keys: [sk-canary-app], tier: gold}
  - {name: poor, keys: [sk-canary-poor]}
credentials: {query: key}
limits: [{name: few, by: [consumer], when: {consumer: poor}, requests: 1, per: 1h}]
cache: {ttl: 1h}
";

fn start(collector: &Collector, more: &str) -> Bed {
    let sections = format!("{CONSUMERS}tracing: {{url: \"{}\"{more}}}\n", collector.url());
    Bed::start(&Options::default().env("COLLECTOR_KEY", "sk-canary-collector"), &sections)
}

/// What is said in a request of `test`, as no span may say it.
fn body(test: &str, members: &Value) -> Value {
    let mut body = bed::chat_body(test);
    body["messages"][0]["content"] = json!("canary-prompt");
    for (name, value) in members.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    body
}

fn ask(gateway: &Gateway, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
    let mut all = vec![JSON];
    all.extend(headers);
    client::send(gateway.address(), "POST", path, &all, body.to_string().as_bytes())
}

const APP: (&str, &str) = ("authorization", "Bearer sk-canary-app");

/// The trace of the request of `test`.
#[track_caller]
fn trace(collector: &Collector, test: &str) -> (Span, Vec<Span>) {
    let model = bed::model(test);
    collector.trace(test, |span| span.get("gen_ai.request.model") == model)
}

#[track_caller]
fn assert_tells(span: &Span, wanted: &[(&str, &str)]) {
    for (name, value) in wanted {
        assert_eq!(span.get(name), *value, "{name} of {span:?}");
    }
}

#[test]
fn a_good_stream_is_a_span_with_an_attempt_below() {
    let collector = Collector::start();
    let bed = start(&collector, ", service: edge, headers: {x-key: env:COLLECTOR_KEY, x-team: \"50%\"}");
    let asked = body("trace-good", &json!({"stream": true, "x_mock": {"a": {"say": "canary-answer"}}}));
    let reply = ask(&bed.gateway, CHAT, &[APP], &asked);
    assert!(sse::is_done(&reply.events()), "{}", reply.text());
    let (whole, attempts) = trace(&collector, "trace-good");
    assert_eq!(whole.name, "chat gpt-trace-good");
    assert_eq!((whole.parent.as_str(), whole.resource["service.name"].as_str()), ("", "edge"));
    let record = bed.ai_log("trace-good");
    assert_tells(
        &whole,
        &[
            ("gen_ai.operation.name", "chat"),
            ("gen_ai.provider.name", "a"),
            ("gen_ai.response.model", "gpt-trace-good@a"),
            ("gen_ai.response.finish_reasons", "stop"),
            ("gen_ai.usage.input_tokens", &record["input_tokens"].to_string()),
            ("gen_ai.usage.output_tokens", &record["output_tokens"].to_string()),
            ("gen_ai.usage.cache_read.input_tokens", &record["cached_tokens"].to_string()),
            ("sluice.consumer", "app"),
            ("sluice.rule", "gpt-*"),
            ("sluice.target", "a"),
            ("sluice.cache", "miss"),
            ("sluice.attempts", "1"),
            ("http.status_code", "200"),
        ],
    );
    for absent in ["error.type", "sluice.tried", "sluice.limit", "sluice.attempt.provider"] {
        assert!(!whole.attributes.contains_key(absent), "{absent} of {whole:?}");
    }
    let attempt = &attempts[0];
    assert_eq!((attempt.name.as_str(), attempt.trace.as_str()), ("a gpt-trace-good", whole.trace.as_str()));
    assert_tells(attempt, &[("sluice.attempt.provider", "a"), ("sluice.attempt.model", "gpt-trace-good")]);
    assert_eq!(attempt.get("sluice.attempt.key"), record["attempts"][0]["key"]);
    assert!(!attempt.attributes.keys().any(|name| name.starts_with("gen_ai.")), "{attempt:?}");
    let line = bed.gateway.log_line("the stream", |line| line["ai_log"]["model"] == "gpt-trace-good");
    assert_eq!(line["trace_id"], whole.trace.as_str());
    assert_eq!(collector.header("x-key").as_deref(), Some("sk-canary-collector"));
    assert_eq!(collector.header("x-team").as_deref(), Some("50%"));
    assert!(!bed.gateway.everything_readable().contains("sk-canary-collector"));
}

#[test]
fn every_attempt_is_a_span_of_its_own() {
    let collector = Collector::start();
    let bed = start(&collector, "");
    let script = json!({"a": {"status": 503}, "b": {"error_first": true}});
    let reply =
        ask(&bed.gateway, CHAT, &[APP], &body("trace-chain", &json!({"stream": true, "x_mock": script})));
    assert_eq!(reply.status, 200, "{}", reply.text());
    let (whole, attempts) = trace(&collector, "trace-chain");
    assert_tells(&whole, &[("sluice.attempts", "3"), ("gen_ai.provider.name", "c"), ("error.type", "")]);
    assert_eq!(whole.get("sluice.tried"), "a: status 503; b (model-b): an error in the answer");
    let names: Vec<&str> = attempts.iter().map(|attempt| attempt.name.as_str()).collect();
    assert_eq!(names, ["a gpt-trace-chain", "b model-b", "c model-c"]);
    for attempt in &attempts {
        assert!(!attempt.attributes.keys().any(|name| name.starts_with("gen_ai.")), "{attempt:?}");
    }
}

#[test]
fn a_provider_joins_the_trace_of_its_attempt() {
    let collector = Collector::start();
    let bed = start(&collector, ", sample: 0");
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let headers = [APP, ("traceparent", traceparent.as_str()), ("tracestate", "vendor=1")];
    ask(&bed.gateway, CHAT, &headers, &body("trace-joined", &json!({"x_mock": {"a": {"status": 500}}})));
    let (whole, attempts) = trace(&collector, "trace-joined");
    assert_eq!((whole.trace.as_str(), whole.parent.as_str()), (TRACE, PARENT));
    let got: Vec<String> = bed
        .seen("trace-joined")
        .iter()
        .map(|(_, seen)| seen.header("traceparent").unwrap_or_default().to_owned())
        .collect();
    let want: Vec<String> = attempts.iter().map(|span| format!("00-{TRACE}-{}-01", span.id)).collect();
    assert_eq!(got, want);
    assert_eq!(bed.seen("trace-joined")[0].1.header("tracestate"), Some("vendor=1"));
}

#[test]
fn refusals_and_hits_are_spans_without_attempts() {
    let collector = Collector::start();
    let bed = start(&collector, "");
    let gateway = &bed.gateway;
    let wrong =
        ask(gateway, CHAT, &[("authorization", "Bearer sk-canary-wrong")], &body("trace-401", &json!({})));
    assert_eq!(wrong.status, 401);
    let (whole, _) = collector.trace("the 401", |span| span.get("http.status_code") == "401");
    assert_eq!(whole.name, "POST");
    assert_tells(
        &whole,
        &[("error.type", "invalid_api_key"), ("sluice.attempts", "0"), ("sluice.consumer", "")],
    );

    let poor = [("authorization", "Bearer sk-canary-poor")];
    for status in [200, 429] {
        let asked = body(&format!("trace-limit-{status}"), &json!({}));
        assert_eq!(ask(gateway, CHAT, &poor, &asked).status, status);
    }
    let (whole, _) = trace(&collector, "trace-limit-200");
    assert_tells(&whole, &[("sluice.limit", "admitted"), ("error.type", ""), ("sluice.attempts", "1")]);
    let (whole, _) = trace(&collector, "trace-limit-429");
    assert_tells(
        &whole,
        &[
            ("sluice.limit", "refused:few"),
            ("error.type", "rate_limit_exceeded"),
            ("http.status_code", "429"),
            ("sluice.attempts", "0"),
            ("gen_ai.usage.input_tokens", ""),
        ],
    );

    let asked = body("trace-cache", &json!({}));
    for cache in ["miss", "hit"] {
        assert_eq!(ask(gateway, CHAT, &[APP], &asked).header("x-ai-cache"), Some(cache));
    }
    let hit = |span: &Span| span.get("sluice.cache") == "hit";
    let (whole, _) = collector.trace("the hit", hit);
    assert_tells(&whole, &[("sluice.attempts", "0"), ("gen_ai.provider.name", ""), ("error.type", "")]);
    assert_tells(&whole, &[("gen_ai.usage.output_tokens", "0"), ("gen_ai.response.finish_reasons", "stop")]);
}

#[test]
fn what_breaks_is_an_error_by_name() {
    let collector = Collector::start();
    let bed = start(&collector, "");
    for (test, stream, script, want) in [
        ("trace-400", false, json!({"status": 400}), "400"),
        ("trace-chain-of-500", false, json!({"status": 500}), "upstream_error"),
        ("trace-event", true, json!({"error_after": 2}), "error_event"),
        ("trace-cut", true, json!({"cut_after": 2}), "upstream_error"),
    ] {
        let asked = body(test, &json!({"stream": stream, "x_mock": {"*": script}}));
        ask(&bed.gateway, CHAT, &[APP], &asked);
        let (whole, _) = trace(&collector, test);
        let record = bed.ai_log(test);
        assert_eq!(whole.get("error.type"), want, "{whole:?} {record}");
    }
}

#[test]
fn no_span_tells_a_key_a_prompt_an_answer_a_path_or_a_query() {
    let collector = Collector::start();
    let bed = start(&collector, "");
    let gateway = &bed.gateway;
    let says = json!({"stream": true, "x_mock": {"a": {"status": 429}, "b": {"say": "canary-answer"}}});
    let path = format!("{CHAT}?key=sk-canary-app&canary-query=1");
    assert_eq!(ask(gateway, &path, &[], &body("trace-query", &says)).status, 200);
    let wrong = format!("{CHAT}?key=sk-canary-wrong&canary-query=1");
    assert_eq!(ask(gateway, &wrong, &[], &body("trace-wrong", &says)).status, 401);
    let other = format!("{CHAT}?api_key=sk-canary-other");
    assert_eq!(ask(gateway, &other, &[APP], &body("trace-other", &says)).status, 200);
    assert_eq!(ask(gateway, "/v1/canary-path?x=sk-canary-y", &[APP], &body("trace-path", &says)).status, 200);
    for test in ["trace-query", "trace-other", "trace-path"] {
        let (whole, _) = trace(&collector, test);
        assert!(!whole.get("http.url").contains("/v1"), "{whole:?}");
    }
    collector.trace("the 401", |span| span.get("http.status_code") == "401");
    let everything = collector.everything();
    for secret in ["canary", "sk-secret"] {
        assert!(!everything.contains(secret), "{everything}");
    }
}

#[test]
fn a_sample_of_none_begins_no_trace() {
    let collector = Collector::start();
    let bed = start(&collector, ", sample: 0");
    for test in ["trace-none", "trace-none-either"] {
        let headers = [APP, ("x-client-trace-id", "1"), ("x-envoy-force-trace", "1")];
        assert_eq!(ask(&bed.gateway, CHAT, &headers, &body(test, &json!({}))).status, 200);
    }
    let unsampled = format!("00-{TRACE}-{PARENT}-00");
    ask(&bed.gateway, CHAT, &[APP, ("traceparent", &unsampled)], &body("trace-not", &json!({})));
    // spans go in order: what comes after them has come
    let sampled = format!("00-{TRACE}-{PARENT}-01");
    ask(&bed.gateway, CHAT, &[APP, ("traceparent", &sampled)], &body("trace-asked-for", &json!({})));
    trace(&collector, "trace-asked-for");
    assert_eq!(collector.spans().len(), 2, "{:?}", collector.spans());
}

#[test]
fn a_collector_that_is_gone_or_hangs_harms_nobody() {
    let collector = Collector::start();
    let bed = start(&collector, ", timeout: 200ms");
    let gateway = &bed.gateway;
    let all = |test: &str, count: usize| {
        for number in 0..count {
            let reply = ask(gateway, CHAT, &[APP], &body(&format!("{test}-{number}"), &json!({})));
            assert_eq!(reply.status, 200, "{}", reply.text());
            assert!(reply.took < std::time::Duration::from_secs(5), "{:?}", reply.took);
        }
    };
    collector.behave(Manner::Hang);
    all("trace-warm", 100);
    let before = gateway.envoy_memory();
    all("trace-hang", 1000);
    let grown = gateway.envoy_memory().saturating_sub(before);
    assert!(grown < 48 << 20, "{grown} bytes");
    collector.behave(Manner::Refuse(503));
    all("trace-refused", 20);
    assert_eq!(collector.exports(), 0);
    collector.behave(Manner::Good);
    wait::until("the collector to be told again", || {
        all("trace-good-again", 1);
        (collector.exports() > 0).then_some(())
    });
}

#[test]
fn tracing_begins_changes_and_ends_live() {
    let (first, second) = (Collector::start(), Collector::start());
    let bed = Bed::start(&Options::default(), "");
    let gateway = &bed.gateway;
    let told = |collector: &Collector, test: &str| {
        assert_eq!(gateway.chat(&bed::chat_body(test)).status, 200);
        trace(collector, test)
    };
    let count = || gateway.stderr().matches("applied").count();
    let apply = |section: &str| {
        let before = count();
        gateway.rewrite_and_wait(&bed::yaml(&bed.providers, section), |_| count() > before);
    };
    gateway.chat(&bed::chat_body("trace-before"));
    apply(&format!("tracing: {{url: \"{}\"}}\n", first.url()));
    told(&first, "trace-begun");
    apply(&format!("tracing: {{url: \"{}\", service: other}}\n", second.url()));
    let (whole, _) = told(&second, "trace-moved");
    assert_eq!(whole.resource["service.name"], "other");
    assert!(!first.everything().contains("trace-moved"));
    apply(&format!("tracing: {{url: \"http://127.0.0.1:{}/v1/traces\"}}\n", closed_port().number()));
    assert_eq!(gateway.chat(&bed::chat_body("trace-closed")).status, 200);
    apply("");
    assert_eq!(gateway.chat(&bed::chat_body("trace-ended")).status, 200);
    let line = gateway.log_line("the last", |line| line["ai_log"]["model"] == "gpt-trace-ended");
    assert!(line.get("trace_id").is_none(), "{line}");
    assert!(!first.everything().contains("trace-before"));
}
