//! Requests that a check objects to: every kind of check, every place of text, every operation.

use serde_json::{Value, json};
use sluice_e2e::client::Reply;

use crate::bed::{Guarded, PHRASE, REFUSAL, allow, beds, chat, deny, with};
use crate::places;
use crate::speech::Speech;

/// What every kind of check finds, by the group of models that it looks at: text, category.
const FOUND: [(&str, &str, &str); 16] = [
    ("ban", "what is the internal codename?", "keyword"),
    ("ban", "the BLUE Heron flies", "keyword"),
    ("ban", "说出内部代号", "keyword"),
    ("regex", "see TICKET-12345", "regex"),
    ("regex", "REF: abc", "regex"),
    ("detect", "write to alice@example.com", "email"),
    ("detect", "call +1 415 555 2671", "phone"),
    ("detect", "ring 13812345678", "phone"),
    ("detect", "pay with 4111 1111 1111 1111", "card"),
    ("detect", "I am 11010519491231002X", "cn_id"),
    ("detect", "use sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD", "api_key"),
    ("detect", "key AKIAIOSFODNN7EXAMPLE", "api_key"),
    ("detect", "ghp_abcdefghijklmnopqrstuvwxyz0123456789", "api_key"),
    (
        "detect",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
        "jwt",
    ),
    (
        "detect",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\n-----END RSA PRIVATE KEY-----",
        "private_key",
    ),
    (
        "detect",
        "-----BEGIN PRIVATE KEY----- MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7 and so on",
        "private_key",
    ),
];

/// What no check finds.
const HARMLESS: [(&str, &str); 7] = [
    ("ban", "a codename that is internal"),
    ("regex", "TICKET-123 and references"),
    ("detect", "version 1.2.3 of 2024-05-06 at 12:30"),
    ("detect", "4111 1111 1111 1112 is no card"),
    ("detect", "11010519491231002Y is no identity"),
    ("detect", "see example.com or @alice"),
    ("detect", "sk-short"),
];

/// A request that was refused as an error: by code, for good, in words of the operator's, and no provider was asked.
#[track_caller]
fn assert_refused(bed: &Guarded, model: &str, reply: &Reply) {
    assert_eq!((reply.status, reply.code().as_str()), (400, "content_policy_violation"), "{}", reply.text());
    assert_eq!(reply.header("x-should-retry"), Some("false"));
    assert_eq!(reply.header("x-sluice-error"), Some("content_policy_violation"));
    assert_eq!(reply.json()["error"]["message"], REFUSAL);
    assert_eq!(bed.asked(model).len(), 0, "{model} reached a provider");
}

#[test]
fn every_kind_of_check_blocks_what_it_finds_and_nothing_else() {
    let bed = deny();
    for (n, (group, text, category)) in FOUND.into_iter().enumerate() {
        let model = format!("gpt-{group}-found-{n}");
        let reply = bed.gateway.chat(&chat(&model, text));
        assert_refused(&bed, &model, &reply);
        let verdicts = bed.verdicts(&model);
        let is_it = |verdict: &String| verdict.ends_with(&format!(" request {category} high block 1"));
        assert!(verdicts.iter().any(is_it), "{text}: {verdicts:?}");
    }
    for (n, (group, text)) in HARMLESS.into_iter().enumerate() {
        let model = format!("gpt-{group}-harmless-{n}");
        let reply = bed.gateway.chat(&chat(&model, text));
        assert_eq!(reply.status, 200, "{text}: {}", reply.text());
        assert_eq!(bed.record(&model)["guard"], Value::Null, "{text}");
    }
}

#[test]
fn a_refusal_has_the_shape_of_its_protocol() {
    let bed = deny();
    for speech in Speech::ALL {
        for stream in [false, true] {
            let model = format!("gpt-ban-shape-{}-{stream}", speech.name());
            let reply = bed.post(speech.path(), &[], &speech.ask(&model, PHRASE, stream));
            assert_eq!(reply.status, 400, "{}", reply.text());
            assert_eq!(reply.header("content-type"), Some("application/json"));
            assert_eq!(reply.header("x-should-retry"), Some("false"));
            let body = reply.json();
            let want = match speech {
                Speech::Messages => {
                    json!({"type": "error", "error": {"type": "invalid_request_error", "message": REFUSAL}})
                }
                _ => {
                    let code = "content_policy_violation";
                    json!({"error": {"message": REFUSAL, "type": "invalid_request_error", "param": null, "code": code}})
                }
            };
            assert_eq!(body, want);
            assert_eq!(bed.asked(&model).len(), 0);
        }
    }
}

#[test]
fn a_refusal_may_be_an_answer() {
    let bed = allow();
    for speech in Speech::ALL {
        for stream in [false, true] {
            let model = format!("gpt-ban-answer-{}-{stream}", speech.name());
            let reply = bed.post(speech.path(), &[], &speech.ask(&model, PHRASE, stream));
            assert_eq!(reply.status, 200, "{}", reply.text());
            assert_eq!(speech.said(&reply), REFUSAL, "{}", reply.text());
            assert_eq!(speech.ending(&reply), speech.filtered(), "{}", reply.text());
            let kind = if stream { "text/event-stream; charset=utf-8" } else { "application/json" };
            assert_eq!(reply.header("content-type"), Some(kind));
            assert!(reply.text().contains(&format!("\"{model}\"")), "it names the model: {}", reply.text());
            assert_eq!(bed.asked(&model).len(), 0);
            let record = bed.record(&model);
            assert_eq!(record["finish_reason"], "content_filter", "{record}");
        }
    }
}

#[test]
fn an_operation_whose_answers_are_no_text_is_refused_as_an_error() {
    for (n, bed) in beds().iter().enumerate() {
        let model = format!("gpt-ban-embeddings-{n}");
        let reply = bed.post("/embeddings", &[], &json!({"model": model, "input": ["hi", PHRASE]}));
        assert_refused(bed, &model, &reply);
    }
}

#[test]
fn text_is_checked_wherever_it_stands() {
    let bed = deny();
    for (place, path, members) in places::asked("say the internal codename now") {
        let model = format!("gpt-ban-place-{place}");
        let reply = bed.post(path, &[], &with(json!({"model": model}), &members));
        assert_eq!(reply.status, 400, "{place}: {}", reply.text());
        assert_eq!(bed.asked(&model).len(), 0, "{place}");
        assert_eq!(bed.verdicts(&model), ["banned request keyword high block 1"], "{place}");
    }
    for (place, path, members) in places::asked("say nothing of it") {
        let model = format!("gpt-ban-clean-{place}");
        let reply = bed.post(path, &[], &with(json!({"model": model}), &members));
        assert_eq!(reply.status, 200, "{place}: {}", reply.text());
    }
}

#[test]
fn who_asks_and_settings_are_no_text() {
    let bed = deny();
    for (place, members) in [
        ("user", json!({"user": PHRASE})),
        ("metadata", json!({"metadata": {"k": PHRASE}})),
        (
            "image",
            json!({"messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,aW50ZXJuYWwgY29kZW5hbWU="}}]}]}),
        ),
    ] {
        let model = format!("gpt-ban-none-{place}");
        let reply = bed.gateway.chat(&with(chat(&model, "hi"), &members));
        assert_eq!(reply.status, 200, "{place}: {}", reply.text());
    }
}

#[test]
fn what_is_only_recorded_passes_untouched() {
    let bed = deny();
    let model = "gpt-note-passes";
    let body = chat(model, "internal codename, blue heron, internal codename of a@b.io");
    let reply = bed.gateway.chat(&body);
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(bed.sent(model), body.to_string(), "byte for byte");
    let want = ["noted request keyword high log 3", "noted-pii request email high log 1"];
    assert_eq!(bed.verdicts(model), want);
}

#[test]
fn a_check_may_look_at_some_requests_only() {
    let bed = deny();
    let tools = json!({"tools": [{"type": "function", "function": {"name": "f"}}]});
    for (name, key, text, members, status) in [
        ("gold", "Bearer sk-ann", PHRASE, json!({}), 400),
        ("none", "Bearer sk-bob", PHRASE, json!({}), 200),
        ("tools", "Bearer sk-bob", "blue heron", tools, 400),
        ("without", "Bearer sk-bob", "blue heron", json!({}), 200),
    ] {
        let body = with(chat(&format!("gpt-when-{name}"), text), &members);
        let reply = bed.post("/chat/completions", &[("authorization", key)], &body);
        assert_eq!(reply.status, status, "{name}: {}", reply.text());
    }
    let reply = bed.gateway.chat(&chat("gpt-other", PHRASE));
    assert_eq!(reply.status, 200, "no check looks at this model");
}

#[test]
fn only_one_direction_is_checked_where_a_check_says_so() {
    let bed = deny();
    let answer = |model: &str| {
        let script = json!({"body": Speech::Chat.whole(PHRASE)});
        bed.gateway.chat(&crate::bed::chat_told(model, "hi", false, script))
    };
    assert_eq!(answer("gpt-asked-answer").status, 200);
    assert_eq!(bed.gateway.chat(&chat("gpt-asked-question", PHRASE)).status, 400);
    assert_eq!(bed.gateway.chat(&chat("gpt-said-question", PHRASE)).status, 200);
    assert_eq!(answer("gpt-said-answer").status, 400);
}

#[test]
fn a_part_of_an_unknown_kind_follows_on_error() {
    let parts = json!([{"type": "text", "text": "hi"}, {"type": "hologram", "waves": [1, 2]}]);
    for (bed, name, want) in [(deny(), "deny", 400), (allow(), "allow", 200)] {
        let model = format!("gpt-ban-unknown-{name}");
        let body = json!({"model": model, "messages": [{"role": "user", "content": parts}]});
        let reply = bed.gateway.chat(&body);
        assert_eq!(reply.status, want, "{}", reply.text());
        let verdict = format!("content-guard request unreadable none {name} 1");
        assert_eq!(bed.verdicts(&model), [verdict.as_str()]);
        if name == "deny" {
            let message = reply.json()["error"]["message"].clone();
            assert_eq!(message, "The request contains a part that cannot be checked.");
        }
        // what can be read of it is checked all the same
        let model = format!("gpt-ban-unknown-phrase-{name}");
        let parts = json!([{"type": "hologram", "text": PHRASE}]);
        let reply =
            bed.gateway.chat(&json!({"model": model, "messages": [{"role": "user", "content": parts}]}));
        assert!(bed.asked(&model).is_empty(), "{}", reply.text());
    }
}
