//! The filter against a fake host: the whole record, and that it is always one line of JSON.

use proptest::prelude::*;
use serde_json::{Value, json};
use sluice_core::config::RouteConfigs;
use sluice_core::context::Fact;
use sluice_core::testing::FakeHost;

use super::*;

mod said;
mod schema;

const CHAT: &[(&str, &str)] =
    &[(":method", "POST"), (":path", "/v1/chat/completions?key=sk-canary"), ("x-request-id", "r-1")];

const STREAM: &str = concat!(
    "data: {\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}]}\n\n",
    "data: {\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hello\"}}]}\n\n",
    "data: {\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"model\":\"m-1\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3}}\n\n",
    "data: [DONE]\n\n",
);

const WHOLE: &str = concat!(
    r#"{"model":"m-1","choices":[{"message":{"content":"hello"},"finish_reason":"length"}],"#,
    r#""usage":{"prompt_tokens":9,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":4},"#,
    r#""completion_tokens_details":{"reasoning_tokens":1}}}"#,
);

fn config(json: &str) -> Result<Rc<Config>, String> {
    let configs = RouteConfigs::parse(json.as_bytes(), |raw| AiLog::check(raw, &|_| None));
    configs.map(|configs| configs.get("")).map_err(|error| error.to_string())
}

fn begin(request: &[(&str, &str)]) -> (AiLog, FakeHost) {
    begin_with("{}", request)
}

fn begin_with(json: &str, request: &[(&str, &str)]) -> (AiLog, FakeHost) {
    let mut host = FakeHost { now_ns: 1_000_999_999, ..FakeHost::with_request(request) };
    let mut filter = AiLog::new(config(json).unwrap());
    assert_eq!(filter.on_request_headers(&mut host, false), Next::Pass);
    (filter, host)
}

fn envoy_says(host: &mut FakeHost, status: u64, flags: u64, details: &str) {
    host.attributes.insert("response.code".to_owned(), status.to_le_bytes().to_vec());
    host.attributes.insert("response.flags".to_owned(), flags.to_le_bytes().to_vec());
    host.set_attribute("response.code_details", details);
}

/// The record, which may be any JSON.
fn written(filter: &mut AiLog, host: &mut FakeHost) -> String {
    filter.on_done(host);
    String::from_utf8(host.facts[context::AI_LOG.0].clone()).unwrap()
}

/// The record, which is as the schema says.
#[track_caller]
fn record(filter: &mut AiLog, host: &mut FakeHost) -> String {
    let record = written(filter, host);
    schema::assert_valid(&record);
    record
}

#[track_caller]
fn parsed(filter: &mut AiLog, host: &mut FakeHost) -> Value {
    let record = record(filter, host);
    json_of(&record)
}

#[track_caller]
fn json_of(record: &str) -> Value {
    assert!(!record.contains(['\n', '\r']), "{record}");
    serde_json::from_str(record).unwrap_or_else(|error| panic!("{error}: {record}"))
}

fn set(host: &mut FakeHost, facts: &[(Fact, &str)]) {
    for (fact, value) in facts {
        fact.set(host, value);
    }
}

/// What the filters publish of a request that its second provider answers.
const RETRIED: &[(Fact, &str)] = &[
    (context::OPERATION, "chat"),
    (context::STREAM, "true"),
    (context::CONSUMER, "bob"),
    (context::TIER, "gold"),
    (context::KEY_ID, "5e6f7a8b"),
    (context::METADATA, "{\"team\": \n\"search\"}"),
    (context::LIMIT, "admitted"),
    (context::LIMIT_FILL, "93:per-team"),
    (context::LIMITED_US, "1003004"),
    (context::CACHE, "miss; reason=no-cache"),
    (context::CACHE_KEY, "00112233445566ff"),
    (context::CACHE_BYTES, "731"),
    (context::RECEIVED_US, "1003001"),
    (context::WAITS, "token-limit:2,content-guard:310,token-limit:1"),
    (context::MODEL, "gpt-4o"),
    (context::HAS, "tools,images"),
    (context::INPUT_ESTIMATE, "11"),
    (context::MAX_OUTPUT, "99"),
    (context::CHOICES, "2"),
    (context::RESPONSE_MODEL, "m-1"),
    (context::PROVIDER, "b"),
    (context::PROVIDER_MODEL, "m"),
    (context::PROVIDER_KEY, "0a1b2c3d"),
    (context::RULE, "gpt-*"),
    (context::TARGET, "a"),
    (context::ATTEMPTS, "[ {\"provider\":\"a\",\"status\":503,\n\"verdict\":\"status_503\",\"ms\":12} ]"),
    (context::ATTEMPT_START, "1100"),
    (context::METER, "provider-adapter"),
    (context::INPUT_TOKENS, "9"),
    (context::OUTPUT_TOKENS, "3"),
    (context::CACHED_TOKENS, "4"),
    (context::REASONING_TOKENS, "1"),
    (context::USAGE_SOURCE, "reported"),
    (context::TTFT_MS, "210"),
    (context::FINISH_REASON, "stop"),
    (context::STREAM_END, "complete"),
];

#[test]
fn every_series_is_declared() {
    sluice_core::testing::declare(AiLog::METRICS);
}

#[test]
fn the_record_of_a_request_that_was_retried() {
    let json = r#"{"headers": ["x-team", "x-none"], "prices": [{"match": "b/m", "input": 2, "cached": 0.5, "output": 8}]}"#;
    let (mut filter, mut host) =
        begin_with(json, &[CHAT, &[("x-team", "red"), ("x-other", "canary")]].concat());
    assert_eq!(context::STARTED.number(&host), Some(1000));
    set(&mut host, RETRIED);
    host.respond(&[(":status", "200"), ("content-type", "text/event-stream")]);
    assert_eq!(filter.on_response_headers(&mut host, false), Next::Pass, "somebody else meters");
    host.advance_ms(500);
    envoy_says(&mut host, 200, 0, "via_upstream");
    assert_eq!(
        record(&mut filter, &mut host),
        concat!(
            r#"{"version":1,"request_id":"r-1","method":"POST","path":"/v1/chat/completions","operation":"chat","#,
            r#""stream":true,"consumer":"bob","tier":"gold","key_id":"5e6f7a8b","metadata":{"team":"search"},"headers":{"x-team":"red"},"#,
            r#""model":"gpt-4o","has":["tools","images"],"input_estimate":11,"max_output":99,"choices":2,"#,
            r#""response_model":"m-1","provider":"b","provider_model":"m","rule":"gpt-*","target":"a","limit":"admitted","#,
            r#""limit_fill":{"limit":"per-team","percent":93},"cache":"miss; reason=no-cache","cache_key":"00112233445566ff","cache_bytes":731,"#,
            r#""attempts":[{"provider":"a","status":503,"verdict":"status_503","ms":12},"#,
            r#"{"provider":"b","model":"m","key":"0a1b2c3d","status":200,"verdict":"ok","ms":400}],"#,
            r#""input_tokens":9,"output_tokens":3,"cached_tokens":4,"reasoning_tokens":1,"#,
            r#""usage_source":"reported","cost_usd":0.000036,"ttft_ms":210,"#,
            r#""upload_ms":3,"provider_ms":412,"gateway_ms":85,"duration_ms":500,"waits":{"content-guard":310,"token-limit":3},"#,
            r#""times":{"started_us":1000999,"limited_us":1003004,"ended_us":1500999},"status":200,"finish_reason":"stop","#,
            r#""end":"complete"}"#,
        )
    );
}

#[test]
fn what_a_failed_attempt_said_is_not_in_the_record() {
    let (mut filter, mut host) = begin(CHAT);
    set(
        &mut host,
        &[
            (context::METER, "provider-adapter"),
            (context::RESPONSE_MODEL, "m-1"),
            (context::OUTPUT_TOKENS, "3"),
            (context::USAGE_SOURCE, "reported"),
            (context::FINISH_REASON, "stop"),
            (context::ERROR, "upstream_error"),
        ],
    );
    host.respond(&[(":status", "502"), ("x-sluice-error", "upstream_error")]);
    filter.on_response_headers(&mut host, false);
    envoy_says(&mut host, 502, 0, "upstream_error");
    let record = record(&mut filter, &mut host);
    assert!(record.contains(r#""error":"upstream_error""#), "{record}");
    for said in ["m-1", "tokens", "usage", "finish"] {
        assert!(!record.contains(said), "{said} in {record}");
    }
}

#[test]
fn an_answer_that_the_guard_withholds_is_in_the_record_with_what_it_cost() {
    let (mut filter, mut host) = begin(CHAT);
    let verdicts = r#"[{"check":"banned","on":"response","category":"keyword","action":"block","count":1}]"#;
    set(
        &mut host,
        &[
            (context::METER, "provider-adapter"),
            (context::PROVIDER, "b"),
            (context::ATTEMPT_START, "900"),
            (context::OUTPUT_TOKENS, "3"),
            (context::STREAM_END, "complete"),
            (context::CACHE, "miss"),
            (context::GUARD, verdicts),
            (context::ERROR, "content_policy_violation"),
        ],
    );
    host.respond(&[(":status", "400"), ("x-sluice-error", "content_policy_violation")]);
    filter.on_response_headers(&mut host, false);
    envoy_says(&mut host, 400, 0, "");
    let record = parsed(&mut filter, &mut host);
    assert_eq!(record["guard"], serde_json::from_str::<Value>(verdicts).unwrap());
    let attempt = json!({"provider": "b", "status": 200, "verdict": "withheld", "ms": 100});
    assert_eq!(record["attempts"], json!([attempt]));
    for (name, want) in [
        ("cache", json!("miss")),
        ("output_tokens", json!(3)),
        ("end", json!("refused")),
        ("error", json!("content_policy_violation")),
    ] {
        assert_eq!(record[name], want, "{name}");
    }
}

#[test]
fn the_record_of_a_refused_request() {
    let (mut filter, mut host) = begin(CHAT);
    set(&mut host, &[(context::ERROR, "model_not_found"), (context::MODEL, "gpt-5")]);
    host.respond(&[(":status", "404"), ("content-type", "application/json")]);
    assert_eq!(
        filter.on_response_headers(&mut host, false),
        Next::Pass,
        "the gateway's own reply is not metered"
    );
    envoy_says(&mut host, 404, 0, "");
    assert_eq!(
        record(&mut filter, &mut host),
        concat!(
            r#"{"version":1,"request_id":"r-1","method":"POST","path":"/v1/chat/completions","operation":"chat","#,
            r#""model":"gpt-5","gateway_ms":0,"duration_ms":0,"times":{"started_us":1000999,"ended_us":1000999},"#,
            r#""status":404,"error":"model_not_found","end":"refused"}"#,
        )
    );
}

#[test]
fn a_request_that_broke_off_before_its_headers_has_a_record_too() {
    let mut host = FakeHost::default();
    let record = record(&mut AiLog::new(config("{}").unwrap()), &mut host);
    assert_eq!(record, r#"{"version":1,"times":{"ended_us":0},"status":0,"end":"client_gone"}"#);
}

#[test]
fn an_attempt_that_broke_off_last_stands_in_the_list() {
    for (ended_ms, status, flags, broke, verdict, ms) in [
        ("1300", 504, 0x4, "timeout", "timeout", 200),
        ("1100", 503, 0x20, "connect_failure", "connect_failure", 0),
        ("1099", 503, 0x40, "connect_failure", "reset", 400), // of the attempt before
        ("", 0, 0x4000, "", "client_gone", 400),
        ("1500", 0, 0x4000, "reset", "client_gone", 400),
    ] {
        let (mut filter, mut host) = begin(CHAT);
        set(&mut host, &[(context::PROVIDER, "a"), (context::ATTEMPT_START, "1100")]);
        set(&mut host, &[(context::ATTEMPT_ENDED, ended_ms), (context::ATTEMPT_BROKE, broke)]);
        host.advance_ms(500);
        envoy_says(&mut host, status, flags, "");
        let record = parsed(&mut filter, &mut host);
        let want = serde_json::json!([{"provider": "a", "status": 0, "verdict": verdict, "ms": ms}]);
        assert_eq!(record["attempts"], want, "{verdict}");
    }
}

#[test]
fn the_gateways_time_is_told_where_it_is_known() {
    for (name, status, flags, details, facts, want) in [
        ("a refusal of the headers", 401, 0, "", &[(context::ERROR, "invalid_api_key")][..], true),
        ("an answer of its own", 200, 0, "sluice", &[], true),
        ("a client that left it waiting", 0, 0x4000, "", &[(context::RECEIVED_US, "1001000")], true),
        ("an attempt", 200, 0, "via_upstream", &[(context::ATTEMPT_START, "1100")], true),
        ("a provider's answer that nobody timed", 200, 0, "via_upstream", &[], false),
        ("a client that left in its upload", 0, 0x4000, "", &[], false),
        ("an upload that took too long", 408, 1 << 16, "request_overall_timeout", &[], false),
        ("an upload that was too large", 413, 0, "", &[(context::ERROR, "request_too_large")], false),
    ] {
        let (mut filter, mut host) = begin(CHAT);
        set(&mut host, facts);
        host.advance_ms(500);
        envoy_says(&mut host, status, flags, details);
        let record = parsed(&mut filter, &mut host);
        assert_eq!(record.get("gateway_ms").is_some(), want, "{name}: {record}");
    }
}

#[test]
fn the_operation_is_told_by_the_whole_path() {
    let path = format!("/{}/v1/embeddings?x=/v1/chat/completions", "p".repeat(600));
    let (mut filter, mut host) = begin(&[(":method", "POST"), (":path", &path)]);
    assert_eq!(parsed(&mut filter, &mut host)["operation"], "embeddings");
}

#[test]
fn a_recorded_attempt_is_not_repeated() {
    let (mut filter, mut host) = begin(CHAT);
    let ended = r#"[{"provider":"a","status":400,"verdict":"status_400","ms":1}]"#;
    set(&mut host, &[(context::ATTEMPTS, ended), (context::ATTEMPT_START, ""), (context::PROVIDER, "a")]);
    envoy_says(&mut host, 400, 0, "via_upstream");
    let want: Value = serde_json::from_str(ended).unwrap();
    assert_eq!(parsed(&mut filter, &mut host)["attempts"], want);
}

#[test]
fn what_a_client_sends_is_cut_to_length_between_characters() {
    let long = "é".repeat(9_000);
    let path = format!("/{long}?key=sk-canary#sk-canary");
    let request = [(":method", long.as_str()), (":path", path.as_str()), ("x-request-id", long.as_str())];
    let (mut filter, mut host) = begin(&request);
    set(&mut host, &[(context::MODEL, &long), (context::FINISH_REASON, &long)]);
    let record = parsed(&mut filter, &mut host);
    for (name, max) in
        [("method", 256), ("path", 512), ("request_id", 256), ("model", 256), ("finish_reason", 256)]
    {
        let length = record[name].as_str().unwrap().len();
        assert!((max - 1..=max).contains(&length), "{name}: {length}");
    }
    assert!(!record.to_string().contains("canary"));
}

#[test]
fn alone_it_meters_a_stream_wherever_that_is_split() {
    for split in 0..=STREAM.len() {
        let (mut filter, mut host) = begin(CHAT);
        host.respond(&[(":status", "200"), ("content-type", "text/event-stream; charset=utf-8")]);
        assert_eq!(filter.on_response_headers(&mut host, false), Next::Watch);
        host.advance_ms(40);
        filter.on_response_body(&mut host, &STREAM.as_bytes()[..split], false);
        filter.on_response_body(&mut host, &STREAM.as_bytes()[split..], false);
        host.advance_ms(60);
        filter.on_response_body(&mut host, b"", true);
        envoy_says(&mut host, 200, 0, "via_upstream");
        let record = parsed(&mut filter, &mut host);
        for (name, want) in [
            ("response_model", "\"m-1\""),
            ("input_tokens", "9"),
            ("output_tokens", "3"),
            ("usage_source", "\"reported\""),
            ("ttft_ms", "40"),
            ("duration_ms", "100"),
            ("finish_reason", "\"stop\""),
            ("end", "\"complete\""),
        ] {
            assert_eq!(record[name].to_string(), want, "{name} split at {split}");
        }
    }
}

#[test]
fn alone_it_meters_a_whole_answer_wherever_that_is_split() {
    for split in 0..=WHOLE.len() {
        let (mut filter, mut host) = begin(CHAT);
        host.respond(&[(":status", "200"), ("content-type", "application/json")]);
        assert_eq!(filter.on_response_headers(&mut host, false), Next::Watch);
        filter.on_response_body(&mut host, &WHOLE.as_bytes()[..split], false);
        filter.on_response_body(&mut host, &WHOLE.as_bytes()[split..], true);
        envoy_says(&mut host, 200, 0, "via_upstream");
        let record = parsed(&mut filter, &mut host);
        let tokens =
            ["input", "output", "cached", "reasoning"].map(|n| record[format!("{n}_tokens")].as_u64());
        assert_eq!(tokens, [Some(9), Some(3), Some(4), Some(1)], "split at {split}");
        assert_eq!(record["finish_reason"], "length");
        assert_eq!(record.get("ttft_ms"), None);
    }
}

#[test]
fn a_stream_whose_client_leaves_is_metered_as_far_as_it_came() {
    let (mut filter, mut host) = begin(CHAT);
    set(&mut host, &[(context::INPUT_ESTIMATE, "7")]);
    host.respond(&[(":status", "200"), ("content-type", "text/event-stream")]);
    filter.on_response_headers(&mut host, false);
    filter.on_response_body(
        &mut host,
        &STREAM.as_bytes()[..STREAM.find("data: {\"model\":\"m-1\",\"choices\":[]").unwrap()],
        false,
    );
    envoy_says(&mut host, 200, 0x4000, "downstream_remote_disconnect");
    let record = parsed(&mut filter, &mut host);
    assert_eq!(
        (record["end"].as_str(), record["usage_source"].as_str()),
        (Some("client_gone"), Some("estimated"))
    );
    assert_eq!((record["input_tokens"].as_u64(), record["output_tokens"].as_u64()), (Some(7), Some(2)));
}

#[test]
fn what_cannot_be_metered_is_left_alone() {
    for (name, response, fact) in [
        ("claimed", &[(":status", "200"), ("content-type", "application/json")][..], Some(context::METER)),
        (
            "compressed",
            &[(":status", "200"), ("content-type", "application/json"), ("content-encoding", "gzip")],
            None,
        ),
        ("an error", &[(":status", "500"), ("content-type", "application/json")], None),
        ("a page", &[(":status", "200"), ("content-type", "text/html")], None),
        ("no type", &[(":status", "200")], None),
    ] {
        let (mut filter, mut host) = begin(CHAT);
        set(&mut host, &fact.map(|fact| (fact, "x")).into_iter().collect::<Vec<_>>());
        host.respond(response);
        assert_eq!(filter.on_response_headers(&mut host, false), Next::Pass, "{name}");
        assert_eq!(context::METER.get(&host).is_some(), fact.is_some(), "{name}");
    }
}

#[test]
fn of_an_answer_too_large_to_keep_the_usage_at_its_end_is_read() {
    let (mut filter, mut host) = begin(CHAT);
    set(&mut host, &[(context::INPUT_ESTIMATE, "7")]);
    host.respond(&[(":status", "200"), ("content-type", "application/json")]);
    filter.on_response_headers(&mut host, false);
    for _ in 0..9 {
        filter.on_response_body(&mut host, &vec![b' '; 1024 * 1024], false);
    }
    filter.on_response_body(&mut host, WHOLE.as_bytes(), true);
    envoy_says(&mut host, 200, 0, "via_upstream");
    let record = parsed(&mut filter, &mut host);
    let tokens = ["input_tokens", "output_tokens"].map(|name| record[name].as_u64());
    assert_eq!(tokens, [Some(9), Some(3)]);
    assert_eq!(
        (record["end"].as_str(), record["usage_source"].as_str()),
        (Some("complete"), Some("reported"))
    );
}

#[test]
fn alone_it_meters_json_of_any_kind() {
    let (mut filter, mut host) = begin(CHAT);
    host.respond(&[(":status", "200"), ("content-type", "application/vnd.api+json")]);
    assert_eq!(filter.on_response_headers(&mut host, false), Next::Watch);
    filter.on_response_body(&mut host, WHOLE.as_bytes(), true);
    assert_eq!(parsed(&mut filter, &mut host)["output_tokens"], 3);
}

#[test]
fn a_list_of_models_has_no_tokens() {
    let (mut filter, mut host) = begin(&[(":method", "GET"), (":path", "/v1/models")]);
    host.respond(&[(":status", "200"), ("content-type", "application/json")]);
    filter.on_response_headers(&mut host, false);
    filter.on_response_body(&mut host, br#"{"object":"list","data":[{"id":"m-1"}]}"#, true);
    envoy_says(&mut host, 200, 0, "via_upstream");
    let record = parsed(&mut filter, &mut host);
    assert_eq!((record.get("input_tokens"), record.get("output_tokens")), (None, None));
    assert_eq!((record["operation"].as_str(), record["end"].as_str()), (Some("other"), Some("complete")));
}

/// Values that facts have, should have, and should not.
fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..60),
        "[\\[\\]{}\",:\\\\\r\n 0-9a-z\u{2028}\0]{0,40}".prop_map(String::into_bytes),
        "(true|false|[0-9]{1,25}|complete|null)".prop_map(String::into_bytes),
        "\\[(\\{\"a\":[0-9]\\}(,\n\\{\"b\":\"\\\\n\"\\})?)?\\]".prop_map(String::into_bytes),
    ]
}

proptest! {
    #[test]
    fn whatever_the_facts_are_the_record_is_json_on_one_line(
        facts in prop::collection::vec(prop::option::of(value()), context::ALL.len()),
        request in prop::collection::vec(value(), 3),
        attributes in prop::collection::vec(prop::option::of(value()), 3),
        error in value(),
    ) {
        let names = [":method", ":path", "x-request-id"];
        let request = names.into_iter().map(str::to_owned).zip(request).collect();
        let mut host = FakeHost { request, ..FakeHost::default() };
        let mut filter = AiLog::new(config("{}").unwrap());
        filter.on_request_headers(&mut host, true);
        for (fact, value) in context::ALL.iter().zip(facts).filter_map(|(fact, value)| Some((fact, value?))) {
            host.set_fact(fact.0, &value);
        }
        let names = ["code", "flags", "code_details"].map(|name| format!("response.{name}"));
        host.attributes = names.into_iter().zip(attributes).filter_map(|(name, value)| Some((name, value?))).collect();
        host.response = vec![(":status".into(), b"503".to_vec()), ("x-sluice-error".into(), error)];
        let record = json_of(&written(&mut filter, &mut host));
        prop_assert_eq!(&record["version"], 1);
        prop_assert!(record["end"].is_string() && record["status"].is_u64());
    }
}

#[test]
fn metadata_that_is_no_object_is_left_out() {
    for (metadata, want) in [
        (r#"{"a":"b"}"#, json!({"a": "b"})),
        ("{}", json!({})),
        (r#"["a"]"#, Value::Null),
        (r#""a""#, Value::Null),
        (r#"{"a":"b""#, Value::Null),
        (r#"{},"status":200"#, Value::Null),
    ] {
        let (mut filter, mut host) = begin(CHAT);
        set(&mut host, &[(context::CONSUMER, "bob"), (context::METADATA, metadata)]);
        assert_eq!(parsed(&mut filter, &mut host)["metadata"], want, "{metadata}");
    }
}
