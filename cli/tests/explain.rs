//! `sluice explain`: what it says, and that it says what the filter does.

#![cfg(test)]

use std::io::{Read as _, Write as _};
use std::path::Path;

use serde_json::json;
use sluice::check::check;
use sluice::explain::{Explanation, Question, add_levels, explain};
use sluice::gateway::{CheckOptions, Gateway};

const FILE: &str = "
providers:
  openai: {url: https://api.openai.com/v1}
  pai: {url: [http://10.0.0.8:8000/v1, http://10.0.0.9:8000/v1]}
models:
  - match: gpt-4*
    when: {headers: {x-team: s*}, min_input_tokens: 10, has: [tools]}
    sticky: header:x-user
    targets: [{provider: openai, weight: 2}, {provider: pai, model: deepseek-r1, weight: 1}]
    fallback: [{provider: pai, model: qwen-max}]
  - {match: openai/*, strip_prefix: openai/, targets: [{provider: openai}]}
";

const OPTIONS: CheckOptions<'static> = CheckOptions { env: &|_| None };

fn gateway(more: &str) -> Gateway {
    let yaml = format!("{FILE}{more}");
    let loaded = check(Path::new("x.yaml"), yaml.as_bytes(), &OPTIONS);
    loaded.gateway.unwrap_or_else(|| panic!("{}", loaded.report))
}

fn ask(model: &str, headers: &[(&str, &str)]) -> Question {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Question { model: model.to_owned(), headers, input_tokens: 10, tools: true, ..Question::default() }
}

fn answer(question: &Question) -> Explanation {
    explain(&gateway(""), question, &OPTIONS).unwrap()
}

#[test]
fn each_rule_that_does_not_match_says_why() {
    for (question, reason) in [
        (ask("gpt-4o", &[]), "header x-team does not match \"s*\""),
        (
            Question { input_tokens: 9, ..ask("gpt-4o", &[("x-team", "s")]) },
            "about 9 input tokens are fewer than 10",
        ),
        (Question { tools: false, ..ask("gpt-4o", &[("x-team", "s")]) }, "the request offers no tools"),
        (ask("o1", &[("x-team", "s")]), "no glob in `match` matches the model"),
    ] {
        let explanation = answer(&question);
        assert_eq!(explanation.passed[0].reason, reason);
        assert_eq!(explanation.served, None);
        assert!(explanation.to_string().ends_with("answer  404 model_not_found: no rule matches\n"));
    }
}

#[test]
fn the_prefix_is_taken_off_the_model() {
    let served = answer(&ask("openai/gpt-4o", &[])).served.unwrap();
    assert_eq!((served.rule.as_str(), served.picked, served.attempts), ("models[1]", Some(0), 2));
    assert_eq!(served.targets[0].steps[0].model, "gpt-4o");
}

#[test]
fn a_header_settles_the_split_and_nothing_does_without_it() {
    let picked = |user| answer(&ask("gpt-4o", &[("x-team", "s"), ("x-user", user)])).served.unwrap().picked;
    let users: Vec<String> = (0..300).map(|at| format!("user-{at}")).collect();
    let first = users.iter().filter(|user| picked(user) == Some(0)).count();
    assert!((150..250).contains(&first), "{first} of 300");
    assert!(users.iter().all(|user| picked(user) == picked(user)));
    let served = answer(&ask("gpt-4o", &[("x-team", "s")])).served.unwrap();
    assert_eq!((served.picked, served.targets[0].share, served.targets[1].share), (None, 6667, 3333));
    assert_eq!(served.unsplit.as_deref(), Some("this request has no header x-user"));
}

#[test]
fn the_json_holds_the_whole_chain() {
    let json = answer(&ask("gpt-4o", &[("x-team", "s")])).to_json();
    let urls = json!(["http://10.0.0.8:8000/v1", "http://10.0.0.9:8000/v1"]);
    assert_eq!(
        json["served"]["targets"][0]["chain"],
        json!([
            {"provider": "openai", "model": "gpt-4o", "urls": ["https://api.openai.com/v1"], "attempts": 2},
            {"provider": "pai", "model": "qwen-max", "urls": urls, "attempts": 2},
        ])
    );
    assert_eq!(json["served"]["targets"][1]["share"], json!(0.3333));
    assert_eq!((&json["served"]["attempts"], &json["error"]), (&json!(4), &json!(null)));
}

#[test]
fn the_text_reads_like_this() {
    let text = answer(&ask("gpt-4o", &[("x-team", "s")])).to_string();
    assert_eq!(
        text,
        "model   gpt-4o\n\
         caller  no consumers are configured: everybody is anonymous\n\
         rule    models[0] (gpt-4*)\n\
         split   by header x-user; this request has no header x-user, so each is split by itself\n\
         target  66.67 % openai as gpt-4o, up to 2 times, at https://api.openai.com/v1\n        \
         then pai as qwen-max, up to 2 times, at http://10.0.0.8:8000/v1 or http://10.0.0.9:8000/v1\n\
         target  33.33 % pai as deepseek-r1, up to 2 times, at http://10.0.0.8:8000/v1 or http://10.0.0.9:8000/v1\n        \
         then pai as qwen-max, up to 2 times, at http://10.0.0.8:8000/v1 or http://10.0.0.9:8000/v1\n        \
         at most 4 attempts in all\n"
    );
}

#[test]
fn attempts_that_end_early_are_seen() {
    let question = ask("gpt-4o", &[("x-team", "s")]);
    let served = explain(&gateway("retry: {attempts: 2}"), &question, &OPTIONS).unwrap().served.unwrap();
    assert_eq!(served.targets[0].steps[1].attempts, 0);
    let text = explain(&gateway("retry: {attempts: 9}"), &question, &OPTIONS).unwrap().to_string();
    assert!(text.contains("then again from the top, at most 9 attempts in all"), "{text}");
}

#[test]
fn a_key_is_taken_and_never_repeated() {
    let question = Question { key: Some("sk-canary".into()), ..ask("openai/x", &[]) };
    let explanation = answer(&question);
    assert!(explanation.caller.text.contains("the key changes nothing"), "{:?}", explanation.caller);
    assert!(!format!("{explanation} {}", explanation.to_json()).contains("canary"));
}

const CONSUMERS: &str = "
consumers:
  - {name: app, keys: [sk-app-0123456789abc], tier: gold, models: [gpt-*, o1]}
  - {name: old, keys: [sk-old-0123456789abc], expires: 2020-01-01}
  - {name: off, keys: [sk-off-0123456789abc], disabled: true}
  - {name: near, keys: [sk-near-0123456789abc], from: [10.0.0.0/8], routes: [/v1/chat/*]}
  - {name: guest, models: [openai/*]}
anonymous: guest
credentials: {headers: [x-my-key], query: key}
";

const FOR_GOLD: &str = "
providers: {a: {url: http://a/v1}, b: {url: http://b/v1}}
models:
  - {match: gpt-*, when: {tier: gold, headers: {x-my-key: '*'}}, targets: [{provider: b}]}
  - {match: gpt-*, when: {tier: gold}, targets: [{provider: a}, {provider: a, model: x}, {provider: a, model: y}]}
  - {match: [gpt-*, openai/*], when: {consumer: near}, targets: [{provider: b}]}
  - {match: openai/*, targets: [{provider: a}]}
";

fn among_consumers(question: &Question) -> Explanation {
    let yaml = format!("{FOR_GOLD}{CONSUMERS}");
    let loaded = check(Path::new("x.yaml"), yaml.as_bytes(), &OPTIONS);
    let gateway = loaded.gateway.unwrap_or_else(|| panic!("{}", loaded.report));
    let explanation = explain(&gateway, question, &OPTIONS).unwrap();
    assert_eq!(explanation.refused.is_none(), explanation.served.is_some());
    assert!(!format!("{explanation} {}", explanation.to_json()).contains("0123456789abc"), "{explanation}");
    explanation
}

fn by(key: &str, model: &str) -> Question {
    Question { key: Some(format!("sk-{key}-0123456789abc")), ..ask(model, &[]) }
}

#[test]
fn who_may_not_call_is_refused_as_by_the_gateway() {
    let from = |address: &str, question: Question| Question { from: address.parse().unwrap(), ..question };
    let to = |path: &str, question: Question| Question { path: path.into(), ..question };
    let with = |name: &str, value: &str, question: Question| {
        let header = (name.to_owned(), value.to_owned());
        Question { headers: vec![header], ..question }
    };
    let inside = |question| from("10.1.2.3", question);
    for (question, code, reason) in [
        (by("nobody", "gpt-4"), "invalid_api_key", "no consumer has this key"),
        (by("old", "gpt-4"), "expired_api_key", "old has expired"),
        (by("off", "gpt-4"), "invalid_api_key", "off is disabled"),
        (by("near", "gpt-4"), "ip_not_allowed", "`from` of near does not hold 127.0.0.1"),
        (
            to("/v1/embeddings?key=sk-near-0123456789abc", inside(by("near", "gpt-4"))),
            "route_not_allowed",
            "`routes` of near do not match /v1/embeddings",
        ),
        (
            with("x-my-key", "sk-other-0123456789abc", by("app", "gpt-4")),
            "ambiguous_api_key",
            "the request holds two different keys",
        ),
        (
            with("authorization", "Basic c2stYXBw", ask("gpt-4", &[])),
            "missing_api_key",
            "what stands in the place of a key is none",
        ),
        (by("app", "o1"), "model_not_found", "no rule matches"),
        (ask("gpt-4", &[]), "model_not_found", "no rule matches"),
        (by("app", "openai/x"), "model_not_allowed", "`models` of app do not match it"),
    ] {
        let explanation = among_consumers(&question);
        let refused = explanation.refused.as_ref().unwrap();
        assert_eq!((refused.code, refused.reason.as_str()), (code, reason), "{explanation}");
        let json = explanation.to_json();
        assert_eq!(json["error"], json!({"status": refused.status, "code": code, "reason": reason}));
        assert_eq!((&json["allowed"], &json["served"]), (&json!(false), &json!(null)));
    }
}

#[test]
fn a_consumer_gets_the_rules_that_are_for_it() {
    for (question, consumer, rule) in [
        (by("app", "gpt-4"), "app", "models[1]"),
        (Question { from: [10, 0, 0, 9].into(), ..by("near", "gpt-4") }, "near", "models[2]"),
        (ask("openai/x", &[]), "guest", "models[3]"),
        // the key in each of its places
        (ask("gpt-4", &[("x-my-key", "sk-app-0123456789abc")]), "app", "models[1]"),
        (ask("gpt-4", &[("x-api-key", "sk-app-0123456789abc")]), "app", "models[1]"),
        (Question { path: "/v1/x?key=sk-app-0123456789abc".into(), ..ask("gpt-4", &[]) }, "app", "models[1]"),
    ] {
        let explanation = among_consumers(&question);
        assert_eq!(explanation.caller.consumer.as_deref(), Some(consumer), "{explanation}");
        let served = explanation.served.as_ref().unwrap();
        assert_eq!(served.rule, rule, "{explanation}");
        assert!(served.picked.is_some(), "split by consumer: {explanation}");
    }
}

#[test]
fn the_caller_is_in_the_text_and_in_the_json() {
    let explanation = among_consumers(&by("app", "gpt-4"));
    let text = explanation.to_string();
    let id = "9bf4733f";
    assert!(text.starts_with(&format!("model   gpt-4\ncaller  app, tier gold, by key {id}\n")), "{text}");
    assert!(text.contains("not     models[0] (gpt-*): header x-my-key does not match \"*\"\n"), "{text}");
    let json = explanation.to_json();
    let caller = ["consumer", "tier", "key_id", "allowed", "error"].map(|name| json[name].clone());
    assert_eq!(caller, [json!("app"), json!("gold"), json!(id), json!(true), json!(null)]);
    let guest = among_consumers(&ask("openai/x", &[])).to_string();
    assert!(guest.contains("caller  guest, as callers without a key\n"), "{guest}");
    let nobody = among_consumers(&by("nobody", "gpt-4")).to_string();
    assert_eq!(
        nobody,
        "model   gpt-4\ncaller  unknown\nanswer  401 invalid_api_key: no consumer has this key\n"
    );
}

const LIMITS: &str = "
limits:
  - {name: gold, by: [consumer, tier, key, model, rule, ip, header:X-User], when: {tier: gold}, total_tokens: 1000, per: 1m}
  - {name: silver, when: {tier: silver}, in_flight: 2}
  - {name: mini, models: gpt-4*-mini, requests: 5, per: 1h}
  - {name: budget, cost_usd: 0.5, per: 30d, terminal: true}
  - {name: weighted, total_tokens: 7, weighted: {output: 4}, per: 90s, models: x}
prices: {\"*\": {input: 1, output: 2}}
";

fn limited(question: &Question) -> Explanation {
    explain(&gateway(&format!("{CONSUMERS}{LIMITS}")), question, &OPTIONS).unwrap()
}

#[test]
fn every_limit_says_whether_it_applies_and_to_which_bucket() {
    let question = Question {
        key: Some("sk-app-0123456789abc".into()),
        from: "::ffff:10.0.0.7".parse().unwrap(),
        ..ask(
            "gpt-4o",
            &[("x-team", "s"), ("x-user", "ann"), ("authorization", "Bearer sk-app-0123456789abc")],
        )
    };
    let text = limited(&question).to_string();
    let limits: Vec<&str> = text.lines().skip_while(|line| !line.contains("limits[")).collect();
    let bucket = "consumer app and tier gold and key app.9bf4733f and model gpt-4o and rule gpt-4* and ip 10.0.0.7 and header:x-user ann";
    let first = format!("limit   limits[0] (gold): 1000 total_tokens per 1m, for {bucket}");
    assert_eq!(
        limits,
        [
            first.as_str(),
            "no      limits[1] (silver): the caller's tier is not \"silver\"",
            "no      limits[2] (mini): no glob in `models` matches the model",
            "limit   limits[3] (budget): 0.5 cost_usd per 30d, a quota, one bucket for all",
            "no      limits[4] (weighted): no glob in `models` matches the model",
        ]
    );
    assert!(!text.contains("sk-app"), "{text}");
}

#[test]
fn a_limit_looks_at_a_model_with_and_without_its_prefix() {
    let limits = limited(&ask("openai/gpt-4-mini", &[])).limits;
    assert_eq!((limits[2].name.as_str(), &limits[2].outside), ("mini", &None));
    assert!(
        limits[0].bucket.contains(&("model".to_owned(), "gpt-4-mini".to_owned())),
        "{:?}",
        limits[0].bucket
    );
}

#[test]
fn limits_stand_in_the_json_and_not_where_the_request_is_refused() {
    let known = Question { key: Some("sk-app-0123456789abc".into()), ..ask("gpt-4o", &[("x-team", "s")]) };
    let json = limited(&known).to_json();
    let bucket = &json["limits"][0]["bucket"];
    assert_eq!((&bucket["consumer"], &bucket["header:x-user"]), (&json!("app"), &json!("")));
    assert_eq!(
        json["limits"][3],
        json!({
            "limit": "limits[3]", "name": "budget", "applies": true, "reason": null, "measure": "cost_usd",
            "most": 0.5, "per_ms": 2_592_000_000_u64, "terminal": true, "bucket": {}, "level": null,
        })
    );
    assert_eq!(json["limits"][4]["measure"], "weighted_tokens");
    let nobody = limited(&ask("gpt-4o", &[("x-team", "s")]));
    assert_eq!((nobody.served, nobody.limits), (None, Vec::new()));
}

#[test]
fn levels_are_asked_only_of_what_can_answer() {
    let known = Question { key: Some("sk-app-0123456789abc".into()), ..ask("gpt-4o", &[("x-team", "s")]) };
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (url, want) in [
        ("https://127.0.0.1:1", "does not begin with http://; write http://127.0.0.1:10000".to_owned()),
        ("127.0.0.1:1", "does not begin with http://".to_owned()),
        (&format!("http://{unused}/"), format!("http://{unused}/v1/limits: ")),
    ] {
        let why = add_levels(&mut limited(&known), &known, url).unwrap_err();
        assert!(why.contains(&want) && !why.contains("sk-app"), "{why}");
    }
    let mut nobody = limited(&ask("gpt-4o", &[]));
    assert_eq!(add_levels(&mut nobody, &known, "nowhere"), Ok(()), "nothing to ask about");
}

#[test]
fn levels_come_from_the_running_gateway() {
    let known = Question { key: Some("sk-app-0123456789abc".into()), ..ask("gpt-4o", &[("x-team", "s")]) };
    let gateway = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", gateway.local_addr().unwrap());
    let answered = std::thread::spawn(move || {
        let (mut client, _) = gateway.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        let body = r#"{"limits": [{"name": "budget", "used": 0.25, "held": 0.000001, "remaining": 0.249999, "resets_in_ms": 61000}]}"#;
        write!(client, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
        String::from_utf8(request).unwrap()
    });
    let mut explanation = limited(&known);
    add_levels(&mut explanation, &known, &url).unwrap();
    let request = answered.join().unwrap().to_ascii_lowercase();
    assert!(request.starts_with("get /v1/limits?model=gpt-4o&input_tokens=10 http/1.1\r\n"), "{request}");
    assert!(
        request.contains("authorization: bearer sk-app-0123456789abc\r\n")
            && request.contains("x-team: s\r\n")
    );
    let text = explanation.to_string();
    let told =
        "        now 0.25 used, 0.000001 held by requests in flight, 0.249999 left; all free in 1m 1s\n";
    assert!(text.contains(told), "{text}");
    assert_eq!(explanation.to_json()["limits"][3]["level"]["resets_in_ms"], 61_000);
    assert_eq!(explanation.limits[0].level, None, "the gateway that runs does not know it");
}

const GUARDED: &str = "
cache: {ttl: 30m, scope: tier, models: [gpt-4*]}
guard:
  checks:
    - {name: banned, on: [request, response], keywords: [codename]}
    - {name: pii, on: [request], when: {tier: gold}, detect: [email], action: mask}
    - {name: mini, models: gpt-*-mini, regex: x, action: log}
    - {name: long, when: {min_input_tokens: 500}, url: http://a/moderations}
";

fn guarded(question: &Question) -> Explanation {
    explain(&gateway(&format!("{CONSUMERS}{GUARDED}")), question, &OPTIONS).unwrap()
}

fn of_app(model: &str, control: &str) -> Question {
    let headers = [("x-team", "s"), ("cache-control", control)];
    Question { key: Some("sk-app-0123456789abc".into()), ..ask(model, &headers) }
}

#[test]
fn every_check_says_whether_it_applies_and_what_it_does() {
    let explanation = guarded(&of_app("gpt-4o", ""));
    let text = explanation.to_string();
    let lines: Vec<&str> = text.lines().skip_while(|line| !line.contains("guard.checks")).collect();
    assert_eq!(
        lines,
        [
            "check   guard.checks[0] (banned): request and response by keywords, block",
            "check   guard.checks[1] (pii): request by detect, mask",
            "no      guard.checks[2] (mini): no glob in `models` matches the model",
            "no      guard.checks[3] (long): about 10 input tokens are fewer than 500",
            "cache   looked up for tier gold; kept for 30m",
        ]
    );
    let json = explanation.to_json();
    assert_eq!(
        json["checks"][1],
        json!({
            "check": "guard.checks[1]", "name": "pii", "applies": true, "reason": null, "on": ["request"],
            "by": "detect", "action": "mask",
        })
    );
    assert_eq!((&json["checks"][3]["applies"], &json["checks"][3]["by"]), (&json!(false), &json!("service")));
}

#[test]
fn the_cache_says_whether_it_is_asked_and_for_whom() {
    let cache = |question: &Question| {
        let text = guarded(question).to_string();
        text.lines().find(|line| line.contains("cache")).unwrap_or_default().to_owned()
    };
    let to = |path: &str, question: Question| Question { path: path.into(), ..question };
    let guest = Question { key: None, ..of_app("openai/gpt-4o", "") };
    for (question, want) in [
        (of_app("gpt-4o", "max-age=90"), "cache   looked up for tier gold, no older than 90s; kept for 30m"),
        (
            of_app("gpt-4o", "no-cache"),
            "cache   not looked up, as the client wants a fresh answer; kept for 30m for tier gold",
        ),
        (of_app("gpt-4o", "no-store"), "no      cache: bypass; reason=no-store"),
        (to("/v1/images/generations", of_app("gpt-4o", "")), "no      cache: bypass; reason=operation"),
        (guest.clone(), "cache   looked up for consumer guest; kept for 30m"),
        (Question { model: "openai/o1".into(), ..guest }, "no      cache: bypass; reason=model"),
    ] {
        assert_eq!(cache(&question), want, "{question:?}");
    }
    let json = guarded(&of_app("gpt-4o", "no-cache, max-age=5")).to_json();
    assert_eq!(
        json["cache"],
        json!({
            "looked_up": false, "kept": true, "bypass": null, "max_age_ms": 5000, "scope": "tier", "of": "gold",
            "ttl_ms": 1_800_000,
        })
    );
    let json = guarded(&of_app("gpt-4o", "no-store")).to_json();
    assert_eq!((&json["cache"]["kept"], &json["cache"]["bypass"]), (&json!(false), &json!("no-store")));
}

#[test]
fn without_cache_and_guard_nothing_is_said_of_them() {
    for question in [ask("openai/gpt-4o", &[]), ask("o1", &[])] {
        let json = answer(&question).to_json();
        assert_eq!((&json["cache"], &json["checks"]), (&json!(null), &json!([])));
    }
    let refused = guarded(&of_app("nobody-serves-this", ""));
    assert_eq!((refused.checks.len(), refused.cached), (0, None));
}
