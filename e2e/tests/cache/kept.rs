//! What clients say of keeping: in headers and in bodies.

use serde_json::{Value, json};
use sluice_e2e::bed::tag;
use sluice_e2e::cache::{self, Caller};
use sluice_e2e::wait;

use crate::bed::{Asked, Bed, shared, stream};

/// Asks with a `cache-control`.
#[track_caller]
fn control(bed: &Bed, test: &str, value: &str) -> Asked {
    let caller = Caller::nobody(&bed.gateway).with("cache-control", value);
    bed.chat_as(&caller, test, &json!({}))
}

fn say(asked: &Asked) -> String {
    asked.reply.json()["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn no_store_neither_looks_nor_keeps() {
    let bed = shared();
    bed.tell("no-store", &[json!({"say": "one"}), json!({"say": "two"}), json!({"say": "three"})]);
    let asked = control(&bed, "no-store", "no-store");
    assert_eq!((asked.label(), say(&asked).as_str()), ("bypass; reason=no-store", "one"));
    let asked = bed.chat("no-store", &json!({}));
    assert_eq!((asked.label(), say(&asked).as_str()), ("miss", "two"), "nothing was kept");
    let asked = control(&bed, "no-store", "private, No-Store");
    assert_eq!((asked.label(), say(&asked).as_str()), ("bypass; reason=no-store", "three"));
    let asked = bed.chat("no-store", &json!({}));
    assert_eq!((asked.label(), say(&asked).as_str()), ("hit", "two"), "nor replaced");
}

#[test]
fn no_cache_asks_anew_and_keeps_the_new_answer() {
    let bed = shared();
    bed.tell("no-cache", &[json!({"say": "one"}), json!({"say": "two"}), json!({"say": "three"})]);
    assert_eq!(bed.chat("no-cache", &json!({})).label(), "miss");
    let asked = control(&bed, "no-cache", "no-cache");
    assert_eq!((asked.label(), say(&asked).as_str()), ("miss; reason=no-cache", "two"));
    let asked = bed.chat("no-cache", &json!({}));
    assert_eq!((asked.label(), say(&asked).as_str()), ("hit", "two"));
}

#[test]
fn an_answer_may_be_as_old_as_the_client_says() {
    let bed = shared();
    bed.tell("max-age", &[json!({"say": "one"}), json!({"say": "two"})]);
    assert_eq!(bed.chat("max-age", &json!({})).label(), "miss");
    assert_eq!(control(&bed, "max-age", "max-age=3600").label(), "hit");
    wait::until("the answer to be two seconds old", || {
        let age = bed.chat("max-age", &json!({})).reply.header("age").map(str::to_owned);
        (age.expect("an age").parse::<u64>().expect("seconds") >= 2).then_some(())
    });
    assert_eq!(control(&bed, "max-age", "max-age=3600").label(), "hit");
    let asked = control(&bed, "max-age", "max-age=1");
    assert_eq!((asked.label(), say(&asked).as_str()), ("miss; reason=max-age", "two"));
    assert_eq!(say(&control(&bed, "max-age", "max-age=3600")), "two", "the new one is kept");
    assert_eq!(control(&bed, "max-age", "max-age=0").label(), "miss; reason=max-age");
}

#[test]
fn requests_that_ask_for_more_than_an_answer_are_passed_by() {
    let bed = shared();
    for (name, path, members, label) in [
        ("store-true", cache::CHAT, json!({"store": true}), "bypass; reason=store"),
        ("store-false", cache::CHAT, json!({"store": false}), "bypass; reason=store"),
        ("store-stream", cache::CHAT, json!({"store": true, "stream": true}), "bypass; reason=store"),
        ("responses-store", "/v1/responses", json!({"input": "hi", "store": false}), "bypass; reason=store"),
        (
            "background",
            "/v1/responses",
            json!({"input": "hi", "background": true}),
            "bypass; reason=background",
        ),
        (
            "conversation",
            "/v1/responses",
            json!({"input": "hi", "conversation": "c"}),
            "bypass; reason=conversation",
        ),
        ("operation", "/v1/audio/transcriptions", json!({}), "bypass; reason=operation"),
        ("odd-stream", cache::CHAT, json!({"stream_options": 1}), "bypass; reason=stream"),
    ] {
        let test = format!("passed-{name}");
        let body = cache::body(&test, &members).to_string();
        for _ in 0..2 {
            let reply = Caller::nobody(&bed.gateway).at(path).send(&body);
            assert_eq!((reply.status, cache::label(&reply)), (200, label), "{test}: {}", reply.text());
        }
        assert_eq!(bed.seen(&test).len(), 2, "{test}");
        let records = cache::wait_records(&bed.gateway, &format!("gpt-{test}"), 2);
        assert!(records.iter().all(|record| record["cache"] == label), "{records:?}");
    }
    let body = json!({"model": "other", "messages": [], "user": tag("passed-model")}).to_string();
    let labels = [(); 2].map(|()| cache::label(&Caller::nobody(&bed.gateway).send(&body)).to_owned());
    assert_eq!(labels, ["bypass; reason=model", "bypass; reason=model"]);
}

#[test]
fn plain_nothings_do_not_forbid_it() {
    let bed = shared();
    assert_eq!(bed.chat("nothings", &json!({})).label(), "miss");
    for members in [
        json!({"store": null}),
        json!({"background": false}),
        json!({"conversation": null}),
        json!({"background": null}),
    ] {
        let asked = bed.chat("nothings", &members);
        assert!(["miss", "hit"].contains(&asked.label()), "{members}: {}", asked.label());
        assert_eq!(bed.chat("nothings", &members).label(), "hit", "{members}");
    }
}

#[test]
fn a_hit_is_recorded_as_one() {
    let bed = shared();
    for (test, recorded, given) in [
        ("record-document", json!({}), json!({})),
        ("record-stream", stream(), stream()),
        ("record-converted", stream(), json!({})),
    ] {
        let miss = bed.chat(test, &recorded).record;
        assert_eq!((&miss["input_tokens"], &miss["output_tokens"]), (&json!(11), &json!(5)), "{miss}");
        assert_eq!(bed.chat(test, &given).label(), "hit");
        let hit = cache::wait_records(&bed.gateway, &format!("gpt-{test}"), 2).remove(1);
        let want = json!({"cache": "hit", "input_tokens": 0, "output_tokens": 0, "usage_source": "cache",
            "finish_reason": "stop", "response_model": format!("gpt-{test}@a"), "end": "complete", "status": 200,
            "consumer": "nobody", "operation": "chat", "stream": given["stream"] == true});
        for (name, value) in want.as_object().expect("an object") {
            assert_eq!(&hit[name], value, "{name} in {hit}");
        }
        for absent in ["attempts", "provider", "cached_tokens", "reasoning_tokens", "error"] {
            assert_eq!(hit[absent], Value::Null, "{absent} in {hit}");
        }
    }
}

#[test]
fn a_hit_costs_nothing_of_a_limit() {
    let bed = shared();
    let address = bed.gateway.address();
    for (test, members) in [("limited-document", json!({})), ("limited-stream", stream())] {
        let model = format!("gpt-{test}");
        let used = || ["total", "calls"].map(|limit| sluice_e2e::limits::used(address, &[], &model, limit));
        assert_eq!(bed.chat(test, &members).label(), "miss");
        assert_eq!(used(), [json!(16), json!(1)], "{test}");
        for _ in 0..5 {
            assert_eq!(bed.chat(test, &members).label(), "hit");
        }
        cache::wait_records(&bed.gateway, &model, 6);
        assert_eq!(used(), [json!(16), json!(1)], "{test}");
        let caller = Caller::nobody(&bed.gateway).with("cache-control", "no-cache");
        assert_eq!(bed.chat_as(&caller, test, &members).label(), "miss; reason=no-cache");
        assert_eq!(used(), [json!(32), json!(2)], "{test}");
    }
}
