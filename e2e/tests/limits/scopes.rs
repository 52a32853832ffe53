//! Whom a limit counts together, and which requests it applies to.

use std::net::Ipv4Addr;

use serde_json::{Value, json};
use sluice_e2e::bed::{self, Bed};
use sluice_e2e::client::{self, Connection};
use sluice_e2e::gateway::Gateway;
use sluice_e2e::limits::{self, body, body_with};
use sluice_e2e::upstream::Upstream;

const CONSUMERS: &str = "
consumers:
  - {name: ann, keys: [sk-ann-1, sk-ann-2], tier: gold}
  - {name: bob, keys: [sk-bob], tier: gold}
  - {name: cat, keys: [sk-cat], tier: iron}
limits:
  - {name: consumer, by: [consumer], models: \"gpt-consumer\", requests: 1, per: 1h}
  - {name: tier, by: [tier], models: \"gpt-tier\", requests: 1, per: 1h}
  - {name: key, by: [key], models: \"gpt-key\", requests: 1, per: 1h}
  - {name: model, by: [model], models: \"gpt-model-*\", requests: 1, per: 1h}
  - {name: rule, by: [rule], models: [\"gpt-rule\", \"qwen-*\"], requests: 1, per: 1h}
  - {name: ip, by: [ip], models: \"gpt-ip\", requests: 1, per: 1h}
  - {name: header, by: [\"header:X-Team\"], models: \"gpt-header\", requests: 1, per: 1h}
  - {name: pair, by: [consumer, \"header:x-team\"], models: \"gpt-pair\", requests: 1, per: 1h}
  - {name: all, models: \"gpt-everybody\", requests: 1, per: 1h}
  - {name: gold, models: \"gpt-when\", when: {tier: gold}, requests: 1, per: 1h}
  - {name: bob, by: [model], when: {consumer: bob, headers: {x-team: \"red*\"}}, requests: 1, per: 1h}
  - {name: long, models: \"gpt-long\", when: {min_input_tokens: 100}, requests: 1, per: 1h}
  - {name: tools, models: \"gpt-tools\", when: {has: [tools]}, requests: 1, per: 1h}
";

/// A gateway with two rules: `gpt-*` and `qwen-*`.
fn gateway() -> Bed {
    let providers: Vec<Upstream> = bed::CHAIN.into_iter().map(Upstream::start).collect();
    let rules = "models:\n  - {match: \"qwen-*\", targets: [{provider: b}]}\n";
    let gateway = Gateway::start(&bed::yaml(&providers, CONSUMERS).replacen("models:\n", rules, 1));
    Bed { gateway, providers }
}

/// A caller's key and team.
type Who = (&'static str, &'static str);

const ANN: Who = ("sk-ann-1", "");
const ANN_AGAIN: Who = ("sk-ann-2", "");
const BOB: Who = ("sk-bob", "");
const CAT: Who = ("sk-cat", "");

fn ask(bed: &Bed, (key, team): Who, body: &Value) -> u16 {
    let bearer = format!("Bearer {key}");
    let mut headers = vec![("authorization", bearer.as_str())];
    if !team.is_empty() {
        headers.push(("x-team", team));
    }
    let reply = limits::chat(bed.gateway.address(), &headers, body);
    assert!([200, 429].contains(&reply.status), "{}", reply.text());
    reply.status
}

/// Asks in turn, once each: whoever shares a bucket with one before is refused.
fn assert_buckets(bed: &Bed, model: &str, turns: &[(Who, u16)]) {
    for (n, (who, want)) in turns.iter().enumerate() {
        assert_eq!(ask(bed, *who, &body(model)), *want, "{model}: turn {n} of {who:?}");
    }
}

#[test]
fn each_value_of_a_dimension_has_a_bucket_of_its_own() {
    let bed = gateway();
    assert_buckets(&bed, "gpt-consumer", &[(ANN, 200), (ANN_AGAIN, 429), (BOB, 200), (CAT, 200), (BOB, 429)]);
    assert_buckets(&bed, "gpt-tier", &[(ANN, 200), (BOB, 429), (CAT, 200)]);
    assert_buckets(&bed, "gpt-key", &[(ANN, 200), (ANN_AGAIN, 200), (ANN, 429), (BOB, 200)]);
    assert_buckets(&bed, "gpt-model-1", &[(ANN, 200), (BOB, 429)]);
    assert_buckets(&bed, "gpt-model-2", &[(BOB, 200), (ANN, 429)]);
    let (red, blue) = ("red", "blue");
    assert_buckets(
        &bed,
        "gpt-header",
        &[(("sk-ann-1", red), 200), (("sk-bob", red), 429), (("sk-bob", blue), 200)],
    );
    assert_buckets(&bed, "gpt-header", &[(ANN, 200), (BOB, 429)]); // those without the header share one
    assert_buckets(
        &bed,
        "gpt-pair",
        &[
            (("sk-ann-1", red), 200),
            (("sk-ann-1", blue), 200),
            (("sk-bob", red), 200),
            (("sk-ann-2", red), 429),
        ],
    );
    assert_buckets(&bed, "gpt-everybody", &[(ANN, 200), (BOB, 429), (CAT, 429)]);
}

#[test]
fn a_client_cannot_say_who_it_is_by_a_header() {
    let bed = gateway();
    assert_eq!(ask(&bed, ANN, &body("gpt-consumer")), 200);
    let forged = [
        ("authorization", "Bearer sk-ann-1"),
        ("x-mse-consumer", "bob"),
        ("ai.consumer", "bob"),
        ("x-ai-consumer", "bob"),
    ];
    assert_eq!(limits::chat(bed.gateway.address(), &forged, &body("gpt-consumer")).status, 429);
}

#[test]
fn rules_and_addresses_have_buckets_too() {
    let bed = gateway();
    assert_buckets(&bed, "gpt-rule", &[(ANN, 200), (BOB, 429)]);
    assert_buckets(&bed, "qwen-1", &[(ANN, 200), (BOB, 429)]);
    assert_buckets(&bed, "qwen-2", &[(BOB, 429)]);
    let from = |address: [u8; 4]| {
        let mut client =
            Connection::open_from(Ipv4Addr::from(address).into(), bed.gateway.address()).expect("loopback");
        let headers = [
            ("content-type", "application/json"),
            ("authorization", "Bearer sk-ann-1"),
            ("x-forwarded-for", "9.9.9.9"),
        ];
        let request =
            client::request("POST", "/v1/chat/completions", &headers, body("gpt-ip").to_string().as_bytes());
        client.write(&request).expect("a request");
        client.read().expect("an answer").status
    };
    let got = [[127, 0, 0, 1], [127, 0, 0, 2], [127, 0, 0, 1], [127, 0, 0, 3], [127, 0, 0, 2]].map(from);
    assert_eq!(got, [200, 200, 429, 200, 429]);
}

#[test]
fn a_limit_counts_only_what_its_conditions_hold_for() {
    let bed = gateway();
    assert_buckets(&bed, "gpt-when", &[(CAT, 200), (CAT, 200), (ANN, 200), (BOB, 429), (CAT, 200)]);
    let red = ("sk-bob", "red-1");
    assert_buckets(
        &bed,
        "gpt-any",
        &[(BOB, 200), (red, 200), (red, 429), (BOB, 200), (("sk-bob", "blue"), 200), (ANN, 200)],
    );
    let long = json!({"messages": [{"role": "user", "content": "x".repeat(500)}]});
    let asked = |model: &str, members: &Value| ask(&bed, ANN, &body_with(model, members));
    let short = || asked("gpt-long", &json!({}));
    assert_eq!(
        [short(), asked("gpt-long", &long), short(), asked("gpt-long", &long), short()],
        [200, 200, 200, 429, 200]
    );
    let tools = json!({"tools": [{"type": "function", "function": {"name": "f"}}]});
    let plain = || asked("gpt-tools", &json!({}));
    assert_eq!(
        [plain(), asked("gpt-tools", &tools), plain(), asked("gpt-tools", &tools)],
        [200, 200, 200, 429]
    );
    assert_buckets(&bed, "gpt-unlimited", &[(ANN, 200), (ANN, 200), (ANN, 200)]);
}
