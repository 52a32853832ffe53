mod metrics;

use serde_json::{Value, json};
use sluice_core::context;
use sluice_core::filter::{Headers, Side};
use sluice_core::testing::FakeHost;

use super::*;
use crate::waiting::Waiting;

const CHAT: &[(&str, &str)] = &[(":method", "POST"), (":path", "/v1/chat/completions")];

fn config(limits: Value) -> Rc<Config> {
    let prices =
        json!([{"match": "pai/*", "input": 0, "output": 0}, {"match": "*", "input": 1, "output": 2}]);
    checked(json!({"limits": limits, "prices": prices})).unwrap()
}

fn checked(raw: Value) -> Result<Rc<Config>, String> {
    TokenLimit::check(serde_json::from_value(raw).unwrap(), &|_| None).map(Rc::new)
}

fn in_redis(limits: Value, on_error: &str) -> Rc<Config> {
    in_process(Box::leak(Box::default()), limits, on_error)
}

/// As [`in_redis`], in the process with these settlements that wait.
fn in_process(waiting: &'static Waiting, limits: Value, on_error: &str) -> Rc<Config> {
    let raw = json!({"limits": limits, "redis": {"cluster": "sluice.redis", "on_error": on_error}});
    let mut config = checked(raw).unwrap();
    Rc::get_mut(&mut config).unwrap().redis.as_mut().unwrap().waiting = waiting;
    config
}

/// Another worker's copy of the configuration, of the same process.
fn copy(config: &Config) -> Rc<Config> {
    in_process(config.redis.as_ref().unwrap().waiting, tokens(), "local")
}

/// One bucket for each consumer: 100 tokens a minute.
fn tokens() -> Value {
    json!([{"name": "tokens", "by": ["consumer"], "total_tokens": 100, "per_ms": 60_000}])
}

/// A request of `consumer` that is expected to use 30 tokens, at 10:00 o'clock or so.
fn arrive(host: &mut FakeHost, consumer: &str) {
    host.request = FakeHost::with_request(CHAT).request;
    host.facts.clear();
    host.attributes.clear();
    host.response.clear();
    host.now_ns = host.now_ns.max(1_700_000_000_000_000_000);
    for (fact, value) in [
        (context::CONSUMER, consumer),
        (context::MODEL, "m"),
        (context::TARGET, "openai"),
        (context::INPUT_ESTIMATE, "10"),
        (context::MAX_OUTPUT, "20"),
    ] {
        fact.set(host, value);
    }
}

/// Runs a request up to its admission or refusal.
fn ask(host: &mut FakeHost, config: &Rc<Config>, consumer: &str) -> (TokenLimit, Next) {
    arrive(host, consumer);
    let mut filter = TokenLimit::new(Rc::clone(config));
    let next = filter.on_request_headers(host, false);
    (filter, next)
}

/// A provider answers with so many tokens of input and output.
fn serve(host: &mut FakeHost, filter: &mut TokenLimit, tokens: [u64; 2]) {
    host.set_attribute("upstream.local_address", "10.0.0.1:443");
    context::METER.set(host, "provider-adapter");
    context::INPUT_TOKENS.set_number(host, tokens[0]);
    context::OUTPUT_TOKENS.set_number(host, tokens[1]);
    context::PROVIDER.set(host, "openai");
    context::PROVIDER_MODEL.set(host, "m");
    context::STREAM_END.set(host, "complete");
    host.respond(&[
        (":status", "200"),
        ("content-type", "application/json"),
        ("x-ratelimit-limit-tokens", "9"),
    ]);
    assert_eq!(filter.on_response_headers(host, false), Next::Pass);
    filter.on_done(host);
}

/// The status and the code of a refusal.
fn refusal(next: &Next) -> Option<(u16, String)> {
    let Next::Reply(reply) = next else { return None };
    let body: Value = serde_json::from_str(&reply.body).unwrap();
    Some((reply.status, body["error"]["code"].as_str().unwrap_or_default().to_owned()))
}

/// What `GET /v1/limits` says of the limit at `index`.
fn shown(host: &mut FakeHost, config: &Rc<Config>, consumer: &str, index: usize) -> Value {
    arrive(host, consumer);
    host.request = FakeHost::with_request(&[(":method", "GET"), (":path", "/v1/limits?model=m")]).request;
    let next = TokenLimit::new(Rc::clone(config)).on_request_headers(host, true);
    let Next::Reply(reply) = next else { panic!("{next:?}") };
    let body: Value = serde_json::from_str(&reply.body).unwrap();
    body["limits"][index].clone()
}

fn too_many() -> Option<(u16, String)> {
    Some((429, "rate_limit_exceeded".to_owned()))
}

#[test]
fn every_series_is_declared() {
    sluice_core::testing::declare(TokenLimit::METRICS);
}

#[test]
fn what_is_reserved_gives_way_to_what_was_used() {
    let (mut host, config) = (FakeHost::default(), config(tokens()));
    let (mut filter, next) = ask(&mut host, &config, "ann");
    assert_eq!((next, context::LIMIT.get(&host).as_deref()), (Next::Pass, Some("admitted")));
    let bucket = shown(&mut host, &config, "ann", 0);
    assert_eq!((&bucket["used"], &bucket["held"], &bucket["remaining"]), (&json!(0), &json!(30), &json!(70)));
    arrive(&mut host, "ann");
    serve(&mut host, &mut filter, [12, 5]);
    let bucket = shown(&mut host, &config, "ann", 0);
    assert_eq!((&bucket["used"], &bucket["held"], &bucket["limit"]), (&json!(17), &json!(0), &json!(100)));
}

#[test]
fn parallel_requests_are_admitted_up_to_the_limit() {
    let (mut host, config) = (FakeHost::default(), config(tokens()));
    let admitted: Vec<_> =
        (0..20).map(|_| ask(&mut host, &config, "ann")).filter(|(_, next)| refusal(next).is_none()).collect();
    assert_eq!(admitted.len(), 3);
    let (_, next) = ask(&mut host, &config, "ann");
    assert_eq!((refusal(&next), context::LIMIT.get(&host).as_deref()), (too_many(), Some("refused:tokens")));
    let (_, next) = ask(&mut host, &config, "bob");
    assert_eq!(next, Next::Pass, "another bucket");
}

#[test]
fn an_empty_bucket_refuses_nobody() {
    let limit = json!([{"name": "small", "total_tokens": 5, "per_ms": 60_000}]);
    let (mut host, config) = (FakeHost::default(), config(limit));
    let (mut filter, next) = ask(&mut host, &config, "ann");
    assert_eq!(next, Next::Pass);
    serve(&mut host, &mut filter, [10, 2]);
    // 12 of 5 are used: the debt is paid in two more windows
    for (minute, want) in [(0, too_many()), (1, too_many()), (2, too_many()), (3, None)] {
        host.now_ns = (1_700_000_000 + minute * 62) * 1_000_000_000;
        assert_eq!(refusal(&ask(&mut host, &config, "ann").1), want, "minute {minute}");
    }
}

#[test]
fn a_form_whose_input_cannot_be_estimated_meets_a_full_bucket() {
    let limit = json!([{"name": "input", "input_tokens": 10, "per_ms": 60_000}]);
    let (mut host, config) = (FakeHost::default(), config(limit));
    let (mut filter, _) = ask(&mut host, &config, "ann");
    serve(&mut host, &mut filter, [10, 0]);
    arrive(&mut host, "ann");
    host.facts.remove(context::INPUT_ESTIMATE.0);
    let next = TokenLimit::new(Rc::clone(&config)).on_request_headers(&mut host, false);
    assert_eq!(refusal(&next), too_many());
}

#[test]
fn a_client_is_told_its_limits_and_not_the_providers() {
    let (mut host, config) = (FakeHost::default(), config(tokens()));
    let (mut filter, _) = ask(&mut host, &config, "ann");
    serve(&mut host, &mut filter, [12, 5]);
    let header = |name: &str| host.response_header(&format!("x-ratelimit-{name}"));
    assert_eq!(header("limit-tokens").as_deref(), Some("100"));
    assert_eq!(header("remaining-tokens").as_deref(), Some("70"));
    assert!(header("reset-tokens").is_some());
    assert_eq!(host.response.iter().filter(|(name, _)| name == "x-ratelimit-limit-tokens").count(), 1);
}

#[test]
fn a_refusal_says_when_to_come_back() {
    let (mut host, config) = (FakeHost::default(), config(tokens()));
    let (mut filter, _) = ask(&mut host, &config, "ann");
    serve(&mut host, &mut filter, [60, 30]);
    let (_, Next::Reply(reply)) = ask(&mut host, &config, "ann") else { panic!("refused") };
    let header = |name: &str| reply.headers.iter().find(|(known, _)| *known == name).unwrap().1.clone();
    let ms: u64 = header("retry-after-ms").parse().unwrap();
    assert_eq!(header("retry-after"), ms.div_ceil(1_000).to_string());
    assert_eq!(header("x-ratelimit-remaining-tokens"), "10");
    host.advance_ms(ms - 1_001);
    assert_eq!(refusal(&ask(&mut host, &config, "ann").1), too_many(), "too early");
    host.advance_ms(1_001);
    assert_eq!(ask(&mut host, &config, "ann").1, Next::Pass);
}

#[test]
fn all_limits_admit_or_none_takes_anything() {
    let limits = json!([
        {"name": "own", "by": ["consumer"], "total_tokens": 1000, "per_ms": 60_000},
        {"name": "all", "total_tokens": 50, "per_ms": 60_000},
    ]);
    let (mut host, config) = (FakeHost::default(), config(limits));
    let (_first, next) = ask(&mut host, &config, "ann");
    assert_eq!(next, Next::Pass);
    assert_eq!(refusal(&ask(&mut host, &config, "bob").1), too_many());
    assert_eq!(context::LIMIT.get(&host).as_deref(), Some("refused:all"));
    assert_eq!(shown(&mut host, &config, "bob", 0)["held"], 0);
    assert_eq!(shown(&mut host, &config, "bob", 1)["held"], 30);
}

#[test]
fn what_no_provider_served_costs_nothing() {
    let limits = json!([
        {"name": "tokens", "total_tokens": 1000, "per_ms": 60_000},
        {"name": "requests", "requests": 10, "per_ms": 60_000},
        {"name": "now", "in_flight": 10},
    ]);
    for (reached, status, want) in [
        (false, Some("400"), [0, 0, 0]), // refused by a filter after this one
        (false, None, [0, 0, 0]),        // the client left before
        (true, Some("502"), [0, 1, 0]),  // every attempt failed
        (true, None, [17, 1, 0]),        // the client left while a provider answered
        (true, Some("200"), [17, 1, 0]),
    ] {
        let (mut host, config) = (FakeHost::default(), config(limits.clone()));
        let (mut filter, _) = ask(&mut host, &config, "ann");
        assert_eq!(shown(&mut host, &config, "ann", 2)["held"], 1);
        arrive(&mut host, "ann");
        if reached {
            host.set_attribute("upstream.local_address", "10.0.0.1:443");
            context::INPUT_TOKENS.set_number(&mut host, 12);
            context::OUTPUT_TOKENS.set_number(&mut host, 5);
        }
        if let Some(status) = status {
            host.respond(&[(":status", status)]);
            filter.on_response_headers(&mut host, true);
        }
        filter.on_done(&mut host);
        filter.on_done(&mut host);
        let used = [0, 1, 2].map(|index| shown(&mut host, &config, "ann", index)["used"].as_u64().unwrap());
        assert_eq!(used, want, "{reached} {status:?}");
        assert_eq!(shown(&mut host, &config, "ann", 0)["held"], 0);
    }
}

#[test]
fn an_answer_that_the_guard_withholds_was_given_and_is_paid_for() {
    for (code, metered, want) in [
        ("content_policy_violation", true, 17),
        ("guard_unavailable", true, 17),
        ("content_policy_violation", false, 0), // the request was refused
        ("upstream_error", true, 0),
    ] {
        let (mut host, config) = (FakeHost::default(), config(tokens()));
        let (mut filter, _) = ask(&mut host, &config, "ann");
        context::ERROR.set(&mut host, code);
        if metered {
            host.set_attribute("upstream.local_address", "10.0.0.1:443");
            context::METER.set(&mut host, "provider-adapter");
            context::INPUT_TOKENS.set_number(&mut host, 12);
            context::OUTPUT_TOKENS.set_number(&mut host, 5);
        }
        host.respond(&[(":status", "400")]);
        filter.on_response_headers(&mut host, true);
        filter.on_done(&mut host);
        assert_eq!(shown(&mut host, &config, "ann", 0)["used"], want, "{code} {metered}");
    }
}

/// A reply to a request whose answer another filter still holds does not come past this one.
#[test]
fn an_error_that_only_envoy_has_seen_costs_no_tokens() {
    for (code, metered, want) in [
        ("guard_unavailable", false, 0), // in the place of a provider's 400
        ("guard_unavailable", true, 17),
        ("upstream_timeout", true, 0),
    ] {
        let (mut host, config) = (FakeHost::default(), config(tokens()));
        let (mut filter, _) = ask(&mut host, &config, "ann");
        host.set_attribute("upstream.local_address", "10.0.0.1:443");
        host.attributes.insert("response.code".to_owned(), 503_u64.to_le_bytes().to_vec());
        context::ERROR.set(&mut host, code);
        if metered {
            context::METER.set(&mut host, "provider-adapter");
            context::INPUT_TOKENS.set_number(&mut host, 12);
            context::OUTPUT_TOKENS.set_number(&mut host, 5);
        }
        filter.on_done(&mut host);
        assert_eq!(shown(&mut host, &config, "ann", 0)["used"], want, "{code} {metered}");
    }
}

#[test]
fn a_client_that_does_not_wait_for_the_answer_pays_for_its_input() {
    let limits = json!([{"name": "tokens", "total_tokens": 1000, "per_ms": 60_000}]);
    for (reached, status, want) in [
        (true, None, 10),
        (true, Some("200"), 10), // of a kind that nobody meters
        (true, Some("504"), 0),
        (false, None, 0),
    ] {
        let (mut host, config) = (FakeHost::default(), config(limits.clone()));
        let (mut filter, _) = ask(&mut host, &config, "ann");
        if reached {
            host.set_attribute("upstream.local_address", "10.0.0.1:443");
        }
        if let Some(status) = status {
            host.respond(&[(":status", status), ("content-type", "audio/mpeg")]);
            filter.on_response_headers(&mut host, true);
        }
        filter.on_done(&mut host);
        assert_eq!(shown(&mut host, &config, "ann", 0)["used"], want, "{reached} {status:?}");
    }
}

#[test]
fn a_connection_that_fails_is_no_request_but_an_attempt_before_it_is() {
    let limits = json!([{"name": "requests", "requests": 10, "per_ms": 60_000}]);
    for (attempts, want) in [
        ("", 0),
        (r#"[{"verdict":"connect_failure"}]"#, 0),
        (r#"[{"verdict":"connect_failure"},{"verdict":"status_503"}]"#, 1),
        ("[", 0),
    ] {
        let (mut host, config) = (FakeHost::default(), config(limits.clone()));
        let (mut filter, _) = ask(&mut host, &config, "ann");
        host.set_attribute("upstream.address", "10.0.0.1:443"); // the last one that was tried
        context::ATTEMPTS.set(&mut host, attempts);
        host.respond(&[(":status", "502")]);
        filter.on_response_headers(&mut host, true);
        filter.on_done(&mut host);
        assert_eq!(shown(&mut host, &config, "ann", 0)["used"], want, "{attempts}");
    }
}

#[test]
fn a_compressed_answer_is_charged_what_was_expected_of_it() {
    let (mut host, config) = (FakeHost::default(), config(tokens()));
    let (mut filter, _) = ask(&mut host, &config, "ann");
    host.set_attribute("upstream.local_address", "10.0.0.1:443");
    context::METER.set(&mut host, "provider-adapter");
    context::INPUT_TOKENS.set_number(&mut host, 10);
    context::OUTPUT_TOKENS.set_number(&mut host, 0);
    let encoded = [(":status", "200"), ("content-type", "application/json"), ("content-encoding", "gzip")];
    host.respond(&encoded);
    assert_eq!(filter.on_response_headers(&mut host, false), Next::Pass);
    filter.on_done(&mut host);
    assert_eq!(shown(&mut host, &config, "ann", 0)["used"], 30);
}

#[test]
fn a_cost_is_that_of_the_model_that_served() {
    let limits = json!([{"name": "budget", "cost_usd": 1, "per_ms": 60_000, "terminal": true}]);
    for (provider, want) in [("openai", json!(0.000_022)), ("pai", json!(0))] {
        let (mut host, config) = (FakeHost::default(), config(limits.clone()));
        let (mut filter, _) = ask(&mut host, &config, "ann");
        assert_eq!(shown(&mut host, &config, "ann", 0)["held"], json!(0.000_05));
        arrive(&mut host, "ann");
        host.set_attribute("upstream.local_address", "10.0.0.1:443");
        context::INPUT_TOKENS.set_number(&mut host, 12);
        context::OUTPUT_TOKENS.set_number(&mut host, 5);
        context::PROVIDER.set(&mut host, provider);
        filter.on_done(&mut host);
        assert_eq!(shown(&mut host, &config, "ann", 0)["used"], want, "{provider}");
    }
}

#[test]
fn a_quota_tells_the_client_not_to_ask_again() {
    let limits = json!([{"name": "budget", "total_tokens": 10, "per_ms": 60_000, "terminal": true}]);
    let (mut host, config) = (FakeHost::default(), config(limits));
    let (_first, _) = ask(&mut host, &config, "ann");
    let (_, next) = ask(&mut host, &config, "ann");
    assert_eq!(refusal(&next), Some((429, "insufficient_quota".to_owned())));
    let Next::Reply(reply) = next else { panic!("refused") };
    assert!(reply.headers.contains(&("x-should-retry", "false".to_owned())));
    assert!(!reply.headers.iter().any(|(name, _)| name.starts_with("retry-after")));
}

#[test]
fn a_lease_that_nobody_renews_ends() {
    let (mut host, config) = (FakeHost::default(), config(tokens()));
    let (mut renewed, _) = ask(&mut host, &config, "ann");
    let (mut dead, _) = ask(&mut host, &config, "ann");
    for _ in 0..4 {
        assert_eq!(host.wake_after, Some(10_000));
        host.advance_ms(10_000);
        assert_eq!(renewed.on_wake(&mut host), None);
    }
    assert_eq!(shown(&mut host, &config, "ann", 0)["held"], 30);
    // whoever comes back from the dead is charged all the same
    serve(&mut host, &mut dead, [10, 10]);
    serve(&mut host, &mut renewed, [1, 1]);
    let bucket = shown(&mut host, &config, "ann", 0);
    assert_eq!((&bucket["used"], &bucket["held"]), (&json!(22), &json!(0)));
}

#[test]
fn an_estimate_is_learnt_from_whole_answers() {
    let (mut host, config) = (
        FakeHost::default(),
        config(json!([
            {"name": "tokens", "total_tokens": 100_000, "per_ms": 60_000},
        ])),
    );
    for _ in 0..40 {
        let (mut filter, _) = ask(&mut host, &config, "ann");
        serve(&mut host, &mut filter, [10, 5]);
    }
    let before = shown(&mut host, &config, "ann", 0)["used"].clone();
    assert_eq!(before, 600);
    let (_filter, _) = ask(&mut host, &config, "ann");
    assert_eq!(shown(&mut host, &config, "ann", 0)["held"], 15);
}

#[test]
fn several_answers_need_as_much_each() {
    let limit = json!([{"name": "tokens", "total_tokens": 1_000, "per_ms": 60_000}]);
    for (choices, want) in [("1", 30), ("3", 70), ("1000000000", 1_000)] {
        let (mut host, config) = (FakeHost::default(), config(limit.clone()));
        arrive(&mut host, "ann");
        context::CHOICES.set(&mut host, choices);
        let mut filter = TokenLimit::new(Rc::clone(&config));
        assert_eq!(filter.on_request_headers(&mut host, false), Next::Pass);
        assert_eq!(shown(&mut host, &config, "ann", 0)["held"], want);
    }
}

#[test]
fn keys_of_two_consumers_never_share_a_bucket() {
    let limit = json!([{"name": "keys", "by": ["key"], "requests": 1, "per_ms": 60_000}]);
    let (mut host, config) = (FakeHost::default(), config(limit));
    for (consumer, want) in [("ann", None), ("bob", None), ("ann", too_many())] {
        arrive(&mut host, consumer);
        context::KEY_ID.set(&mut host, "5e884898"); // the same by chance
        let next = TokenLimit::new(Rc::clone(&config)).on_request_headers(&mut host, false);
        assert_eq!(refusal(&next), want, "{consumer}");
    }
}

#[test]
fn only_limits_that_apply_are_asked() {
    let limits = json!([
        {"name": "gold", "when": {"tier": "gold"}, "requests": 1, "per_ms": 1000},
        {"name": "gpt", "models": ["gpt-*"], "requests": 1, "per_ms": 1000},
        {"name": "tools", "when": {"has": ["tools"]}, "requests": 1, "per_ms": 1000},
        {"name": "team", "when": {"headers": {"x-team": "a*"}}, "requests": 1, "per_ms": 1000},
    ]);
    let (mut host, config) = (FakeHost::default(), config(limits));
    let (_, next) = ask(&mut host, &config, "ann");
    assert_eq!((next, context::LIMIT.get(&host)), (Next::Pass, None));
    for name in ["gold", "gpt", "tools", "team"] {
        arrive(&mut host, "ann");
        match name {
            "gold" => context::TIER.set(&mut host, "gold"),
            "gpt" => context::MODEL.set(&mut host, "gpt-5"),
            "tools" => context::HAS.set(&mut host, "tools,images"),
            _ => host.set_header(Side::Request, "x-team", "alpha"),
        }
        let mut first = TokenLimit::new(Rc::clone(&config));
        assert_eq!(first.on_request_headers(&mut host, false), Next::Pass);
        let next = TokenLimit::new(Rc::clone(&config)).on_request_headers(&mut host, false);
        assert_eq!(refusal(&next), too_many());
        assert_eq!(context::LIMIT.get(&host), Some(format!("refused:{name}")));
    }
}

#[test]
fn what_asks_no_model_passes() {
    let (mut host, config) = (FakeHost::default(), config(tokens()));
    host.request = FakeHost::with_request(&[(":method", "GET"), (":path", "/v1/models")]).request;
    let mut filter = TokenLimit::new(Rc::clone(&config));
    assert_eq!(filter.on_request_headers(&mut host, true), Next::Pass);
    filter.on_done(&mut host);
    assert_eq!((host.shared.len(), context::LIMIT.get(&host)), (0, None));
}

#[test]
fn an_answer_that_nobody_meters_is_metered_here() {
    let (mut host, config) = (FakeHost::default(), config(tokens()));
    let (mut filter, _) = ask(&mut host, &config, "ann");
    host.set_attribute("upstream.local_address", "10.0.0.1:443");
    host.respond(&[(":status", "200"), ("content-type", "application/json")]);
    assert_eq!(filter.on_response_headers(&mut host, false), Next::Watch);
    let body = br#"{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":8,"completion_tokens":3}}"#;
    filter.on_response_body(&mut host, body, true);
    filter.on_done(&mut host);
    assert_eq!(shown(&mut host, &config, "ann", 0)["used"], 11);
}

/// Answers the callout sent last with what the script would say.
fn redis_says(host: &mut FakeHost, filter: &mut TokenLimit, reply: &str) -> Option<Next> {
    let id = CalloutId(u32::try_from(host.callouts.len()).unwrap());
    filter.on_callout(host, id, redis_reply(reply))
}

fn redis_reply(reply: &str) -> Result<CalloutReply, CalloutError> {
    Ok(CalloutReply { status: 200, headers: Headers::default(), body: reply.as_bytes().to_vec() })
}

fn last_command(host: &FakeHost) -> String {
    String::from_utf8_lossy(&host.callouts.last().unwrap().body).into_owned()
}

#[test]
fn a_redis_that_does_not_answer_is_taken_as_the_operator_says() {
    for (on_error, want, fact) in [
        ("local", None, "admitted_locally"),
        ("allow", None, "admitted_unchecked"),
        ("deny", Some((503, "limits_unavailable".to_owned())), "refused_unchecked"),
    ] {
        let (mut host, config) = (FakeHost::default(), in_redis(tokens(), on_error));
        let (mut filter, next) = ask(&mut host, &config, "ann");
        assert_eq!(next, Next::Wait);
        let sent = host.callouts.last().unwrap();
        assert_eq!((sent.cluster.as_str(), sent.timeout_ms, sent.detached), ("sluice.redis", 50, false));
        let id = CalloutId(u32::try_from(host.callouts.len()).unwrap());
        let next = filter.on_callout(&mut host, id, Err(CalloutError::NotAnswered)).unwrap();
        assert_eq!((refusal(&next), context::LIMIT.get(&host).as_deref()), (want, Some(fact)));
        // it may have reserved all the same: what it holds is given back, and nobody waits for that
        assert!(host.callouts.last().unwrap().detached && last_command(&host).contains("settle"));
    }
}

#[test]
fn limits_are_shown_as_requests_would_be_decided() {
    for (on_error, want) in [("local", 200), ("allow", 503), ("deny", 503)] {
        let (mut host, config) = (FakeHost::default(), in_redis(tokens(), on_error));
        arrive(&mut host, "ann");
        host.request = FakeHost::with_request(&[(":method", "GET"), (":path", "/v1/limits?model=m")]).request;
        let mut filter = TokenLimit::new(Rc::clone(&config));
        assert_eq!(filter.on_request_headers(&mut host, true), Next::Wait);
        let id = CalloutId(u32::try_from(host.callouts.len()).unwrap());
        let next = filter.on_callout(&mut host, id, Err(CalloutError::NotAnswered));
        let Some(Next::Reply(reply)) = next else { panic!("{next:?}") };
        assert_eq!(reply.status, want, "{on_error}");
        assert_eq!(reply.headers.iter().any(|(name, _)| *name == "retry-after"), want == 503);
    }
}

#[test]
fn a_settlement_is_sent_until_redis_has_it() {
    let (mut host, config) = (FakeHost::default(), in_redis(tokens(), "deny"));
    let (mut filter, _) = ask(&mut host, &config, "ann");
    let admitted = "*6\r\n:1\r\n:-1\r\n:30\r\n:0\r\n:60000\r\n:30\r\n";
    assert_eq!(redis_says(&mut host, &mut filter, admitted), Some(Next::Pass), "{}", last_command(&host));
    serve(&mut host, &mut filter, [12, 5]);
    let lost = CalloutId(u32::try_from(host.callouts.len()).unwrap());
    assert!(last_command(&host).contains("settle"));
    host.end_detached::<TokenLimit>(&copy(&config), lost, Err(CalloutError::NotAnswered));
    assert_eq!(host.wake_detached_after.take(), Some(500));
    let sent = host.callouts.len();
    TokenLimit::on_detached_wake(&config, &mut host);
    assert_eq!(host.callouts.len(), sent + 1);
    let taken = CalloutId(u32::try_from(host.callouts.len()).unwrap());
    host.end_detached::<TokenLimit>(&copy(&config), taken, redis_reply("*3\r\n:1\r\n:-1\r\n:0\r\n"));
    assert_eq!(host.wake_detached_after, None);
    TokenLimit::on_detached_wake(&config, &mut host);
    assert_eq!(host.callouts.len(), sent + 1, "once it is taken it is not sent again");
}

#[test]
fn a_settlement_outlives_its_configuration() {
    let (mut host, config) = (FakeHost::default(), in_redis(tokens(), "local"));
    let (mut filter, _) = ask(&mut host, &config, "ann");
    let admitted = "*6\r\n:1\r\n:-1\r\n:30\r\n:0\r\n:60000\r\n:30\r\n";
    assert_eq!(redis_says(&mut host, &mut filter, admitted), Some(Next::Pass));
    host.refuse_callouts = true;
    serve(&mut host, &mut filter, [12, 5]);
    let next = copy(&config);
    drop((filter, config));
    (host.refuse_callouts, host.wake_detached_after) = (false, None);
    let config = next;
    let (mut filter, _) = ask(&mut host, &config, "ann");
    assert_eq!(redis_says(&mut host, &mut filter, admitted), Some(Next::Pass));
    serve(&mut host, &mut filter, [1, 1]);
    assert_eq!(host.wake_detached_after, Some(500));
    let sent = host.callouts.len();
    TokenLimit::on_detached_wake(&config, &mut host);
    assert_eq!(host.callouts.len(), sent + 1);
}

#[test]
fn a_client_that_leaves_while_redis_decides_holds_nothing() {
    let (mut host, config) = (FakeHost::default(), in_redis(tokens(), "deny"));
    let (mut filter, next) = ask(&mut host, &config, "ann");
    assert_eq!(next, Next::Wait);
    filter.on_done(&mut host);
    assert!(host.callouts.last().unwrap().detached && last_command(&host).contains("settle"));
}

#[test]
fn a_bad_configuration_names_the_place() {
    let limit = |more: Value| {
        let mut limit = json!({"name": "a", "requests": 1, "per_ms": 1000});
        limit.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"limits": [limit]})
    };
    for (raw, want) in [
        (json!({"limits": []}), "limits: must hold at least one limit"),
        (limit(json!({"name": "a b"})), "limits[0].name: must be 1 to 64"),
        (limit(json!({"in_flight": 1})), "limits[0].a: exactly one of"),
        (limit(json!({"name": "sk-a", "in_flight": 1})), "limits[0].***: exactly one of"),
        (limit(json!({"requests": 0})), "limits[0].requests: must be at least 1"),
        (limit(json!({"per_ms": 10})), "limits[0].per_ms: must be from"),
        (limit(json!({"per_ms": null})), "limits[0].per_ms: is needed"),
        (limit(json!({"by": ["user"]})), "limits[0].by[0]: must be one of"),
        (limit(json!({"by": ["ip", "ip"]})), "limits[0].by[1]: stands twice"),
        (limit(json!({"models": ["["]})), "limits[0].models[0]: "),
        (limit(json!({"when": {"has": ["x"]}})), "limits[0].when.has[0]: "),
        (limit(json!({"weighted": {}})), "limits[0].weighted: needs total_tokens"),
        (
            json!({"limits": [{"name": "a", "in_flight": 1, "per_ms": 1000}]}),
            "limits[0].per_ms: has no meaning",
        ),
        (
            json!({"limits": [{"name": "a", "cost_usd": 1, "per_ms": 1000}]}),
            "limits[0].cost_usd: needs prices",
        ),
        (
            json!({"limits": [{"name": "a", "cost_usd": -1, "per_ms": 1000}]}),
            "limits[0].cost_usd: must be from",
        ),
        (
            json!({"limits": [{"name": "a", "in_flight": 1}, {"name": "a", "in_flight": 1}]}),
            "limits[1].name: stands twice",
        ),
        (json!({"limits": [{"name": "a", "in_flight": 1}], "lease_ms": 10}), "lease_ms: must be from"),
        (
            json!({"limits": [{"name": "a", "in_flight": 1}], "redis": {"cluster": ""}}),
            "redis.cluster: must not be empty",
        ),
    ] {
        let refused = checked(raw.clone()).unwrap_err();
        assert!(refused.starts_with(want), "{refused}");
    }
}
