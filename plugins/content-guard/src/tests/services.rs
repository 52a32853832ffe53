//! What services say of requests and whole answers, and what comes of it when they say nothing.

use super::*;

fn openai(raw: Value) -> Value {
    let service = json!({"cluster": "guard.mod", "authority": "127.0.0.1:9200", "path": "/v1/moderations", "timeout_ms": 300});
    merged(json!({"name": "mod", "service": service}), raw)
}

fn generic(raw: Value) -> Value {
    let service =
        json!({"cluster": "guard.shim", "authority": "shim", "path": "/check", "protocol": "generic"});
    merged(json!({"name": "shim", "service": service}), raw)
}

fn merged(mut base: Value, raw: Value) -> Value {
    for (name, value) in raw.as_object().unwrap() {
        base[name] = value.clone();
    }
    base
}

fn flagged(texts: &[bool]) -> Value {
    let result = |flagged: &bool| json!({"flagged": flagged, "categories": {"hate": flagged}, "category_scores": {"hate": 0.9}});
    json!({"results": texts.iter().map(result).collect::<Vec<_>>()})
}

fn clean() -> Value {
    flagged(&[false])
}

/// What the callout with this number asks, from 1.
fn sent_body(host: &FakeHost, callout: usize) -> Value {
    serde_json::from_slice(&host.callouts[callout.saturating_sub(1)].body).unwrap()
}

/// A request that waits for services.
fn asking(host: &mut FakeHost, config: &Rc<Config>, body: &str) -> ContentGuard {
    let (filter, next) = ask(host, config, body);
    assert_eq!(next, Next::Wait);
    filter
}

#[test]
fn a_request_waits_for_the_verdict() {
    let mut host = host();
    let mut filter = asking(&mut host, &one(openai(json!({}))), &prompt("hello"));
    let callout = &host.callouts[0];
    assert_eq!((callout.cluster.as_str(), callout.timeout_ms, callout.detached), ("guard.mod", 300, false));
    for header in [
        (":method", "POST"),
        (":path", "/v1/moderations"),
        (":authority", "127.0.0.1:9200"),
        ("content-type", "application/json"),
    ] {
        assert!(callout.headers.contains(&(header.0.to_owned(), header.1.to_owned())), "{header:?}");
    }
    assert_eq!(sent_body(&host, 1), json!({"input": ["hello"]}));
    assert_eq!(say(&mut host, &mut filter, 1, 200, &clean()), Some(Next::Pass));
    assert_eq!((host.request_body.as_ref(), context::GUARD.get(&host)), (None, None));
}

#[test]
fn what_a_service_flags_does_not_leave() {
    let mut host = host();
    let mut filter = asking(&mut host, &one(openai(json!({}))), &prompt("hello"));
    let next = say(&mut host, &mut filter, 1, 200, &flagged(&[true])).unwrap();
    assert_eq!(reply(&next), violation());
    assert_eq!(record(&host), ["mod request hate block 1"]);
}

#[test]
fn a_service_gets_its_key_and_nobody_else_does() {
    let mut host = host();
    let mut raw = openai(json!({}));
    raw["service"]["key"] = json!({"env": "KEY"});
    raw["service"]["headers"] = json!({"x-team": "guard"});
    let config = one(raw);
    let filter = asking(&mut host, &config, &prompt("hello"));
    let headers = &host.callouts[0].headers;
    assert!(headers.contains(&("authorization".to_owned(), "Bearer sk-canary".to_owned())));
    assert!(headers.contains(&("x-team".to_owned(), "guard".to_owned())));
    assert!(!format!("{filter:?} {:?} {:?}", host.logs, host.facts).contains("canary"));
}

#[test]
fn services_see_what_was_masked_before() {
    let mut host = host();
    let config = config(json!({"checks": [generic(json!({})), masking()]}));
    let mut filter = asking(&mut host, &config, &prompt("I am alice@example.com"));
    assert_eq!(
        sent_body(&host, 1),
        json!({"version": 1, "direction": "request", "consumer": "ann", "model": "gpt-4o", "text": "I am [EMAIL_1]"})
    );
    assert_eq!(say(&mut host, &mut filter, 1, 200, &json!({"verdict": "allow"})), Some(Next::Pass));
    assert_eq!(text(host.request_body.as_ref()), Some(prompt("I am [EMAIL_1]").as_str()));
}

#[test]
fn local_checks_that_block_spare_the_services() {
    let mut host = host();
    let config = config(json!({"checks": [openai(json!({})), blocking()]}));
    let (_, next) = ask(&mut host, &config, &prompt("internal codename"));
    assert_eq!((reply(&next), host.callouts.len()), (violation(), 0));
}

#[test]
fn a_service_that_fails_is_the_operators_choice() {
    for (on_error, action, want, said) in [
        ("deny", "block", unavailable(), "deny"),
        ("allow", "block", None, "allow"),
        ("deny", "log", None, "allow"), // what only records withholds nothing
    ] {
        for failure in ["dead", "slow", "status", "garbage"] {
            let mut host = host();
            host.refuse_callouts = failure == "dead";
            let config = config(json!({"on_error": on_error, "checks": [openai(json!({"action": action}))]}));
            let (mut filter, next) = ask(&mut host, &config, &prompt("hello"));
            let next = match failure {
                "dead" => next,
                "slow" => fail(&mut host, &mut filter, 1).unwrap(),
                "status" => say(&mut host, &mut filter, 1, 500, &clean()).unwrap(),
                _ => say(&mut host, &mut filter, 1, 200, &json!({"results": []})).unwrap(),
            };
            assert_eq!(reply(&next), want, "{on_error} {action} {failure}");
            assert_eq!(next == Next::Pass, want.is_none(), "{on_error} {action} {failure}");
            assert_eq!(record(&host), [format!("mod request unavailable {said} 1")]);
            let kind = match failure {
                "dead" => "not_sent",
                "slow" => "not_answered",
                _ => "garbage",
            };
            assert_eq!(
                host.counters[&format!("content_guard_service_failures_total;check=mod;kind={kind}")],
                1
            );
        }
    }
}

#[test]
fn a_passing_refusal_says_when_to_come_again() {
    let mut host = host();
    host.refuse_callouts = true;
    let refusal = json!({"as": "completion"});
    let config = config(json!({"checks": [openai(json!({}))], "refusal": refusal}));
    let (_, next) = ask(&mut host, &config, &prompt("hello"));
    let Next::Reply(reply) = next else { panic!("{next:?}") };
    assert_eq!(reply.status, 503, "no model says that");
    assert!(reply.headers.contains(&("retry-after", "1".to_owned())));
}

#[test]
fn a_service_that_keeps_failing_is_asked_now_and_then_only() {
    let mut host = host();
    let config = config(json!({"on_error": "allow", "checks": [openai(json!({}))]}));
    for number in 1..=5 {
        let mut filter = asking(&mut host, &config, &prompt("hello"));
        assert_eq!(fail(&mut host, &mut filter, number), Some(Next::Pass));
    }
    assert_eq!(host.counters["content_guard_breaker_opened_total;check=mod"], 1);
    sent(&mut host, &config, &prompt("hello"));
    assert_eq!(host.callouts.len(), 5);
    assert_eq!(host.counters["content_guard_service_failures_total;check=mod;kind=breaker_open"], 1);
    host.advance_ms(500);
    let mut filter = asking(&mut host, &config, &prompt("hello"));
    assert_eq!(say(&mut host, &mut filter, 6, 200, &clean()), Some(Next::Pass));
    asking(&mut host, &config, &prompt("hello"));
    assert_eq!(host.callouts.len(), 7, "it is asked again");
}

#[test]
fn the_first_block_ends_the_wait() {
    let mut host = host();
    let config = config(json!({"checks": [openai(json!({})), generic(json!({}))]}));
    let mut filter = asking(&mut host, &config, &prompt("hello"));
    assert_eq!(host.callouts.len(), 2, "both are asked at once");
    let next = say(&mut host, &mut filter, 2, 200, &json!({"verdict": "block", "category": "x"})).unwrap();
    assert_eq!(reply(&next), violation());
    assert_eq!(say(&mut host, &mut filter, 1, 200, &clean()), None, "nobody waits any more");
}

#[test]
fn all_services_must_let_it_pass() {
    let mut host = host();
    let config = config(json!({"checks": [openai(json!({})), generic(json!({}))]}));
    let mut filter = asking(&mut host, &config, &prompt("hello"));
    assert_eq!(say(&mut host, &mut filter, 2, 200, &json!({"verdict": "allow"})), None);
    assert_eq!(say(&mut host, &mut filter, 99, 200, &json!({"verdict": "block"})), None, "not ours");
    assert_eq!(say(&mut host, &mut filter, 1, 200, &clean()), Some(Next::Pass));
}

#[test]
fn a_verdict_does_no_more_than_its_check_allows() {
    for (action, verdict, want, done) in [
        ("block", "block", None, "block"),
        ("block", "mask", Some("[SHIM_1]"), "mask"),
        ("block", "log", Some("hello"), "log"),
        ("mask", "block", Some("[SHIM_1]"), "mask"),
        ("mask", "log", Some("hello"), "log"),
        ("log", "block", Some("hello"), "log"),
        ("log", "mask", Some("hello"), "log"),
    ] {
        let mut host = host();
        let mut filter = asking(&mut host, &one(generic(json!({"action": action}))), &prompt("hello"));
        let said = json!({"verdict": verdict, "category": "x"});
        let next = say(&mut host, &mut filter, 1, 200, &said).unwrap();
        assert_eq!(next == Next::Pass, want.is_some(), "{action} {verdict}");
        let body = text(host.request_body.as_ref()).map(str::to_owned);
        assert_eq!(body, want.filter(|want| *want != "hello").map(prompt), "{action} {verdict}");
        assert_eq!(record(&host), [format!("shim request x {done} 1")]);
    }
}

#[test]
fn a_service_may_say_what_to_write_instead() {
    let mut host = host();
    let mut filter = asking(&mut host, &one(generic(json!({"on": ["request"]}))), &prompt("hello \"world\""));
    let said = json!({"verdict": "mask", "replacement": "say \"hi\""});
    assert_eq!(say(&mut host, &mut filter, 1, 200, &said), Some(Next::Pass));
    assert_eq!(text(host.request_body.as_ref()), Some(prompt("say \"hi\"").as_str()));
}

#[test]
fn where_two_services_rewrite_the_same_text_neither_is_believed() {
    let mut host = host();
    let other = merged(generic(json!({})), json!({"name": "other"}));
    let mut filter =
        asking(&mut host, &config(json!({"checks": [generic(json!({})), other]})), &prompt("hello"));
    say(&mut host, &mut filter, 1, 200, &json!({"verdict": "mask", "replacement": "a"}));
    say(&mut host, &mut filter, 2, 200, &json!({"verdict": "mask", "replacement": "b"}));
    let body = text(host.request_body.as_ref()).unwrap().to_owned();
    assert!(body == prompt("[SHIM_1]") || body == prompt("[OTHER_1]"), "{body}");
}

#[test]
fn what_a_service_masked_comes_back() {
    let mut host = host();
    let mut filter = asking(&mut host, &one(generic(json!({"on": ["request"]}))), &prompt("hello"));
    say(&mut host, &mut filter, 1, 200, &json!({"verdict": "mask"}));
    answer(&mut host, &mut filter, JSON, &completion("[SHIM_1] you"));
    assert_eq!(text(host.response_body.as_ref()), Some(completion("hello you").as_str()));
}

#[test]
fn long_texts_are_shown_in_pieces_and_few_at_a_time() {
    let mut host = host();
    let text = "a".repeat(16 * 1024 * 20);
    let mut filter = asking(&mut host, &one(generic(json!({}))), &prompt(&text));
    assert_eq!(host.callouts.len(), 16);
    let last = (1..100).find(|callout| {
        let next = say(&mut host, &mut filter, *callout, 200, &json!({"verdict": "allow"}));
        let under_way = host.callouts.len().saturating_sub(usize::try_from(*callout).unwrap());
        assert!(under_way <= 16);
        next == Some(Next::Pass)
    });
    assert_eq!(last, Some(21));
    let mut host = super::host();
    asking(&mut host, &one(openai(json!({}))), &prompt(&text));
    assert_eq!(host.callouts.len(), 6, "of 64 KiB each, OpenAI's takes several at once");
}

#[test]
fn more_pieces_than_a_service_bears_cannot_be_checked() {
    let messages: Vec<Value> =
        (0..2100).map(|number| json!({"role": "user", "content": format!("{number:300}")})).collect();
    let (_, next) = ask(&mut host(), &one(generic(json!({}))), &json!({"messages": messages}).to_string());
    assert_eq!(reply(&next), violation());
}

#[test]
fn many_short_texts_are_shown_together() {
    let prompt = |short: &dyn Fn(usize) -> String| {
        let long = json!({"role": "user", "content": "x".repeat(300)});
        let short = (0..500).map(|number| json!({"role": "user", "content": short(number)}));
        let messages: Vec<Value> = std::iter::once(long.clone()).chain(short).chain([long]).collect();
        json!({"messages": messages}).to_string()
    };
    let mut host = host();
    let mut filter = asking(&mut host, &one(generic(json!({}))), &prompt(&|number| format!("m{number}")));
    let texts: Vec<_> = (1..=host.callouts.len())
        .map(|callout| sent_body(&host, callout)["text"].as_str().unwrap().to_owned())
        .collect();
    let lines: Vec<_> = (0..500).map(|number| format!("m{number}")).collect();
    assert_eq!(texts, ["x".repeat(300), lines.join("\n"), "x".repeat(300)]);
    say(&mut host, &mut filter, 1, 200, &json!({"verdict": "allow"}));
    say(&mut host, &mut filter, 2, 200, &json!({"verdict": "mask", "replacement": "one for all"}));
    assert_eq!(say(&mut host, &mut filter, 3, 200, &json!({"verdict": "allow"})), Some(Next::Pass));
    let want = prompt(&|number| format!("[SHIM_{}]", number + 1));
    assert_eq!(text(host.request_body.as_ref()), Some(want.as_str()));
    // the end of a long text is no short text
    let mut host = super::host();
    let long = json!({"role": "user", "content": "x".repeat(16 * 1024 + 10)});
    let messages: Vec<Value> =
        std::iter::once(long).chain((0..100).map(|_| json!({"role": "user", "content": "m"}))).collect();
    asking(&mut host, &one(generic(json!({}))), &json!({"messages": messages}).to_string());
    assert_eq!(host.callouts.len(), 3);
}

#[test]
fn a_text_in_pieces_is_masked_where_a_piece_is_objected_to() {
    let mut host = host();
    let text_of = "a".repeat(16 * 1024 + 10);
    let mut filter = asking(&mut host, &one(generic(json!({}))), &prompt(&text_of));
    say(&mut host, &mut filter, 1, 200, &json!({"verdict": "mask", "replacement": "x"}));
    assert_eq!(say(&mut host, &mut filter, 2, 200, &json!({"verdict": "allow"})), Some(Next::Pass));
    let want = format!("[SHIM_1]{}", "a".repeat(10));
    assert_eq!(text(host.request_body.as_ref()), Some(prompt(&want).as_str()));
}

#[test]
fn an_answer_waits_for_the_verdict() {
    for (said, want) in [(clean(), None), (flagged(&[true]), violation())] {
        let mut host = host();
        let mut filter = sent(&mut host, &one(openai(json!({"on": ["response"]}))), &prompt("hello"));
        assert_eq!(answer(&mut host, &mut filter, JSON, &completion("hi")), Next::Wait);
        assert_eq!(sent_body(&host, 1), json!({"input": ["hi"]}));
        let next = say(&mut host, &mut filter, 1, 200, &said).unwrap();
        assert_eq!(reply(&next), want);
    }
}

#[test]
fn an_answer_is_restored_after_its_verdict() {
    let mut host = host();
    let config = config(json!({"checks": [generic(json!({"on": ["response"]})), masking()]}));
    let mut filter = sent(&mut host, &config, &prompt("I am alice@example.com"));
    assert_eq!(
        answer(&mut host, &mut filter, JSON, &completion("hi [EMAIL_1], eve@example.com")),
        Next::Wait
    );
    assert_eq!(sent_body(&host, 1)["text"], json!("hi [EMAIL_1], [EMAIL_2]"), "services learn no secrets");
    assert_eq!(say(&mut host, &mut filter, 1, 200, &json!({"verdict": "allow"})), Some(Next::Pass));
    let want = completion("hi alice@example.com, [EMAIL_2]");
    assert_eq!(text(host.response_body.as_ref()), Some(want.as_str()));
}

#[test]
fn a_reply_of_envoy_while_a_service_is_asked_passes() {
    let mut host = host();
    let mut filter = asking(&mut host, &one(openai(json!({}))), &prompt("hello"));
    host.respond(&[(":status", "408")]);
    assert_eq!(filter.on_response_headers(&mut host, false), Next::Pass);
    assert_eq!(say(&mut host, &mut filter, 1, 200, &flagged(&[true])), None);
}

#[test]
fn a_risk_below_the_least_counts_as_nothing() {
    let mut host = host();
    let mut filter = asking(&mut host, &one(generic(json!({"min_risk": "high"}))), &prompt("hello"));
    let said = json!({"verdict": "block", "risk": "medium"});
    assert_eq!(say(&mut host, &mut filter, 1, 200, &said), Some(Next::Pass));
    assert_eq!(context::GUARD.get(&host), None);
}
