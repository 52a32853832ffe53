//! Who shares an answer with whom. Each answer of the provider says a word of its own, so that it is seen who gets it.

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::{Value, json};
use sluice_e2e::cache::{self, Caller, at_once, label};
use sluice_e2e::client::{End, Reply};
use sluice_e2e::gateway::Gateway;
use sluice_e2e::script::Script;
use sluice_e2e::wait;

use crate::bed::{Bed, CONSUMERS, shared};
use crate::live;

/// Stands in every request of a test: the provider knows it by that.
fn canaries(test: &str, count: usize) -> Vec<Value> {
    (0..count).map(|n| json!({"say": word(test, n), "tools": false})).collect()
}

fn word(test: &str, n: usize) -> String {
    format!("canary-{test}-{n}.")
}

/// The words in an answer.
fn words(test: &str, text: &str) -> BTreeSet<String> {
    let sign = format!("canary-{test}-");
    text.split(&sign)
        .skip(1)
        .map(|rest| format!("{sign}{}.", rest.split('.').next().unwrap_or_default()))
        .collect()
}

/// One request, as different from the others as can be.
struct Variant<'a> {
    name: &'static str,
    caller: Caller<'a>,
    body: String,
}

/// What a request of `test` is at first.
fn base(test: &str) -> Value {
    json!({
        "model": format!("gpt-{test}"),
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 1/3?"}],
        "temperature": 1, "user": test,
    })
}

/// The same with further or other members.
fn but(test: &str, members: Value) -> String {
    let mut body = base(test);
    for (name, value) in members.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    body.to_string()
}

fn tool(name: &str) -> Value {
    json!([{"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}])
}

fn picture(data: &str) -> Value {
    let url = format!("data:image/png;base64,{data}");
    json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": [
        {"type": "text", "text": "What is 1/3?"}, {"type": "image_url", "image_url": {"url": url}}]}])
}

fn format(name: &str) -> Value {
    json!({"type": "json_schema", "json_schema": {"name": name, "schema": {"type": "object"}}})
}

fn messages(system: &str, user: &str) -> Value {
    json!([{"role": "system", "content": system}, {"role": "user", "content": user}])
}

/// Bodies that differ in something that means something.
fn bodies(test: &str) -> Vec<(&'static str, String)> {
    let with = |members: Value| but(test, members);
    let text = base(test).to_string();
    vec![
        ("the first", text.clone()),
        ("another model", text.replace("\"model\":\"gpt-", "\"model\":\"o3\",\"was\":\"gpt-")),
        ("another system prompt", with(json!({"messages": messages("Be long.", "What is 1/3?")}))),
        ("another question", with(json!({"messages": messages("Be brief.", "What is 1/4?")}))),
        ("a space more", with(json!({"messages": messages("Be brief.", "What is 1/3? ")}))),
        ("another case", with(json!({"messages": messages("Be brief.", "what is 1/3?")}))),
        ("roles exchanged", text.replace("\"role\":\"system\"", "\"role\":\"developer\"")),
        (
            "messages exchanged",
            with(json!({"messages": [base(test)["messages"][1], base(test)["messages"][0]]})),
        ),
        ("a tool", with(json!({"tools": tool("one")}))),
        ("another tool", with(json!({"tools": tool("two")}))),
        ("a tool that must be called", with(json!({"tools": tool("one"), "tool_choice": "required"}))),
        ("a picture", with(json!({"messages": picture("AAAA")}))),
        ("another picture", with(json!({"messages": picture("AAAB")}))),
        ("a response format", with(json!({"response_format": {"type": "json_object"}}))),
        ("a schema", with(json!({"response_format": format("one")}))),
        ("another schema", with(json!({"response_format": format("two")}))),
        ("a temperature", with(json!({"temperature": 0}))),
        ("no temperature", text.replace("\"temperature\":1,", "")),
        ("a temperature of null", with(json!({"temperature": null}))),
        ("the same number in another form", text.replace("\"temperature\":1", "\"temperature\":1.0")),
        ("and in a third one", text.replace("\"temperature\":1", "\"temperature\":1e0")),
        ("a number as text", with(json!({"temperature": "1"}))),
        ("a seed", with(json!({"seed": 1}))),
        ("another seed", with(json!({"seed": 2}))),
        ("more choices", with(json!({"n": 2}))),
        ("fewer tokens", with(json!({"max_tokens": 5}))),
        ("a field that nobody knows", with(json!({"x_new": {"deep": [1, 2]}}))),
        ("and its items exchanged", with(json!({"x_new": {"deep": [2, 1]}}))),
        ("another user", with(json!({"user": format!("{test}-other")}))),
        ("a member twice", text.replace("\"temperature\":1", "\"temperature\":1,\"temperature\":0")),
        ("an option of streams", with(json!({"stream_options": {"include_obfuscation": false}}))),
    ]
}

/// Requests that must not share, with the first one among them.
fn different<'a>(bed: &'a Bed, test: &str) -> Vec<Variant<'a>> {
    let ann = || Caller::named(&bed.gateway, "ann");
    let mut all: Vec<Variant<'a>> =
        bodies(test).into_iter().map(|(name, body)| Variant { name, caller: ann(), body }).collect();
    let text = base(test).to_string();
    for (name, caller) in [
        ("another consumer of the tier", Caller::named(&bed.gateway, "bob")),
        ("a consumer of another tier", Caller::named(&bed.gateway, "cat")),
        ("a consumer without a tier", Caller::named(&bed.gateway, "dora")),
        ("a consumer called as a tier", Caller::named(&bed.gateway, "gold")),
        ("nobody", Caller::nobody(&bed.gateway)),
        ("openai-beta", ann().with("openai-beta", "assistants=v2")),
        ("another openai-beta", ann().with("openai-beta", "assistants=v3")),
        ("anthropic-version", ann().with("anthropic-version", "2023-06-01")),
        ("anthropic-beta", ann().with("anthropic-beta", "x")),
        ("a query", ann().at("/v1/chat/completions?x=1")),
        ("another operation", ann().at("/v1/responses")),
        ("a third one", ann().at("/v1/completions")),
    ] {
        all.push(Variant { name, caller, body: text.clone() });
    }
    all
}

#[test]
fn requests_that_differ_in_anything_that_counts_never_share() {
    let (bed, test) = (shared(), "leak-apart");
    let variants = different(&bed, test);
    bed.provider.tell(test, canaries(test, variants.len()).into_iter().map(Script::json));
    bed.provider.tell(&format!("{test}-other"), [Script::json(json!({"say": word(test, variants.len())}))]);
    let (mut own, mut heard) = (Vec::new(), BTreeSet::new());
    for variant in &variants {
        let reply = variant.caller.send(&variant.body);
        assert_eq!((reply.status, label(&reply)), (200, "miss"), "{}: {}", variant.name, reply.text());
        let words = words(test, &reply.text());
        assert!(words.len() == 1 && words.is_disjoint(&heard), "{}: {words:?}", variant.name);
        heard.extend(words);
        own.push(reply);
    }
    wait::until("all to be recorded", || {
        (bed.gateway.access_text().matches(test).count() >= variants.len()).then_some(())
    });
    for (n, variant) in variants.iter().enumerate().rev() {
        let reply = variant.caller.send(&variant.body);
        assert_eq!((reply.status, label(&reply)), (200, "hit"), "{}", variant.name);
        assert_eq!(reply.body, own[n].body, "{}", variant.name);
    }
}

#[test]
fn requests_that_differ_in_nothing_that_counts_share() {
    let (bed, test) = (shared(), "leak-together");
    bed.provider.tell(test, canaries(test, 2).into_iter().map(Script::json));
    let ann = || Caller::named(&bed.gateway, "ann");
    let text = base(test).to_string();
    assert_eq!(ann().ask(&base(test)).0.status, 200);
    let reversed = format!(
        r#"{{"user":"{test}","temperature":1,"messages":[{{"content":"Be brief.","role":"system"}},{{"content":"What is 1/3?","role":"user"}}],"model":"gpt-{test}"}}"#
    );
    for (name, caller, body) in [
        ("once more", ann(), text.clone()),
        ("members in another order", ann(), reversed.clone()),
        ("white space", ann(), serde_json::to_string_pretty(&base(test)).expect("JSON") + "\r\n\t "),
        ("escapes", ann(), text.replace("Be brief.", r"\u0042e\u0020brief.").replace("1/3", r"1\/3")),
        ("an escaped name", ann(), text.replace("\"role\"", r#""\u0072ole""#)),
        ("a document by name", ann(), but(test, json!({"stream": false}))),
        ("no options of streams", ann(), but(test, json!({"stream_options": null}))),
        ("a stream", ann(), but(test, json!({"stream": true}))),
        ("usage", ann(), but(test, json!({"stream": true, "stream_options": {"include_usage": true}}))),
        ("no usage", ann(), but(test, json!({"stream": true, "stream_options": {"include_usage": false}}))),
        ("another key of the consumer", Caller::named(&bed.gateway, "ann-too"), text.clone()),
        (
            "a header that means nothing",
            ann().with("x-request-id", "7").with("user-agent", "x"),
            text.clone(),
        ),
        (
            "the essence of a type",
            Caller {
                headers: vec![
                    ("content-type".to_owned(), "application/json ; charset=utf-8".to_owned()),
                    ("authorization".to_owned(), "Bearer sk-ann".to_owned()),
                ],
                ..ann()
            },
            reversed,
        ),
    ] {
        let reply = caller.send(&body);
        assert_eq!((reply.status, label(&reply)), (200, "hit"), "{name}: {}", reply.text());
        assert_eq!(words(test, &reply.text()), BTreeSet::from([word(test, 0)]), "{name}");
    }
}

/// All callers at once, so that they meet in flight as well as in the store.
#[test]
fn callers_who_ask_the_same_at_once_get_an_answer_each() {
    let (bed, test) = (shared(), "leak-at-once");
    let scripts = canaries(test, 64).into_iter().map(|mut script| {
        script["delay_ms"] = json!(300);
        Script::json(script)
    });
    bed.provider.tell(test, scripts);
    let callers = ["ann", "bob", "cat", "dora", "gold"];
    let text = base(test).to_string();
    let requests: Vec<Vec<u8>> =
        (0..40).map(|n| Caller::named(&bed.gateway, callers[n % callers.len()]).request(&text)).collect();
    for _ in 0..2 {
        let replies = at_once(bed.gateway.address(), &requests);
        let heard: Vec<BTreeSet<String>> = (0..callers.len())
            .map(|caller| {
                let own = replies.iter().skip(caller).step_by(callers.len());
                own.flat_map(|reply| words(test, &whole(reply))).collect()
            })
            .collect();
        for (n, one) in heard.iter().enumerate() {
            assert!((1..=2).contains(&one.len()), "one of each worker: {one:?}");
            for other in heard.iter().skip(n + 1) {
                assert!(one.is_disjoint(other), "{one:?} and {other:?}");
            }
        }
    }
}

#[track_caller]
fn whole(reply: &Reply) -> String {
    assert_eq!((reply.status, reply.end), (200, End::Clean), "{}", reply.text());
    reply.text()
}

/// Rules by tier, consumer and header, and a rule with two targets.
const RULES: &str = "models:
  - {match: \"gpt-team\", when: {tier: gold}, targets: [{provider: a, model: for-gold}]}
  - {match: \"gpt-team\", when: {headers: {x-team: red}}, targets: [{provider: a, model: for-red}]}
  - match: \"gpt-split\"
    sticky: \"header:x-user\"
    targets: [{provider: a, model: left}, {provider: a, model: right}]
  - {match: \"*\", targets: [{provider: a}]}
";

#[test]
fn a_wider_scope_never_reaches_over_rules_and_targets() {
    let bed = live::bed();
    let yaml = |scope: &str| {
        let cache = format!("{CONSUMERS}cache: {{scope: {scope}}}\n");
        let yaml = crate::bed::yaml(&bed.provider, &cache);
        yaml.replace("models: [{match: \"*\", targets: [{provider: a}]}]\n", RULES)
    };
    let shared = |name: &'static str| {
        move |gateway: &Gateway| {
            let body = cache::body(&format!("scope-{:?}", Instant::now()), &json!({})).to_string();
            let ask = |name: &str| label(&Caller::named(gateway, name).send(&body)).to_owned();
            ask("ann");
            (0..12).all(|_| ask(name) == "hit")
        }
    };
    bed.gateway.rewrite_and_wait(&yaml("tier"), shared("bob"));
    tiers(&bed, "tier-names");
    rules(&bed, "tier-rules", false);
    bed.gateway.rewrite_and_wait(&yaml("everyone"), shared("cat"));
    everyone(&bed, "all-names");
    rules(&bed, "all-rules", true);
    bed.gateway.rewrite(&crate::bed::yaml(&bed.provider, &[CONSUMERS, live::FIRST].concat()));
}

/// Asks as each of `callers`; which of the answers before it each one gets, by its place, itself if it is new.
#[track_caller]
fn shares(test: &str, bed: &Bed, body: &Value, callers: &[Caller<'_>]) -> Vec<usize> {
    bed.provider.tell(test, canaries(test, 100).into_iter().map(Script::json));
    let mut first: Vec<BTreeSet<String>> = Vec::new();
    let body = {
        let mut body = body.clone();
        body["user"] = json!(test);
        body
    };
    let mut shares = Vec::new();
    for caller in callers {
        let (reply, _) = caller.ask(&body);
        let heard = words(test, &whole(&reply));
        assert_eq!(heard.len(), 1, "{}", reply.text());
        shares.push(first.iter().position(|known| *known == heard).unwrap_or(first.len()));
        first.push(heard);
    }
    shares
}

#[track_caller]
fn tiers(bed: &Bed, test: &str) {
    let callers = ["ann", "bob", "cat", "dora", "gold", "ann"].map(|name| Caller::named(&bed.gateway, name));
    let shared = shares(test, bed, &json!({"model": "gpt-any", "messages": []}), &callers);
    assert_eq!(shared, [0, 0, 2, 3, 4, 0], "ann and bob are of one tier; dora and gold of none");
}

#[track_caller]
fn everyone(bed: &Bed, test: &str) {
    let callers = ["ann", "bob", "cat", "dora", "gold"].map(|name| Caller::named(&bed.gateway, name));
    assert_eq!(shares(test, bed, &json!({"model": "gpt-any", "messages": []}), &callers), [0; 5]);
}

/// Callers whom different rules serve, and different targets of one rule.
#[track_caller]
fn rules(bed: &Bed, test: &str, everyone: bool) {
    let cat = || Caller::named(&bed.gateway, "cat");
    let callers = [
        Caller::named(&bed.gateway, "ann"),
        cat(),
        cat().with("x-team", "red"),
        cat().with("x-team", "blue"),
        Caller::named(&bed.gateway, "dora"),
        Caller::named(&bed.gateway, "bob"),
    ];
    let team = json!({"model": "gpt-team", "messages": []});
    let want = if everyone { [0, 1, 2, 1, 1, 0] } else { [0, 1, 2, 1, 4, 0] };
    assert_eq!(shares(&format!("{test}-team"), bed, &team, &callers), want);
    let split = json!({"model": "gpt-split", "messages": []});
    let callers: Vec<Caller<'_>> = (0..16).map(|n| cat().with("x-user", &n.to_string())).collect();
    let sides: BTreeSet<usize> =
        shares(&format!("{test}-split"), bed, &split, &callers).into_iter().collect();
    assert_eq!(sides.len(), 2, "one answer of each target: {sides:?}");
}
