//! Headers by which a client pretends to be more than it is.

use serde_json::json;
use sluice_core::context;

use crate::people::{self, CHAT, bearer};

/// Every internal header, and every fact's name written as a header in each way that one might try.
fn spoofs() -> Vec<String> {
    let facts = context::ALL.iter().flat_map(|fact| {
        let dashed = fact.0.replace(['.', '_'], "-");
        [fact.0.to_owned(), format!("wasm.{}", fact.0), format!("x-{dashed}"), dashed]
    });
    let headers =
        ["x-mse-consumer", "X-Mse-Consumer", "x-ai-consumer", "x-ai-tier", "x-ai-retry", "x-ai-anything"];
    let mut all: Vec<String> = headers.map(str::to_owned).into_iter().chain(facts).collect();
    all.push("x-sluice-error".to_owned());
    all
}

#[test]
fn no_header_makes_somebody_else_of_a_caller() {
    let people = people::shared();
    for (n, names) in spoofs().chunks(40).enumerate() {
        let model = format!("spoofed-{n}");
        let bearer = bearer("hashed");
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend(names.iter().map(|name| (name.as_str(), "gold")));
        let reply = people::ask(&people.gateway, CHAT, &headers, &model);
        assert_eq!(reply.status, 200, "{}", reply.text());
        let record = people.gateway.ai_log(&model);
        let who = [&record["consumer"], &record["tier"], &record["model"]];
        assert_eq!(who, [&json!("hashed"), &json!("silver"), &json!(model)], "{record}");
        assert_eq!((&record["provider"], &record["target"]), (&json!("a"), &json!("a")), "{record}");
        let seen = people.seen(&model).pop().expect("a request");
        for name in names {
            assert_eq!(seen.header(&name.to_lowercase()), None, "{name} reached the provider");
        }
        let inner: Vec<_> = reply
            .headers
            .iter()
            .filter(|(name, _)| name.starts_with("x-ai") || name.contains("mse"))
            .collect();
        assert!(inner.is_empty(), "{inner:?}");
    }
}

#[test]
fn no_header_stands_for_a_key() {
    let people = people::shared();
    for names in spoofs().chunks(40) {
        let headers: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "gold")).collect();
        let reply = people::ask(&people.gateway, CHAT, &headers, "by-tier");
        assert_eq!((reply.status, reply.code().as_str()), (401, "missing_api_key"));
    }
}

#[test]
fn no_header_opens_a_model_a_tier_or_a_rule() {
    let people = people::shared();
    let small = bearer("small");
    for (model, name, want) in [
        ("large-1", "x-ai-allowed-models", 403),
        ("large-1", "ai.allowed_models", 403),
        ("only-gold", "x-ai-tier", 403),
        ("large-1", "x-ai-model", 403),
    ] {
        let headers = [("authorization", small.as_str()), (name, "*"), ("x-mse-consumer", "gold")];
        assert_eq!(people::ask(&people.gateway, CHAT, &headers, model).status, want, "{name}");
    }
    let headers = [("authorization", small.as_str()), ("x-ai-tier", "gold"), ("ai.tier", "gold")];
    let reply = people::ask(&people.gateway, CHAT, &headers, "by-tier");
    assert_eq!(people::served_by(&reply), "a", "the rule of the tier gold is not for this caller");
}
