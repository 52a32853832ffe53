//! What a client is told when the gateway itself refuses or gives up.
#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "tests fail by panicking")]

use serde_json::json;
use sluice_e2e::bed::{self, Bed};
use sluice_e2e::client::{self, Reply};
use sluice_e2e::gateway::{Gateway, Options, closed_port};
use sluice_e2e::http2;
use sluice_e2e::upstream::Upstream;

const CHAT: &str = "/v1/chat/completions";
const JSON: (&str, &str) = ("content-type", "application/json");

/// An error in OpenAI's shape that the gateway calls its own.
fn assert_error(what: &str, reply: &Reply, status: u16, code: &str) {
    let error = &reply.json()["error"];
    assert_eq!((reply.status, reply.code().as_str()), (status, code), "{what}: {}", reply.text());
    assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{what}");
    assert!(error["type"].is_string() && error.get("param").is_some(), "{what}: {error}");
    assert_eq!(reply.header("x-sluice-error"), Some(code), "{what}");
    assert_eq!(reply.header("content-type"), Some("application/json"), "{what}");
    let retry = (status < 500).then_some("false");
    assert_eq!(reply.header("x-should-retry"), retry, "{what}");
}

#[test]
fn a_body_that_cannot_be_read_is_refused_with_its_reason() {
    let bed = bed::shared();
    for (what, body, status, code) in [
        ("bad JSON", r#"{"model": gpt-4}"#, 400, "invalid_json"),
        ("truncated JSON", r#"{"model": "gpt-4", "messages": ["#, 400, "invalid_json"),
        ("no object", "[1]", 400, "invalid_json"),
        ("an empty body", "", 400, "invalid_json"),
        ("a model in other letters", r#"{"Model": "gpt-4"}"#, 400, "invalid_json"),
        ("no model", r#"{"messages": []}"#, 400, "missing_model"),
        ("an empty object", "{}", 400, "missing_model"),
        ("a model that is no string", r#"{"model": 4}"#, 400, "missing_model"),
        ("an unknown model", r#"{"model": "llama-unknown"}"#, 404, "model_not_found"),
    ] {
        let reply = client::send(bed.gateway.address(), "POST", CHAT, &[JSON], body.as_bytes());
        assert_error(what, &reply, status, code);
        let reply = http2::post(bed.gateway.address(), CHAT, &[body.as_bytes()], &[]);
        assert_error(what, &reply, status, code);
    }
    let seen = bed.providers.iter().flat_map(Upstream::requests);
    assert_eq!(
        seen.filter(|seen| seen.json()["user"].is_null()).count(),
        0,
        "no refused request reached a provider"
    );
}

#[test]
fn an_unknown_model_is_named() {
    let bed = bed::shared();
    let reply = bed.gateway.chat(&json!({"model": "llama-9", "messages": []}));
    assert!(reply.json()["error"]["message"].as_str().is_some_and(|text| text.contains("llama-9")));
    assert_eq!(reply.json()["error"]["param"], "model");
}

#[test]
fn invalid_json_says_where() {
    let bed = bed::shared();
    let reply = client::send(bed.gateway.address(), "POST", CHAT, &[JSON], br#"{"model": gpt-4}"#);
    let message = reply.json()["error"]["message"].to_string();
    assert!(message.contains(|letter: char| letter.is_ascii_digit()), "no position in {message}");
}

#[test]
fn a_wrong_content_type_is_refused() {
    let bed = bed::shared();
    let body = bed::chat_body("content-type").to_string();
    for kind in ["text/plain", "application/xml", "application/x-protobuf"] {
        let headers = [("content-type", kind)];
        let reply = client::send(bed.gateway.address(), "POST", CHAT, &headers, body.as_bytes());
        assert_error(kind, &reply, 400, "unsupported_content_type");
    }
    assert!(bed.seen("content-type").is_empty());
}

#[test]
fn a_json_content_type_may_have_parameters_and_capitals() {
    let bed = bed::shared();
    for (test, kind) in
        [("kind-charset", "application/json; charset=utf-8"), ("kind-capitals", "Application/JSON")]
    {
        let body = bed::chat_body(test).to_string();
        let headers = [("content-type", kind)];
        let reply = client::send(bed.gateway.address(), "POST", CHAT, &headers, body.as_bytes());
        assert_eq!(reply.status, 200, "{kind}: {}", reply.text());
    }
}

#[test]
fn a_request_without_a_body_is_answered() {
    let bed = bed::shared();
    let head = format!("POST {CHAT} HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n\r\n");
    let mut client = client::Connection::open(bed.gateway.address()).expect("the gateway listens");
    client.write(head.as_bytes()).expect("a request");
    assert_error("no body", &client.read().expect("an answer"), 400, "invalid_json");
    assert_error(
        "no body in HTTP/2",
        &http2::post(bed.gateway.address(), CHAT, &[], &[]),
        400,
        "invalid_json",
    );
}

#[test]
fn an_unknown_path_is_answered_in_openais_shape() {
    let bed = bed::shared();
    assert_error("a path", &client::get(bed.gateway.address(), "/nowhere"), 404, "not_found");
    let body = bed::chat_body("ambiguous").to_string();
    for path in ["/v1/chat%2Fcompletions", "/v1/chat%5ccompletions", "/v1/x/%2e%2e/chat%2fcompletions"] {
        let reply = client::send(bed.gateway.address(), "POST", path, &[JSON], body.as_bytes());
        assert_error(path, &reply, 404, "not_found");
    }
    assert!(bed.seen("ambiguous").is_empty());
}

#[test]
fn an_exhausted_chain_gives_one_error_that_names_the_attempts() {
    let bed = bed::shared();
    for (test, stream) in [("exhausted-stream", true), ("exhausted-whole", false)] {
        let faults = json!({"a": {"status": 503}, "b": {"error_first": true}, "c": {"status": 500}});
        let answered = bed.ask(test, stream, faults);
        assert_error(test, &answered.reply, 502, "upstream_error");
        assert_eq!(answered.asked(), ["a", "b", "c"]);
        let message = answered.reply.json()["error"]["message"].to_string();
        for word in ["a", "b", "c", "503", "500"] {
            assert!(message.contains(word), "{word} is not in {message}");
        }
        assert_no_secret(&answered.reply);
        assert!(!message.contains("scripted to fail"), "not a provider's page: {message}");
    }
}

fn assert_no_secret(reply: &Reply) {
    let everything = format!("{:?} {}", reply.headers, reply.text());
    assert!(!everything.contains("sk-secret"), "{everything}");
}

#[test]
fn a_chain_of_any_failure_ends_in_a_gateway_error() {
    let bed = bed::shared();
    for (test, fault, status, code) in [
        ("all-reset", json!({"reset": true}), 502, "upstream_error"),
        ("all-empty", json!({"empty": true}), 502, "upstream_error"),
        ("all-html", json!({"content_type": "text/html", "body": "<p>"}), 502, "upstream_error"),
        ("all-429", json!({"status": 429}), 502, "upstream_error"),
        ("all-hang", json!({"hang_first_token": true}), 504, "upstream_timeout"),
    ] {
        let answered = bed.ask(test, true, json!({"*": fault}));
        assert_error(test, &answered.reply, status, code);
        assert_eq!(answered.asked(), ["a", "b", "c"], "{test}");
        assert_no_secret(&answered.reply);
    }
}

#[test]
fn providers_that_nobody_runs_are_an_unhealthy_target_or_an_upstream_error() {
    let nobody = closed_port();
    let port = nobody.number();
    let gateway = Gateway::start(&format!(
        "providers: {{a: {{url: \"http://127.0.0.1:{port}/v1\", keys: [sk-secret-a]}}}}
models: [{{match: \"*\", targets: [{{provider: a}}]}}]
retry: {{backoff: 1ms}}
"
    ));
    let reply = gateway.chat(&bed::chat_body("nobody"));
    let (status, code) =
        if reply.status == 503 { (503, "no_healthy_target") } else { (502, "upstream_error") };
    assert_error("nobody", &reply, status, code);
    assert_no_secret(&reply);
}

#[test]
fn a_whole_answer_that_never_comes_ends_with_the_request_deadline() {
    let bed = Bed::start(
        &Options::default(),
        "timeouts: {connect: 500ms, first_token: 1s, idle: 2s, request: 2s}\n",
    );
    let answered = bed.ask("deadline", false, json!({"*": {"hang": true}}));
    assert_error("deadline", &answered.reply, 504, "upstream_timeout");
    assert!((1..6).contains(&answered.reply.took.as_secs()), "{:?}", answered.reply.took);
}

#[test]
fn headers_that_steer_the_gateway_cannot_be_forged() {
    let bed = bed::shared();
    let mut body = bed::chat_body("forged");
    body["stream"] = json!(true);
    body["x_mock"] = json!({"a": {"status": 503}});
    let headers = [
        JSON,
        ("x-ai-cluster", "gpt.b"),
        ("x-ai-stream", "false"),
        ("x-ai-retry", "no"),
        ("x-envoy-max-retries", "0"),
        ("x-envoy-upstream-rq-timeout-ms", "1"),
        ("x-envoy-upstream-rq-per-try-timeout-ms", "1"),
        ("x-envoy-retry-on", "5xx"),
    ];
    let reply = client::send(bed.gateway.address(), "POST", CHAT, &headers, body.to_string().as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
    let asked: Vec<String> = bed.seen("forged").into_iter().map(|(name, _)| name).collect();
    assert_eq!(asked, ["a", "b"]);
}

#[test]
fn a_clients_credentials_and_cookies_reach_no_provider() {
    let bed = bed::shared();
    let body = bed::chat_body("egress").to_string();
    let headers = [
        JSON,
        ("authorization", "Bearer sk-client"),
        ("x-api-key", "sk-client"),
        ("cookie", "session=sk-client"),
        ("x-goog-api-key", "sk-client"),
        ("accept-encoding", "gzip, br"),
        ("x-internal-note", "sk-client"),
    ];
    let reply = client::send(bed.gateway.address(), "POST", CHAT, &headers, body.as_bytes());
    assert_eq!(reply.status, 200);
    let (_, seen) = bed.seen("egress").remove(0);
    assert!(seen.headers.iter().all(|(_, value)| !value.contains("sk-client")), "{:?}", seen.headers);
    assert_eq!((seen.key(), seen.header("accept-encoding")), (Some("sk-secret-a"), None));
    assert!(seen.headers.iter().all(|(name, _)| !name.starts_with("x-ai-")), "{:?}", seen.headers);
}

#[test]
fn the_gateways_inner_headers_stay_inside() {
    let bed = bed::shared();
    for (test, fault) in [("inner-ok", json!({})), ("inner-retried", json!({"status": 503}))] {
        let answered = bed.ask(test, true, json!({"a": fault}));
        let inner: Vec<_> =
            answered.reply.headers.iter().filter(|(name, _)| name.starts_with("x-ai-")).collect();
        assert!(inner.is_empty(), "{inner:?}");
    }
}

#[test]
fn a_provider_behind_envoy_cannot_forbid_the_next_attempt() {
    let bed = bed::shared();
    let headers = json!({"x-envoy-ratelimited": "true", "set-cookie": "a=b", "openai-organization": "org-1"});
    for (test, status, asked) in [("ratelimited", 429, &["a", "b"][..]), ("operators", 200, &["a"])] {
        let faults = json!({"a": {"status": status, "headers": headers}});
        let answered = bed.ask(test, false, faults);
        assert_eq!((answered.reply.status, answered.asked()), (200, asked.to_vec()), "{test}");
        let names = ["x-envoy-ratelimited", "set-cookie", "openai-organization"];
        assert_eq!(names.map(|name| answered.reply.header(name)), [None; 3], "{test}");
    }
}

#[test]
fn every_answer_names_its_record() {
    let bed = bed::shared();
    let refused = client::send(bed.gateway.address(), "POST", CHAT, &[JSON], b"{");
    let answered = bed.ask("named", true, json!({"a": {"status": 503}})).reply;
    for (what, reply, provider) in [("refused", refused, None), ("answered", answered, Some("req-b"))] {
        assert_eq!(reply.header("x-provider-request-id"), provider, "{what}");
        let id = reply.header("x-request-id").expect("an answer has an id").to_owned();
        let line = bed.gateway.log_line(what, |line| line["ai_log"]["request_id"] == id.as_str());
        assert_eq!(line["status"], reply.status, "{what}");
    }
}

#[test]
fn nothing_traps() {
    let bed = bed::shared();
    for body in
        ["", "{", "\u{0}", "{\"model\":\"gpt-\\ud800\"}", "{\"model\":\"gpt-x\",\"model\":\"gpt-y\"}", "null"]
    {
        let reply = client::send(bed.gateway.address(), "POST", CHAT, &[JSON], body.as_bytes());
        assert!(reply.status < 500, "{body:?}: {} {}", reply.status, reply.text());
    }
    bed.gateway.assert_no_trap();
}
