//! Whom a limit counts together, and which requests it applies to.

use std::net::Ipv4Addr;

use serde_json::{Value, json};
use sluice_e2e::client::{self, Connection};
use sluice_e2e::limits::{self, body, body_with};

use crate::bed::{Limited, shared};

/// A caller's key and team.
type Who = (&'static str, &'static str);

const ANN: Who = ("sk-ann-1", "");
const ANN_AGAIN: Who = ("sk-ann-2", "");
const BOB: Who = ("sk-bob", "");
const CAT: Who = ("sk-cat", "");

fn ask(bed: &Limited, (key, team): Who, body: &Value) -> u16 {
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
fn assert_buckets(bed: &Limited, model: &str, turns: &[(Who, u16)]) {
    for (n, (who, want)) in turns.iter().enumerate() {
        assert_eq!(ask(bed, *who, &body(model)), *want, "{model}: turn {n} of {who:?}");
    }
}

#[test]
fn each_value_of_a_dimension_has_a_bucket_of_its_own() {
    let bed = shared();
    assert_buckets(
        &bed,
        "gpt-by-consumer",
        &[(ANN, 200), (ANN_AGAIN, 429), (BOB, 200), (CAT, 200), (BOB, 429)],
    );
    assert_buckets(&bed, "gpt-by-tier", &[(ANN, 200), (BOB, 429), (CAT, 200)]);
    assert_buckets(&bed, "gpt-by-key", &[(ANN, 200), (ANN_AGAIN, 200), (ANN, 429), (BOB, 200)]);
    assert_buckets(&bed, "gpt-by-model-1", &[(ANN, 200), (BOB, 429)]);
    assert_buckets(&bed, "gpt-by-model-2", &[(BOB, 200), (ANN, 429)]);
    let (red, blue) = ("red", "blue");
    assert_buckets(
        &bed,
        "gpt-by-header",
        &[(("sk-ann-1", red), 200), (("sk-bob", red), 429), (("sk-bob", blue), 200)],
    );
    assert_buckets(&bed, "gpt-by-header", &[(ANN, 200), (BOB, 429)]); // those without the header share one
    assert_buckets(
        &bed,
        "gpt-by-both",
        &[
            (("sk-ann-1", red), 200),
            (("sk-ann-1", blue), 200),
            (("sk-bob", red), 200),
            (("sk-ann-2", red), 429),
        ],
    );
    assert_buckets(&bed, "gpt-by-none", &[(ANN, 200), (BOB, 429), (CAT, 429)]);
}

#[test]
fn a_client_cannot_say_who_it_is_by_a_header() {
    let bed = shared();
    assert_eq!(ask(&bed, ANN, &body("gpt-forged")), 200);
    let forged = [
        ("authorization", "Bearer sk-ann-1"),
        ("x-mse-consumer", "bob"),
        ("ai.consumer", "bob"),
        ("x-ai-consumer", "bob"),
    ];
    assert_eq!(limits::chat(bed.gateway.address(), &forged, &body("gpt-forged")).status, 429);
}

#[test]
fn rules_and_addresses_have_buckets_too() {
    let bed = shared();
    assert_buckets(&bed, "gpt-by-rule", &[(ANN, 200), (BOB, 429)]);
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
        let request = client::request(
            "POST",
            "/v1/chat/completions",
            &headers,
            body("gpt-by-ip").to_string().as_bytes(),
        );
        client.write(&request).expect("a request");
        client.read().expect("an answer").status
    };
    let got = [[127, 0, 0, 1], [127, 0, 0, 2], [127, 0, 0, 1], [127, 0, 0, 3], [127, 0, 0, 2]].map(from);
    assert_eq!(got, [200, 200, 429, 200, 429]);
}

#[test]
fn a_limit_counts_only_what_its_conditions_hold_for() {
    let bed = shared();
    assert_buckets(&bed, "gpt-when-gold", &[(CAT, 200), (CAT, 200), (ANN, 200), (BOB, 429), (CAT, 200)]);
    let red = ("sk-bob", "red-1");
    assert_buckets(
        &bed,
        "gpt-when-bob",
        &[(BOB, 200), (red, 200), (red, 429), (BOB, 200), (("sk-bob", "blue"), 200), (ANN, 200)],
    );
    let long = json!({"messages": [{"role": "user", "content": "x".repeat(500)}]});
    let asked = |model: &str, members: &Value| ask(&bed, ANN, &body_with(model, members));
    let short = || asked("gpt-when-long", &json!({}));
    assert_eq!(
        [short(), asked("gpt-when-long", &long), short(), asked("gpt-when-long", &long), short()],
        [200, 200, 200, 429, 200]
    );
    let tools = json!({"tools": [{"type": "function", "function": {"name": "f"}}]});
    let plain = || asked("gpt-when-tools", &json!({}));
    assert_eq!(
        [plain(), asked("gpt-when-tools", &tools), plain(), asked("gpt-when-tools", &tools)],
        [200, 200, 200, 429]
    );
    assert_buckets(&bed, "gpt-unlimited", &[(ANN, 200), (ANN, 200), (ANN, 200)]);
}
