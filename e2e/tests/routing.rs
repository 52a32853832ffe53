//! Which provider serves a request, and with which bytes.
#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking"
)]

use std::collections::HashMap;

use serde_json::{Value, json};
use sluice_e2e::bed;
use sluice_e2e::client::{self, Connection};
use sluice_e2e::gateway::{Gateway, Options};
use sluice_e2e::upstream::Upstream;

const CHAT: &str = "/v1/chat/completions";
const JSON: (&str, &str) = ("content-type", "application/json");

/// Two providers that share `gpt-*`, `b` with `weight` of 100.
fn split_yaml(a: &Upstream, b: &Upstream, weight: u32, sticky: &str) -> String {
    format!(
        "providers: {{a: {{url: \"{}\"}}, b: {{url: \"{}\"}}}}
models:
  - match: \"gpt-*\"
    targets: [{{provider: a, weight: {}}}, {{provider: b, weight: {weight}}}]
    sticky: {sticky}
",
        a.url(),
        b.url(),
        100 - weight
    )
}

/// Who answers each of `users`, asked over one connection with `x-user: <user>`.
fn sides(gateway: &Gateway, users: impl Iterator<Item = String>) -> HashMap<String, String> {
    let mut client = Connection::open(gateway.address()).expect("the gateway listens");
    let body = br#"{"model":"gpt-4o","messages":[]}"#;
    let mut ask = |user: &str| {
        client.write(&client::request("POST", CHAT, &[JSON, ("x-user", user)], body)).expect("a request");
        let reply = client.read().expect("an answer");
        let model = reply.json()["model"].as_str().expect("a model").to_owned();
        model.rsplit('@').next().expect("a provider").to_owned()
    };
    users.map(|user| (user.clone(), ask(&user))).collect()
}

#[test]
fn ten_thousand_requests_split_90_to_10() {
    let (a, b) = (Upstream::start("a"), Upstream::start("b"));
    let gateway = Options::default().workers(2).start(&split_yaml(&a, &b, 10, "request"));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Connection::open(gateway.address()).expect("the gateway listens");
                let request = client::request("POST", CHAT, &[JSON], br#"{"model":"gpt-4o","messages":[]}"#);
                for _ in 0..2_500 {
                    client.write(&request).expect("a request");
                    assert_eq!(client.read().expect("an answer").status, 200);
                }
            });
        }
    });
    let (a, b) = (a.requests().len(), b.requests().len());
    assert_eq!(a + b, 10_000);
    assert!((800..=1_200).contains(&b), "{b} of 10,000 went to the 10 % side");
}

#[test]
fn the_same_header_value_always_lands_on_the_same_side() {
    let (a, b) = (Upstream::start("a"), Upstream::start("b"));
    let gateway = Options::default().workers(2).start(&split_yaml(&a, &b, 50, "\"header:x-user\""));
    let users = || (0..40).map(|n| format!("user-{n}"));
    let first = sides(&gateway, users());
    for _ in 0..4 {
        assert_eq!(sides(&gateway, users()), first);
    }
    for side in ["a", "b"] {
        assert!(
            first.values().filter(|answered| *answered == side).count() >= 8,
            "half of 40 each: {first:?}"
        );
    }
}

#[test]
fn growing_a_side_moves_users_only_into_it() {
    let (a, b) = (Upstream::start("a"), Upstream::start("b"));
    let sticky = "\"header:x-user\"";
    let gateway = Gateway::start(&split_yaml(&a, &b, 10, sticky));
    let users = || (0..400).map(|n| format!("user-{n}"));
    let before = sides(&gateway, users());
    let is_grown = |gateway: &Gateway| sides(gateway, users()) != before;
    gateway.rewrite_and_wait(&split_yaml(&a, &b, 20, sticky), is_grown);
    let after = sides(&gateway, users());
    let moved = |from: &str, to: &str| {
        before.iter().filter(|(user, side)| *side == from && after[*user] == to).count()
    };
    assert_eq!(moved("b", "a"), 0, "nobody leaves the grown side");
    assert!((15..=70).contains(&moved("a", "b")), "about 40 of 400 move into it, not {}", moved("a", "b"));
}

#[test]
fn without_consumers_a_consumer_split_goes_by_request() {
    let (a, b) = (Upstream::start("a"), Upstream::start("b"));
    let gateway = Gateway::start(&split_yaml(&a, &b, 50, "consumer"));
    sides(&gateway, (0..60).map(|_| "same".to_owned()));
    let (a, b) = (a.requests().len(), b.requests().len());
    assert!(a >= 10 && b >= 10, "{a} to {b}");
}

/// A body with everything that a parse tree would lose; `MODEL` stands for the model's string.
const ODD_BODY: &str = concat!(
    "{ \"zeta\":1.0e+05,\t\"temperature\" : 0.70,\r\n \"model\"  :  MODEL ,\"big\":12345678901234567890123,",
    "\"neg\":-0.0,\"x_unknown\":{\"b\":[1, 2,3],\"a\":null,\"model\":\"inner\"},\"dup\":1,\"dup\":2,",
    "\"esc\":\"\\u00e9\\/\\ud83d\\udeb0\",\"messages\":[{\"role\":\"user\",\"content\":\"\\\"model\\\":\\\"x\\\" é 你\"}] }\n"
);

#[test]
fn every_byte_but_the_model_reaches_the_provider_unchanged() {
    let provider = Upstream::start("a");
    let gateway = Gateway::start(&format!(
        "providers: {{a: {{url: \"{}\"}}}}
models:
  - {{match: \"gpt-*\", targets: [{{provider: a, model: deepseek-r1}}]}}
  - {{match: \"openai/*\", strip_prefix: \"openai/\", targets: [{{provider: a}}]}}
  - {{match: \"*\", targets: [{{provider: a}}]}}
",
        provider.url()
    ));
    for (asked, sent) in [
        ("\"gpt-4o\"", "\"deepseek-r1\""),
        ("\"openai/gpt-4o\"", "\"gpt-4o\""),
        ("\"as-asked\"", "\"as-asked\""),
        ("\"gpt-\\u0034\"", "\"deepseek-r1\""),
    ] {
        let body = ODD_BODY.replace("MODEL", asked);
        let reply = client::send(gateway.address(), "POST", CHAT, &[JSON], body.as_bytes());
        assert_eq!(reply.status, 200, "{}", reply.text());
        let seen = provider.requests().pop().expect("a request");
        assert_eq!(String::from_utf8_lossy(&seen.body), ODD_BODY.replace("MODEL", sent));
    }
}

#[test]
fn a_streams_body_gains_nothing_but_the_usage_option() {
    let bed = bed::shared();
    let body = ODD_BODY.replace("MODEL", "\"gpt-odd-stream\"").replacen('{', "{\"stream\":true,", 1);
    let reply = client::send(bed.gateway.address(), "POST", CHAT, &[JSON], body.as_bytes());
    assert_eq!(reply.status, 200);
    let seen = bed.providers[0].tagged("gpt-odd-stream").pop().expect("a request");
    let text = String::from_utf8(seen.body.clone()).expect("UTF-8");
    assert_eq!(seen.json()["stream_options"]["include_usage"], true);
    let start = text.find("\"stream_options\"").expect("the option");
    let end = start + text[start..].find('}').expect("its end") + 1;
    let without = [&text[..start], &text[end..]].concat();
    let squeezed = |text: &str| text.replace([',', ' '], "");
    assert_eq!(squeezed(&without), squeezed(&body), "only the option and its comma were put in");
}

#[test]
fn the_first_rule_that_matches_wins() {
    let names = ["wide", "narrow", "tools", "team", "long", "images", "rest"];
    let providers: Vec<Upstream> = names.into_iter().map(Upstream::start).collect();
    let list: String = providers
        .iter()
        .map(|provider| format!("  {}: {{url: \"{}\"}}\n", provider.name(), provider.url()))
        .collect();
    let gateway = Gateway::start(&format!(
        "providers:
{list}models:
  - {{match: \"cond-*\", when: {{has: [tools]}}, targets: [{{provider: tools}}]}}
  - {{match: \"cond-*\", when: {{has: [images]}}, targets: [{{provider: images}}]}}
  - {{match: \"cond-*\", when: {{headers: {{x-team: \"search*\"}}}}, targets: [{{provider: team}}]}}
  - {{match: \"cond-*\", when: {{min_input_tokens: 1000}}, targets: [{{provider: long}}]}}
  - {{match: [\"gpt-4?\", \"o[13]-{{mini,pro}}\"], targets: [{{provider: narrow}}]}}
  - {{match: \"gpt-*\", targets: [{{provider: wide}}]}}
  - {{match: \"*\", targets: [{{provider: rest}}]}}
"
    ));
    let tool = json!([{"type": "function", "function": {"name": "f"}}]);
    let image = json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]);
    let long = json!([{"role": "user", "content": "word ".repeat(4_000)}]);
    let plain = json!([{"role": "user", "content": "hi"}]);
    for (model, extra, team, want) in [
        ("gpt-4o", json!({}), "", "narrow"),
        ("gpt-4o-mini", json!({}), "", "wide"),
        ("o3-pro", json!({}), "", "narrow"),
        ("o2-pro", json!({}), "", "rest"),
        ("cond-1", json!({"tools": tool}), "search-1", "tools"),
        ("cond-1", json!({"messages": image}), "", "images"),
        ("cond-1", json!({}), "search-1", "team"),
        ("cond-1", json!({}), "sales", "rest"),
        ("cond-1", json!({"messages": long}), "", "long"),
    ] {
        let mut body = json!({"model": model, "messages": plain});
        for (name, value) in extra.as_object().expect("an object") {
            body[name] = value.clone();
        }
        let headers = [JSON, ("x-team", team)];
        let reply = client::send(gateway.address(), "POST", CHAT, &headers, body.to_string().as_bytes());
        assert_eq!(reply.json()["model"], format!("{model}@{want}"), "{}", reply.text());
    }
}

#[test]
fn every_operation_keeps_its_own_path() {
    let provider = Upstream::start("a");
    let gateway = Gateway::start(&format!(
        "providers: {{a: {{url: \"http://{}/compatible-mode/v1\", headers: {{x-team: search}}}}}}
models: [{{match: \"*\", targets: [{{provider: a, model: served}}]}}]
",
        provider.address()
    ));
    for path in ["/chat/completions", "/completions", "/embeddings", "/responses"] {
        let reply = gateway.post(path, &json!({"model": "m", "input": "hi", "prompt": "hi", "messages": []}));
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        let seen = provider.requests().pop().expect("a request");
        assert_eq!(seen.path, format!("/compatible-mode/v1{path}"));
        assert_eq!((seen.json()["model"].as_str(), seen.header("x-team")), (Some("served"), Some("search")));
    }
}

#[test]
fn a_forms_model_is_read_and_rewritten() {
    let provider = Upstream::start("a");
    let gateway = Gateway::start(&format!(
        "providers: {{a: {{url: \"{}\"}}}}
models: [{{match: \"whisper-*\", targets: [{{provider: a, model: served-whisper-large}}]}}]
",
        provider.url()
    ));
    let form = |model: &str| {
        let audio = "RIFF\r\n\u{0}name=\"model\"\r\n\r\nno\r\n";
        format!(
            "--X\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n{audio}\r\n\
             --X\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n--X--\r\n"
        )
    };
    let headers = [("content-type", "multipart/form-data; boundary=X")];
    let path = "/v1/audio/transcriptions";
    let reply = client::send(gateway.address(), "POST", path, &headers, form("whisper-1").as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
    let seen = provider.requests().pop().expect("a request");
    assert_eq!(String::from_utf8_lossy(&seen.body), form("served-whisper-large"));
    let reply = client::send(gateway.address(), "POST", path, &headers, form("unknown").as_bytes());
    assert_eq!((reply.status, reply.code().as_str()), (404, "model_not_found"));
    provider.forget();
    let part = "--X\r\ncontent-disposition: form-data; name=\"n\"\r\n\r\n\r\n";
    let second = "--X\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nhidden\r\n--X--";
    for hidden in [part.repeat(256) + second, format!("--X\r\nno blank line\r\n{second}")] {
        let body = form("whisper-1").replace("--X--\r\n", &hidden);
        let reply = client::send(gateway.address(), "POST", path, &headers, body.as_bytes());
        assert_eq!((reply.status, reply.code().as_str()), (400, "invalid_json"), "{}", reply.text());
    }
    assert!(provider.requests().is_empty());
}

#[test]
fn the_models_on_offer_can_be_listed() {
    let provider = Upstream::start("a");
    let gateway = Gateway::start(&format!(
        "providers: {{a: {{url: \"{}\"}}}}\nmodels: [{{match: [gpt-4o, \"qwen-*\"], targets: [{{provider: a}}]}}]\n",
        provider.url()
    ));
    let reply = client::get(gateway.address(), "/v1/models");
    assert_eq!((reply.status, reply.json()["object"].as_str()), (200, Some("list")), "{}", reply.text());
    let body = reply.json();
    let models: Vec<&Value> = body["data"].as_array().expect("a list").iter().collect();
    assert!(models.iter().any(|model| model["id"] == "gpt-4o" && model["object"] == "model"), "{models:?}");
    assert!(provider.requests().is_empty(), "the gateway itself answers");
}

#[test]
fn replicas_of_one_provider_share_its_requests() {
    let (a, b) = (Upstream::start("a"), Upstream::start("b"));
    let gateway = Gateway::start(&format!(
        "providers: {{pai: {{url: [\"{}\", \"{}\"], balance: round_robin}}}}
models: [{{match: \"*\", targets: [{{provider: pai}}]}}]
",
        a.url(),
        b.url()
    ));
    sides(&gateway, (0..20).map(|n| n.to_string()));
    let (a, b) = (a.requests().len(), b.requests().len());
    assert!(a >= 5 && b >= 5, "{a} to {b}");
}
