//! What is not looked up, and whose answers are not shared.

use serde_json::{Value, json};
use sluice_core::context;
use sluice_core::filter::Next;

use super::bed::{Bed, Client, document, question, streamed};

/// What the fact and the header say of a request that the provider answers.
fn label(bed: &mut Bed, client: &mut Client) -> String {
    let fact = client.fact(context::CACHE).unwrap_or_default();
    bed.answer(client, "fresh");
    assert_eq!(client.label().unwrap_or_default(), fact);
    assert_eq!(client.got, document("fresh").as_bytes());
    bed.done(client);
    fact
}

#[test]
fn some_requests_pass_by_and_leave_nothing_behind() {
    let with = |name: &str, value: Value| {
        let mut body = question("hi");
        body[name] = value;
        body.to_string()
    };
    let plain = question("hi").to_string();
    for (headers, body, want) in [
        (&[(":method", "PUT")][..], plain.clone(), "operation"),
        (&[(":path", "/v1/audio/speech")], plain.clone(), "operation"),
        (&[("content-type", "multipart/form-data; boundary=b")], plain.clone(), "body"),
        (&[("content-encoding", "gzip")], plain.clone(), "body"),
        (&[], String::new(), "body"),
        (&[], "[]".to_owned(), "body"),
        (&[], plain[..9].to_owned(), "body"),
        (&[("cache-control", "no-store")], plain.clone(), "no-store"),
        (&[("cache-control", "no-cache, No-Store")], plain.clone(), "no-store"),
        (&[], with("store", json!(true)), "store"),
        (&[], with("store", json!(false)), "store"),
        (&[(":path", "/v1/responses")], with("background", json!(true)), "background"),
        (&[(":path", "/v1/responses")], with("conversation", json!("conv_1")), "conversation"),
    ] {
        let mut bed = Bed::default();
        for _ in 0..2 {
            let mut client = bed.send("ann", headers, body.as_bytes());
            let want = format!("bypass; reason={want}");
            assert_eq!(label(&mut bed, &mut client), want, "{headers:?} {body}");
            assert_eq!(client.fact(context::RECORDER), None, "{want}");
        }
        assert_eq!([bed.count("bypasses"), bed.count("stored"), bed.count("misses")], [2, 0, 0], "{want}");
        assert!(bed.host.shared.is_empty(), "{want}");
        bed.assert_nothing_under_way();
    }
}

#[test]
fn what_was_asked_is_told_in_digits_that_are_the_same_for_everyone() {
    let mut bed = Bed::default();
    let mut digits = |consumer: &str, headers: &[(&str, &str)], body: &Value| {
        let client = bed.send(consumer, headers, body.to_string().as_bytes());
        client.fact(context::CACHE_KEY)
    };
    let first = digits("ann", &[], &question("hi"));
    assert!(first.as_ref().is_some_and(|digits| digits.len() == 16), "{first:?}");
    let mut kept = question("hi");
    kept["store"] = json!(true);
    let stored = digits("ann", &[], &kept);
    for (name, consumer, headers, body, want) in [
        ("again", "ann", &[][..], question("hi"), &first),
        ("another consumer", "bob", &[], question("hi"), &first),
        ("another cluster", "ann", &[("x-ai-cluster", "b")], question("hi"), &first),
        ("another form", "ann", &[], streamed("hi"), &first),
        ("not looked up", "ann", &[("cache-control", "no-cache")], question("hi"), &first),
        ("passed by for what it asks for", "bob", &[], kept, &stored),
        ("not looked at", "ann", &[("cache-control", "no-store")], question("hi"), &None),
        ("unreadable", "ann", &[], json!([]), &None),
    ] {
        assert_eq!(&digits(consumer, headers, &body), want, "{name}");
    }
    for (name, headers, body) in [
        ("another question", &[][..], question("ho")),
        ("another path", &[(":path", "/v1/messages")], question("hi")),
        ("another dialect", &[("openai-beta", "a")], question("hi")),
    ] {
        let other = digits("ann", headers, &body);
        assert!(other.is_some() && other != first && other != stored, "{name}");
    }
}

#[test]
fn only_the_models_named_are_cached() {
    let mut bed = Bed::new(json!({"models": ["gpt-4*"]}));
    for (model, base, want) in [
        ("gpt-4o", None, "miss"),
        ("openai/gpt-4.1", Some("gpt-4.1"), "miss"),
        ("o3", None, "bypass; reason=model"),
        ("openai/o3", Some("o3"), "bypass; reason=model"),
        ("", None, "bypass; reason=model"),
    ] {
        let client = bed.send_as(&[(context::MODEL, model)], base.map(|base| (context::BASE_MODEL, base)));
        assert_eq!(client.fact(context::CACHE).as_deref(), Some(want), "{model}");
    }
}

#[test]
fn answers_are_shared_no_wider_than_the_operator_says() {
    let asked = |scope: &str, [one, other]: [(&str, &str); 2]| {
        let mut bed = Bed::new(json!({"scope": scope}));
        let [mut first, second] = [one, other].map(|(consumer, tier)| {
            let mut client = bed.send_as(&[(context::CONSUMER, consumer), (context::TIER, tier)], None);
            if client.next == Next::Pass {
                bed.answer(&mut client, "for one");
                bed.done(&mut client);
            }
            client
        });
        bed.done(&mut first);
        second.fact(context::CACHE).unwrap_or_default()
    };
    for (scope, callers, want) in [
        ("consumer", [("ann", ""), ("ann", "")], "hit"),
        ("consumer", [("ann", "gold"), ("bob", "gold")], "miss"),
        ("consumer", [("", ""), ("", "")], "bypass; reason=consumer"),
        ("tier", [("ann", "gold"), ("bob", "gold")], "hit"),
        ("tier", [("ann", "gold"), ("ann", "iron")], "miss"),
        ("tier", [("ann", ""), ("bob", "")], "miss"),
        ("tier", [("ann", ""), ("ann", "")], "hit"),
        ("tier", [("gold", ""), ("bob", "gold")], "miss"),
        ("tier", [("", ""), ("", "")], "bypass; reason=consumer"),
        ("everyone", [("ann", "gold"), ("bob", "")], "hit"),
        ("everyone", [("ann", "gold"), ("", "")], "hit"),
    ] {
        assert_eq!(asked(scope, callers), want, "{scope} {callers:?}");
    }
}

#[test]
fn what_leads_elsewhere_or_says_something_else_is_another_question() {
    let mut bed = Bed::default();
    let mut first = bed.send("ann", &[("openai-beta", "a")], question("hi").to_string().as_bytes());
    bed.answer(&mut first, "Hello");
    bed.done(&mut first);
    let spaced = r#" { "messages" : [{"content":"\u0068i","role":"user"}], "model":"gpt-4o" } "#;
    let other_model = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], "seed": 1});
    for (headers, body, is_hit) in [
        (&[("openai-beta", "a")][..], spaced.to_owned(), true),
        (
            &[("openai-beta", "a"), ("user-agent", "x"), ("content-type", "application/json; charset=utf-8")],
            question("hi").to_string(),
            true,
        ),
        (
            &[("openai-beta", "a"), ("content-type", "application/json; charset=utf-7")],
            question("hi").to_string(),
            false,
        ),
        (&[("openai-beta", "a")], streamed("hi").to_string(), true),
        (&[], question("hi").to_string(), false),
        (&[("openai-beta", "b")], question("hi").to_string(), false),
        (&[("openai-beta", "a"), ("idempotency-key", "1")], question("hi").to_string(), false),
        (&[("openai-beta", "a"), ("x-ai-cluster", "openai.2")], question("hi").to_string(), false),
        (&[("openai-beta", "a"), (":path", "/v1/chat/completions?x=1")], question("hi").to_string(), false),
        (&[("openai-beta", "a")], other_model.to_string(), false),
        (&[("openai-beta", "a")], question("Hi").to_string(), false),
    ] {
        let mut client = bed.send("ann", headers, body.as_bytes());
        assert_eq!(client.hit().is_some(), is_hit, "{headers:?} {body}");
        bed.done(&mut client);
    }
    for (fact, value) in [(context::RULE, "o*"), (context::TARGET, "azure"), (context::BASE_MODEL, "x")] {
        let client = bed.send_as(&[(fact, value)], None);
        assert_eq!(client.hit(), None, "{fact:?}");
    }
}

#[test]
fn headers_that_the_operator_names_make_another_question() {
    for (raw, is_hit) in [(json!({}), true), (json!({"headers": ["X-Persona", ":authority"]}), false)] {
        for (name, one, other) in [("x-persona", "poet", "clerk"), (":authority", "a.example", "b.example")] {
            let mut bed = Bed::new(raw.clone());
            let body = question("hi").to_string();
            let mut first = bed.send("ann", &[(name, one)], body.as_bytes());
            bed.answer(&mut first, "Hello");
            bed.done(&mut first);
            assert!(bed.send("ann", &[(name, one)], body.as_bytes()).hit().is_some(), "{name}");
            let client = bed.send("ann", &[(name, other)], body.as_bytes());
            assert_eq!(client.hit().is_some(), is_hit, "{raw} {name}");
        }
    }
}

#[test]
fn a_client_may_ask_for_a_fresh_answer() {
    let mut bed = Bed::default();
    let body = question("hi").to_string();
    let mut first = bed.ask(&question("hi"));
    bed.answer(&mut first, "old");
    bed.done(&mut first);
    bed.host.advance_ms(10_000);
    for (control, want) in [
        ("max-age=10", "hit"),
        ("max-age=9", "miss; reason=max-age"),
        ("max-age=0", "miss; reason=max-age"),
        ("no-cache", "miss; reason=no-cache"),
        ("max-age=x", "miss; reason=max-age"),
    ] {
        let mut client = bed.send("ann", &[("cache-control", control)], body.as_bytes());
        assert_eq!(client.fact(context::CACHE).as_deref(), Some(want), "{control}");
        bed.done(&mut client);
    }
    let mut fresh = bed.send("ann", &[("cache-control", "no-cache")], body.as_bytes());
    bed.answer(&mut fresh, "new");
    bed.done(&mut fresh);
    assert_eq!(bed.ask(&question("hi")).hit(), Some(document("new").as_str()), "and it is kept");
}
