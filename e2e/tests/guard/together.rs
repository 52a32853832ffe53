//! The guard with its neighbours: the cache behind it, the limits before it.

use serde_json::{Value, json};
use sluice_e2e::client::Reply;
use sluice_e2e::limits;

use crate::bed::{Guarded, PHRASE, allow, beds, chat_told, deny};
use crate::speech::Speech;

const ANN: (&str, &str) = ("authorization", "Bearer sk-ann");
const BOB: (&str, &str) = ("authorization", "Bearer sk-bob");

fn ask(
    bed: &Guarded,
    headers: &[(&str, &str)],
    model: &str,
    text: &str,
    stream: bool,
    script: Value,
) -> Reply {
    bed.post("/chat/completions", headers, &chat_told(model, text, stream, script))
}

fn cached(reply: &Reply) -> String {
    reply.header("x-ai-cache").unwrap_or("none").to_owned()
}

#[test]
fn masked_requests_share_an_entry_and_each_gets_its_own_values_back() {
    let bed = deny();
    for stream in [false, true] {
        let model = format!("gpt-pii-cached-{stream}");
        let script = match stream {
            true => json!({"body": Speech::Chat.stream(&["Mail [EM", "AIL_1] now"]), "write_size": 40}),
            false => json!({"body": Speech::Chat.whole("Mail [EMAIL_1] now")}),
        };
        let write = |who: (&str, &str), mail: &str, as_stream: bool| {
            let reply = ask(&bed, &[who], &model, &format!("write to {mail}"), as_stream, script.clone());
            assert_eq!(Speech::Chat.said(&reply), format!("Mail {mail} now"), "{}", reply.text());
            assert!(!reply.text().contains("EMAIL"), "{}", reply.text());
            cached(&reply)
        };
        assert_eq!(write(ANN, "one@example.com", stream), "miss");
        sluice_e2e::wait::until("the answer to be kept", || {
            (write(ANN, "two@example.com", stream) == "hit").then_some(())
        });
        assert_eq!(write(ANN, "three@example.com", !stream), "hit", "in the other form");
        assert_eq!(write(BOB, "one@example.com", stream), "miss", "another caller's is another's");
        let sent = bed.asked(&model);
        assert!(sent.iter().all(|seen| !String::from_utf8_lossy(&seen.body).contains("@example.com")));
        let record = bed.records(&model, 4).pop().expect("records");
        assert_eq!(crate::bed::verdicts(&record), ["pii request email high mask 1"]);
    }
}

#[test]
fn an_answer_that_was_withheld_is_not_kept() {
    for (bed, name) in beds().iter().zip(["deny", "allow"]) {
        for stream in [false, true] {
            for (what, text) in [("first", "internal codename X"), ("mid", "Hello internal codename X")] {
                let model = format!("gpt-said-cached-{what}-{stream}-{name}");
                for count in 1..=3 {
                    let reply = ask(bed, &[], &model, "hi", stream, json!({"say": text, "gap_ms": 40}));
                    assert!(!reply.text().contains("codename"), "{}", reply.text());
                    bed.records(&model, count);
                    assert_eq!(bed.asked(&model).len(), count, "{what} {stream} {name}");
                }
            }
        }
    }
}

#[test]
fn a_refused_request_is_neither_looked_up_nor_kept() {
    let bed = allow();
    let model = "gpt-ban-cached";
    for _ in 0..2 {
        let reply = ask(&bed, &[], model, PHRASE, false, json!({}));
        assert_eq!((reply.status, cached(&reply).as_str()), (200, "none"));
    }
    assert!(bed.records(model, 2).iter().all(|record| record["cache"].is_null()));
}

#[test]
fn a_kept_answer_is_checked_again() {
    for (bed, name) in beds().iter().zip(["deny", "allow"]) {
        for stream in [false, true] {
            let model = format!("gpt-kept-cached-{stream}-{name}");
            let script = json!({"body": match stream {
                true => Speech::Chat.stream(&["the internal", " codename"]),
                false => Speech::Chat.whole(PHRASE),
            }});
            let again = || ask(bed, &[], &model, "hi", stream, script.clone());
            sluice_e2e::wait::until("the answer to be kept", || (cached(&again()) == "hit").then_some(()));
            let asked = bed.asked(&model).len();
            for as_stream in [stream, !stream] {
                let reply = ask(bed, &[("x-strict", "1")], &model, "hi", as_stream, script.clone());
                assert!(!reply.text().contains("codename"), "{}", reply.text());
                let ending = if reply.status == 400 { reply.code() } else { Speech::Chat.ending(&reply) };
                assert_eq!(
                    ending,
                    if name == "deny" { "content_policy_violation" } else { "content_filter" }
                );
            }
            assert_eq!(bed.asked(&model).len(), asked, "it was a hit");
            assert_eq!(cached(&again()), "hit", "and stays one for others");
        }
    }
}

/// Tokens that were used of the limit for `model`.
fn used(bed: &Guarded, model: &str) -> Value {
    limits::used(bed.gateway.address(), &[], model, "total")
}

#[test]
fn a_refused_request_costs_no_tokens() {
    for (bed, name) in beds().iter().zip(["deny", "allow"]) {
        let model = format!("gpt-ban-limited-request-{name}");
        for stream in [false, true] {
            ask(bed, &[], &model, PHRASE, stream, json!({}));
        }
        bed.records(&model, 2);
        assert_eq!(used(bed, &model), 0, "{name}");
    }
    let bed = deny();
    let model = "gpt-hungq-limited";
    assert_eq!(ask(&bed, &[], model, "hello", false, json!({})).status, 503);
    assert_eq!(used(&bed, model), 0);
}

/// The error's text is an answer to be checked, and what the client gets in its place does not come past the limits.
#[test]
fn an_error_of_a_provider_costs_no_tokens_though_the_guard_withholds_it() {
    let error =
        json!({"error": {"message": format!("{PHRASE}, and violence"), "type": "invalid_request_error"}});
    let script = json!({"status": 400, "body": error.to_string()});
    let bed = deny();
    for group in ["said", "mod", "hunga"] {
        let model = format!("gpt-{group}-limited-error");
        for stream in [false, true] {
            let reply = ask(&bed, &[], &model, "hi", stream, script.clone());
            assert!(reply.status >= 400 && !reply.text().contains(PHRASE), "{group}: {}", reply.text());
        }
        bed.records(&model, 2);
        assert_eq!(bed.asked(&model).len(), 2, "{group}: both reached the provider");
        assert_eq!(used(&bed, &model), 0, "{group}");
    }
}

#[test]
fn a_withheld_answer_costs_its_tokens() {
    for (bed, name) in beds().iter().zip(["deny", "allow"]) {
        let model = format!("gpt-said-limited-{name}");
        ask(bed, &[], &model, "hi", false, json!({"body": Speech::Chat.whole(PHRASE)}));
        assert_eq!(used(bed, &model), 16, "{name}");
        let model = format!("gpt-said-limited-stream-{name}");
        ask(
            bed,
            &[],
            &model,
            "hi",
            true,
            json!({"say": "Hello internal codename X", "gap_ms": 40, "usage": "every"}),
        );
        let record = bed.record(&model);
        let total =
            record["input_tokens"].as_u64().unwrap_or(0) + record["output_tokens"].as_u64().unwrap_or(0);
        assert_eq!(used(bed, &model), total, "{record}");
        assert!(total > 11, "{record}");
    }
}
