use serde_json::{Value, json};
use sluice_core::context::Fact;
use sluice_core::testing::FakeHost;

use super::*;

fn config(rules: Value) -> Config {
    let raw = serde_json::from_value(json!({"max_body_bytes": 1000, "rules": rules})).unwrap();
    ModelRouter::check(raw, &|_| None).unwrap()
}

fn target(name: &str) -> Value {
    json!({"name": name, "cluster": format!("c.{name}"), "attempts": 3})
}

fn rules() -> Value {
    json!([
        {"match": ["gpt-4o", "gpt-4*"], "when": {"tier": "gold"}, "targets": [target("gold")]},
        {"match": ["{gpt-4o,gpt-5}"], "targets": [target("openai")]},
        {"match": ["openai/*"], "strip_prefix": "openai/", "targets": [target("openai")]},
        {"match": ["whisper-1"], "targets": [target("audio")]},
        {"match": ["local"], "when": {"has": ["images"]}, "targets": [target("vision")]},
        {"match": ["local"], "when": {"headers": {"X-Team": "a*"}}, "targets": [target("team")]},
    ])
}

const JSON: &[(&str, &str)] = &[
    (":method", "POST"),
    (":path", "/v1/chat/completions?x=1"),
    ("content-type", "application/json; charset=utf-8"),
];

/// Runs one request; the reply's status, code and message if there is one.
fn run(host: &mut FakeHost, body: &[u8]) -> Option<(u16, String, String)> {
    let mut filter = ModelRouter::new(Rc::new(config(rules())));
    let mut next = filter.on_request_headers(host, body.is_empty());
    if next == (Next::Whole { max_bytes: 1000 }) {
        next = filter.on_request_body(host, body, true);
    }
    assert_eq!(host.request_body, None);
    let Next::Reply(reply) = next else {
        assert_eq!(next, Next::Pass);
        return None;
    };
    let error: Value = serde_json::from_str(&reply.body).unwrap();
    let code = error["error"]["code"].as_str().unwrap_or_default().to_owned();
    assert_eq!(context::ERROR.get(host).unwrap_or_default(), code);
    Some((reply.status, code, error["error"]["message"].as_str().unwrap_or(&reply.body).to_owned()))
}

fn facts(host: &FakeHost, of: &[Fact]) -> Vec<String> {
    of.iter().map(|fact| fact.get(host).unwrap_or_default()).collect()
}

#[test]
fn every_series_is_declared() {
    sluice_core::testing::declare(ModelRouter::METRICS);
}

#[test]
fn a_request_gets_cluster_facts_and_retries() {
    let mut host = FakeHost::with_request(JSON);
    let body = br#"{"model":"gpt-4o","stream":true,"max_tokens":50,"messages":[{"role":"user","content":"12345678"}]}"#;
    assert_eq!(run(&mut host, body), None);
    assert_eq!(host.request_header("x-ai-cluster").as_deref(), Some("c.openai"));
    assert_eq!(host.request_header("x-ai-stream").as_deref(), Some("true"));
    assert_eq!(host.request_header("x-envoy-max-retries").as_deref(), Some("2"));
    use context::*;
    let found = facts(
        &host,
        &[MODEL, STREAM, OPERATION, RULE, TARGET, INPUT_ESTIMATE, MAX_OUTPUT, BASE_MODEL, ERROR],
    );
    assert_eq!(found, ["gpt-4o", "true", "chat", "{gpt-4o,gpt-5}", "openai", "3", "50", "", ""]);
}

#[test]
fn when_the_whole_request_had_come_is_told_of_refused_ones_too() {
    for (name, body) in
        [("routed", &br#"{"model":"gpt-5"}"#[..]), ("unknown", br#"{"model":"x"}"#), ("bad", b"{")]
    {
        let mut host = FakeHost::with_request(JSON);
        host.now_ns = 1_700_000_000_123_456_789;
        run(&mut host, body);
        assert_eq!(context::RECEIVED_US.number(&host), Some(1_700_000_000_123_456), "{name}");
    }
    let mut host = FakeHost::with_request(&[(":method", "GET"), (":path", "/v1/models")]);
    run(&mut host, b"");
    assert_eq!(context::RECEIVED_US.get(&host), None);
}

#[test]
fn what_a_client_sends_under_internal_names_is_gone() {
    let spoofed = [
        "x-ai-cluster",
        "x-ai-stream",
        "x-ai-retry",
        "x-ai-anything",
        "x-envoy-max-retries",
        "x-envoy-retry-on",
        "x-envoy-retriable-status-codes",
        "x-envoy-upstream-rq-timeout-ms",
        "x-envoy-hedge-on-per-try-timeout",
    ];
    let mut headers = JSON.to_vec();
    headers.extend(spoofed.map(|name| (name, "evil")));
    headers.push(("x-request-id", "kept"));
    let mut host = FakeHost::with_request(&headers);
    assert_eq!(run(&mut host, br#"{"model":"gpt-5"}"#), None);
    assert!(!host.request.iter().any(|(_, value)| value == b"evil"), "{:?}", host.request);
    assert_eq!(host.request_header("x-ai-stream"), None);
    assert_eq!(host.request_header("x-request-id").as_deref(), Some("kept"));
    let mut host = FakeHost::with_request(&[
        (":method", "POST"),
        ("content-type", "text/plain"),
        ("x-ai-cluster", "evil"),
    ]);
    assert!(run(&mut host, b"x").is_some());
    assert_eq!(host.request_header("x-ai-cluster"), None);
}

#[test]
fn a_body_that_cannot_be_read_is_refused_with_its_place() {
    let twice = "this member was given before, and readers differ in which one counts";
    let spelling = |name: &str| {
        format!(
            "the member's name must be written `{name}`: some readers ignore the case of letters, some do not"
        )
    };
    let spelt = ["model", "stream", "stream_options"].map(spelling);
    let [model, stream, options] = spelt.each_ref().map(String::as_str);
    for (body, place, why) in [
        (r#"{"model":"gpt-5","MODEL":"b"}"#, "line 1 column 18", model),
        (r#"{"Model":"gpt-5"}"#, "line 1 column 2", model),
        (r#"{"\u004dodel":"gpt-5"}"#, "line 1 column 2", model),
        (r#"{"\u017ftream":true,"model":"gpt-5"}"#, "line 1 column 2", stream),
        ("{\"ſtream\":true,\"model\":\"gpt-5\"}", "line 1 column 2", stream),
        (r#"{"Stream_Options":{}}"#, "line 1 column 2", options),
        (r#"{"model":"gpt-5" "a":1}"#, "line 1 column 18", "expected `,` or `}`"),
        ("{\n\"model\":", "line 2 column 9", "the document ends too early"),
        ("[]", "line 1 column 1", "expected an object"),
        (r#"{"model":"gpt-5"}{}"#, "line 1 column 18", "unexpected text after the value"),
        (r#"{"model":"a\q"}"#, "line 1 column 12", "invalid escape in a string"),
        (r#"{"model":"gpt-5","stream":"true"}"#, "line 1 column 27", "expected true or false"),
        (r#"{"model":"a","model":"b"}"#, "line 1 column 14", twice),
        (r#"{"model":"a","\u006dodel":"b"}"#, "line 1 column 14", twice),
        (r#"{"model":null,"model":"b"}"#, "line 1 column 15", twice),
        (r#"{"stream":true,"stream":false}"#, "line 1 column 16", twice),
        (r#"{"stream_options":{},"stream_options":1}"#, "line 1 column 22", twice),
    ] {
        let want = (400, "invalid_json".to_owned(), format!("The body could not be read: {place}: {why}."));
        assert_eq!(run(&mut FakeHost::with_request(JSON), body.as_bytes()), Some(want), "{body}");
    }
}

#[test]
fn a_body_without_a_known_model_is_refused() {
    let empty = "The body is empty; it must be a JSON object.";
    let missing = "You must name a model: `model` must be a string and not empty.";
    let unknown = "The model `nope` does not exist or you do not have access to it.";
    for (body, status, code, message) in [
        ("", 400, "invalid_json", empty),
        (" \n", 400, "invalid_json", empty),
        ("{}", 400, "missing_model", missing),
        (r#"{"model":""}"#, 400, "missing_model", missing),
        (r#"{"model":4}"#, 400, "missing_model", missing),
        (r#"{"messages":[{"model":"gpt-5"}]}"#, 400, "missing_model", missing),
        (r#"{"model":"nope"}"#, 404, "model_not_found", unknown),
    ] {
        let want = (status, code.to_owned(), message.to_owned());
        assert_eq!(run(&mut FakeHost::with_request(JSON), body.as_bytes()), Some(want), "{body}");
    }
}

#[test]
fn a_long_unknown_model_is_shown_cut() {
    for length in [201, 5000] {
        let body = json!({"model": "é".repeat(length)}).to_string();
        let (status, _, message) = run(&mut FakeHost::with_request(JSON), body.as_bytes()).unwrap();
        assert_eq!((status, message.matches('é').count(), message.contains("…`")), (404, 200, true));
    }
}

#[test]
fn headers_are_judged_before_any_body() {
    let post = |name: &'static str, value: &'static str| {
        vec![(":method", "POST"), (":path", "/v1/embeddings"), (name, value)]
    };
    let form = "multipart/form-data";
    for (headers, want) in [
        (post("content-type", "text/plain"), Some((400, "unsupported_content_type"))),
        (post("content-type", "application/xml"), Some((400, "unsupported_content_type"))),
        (post("content-type", form), Some((400, "unsupported_content_type"))),
        (post("content-type", "APPLICATION/JSON"), None),
        (post("content-type", "application/problem+json; x=y"), None),
        (post("content-type", "; charset=utf-8"), None),
        (post("x-none", ""), None),
        (post("content-encoding", "gzip"), Some((400, "unsupported_content_type"))),
        (post("content-encoding", "Identity"), None),
        (vec![(":method", "GET"), (":path", "/v1/chat/completions")], Some((404, "not_found"))),
        (vec![(":method", "HEAD"), (":path", "/")], Some((404, "not_found"))),
        (vec![(":method", "DELETE"), (":path", "/v1/models")], Some((404, "not_found"))),
        (vec![], Some((404, "not_found"))),
    ] {
        let mut host = FakeHost::with_request(&headers);
        let found = run(&mut host, br#"{"model":"gpt-5"}"#);
        let found = found.as_ref().map(|(status, code, _)| (*status, code.as_str()));
        assert_eq!(found, want, "{headers:?}");
    }
}

#[test]
fn a_path_that_servers_read_differently_is_unknown() {
    for (path, known) in [
        ("/v1/chat%2fcompletions", false),
        ("/v1/chat/completions%2F", false),
        ("/v1/chat%5Ccompletions", false),
        ("/v1/chat/completions/..", false),
        ("/v1/x/%2E./chat/completions", false),
        ("/v1/./chat/completions", false),
        ("/v1\\..\\chat/completions", false),
        ("/openai/deployments/openai%2Fx/embeddings", false),
        ("/v1/embeddings/..;/chat/completions", false),
        ("/v1/embeddings/%2e%2E;a=b/chat/completions", false),
        ("/v1/embeddings/..%3b/chat/completions", false),
        ("/v1/embeddings/..%20/chat/completions", false),
        ("/v1/embeddings/%252e%252e/chat/completions", false),
        ("/v1/embeddings%252f..%252fchat/completions", false),
        ("/v1/embeddings/%c0%ae%c0%ae/chat/completions", false),
        ("/v1/chat/completions%00", false),
        ("/v1/chat/completions%zz", false),
        ("/v1/chat/comple%74ions;a=..", true),
        ("/v1/chat/completions?x=%2f..", true),
        ("/v1/.../chat/c.ompletions", true),
    ] {
        let mut host = FakeHost::with_request(&[(":method", "POST"), (":path", path)]);
        let code = run(&mut host, br#"{"model":"gpt-5"}"#).map(|(_, code, _)| code);
        assert_eq!(code.is_none(), known, "{path}: {code:?}");
        assert_eq!(code.as_deref().unwrap_or("not_found"), "not_found", "{path}");
    }
}

#[test]
fn the_path_names_the_model_where_the_body_does_not() {
    for (path, body, model, base) in [
        ("/openai/deployments/gpt-5/chat/completions?api-version=1", "{}", "gpt-5", ""),
        ("/openai/deployments/gpt%2D5/embeddings", r#"{"model":null}"#, "gpt-5", ""),
        ("/openai/deployments/nope/embeddings", r#"{"model":"gpt-5"}"#, "gpt-5", ""),
    ] {
        let mut host = FakeHost::with_request(&[(":method", "POST"), (":path", path)]);
        assert_eq!(run(&mut host, body.as_bytes()), None, "{path}");
        assert_eq!(facts(&host, &[context::MODEL, context::BASE_MODEL]), [model, base]);
    }
}

#[test]
fn a_form_names_its_model_in_a_field() {
    let part = |name: &str, value: &str| {
        format!("--xyz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let (model, file) = (part("model", "whisper-1"), part("file", "\0\u{1}"));
    for (body, want) in [
        (format!("{file}{model}--xyz--"), None),
        (format!("{file}--xyz--"), Some("missing_model")),
        (format!("{}--xyz--", part("model", "")), Some("missing_model")),
        (format!("{model}{model}--xyz--"), Some("invalid_json")),
        (format!("{}--xyz--", part("model", "x")), Some("model_not_found")),
        (String::new(), Some("invalid_json")),
        (model.clone(), Some("invalid_json")),
        (format!("{model}--xyz\r\nno blank line\r\n{model}--xyz--"), Some("invalid_json")),
        (format!("{model}{}{model}--xyz--", file.repeat(300)), Some("invalid_json")),
        (format!("{model}--xyz--\r\n{model}--xyz--"), None), // an epilogue
    ] {
        let headers = [
            (":method", "POST"),
            (":path", "/v1/audio/transcriptions"),
            ("content-type", "multipart/form-data; boundary=xyz"),
        ];
        let mut host = FakeHost::with_request(&headers);
        let code = run(&mut host, body.as_bytes()).map(|(_, code, _)| code);
        assert_eq!(code.as_deref(), want, "{body}");
        if want.is_none() {
            assert_eq!(
                facts(&host, &[context::TARGET, context::OPERATION, context::STREAM]),
                ["audio", "other", "false"]
            );
        }
    }
    let streamed = format!("{model}{}--xyz--", part("stream", "True"));
    assert!(request::scan_form(streamed.as_bytes(), "xyz").unwrap().stream);
}

#[test]
fn the_list_holds_the_models_this_caller_may_use() {
    let ids = |path: &str, setup: &[(&str, &str)]| {
        let mut host = FakeHost::with_request(&[(":method", "GET"), (":path", path), ("x-team", "abc")]);
        setup.iter().for_each(|(name, value)| host.set_fact(name, value.as_bytes()));
        let (status, _, body) = run(&mut host, b"").unwrap();
        let body: Value = serde_json::from_str(&body).unwrap_or_default();
        let ids =
            |list: &Vec<Value>| list.iter().map(|model| model["id"].as_str().unwrap().to_owned()).collect();
        (
            status,
            body["data"].as_array().map_or(vec![body["id"].as_str().unwrap_or_default().to_owned()], ids),
        )
    };
    let all = ["gpt-4o", "gpt-5", "whisper-1", "local"];
    assert_eq!(ids("/v1/models", &[]), (200, all.map(str::to_owned).to_vec()));
    assert_eq!(ids("/models/?x", &[("ai.tier", "gold")]).1, all);
    assert_eq!(
        ids("/v1/models", &[("ai.allowed_models", "gpt-*,{local,x}")]).1,
        ["gpt-4o", "gpt-5", "local"]
    );
    assert_eq!(ids("/v1/models", &[("ai.allowed_models", "[")]).1, [""; 0]);
    assert_eq!(ids("/v1/models/gpt-5", &[]), (200, vec!["gpt-5".to_owned()]));
    for path in ["/v1/models/openai/any%20one", "/v1/models/openai%2Fany%20one"] {
        assert_eq!(ids(path, &[]), (200, vec!["openai/any one".to_owned()]));
    }
    assert_eq!(ids("/v1/models/gpt-4-turbo", &[("ai.tier", "gold")]).0, 200);
    for (path, setup) in
        [("nope", ("", "")), ("gpt-4-turbo", ("", "")), ("gpt-5", ("ai.allowed_models", "local"))]
    {
        assert_eq!(ids(&format!("/v1/models/{path}"), &[setup]).0, 404, "{path}");
    }
}

#[test]
fn the_list_has_openais_shape() {
    let config = config(json!([{"match": ["a"], "targets": [target("t")]}]));
    let mut filter = ModelRouter::new(Rc::new(config));
    let mut host = FakeHost::with_request(&[(":method", "HEAD"), (":path", "/v1/models")]);
    let Next::Reply(reply) = filter.on_request_headers(&mut host, true) else {
        panic!("no reply");
    };
    let want = json!({"object": "list", "data": [{"id": "a", "object": "model", "created": 0, "owned_by": "sluice"}]});
    assert_eq!(serde_json::from_str::<Value>(&reply.body).unwrap(), want);
}

#[test]
fn conditions_choose_among_rules_in_order() {
    let image =
        r#"{"model":"local","messages":[{"content":[{"type":"image_url","image_url":{"url":"data:x"}}]}]}"#;
    for (headers, tier, body, want) in [
        (None, "gold", r#"{"model":"gpt-4o"}"#, Some("gold")),
        (None, "silver", r#"{"model":"gpt-4o"}"#, Some("openai")),
        (None, "", image, Some("vision")),
        (Some(("x-team", "abc")), "", r#"{"model":"local"}"#, Some("team")),
        (Some(("x-team", "b")), "", r#"{"model":"local"}"#, None),
        (None, "", r#"{"model":"local"}"#, None),
    ] {
        let headers: Vec<_> = JSON.iter().copied().chain(headers).collect();
        let mut host = FakeHost::with_request(&headers);
        host.set_fact("ai.tier", tier.as_bytes());
        let _ = run(&mut host, body.as_bytes());
        assert_eq!(context::TARGET.get(&host).as_deref(), want, "{body}");
    }
}

#[test]
fn a_request_without_consumer_or_header_is_split_by_its_id() {
    let split = |sticky: &str| {
        let targets = ["a", "b"].map(target);
        let config = Rc::new(config(json!([{"match": ["*"], "sticky": sticky, "targets": targets}])));
        let picked = |id: u64, consumer: &str| {
            let mut host = FakeHost::with_request(&[JSON, &[("x-user", "ann")]].concat());
            host.now_ns = id;
            if id.is_multiple_of(2) {
                host.set_header(Side::Request, "x-request-id", &id.to_string());
            }
            host.set_fact("ai.consumer", consumer.as_bytes());
            let mut filter = ModelRouter::new(Rc::clone(&config));
            filter.on_request_headers(&mut host, false);
            filter.on_request_body(&mut host, br#"{"model":"m"}"#, true);
            host.request_header("x-ai-cluster").unwrap()
        };
        let sides = |consumer| {
            (0..64).map(|id| picked(id, consumer)).collect::<std::collections::BTreeSet<_>>().len()
        };
        (sides(""), sides("ann"))
    };
    assert_eq!(split("consumer"), (2, 1));
    assert_eq!(split("request"), (2, 2));
    assert_eq!(split("header:X-User"), (1, 1));
    assert_eq!(split("header:x-absent"), (2, 2));
}

#[test]
fn a_model_that_the_caller_may_not_use_is_refused() {
    for (allowed, model, want) in [
        ("gpt-*", "gpt-5", None),
        ("gpt-4*,gpt-5", "gpt-5", None),
        ("gpt-4*", "gpt-5", Some((403, "model_not_allowed"))),
        ("broken[", "gpt-5", Some((403, "model_not_allowed"))),
        ("*", "unknown", Some((404, "model_not_found"))),
        ("gpt-4*", "unknown", Some((404, "model_not_found"))),
    ] {
        let mut host = FakeHost::with_request(JSON);
        context::ALLOWED_MODELS.set(&mut host, allowed);
        let refused = run(&mut host, json!({"model": model}).to_string().as_bytes());
        let refused = refused.as_ref().map(|(status, code, _)| (*status, code.as_str()));
        assert_eq!(refused, want, "{allowed} {model}");
        assert_eq!(host.request_header("x-ai-cluster").is_some(), want.is_none());
    }
}

#[test]
fn what_a_request_holds_is_a_fact() {
    for (body, want) in [
        (json!({"model": "gpt-5"}), ""),
        (json!({"model": "gpt-5", "tools": [{"type": "function"}]}), "tools"),
        (
            json!({"model": "gpt-5", "tools": [{}], "messages": [{"content": [{"type": "image_url"}]}]}),
            "tools,images",
        ),
    ] {
        let mut host = FakeHost::with_request(JSON);
        assert_eq!(run(&mut host, body.to_string().as_bytes()), None);
        assert_eq!(facts(&host, &[context::HAS]), [want]);
    }
}

#[test]
fn limits_are_shown_by_the_next_filter_where_there_are_some() {
    let show = |limits: bool, path: &str| {
        let raw = json!({"rules": rules(), "limits": limits});
        let config = ModelRouter::check(serde_json::from_value(raw).unwrap(), &|_| None).unwrap();
        let mut host = FakeHost::with_request(&[(":method", "GET"), (":path", path)]);
        let next = ModelRouter::new(Rc::new(config)).on_request_headers(&mut host, true);
        let status = if let Next::Reply(reply) = next { reply.status } else { 200 };
        assert_eq!(host.header(Side::Request, "x-ai-cluster"), None, "no provider is asked");
        (status, facts(&host, &[context::MODEL, context::RULE, context::INPUT_ESTIMATE]).join(" "))
    };
    let of_model = "/v1/limits?x=1&model=openai%2Fo1&input_tokens=7";
    assert_eq!(show(true, of_model), (200, "openai/o1 openai/* 7".to_owned()));
    assert_eq!(show(true, "/v1/limits"), (200, "  ".to_owned()));
    assert_eq!(show(true, "/v1/limits?model=unknown").0, 404);
    assert_eq!(show(true, "/v1/limits/x").0, 404);
    assert_eq!(show(false, of_model).0, 404);
}
