//! Where a key may stand, and which consumers are who they are by it.

use serde_json::json;
use sluice_e2e::client;
use sluice_e2e::gateway::{Gateway, Options};
use sluice_e2e::upstream::Upstream;

use crate::people::{self, CHAT, SIGN, bearer, key, providers};

#[test]
fn a_key_is_found_in_each_of_its_places() {
    let people = people::shared();
    let (gold, bearer) = (key("gold"), bearer("gold"));
    let lower = format!("bearer   {gold}");
    let encoded: String = gold.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let rows: [(&[(&str, &str)], String); 9] = [
        (&[("authorization", &bearer)], String::new()),
        (&[("Authorization", &lower)], String::new()),
        (&[("x-api-key", &gold)], String::new()),
        (&[("api-key", &gold)], String::new()),
        (&[("x-goog-api-key", &gold)], String::new()),
        (&[("X-My-Key", &gold)], String::new()),
        (&[], format!("?a=1&key={gold}&b=2")),
        (&[], format!("?k%65y={encoded}")),
        (
            &[("authorization", &bearer), ("x-api-key", &gold), ("authorization", &bearer)],
            format!("?key={gold}"),
        ),
    ];
    for (n, (headers, query)) in rows.into_iter().enumerate() {
        let model = format!("place-{n}");
        let reply = people::ask(&people.gateway, &format!("{CHAT}{query}"), headers, &model);
        assert_eq!(reply.status, 200, "{headers:?} {query}: {}", reply.text());
        assert_eq!(people.gateway.ai_log(&model)["consumer"], "gold", "{headers:?} {query}");
        let seen = people.seen(&model).pop().expect("a request");
        assert!(!people::everything(&seen).contains(SIGN), "{headers:?}: {seen:?}");
        assert!(!seen.path.contains("key"), "{}", seen.path);
    }
}

#[test]
fn keys_stand_in_the_environment_in_files_as_hashes_and_in_pairs() {
    let people = people::shared();
    for (presented, consumer) in [
        ("env", "env"),
        ("file", "file"),
        ("hashed", "hashed"),
        ("twin-old", "twins"),
        ("twin-new", "twins"),
        ("lasting", "lasting"),
        ("here", "here"),
    ] {
        let model = format!("large-as-{presented}");
        let reply = people::ask_as(&people.gateway, presented, &model);
        assert_eq!(reply.status, 200, "{presented}: {}", reply.text());
        assert_eq!(people.gateway.ai_log(&model)["consumer"], consumer);
    }
}

#[test]
fn a_consumer_is_shown_the_models_that_it_may_use() {
    let people = people::shared();
    for (name, want) in [
        ("gold", vec!["by-tier", "only-gold", "by-name", "small-1", "large-1"]),
        ("hashed", vec!["by-name", "by-tier", "small-1", "large-1"]),
        ("small", vec!["by-tier", "small-1"]),
    ] {
        let bearer = bearer(name);
        let headers = [("authorization", bearer.as_str())];
        let list = client::send(people.gateway.address(), "GET", "/v1/models", &headers, b"");
        let body = list.json();
        let mut ids: Vec<&str> = body["data"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|model| model["id"].as_str())
            .collect();
        let mut want = want;
        ids.sort_unstable();
        want.sort_unstable();
        assert_eq!(ids, want, "{name}");
        for (model, is_shown) in [("small-1", true), ("large-1", name != "small")] {
            let path = format!("/v1/models/{model}");
            let reply = client::send(people.gateway.address(), "GET", &path, &headers, b"");
            assert_eq!(reply.status, if is_shown { 200 } else { 404 }, "{name}: {model}");
        }
    }
}

/// A gateway with one consumer and, for callers without a key, `guest`.
fn with_guest(a: &Upstream, b: &Upstream, guest: &str) -> Gateway {
    Options::default().start(&format!(
        "{}consumers:
  - {{name: gold, keys: [{}], tier: gold}}
  - {{name: guest, models: [\"small-*\"], metadata: {{team: none}}{guest}}}
anonymous: guest
models: [{{match: \"*\", targets: [{{provider: a}}]}}]
",
        providers(a, b),
        key("gold")
    ))
}

#[test]
fn without_a_key_a_caller_is_whom_the_operator_names() {
    let (a, b) = (Upstream::start("a"), Upstream::start("b"));
    let gateway = with_guest(&a, &b, "");
    assert_eq!(people::ask(&gateway, CHAT, &[], "small-guest").status, 200);
    let record = gateway.ai_log("small-guest");
    assert_eq!((&record["consumer"], &record["metadata"]), (&json!("guest"), &json!({"team": "none"})));
    assert!(record.get("key_id").is_none() && record.get("tier").is_none(), "{record}");
    let reply = people::ask(&gateway, CHAT, &[], "large-1");
    assert_eq!((reply.status, reply.code().as_str()), (403, "model_not_allowed"));
    for (headers, code) in [
        ([("authorization", bearer("nobody"))], "invalid_api_key"),
        ([("authorization", format!("Basic {}", key("gold")))], "missing_api_key"),
        ([("x-api-key", String::new())], "missing_api_key"),
    ] {
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        let reply = people::ask(&gateway, CHAT, &headers, "small-1");
        assert_eq!((reply.status, reply.code().as_str()), (401, code), "who tries a key is no guest");
    }
    assert_eq!(people::ask_as(&gateway, "gold", "large-1").status, 200);
}

#[test]
fn who_sent_no_key_is_never_told_of_one() {
    let (a, b) = (Upstream::start("a"), Upstream::start("b"));
    for guest in [", disabled: true", ", expires: 2021-06-30", ", from: 10.0.0.0/8"] {
        let gateway = with_guest(&a, &b, guest);
        let reply = people::ask(&gateway, CHAT, &[], "small-1");
        let want = if guest.contains("from") { (403, "ip_not_allowed") } else { (401, "missing_api_key") };
        assert_eq!((reply.status, reply.code().as_str()), want, "{guest}: {}", reply.text());
    }
}

#[test]
fn without_consumers_everybody_is_anonymous() {
    let (a, b) = (Upstream::start("a"), Upstream::start("b"));
    let gateway =
        Gateway::start(&(providers(&a, &b) + "models: [{match: \"*\", targets: [{provider: a}]}]\n"));
    for (model, headers) in [("open-1", vec![]), ("open-2", vec![("authorization", bearer("nobody"))])] {
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(people::ask(&gateway, CHAT, &headers, model).status, 200);
        let record = gateway.ai_log(model);
        assert_eq!(record["consumer"], "anonymous", "{record}");
        assert!(["key_id", "tier", "metadata"].iter().all(|name| record.get(name).is_none()), "{record}");
    }
}
