mod answers;
mod requests;
mod services;
mod streams;

use serde_json::{Value, json};
use sluice_core::context;
use sluice_core::filter::{Headers, Side};
use sluice_core::testing::FakeHost;

use super::*;

const CHAT: &[(&str, &str)] = &[
    (":method", "POST"),
    (":path", "/v1/chat/completions"),
    ("content-type", "application/json"),
    ("x-team", "search"),
];

const JSON: &[(&str, &str)] = &[(":status", "200"), ("content-type", "application/json")];

fn config(raw: Value) -> Rc<Config> {
    let env = |name: &str| (name == "KEY").then(|| "sk-canary".to_owned());
    Rc::new(ContentGuard::check(serde_json::from_value(raw).unwrap(), &env).unwrap())
}

/// One check on both directions.
fn one(check: Value) -> Rc<Config> {
    config(json!({"checks": [check]}))
}

fn blocking() -> Value {
    json!({"name": "banned", "keywords": ["internal codename"]})
}

fn masking() -> Value {
    json!({"name": "pii", "detect": ["email", "phone"], "action": "mask"})
}

fn prompt(text: &str) -> String {
    json!({"model": "gpt-4o", "messages": [{"role": "user", "content": text}]}).to_string()
}

fn completion(text: &str) -> String {
    json!({"id": "c1", "object": "chat.completion", "model": "gpt-4o-1", "choices": [
        {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]})
    .to_string()
}

fn host() -> FakeHost {
    let mut host = FakeHost::with_request(CHAT);
    host.now_ns = 1_700_000_000_000_000_000;
    for (fact, value) in [
        (context::CONSUMER, "ann"),
        (context::TIER, "gold"),
        (context::MODEL, "gpt-4o"),
        (context::OPERATION, "chat"),
        (context::STREAM, "false"),
    ] {
        fact.set(&mut host, value);
    }
    host
}

/// Shows the request, and says what becomes of it.
fn ask(host: &mut FakeHost, config: &Rc<Config>, body: &str) -> (ContentGuard, Next) {
    let mut filter = ContentGuard::new(Rc::clone(config));
    let next = filter.on_request_headers(host, false);
    let next = match next {
        Next::Whole { .. } => filter.on_request_body(host, body.as_bytes(), true),
        next => next,
    };
    (filter, next)
}

/// As [`ask`], for a request that passes.
fn sent(host: &mut FakeHost, config: &Rc<Config>, body: &str) -> ContentGuard {
    let (filter, next) = ask(host, config, body);
    assert_eq!(next, Next::Pass);
    filter
}

/// Shows a whole answer, and says what becomes of it.
fn answer(host: &mut FakeHost, filter: &mut ContentGuard, headers: &[(&str, &str)], body: &str) -> Next {
    host.respond(headers);
    match filter.on_response_headers(host, false) {
        Next::Whole { .. } => filter.on_response_body(host, body.as_bytes(), true),
        next => next,
    }
}

fn text(body: Option<&Vec<u8>>) -> Option<&str> {
    body.map(|body| std::str::from_utf8(body).unwrap())
}

/// Status and code of an error, status and content of a completion.
fn reply(next: &Next) -> Option<(u16, String)> {
    let Next::Reply(reply) = next else { return None };
    let body: Value = serde_json::from_str(&reply.body).unwrap_or_default();
    let said = body["error"]["code"].as_str().or_else(|| body["choices"][0]["message"]["content"].as_str());
    Some((reply.status, said.unwrap_or(&reply.body).to_owned()))
}

fn violation() -> Option<(u16, String)> {
    Some((400, "content_policy_violation".to_owned()))
}

fn unavailable() -> Option<(u16, String)> {
    Some((503, "guard_unavailable".to_owned()))
}

/// The record: check, direction, category, action and count of each entry.
fn record(host: &FakeHost) -> Vec<String> {
    let fact = context::GUARD.get(host).unwrap_or_else(|| "[]".to_owned());
    let entries: Vec<Value> = serde_json::from_str(&fact).unwrap();
    let part = |entry: &Value, name: &str| entry[name].as_str().unwrap().to_owned();
    entries
        .iter()
        .map(|entry| {
            let [check, on, category, action] =
                ["check", "on", "category", "action"].map(|name| part(entry, name));
            format!("{check} {on} {category} {action} {}", entry["count"])
        })
        .collect()
}

/// A service's answer to the callout with this number, from 1.
fn say(
    host: &mut FakeHost,
    filter: &mut ContentGuard,
    callout: u32,
    status: u16,
    body: &Value,
) -> Option<Next> {
    let headers = Headers::new(vec![(":status".to_owned(), status.to_string().into_bytes())]);
    let reply = CalloutReply { status, headers, body: body.to_string().into_bytes() };
    filter.on_callout(host, CalloutId(callout), Ok(reply))
}

fn fail(host: &mut FakeHost, filter: &mut ContentGuard, callout: u32) -> Option<Next> {
    filter.on_callout(host, CalloutId(callout), Err(CalloutError::NotAnswered))
}

#[test]
fn every_series_is_declared() {
    sluice_core::testing::declare(ContentGuard::METRICS);
}
