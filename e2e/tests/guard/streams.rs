//! Streams that a check objects to: nothing of the phrase leaves, and they end in good order.

use serde_json::{Value, json};
use sluice_e2e::client::{Connection, End, Reply};
use sluice_e2e::sse;

use crate::bed::{Guarded, LATE_MS, REFUSAL, beds, chat_told, deny, told, with};
use crate::speech::{self, Speech};

/// Words of the phrase that no client may see, together or alone.
#[track_caller]
fn assert_nothing_left(reply: &Reply, what: &str) {
    let text = reply.text();
    for word in ["codename", "internal", "nternal c"] {
        assert!(!text.contains(word), "{what}: {word} in {text}");
    }
}

fn ask(bed: &Guarded, speech: Speech, model: &str, script: Value) -> Reply {
    let ask = with(speech.ask(model, "hi", true), &json!({"metadata": told(script)}));
    bed.post(speech.path(), &[], &ask)
}

/// Where the second text begins in a stream whose first was said.
fn offset_of(body: &str, text: &str) -> usize {
    let at = body.find(text).expect("its text");
    body[..at].rfind("\n\n").map_or(0, |end| end + 2)
}

#[test]
fn a_block_in_mid_stream_ends_it_in_the_clients_protocol() {
    for (bed, name) in beds().iter().zip(["deny", "allow"]) {
        for speech in Speech::ALL {
            let model = format!("gpt-ban-mid-{}-{name}", speech.name());
            let body =
                speech.stream(&["Hello", " you", "The inter", "nal code", "name is X.", " And", " so on."]);
            let script = json!({"body": body, "pause_at": offset_of(&body, "The inter"), "gap_ms": 150});
            let reply = ask(bed, speech, &model, script);
            assert_eq!((reply.status, reply.end), (200, End::Clean), "{}", reply.text());
            assert_nothing_left(&reply, &model);
            assert_eq!(speech.said(&reply), "Hello you", "{}", reply.text());
            let want = match (name, speech) {
                ("allow", _) => speech.filtered().to_owned(),
                (_, Speech::Messages) => "error invalid_request_error".to_owned(),
                _ => "error content_policy_violation".to_owned(),
            };
            assert_eq!(speech.ending(&reply), want, "{}", reply.text());
            assert_eq!(
                reply.text().contains("[DONE]"),
                name == "allow" && matches!(speech, Speech::Chat | Speech::Text)
            );
            assert!(
                !reply.text().contains("so on") && !reply.text().contains("The "),
                "the rest is swallowed"
            );
            let record = bed.record(&model);
            assert_eq!(record["finish_reason"], "content_filter", "{record}");
            let error = if name == "deny" { json!("content_policy_violation") } else { Value::Null };
            assert_eq!(record["error"], error, "{record}");
            assert_eq!(crate::bed::verdicts(&record), ["banned response keyword high block 1"]);
        }
    }
}

#[test]
fn a_block_before_anything_has_left_is_a_clean_reply() {
    for (bed, name) in beds().iter().zip(["deny", "allow"]) {
        for speech in Speech::ALL {
            let model = format!("gpt-ban-first-{}-{name}", speech.name());
            let reply =
                ask(bed, speech, &model, json!({"body": speech.stream(&["internal", " codename", " X"])}));
            assert_nothing_left(&reply, &model);
            if name == "deny" {
                assert_eq!(reply.status, 400, "{}", reply.text());
                assert_eq!(reply.header("content-type"), Some("application/json"));
            } else {
                assert_eq!((reply.status, speech.said(&reply).as_str()), (200, REFUSAL), "{}", reply.text());
                assert_eq!(speech.ending(&reply), speech.filtered());
            }
        }
    }
}

#[test]
fn nothing_of_a_phrase_leaves_however_the_stream_is_cut() {
    let bed = deny();
    let cuts: [&[&str]; 6] = [
        &["Well, the internal codename is X"],
        &["Well, the ", "internal codename", " is X"],
        &["Well, the inter", "nal code", "name is X"],
        &[
            "Well, the i",
            "n",
            "t",
            "e",
            "r",
            "n",
            "a",
            "l",
            " ",
            "c",
            "o",
            "d",
            "e",
            "n",
            "a",
            "m",
            "e",
            " is X",
        ],
        &["Well, the internal", "\n", "", "  ", "codenam", "e is X"],
        &["Well, the INTERNAL\u{200b}", "\u{ad}", " Code", "\u{200d}name is X"],
    ];
    let mut n = 0;
    for deltas in cuts {
        let body = Speech::Chat.stream(deltas);
        for script in [
            json!({"body": body}),
            json!({"body": body, "write_size": 1}),
            json!({"body": body, "write_size": 13}),
            json!({"body": body.replace('\n', "\r\n"), "write_size": 1}),
            json!({"body": body, "write_size": 1, "trailers": true}),
        ] {
            n += 1;
            let model = format!("gpt-ban-cut-{n}");
            let reply = ask(&bed, Speech::Chat, &model, script.clone());
            let text = reply.text().to_lowercase();
            assert!(!text.contains("nternal") && !text.contains("name is"), "{script}: {text}");
            assert_eq!(bed.verdicts(&model), ["banned response keyword high block 1"], "{script}");
        }
    }
}

#[test]
fn nothing_of_a_phrase_leaves_wherever_the_stream_rests() {
    let bed = deny();
    let body = Speech::Chat.stream(&["Hi. ", "The internal", " codename is X"]);
    let from = offset_of(&body, "The inter");
    let last = body.find("is X").expect("its end");
    let next = std::sync::atomic::AtomicUsize::new(from);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(3, std::sync::atomic::Ordering::Relaxed);
                    if at > last {
                        return;
                    }
                    let model = format!("gpt-ban-rest-{at}");
                    let reply =
                        ask(&bed, Speech::Chat, &model, json!({"body": body, "pause_at": at, "gap_ms": 20}));
                    assert_nothing_left(&reply, &format!("at {at}"));
                }
            });
        }
    });
}

#[test]
fn everything_that_a_stream_says_is_checked() {
    let bed = deny();
    let halves = ["the internal", " codename is X"];
    let both = |delta: &dyn Fn(&str) -> Value| halves.map(delta).to_vec();
    let call = |text: &str| json!({"tool_calls": [{"index": 0, "function": {"arguments": text}}]});
    let arguments = vec![call("{\"q\": \"the intern\\u0061l"), call(" codename\"}")];
    for (what, deltas) in [
        ("reasoning", both(&|text| json!({"reasoning_content": text}))),
        ("thought", both(&|text| json!({"reasoning": text}))),
        ("refusal", both(&|text| json!({"refusal": text}))),
        ("arguments", arguments),
        ("unknown", both(&|text| json!({"content": "a", "aside": text}))),
    ] {
        let model = format!("gpt-ban-channel-{what}");
        let reply = ask(&bed, Speech::Chat, &model, json!({"body": speech::chunks(&deltas, "stop")}));
        assert!(!reply.text().contains("codename"), "{what}: {}", reply.text());
        assert_eq!(bed.verdicts(&model), ["banned response keyword high block 1"], "{what}");
    }
    for (what, block) in [
        ("thinking", ("thinking_delta", "thinking")),
        ("text", ("text_delta", "text")),
        ("input", ("input_json_delta", "partial_json")),
    ] {
        let model = format!("gpt-ban-block-{what}");
        let body = speech::message(&[("text_delta", "text", &["Hi."]), (block.0, block.1, &halves)]);
        let reply = ask(&bed, Speech::Messages, &model, json!({"body": body}));
        assert!(!reply.text().contains("codename"), "{what}: {}", reply.text());
        assert_eq!(bed.verdicts(&model), ["banned response keyword high block 1"], "{what}");
    }
}

#[test]
fn choices_are_texts_of_their_own() {
    let bed = deny();
    let choice = |index: u64, text: &str| {
        speech::chunk(&json!([{"index": index, "delta": {"content": text}, "finish_reason": null}]))
    };
    let stop = |index: u64| speech::chunk(&json!([{"index": index, "delta": {}, "finish_reason": "stop"}]));
    let harmless = choice(0, "internal ")
        + &choice(1, "codename")
        + &choice(0, "affairs")
        + &stop(0)
        + &stop(1)
        + "data: [DONE]\n\n";
    let reply = ask(&bed, Speech::Chat, "gpt-ban-choices", json!({"body": harmless}));
    assert_eq!((reply.status, Speech::Chat.ending(&reply).as_str()), (200, "stop"), "{}", reply.text());
    assert!(reply.text().contains("codename"), "said by another choice: {}", reply.text());
    let harmful = choice(0, "internal ")
        + &choice(1, "fine")
        + &choice(0, "codename")
        + &stop(0)
        + &stop(1)
        + "data: [DONE]\n\n";
    let reply = ask(&bed, Speech::Chat, "gpt-ban-choices-harmful", json!({"body": harmful}));
    assert_nothing_left(&reply, "choices");
}

#[test]
fn every_open_choice_of_a_stream_that_is_cut_is_finished() {
    let bed = crate::bed::allow();
    let choice = |index: u64, text: &str| {
        speech::chunk(&json!([{"index": index, "delta": {"content": text}, "finish_reason": null}]))
    };
    let first = choice(0, "one") + &choice(1, "two");
    let body = first.clone() + &choice(1, "internal codename") + "data: [DONE]\n\n";
    let reply = ask(
        &bed,
        Speech::Chat,
        "gpt-ban-open",
        json!({"body": body, "pause_at": first.len(), "gap_ms": 150}),
    );
    let finished = |index: u64| {
        reply.events().iter().any(|event| {
            let choice = event.json()["choices"][0].clone();
            choice["index"] == index && choice["finish_reason"] == "content_filter"
        })
    };
    assert!(finished(0) && finished(1) && sse::is_done(&reply.events()), "{}", reply.text());
}

#[test]
fn a_harmless_stream_passes_byte_for_byte() {
    let bed = deny();
    for speech in Speech::ALL {
        for size in [1, 17, 100_000] {
            let model = format!("gpt-ban-bytes-{}-{size}", speech.name());
            let body = format!(
                ": hello\n\n{}",
                speech.stream(&["The inter", "national code", " is 你好", "", " 🚰."])
            );
            let reply = ask(&bed, speech, &model, json!({"body": body, "write_size": size}));
            assert_eq!((reply.status, reply.text()), (200, body), "{model}");
            assert_eq!(bed.record(&model)["guard"], Value::Null);
        }
    }
}

#[test]
fn a_phrase_that_is_only_recorded_passes() {
    let bed = deny();
    let model = "gpt-note-stream";
    let body = Speech::Chat.stream(&["the internal", " codename", " is blue", " heron, a@b", ".io"]);
    let reply = ask(&bed, Speech::Chat, model, json!({"body": body, "write_size": 5}));
    assert_eq!((reply.status, reply.text()), (200, body));
    assert_eq!(
        bed.verdicts(model),
        ["noted response keyword high log 2", "noted-pii response email high log 1"]
    );
}

/// When each text came first, in milliseconds since the request.
fn times(bed: &Guarded, body: &Value, texts: &[&str]) -> Vec<u128> {
    let mut client = Connection::open(bed.gateway.address()).expect("the gateway listens");
    let headers = [("content-type", "application/json")];
    let request =
        sluice_e2e::client::request("POST", "/v1/chat/completions", &headers, body.to_string().as_bytes());
    let start = std::time::Instant::now();
    client.write(&request).expect("a request");
    let mut framing = client.read_head().expect("a head").framing(true);
    let (mut got, mut came) = (String::new(), vec![None; texts.len()]);
    while let Some(piece) = client.read_piece(&mut framing).expect("a stream that ends") {
        got.push_str(&String::from_utf8_lossy(&piece));
        for (time, text) in came.iter_mut().zip(texts) {
            if time.is_none() && got.contains(text) {
                *time = Some(start.elapsed().as_millis());
            }
        }
    }
    came.into_iter().map(|time| time.expect("every text comes")).collect()
}

#[test]
fn text_that_could_begin_a_phrase_waits_no_longer_than_it_may() {
    let bed = deny();
    let body = Speech::Chat.stream(&["Hello. ", "An internal", " affair"]);
    let at = offset_of(&body, " affair");
    let script = json!({"body": body, "pause_at": at, "gap_ms": 2500});
    let times =
        times(&bed, &chat_told("gpt-ban-hold", "hi", true, script), &["Hello", "An internal", " affair"]);
    assert!(
        times[1] >= 900 && times[1] < 2400,
        "after max_hold, which is 1 s, and before the rest: {times:?}"
    );
    assert!(times[2] >= 2400, "{times:?}");
}

#[test]
fn a_phrase_that_is_completed_too_late_still_ends_the_stream() {
    let bed = deny();
    let model = "gpt-ban-late";
    let body = Speech::Chat.stream(&["Hello. ", "An internal", " codename is X", " and more"]);
    let script = json!({"body": body, "pause_at": offset_of(&body, " codename"), "gap_ms": 1600});
    let reply = ask(&bed, Speech::Chat, model, script);
    assert!(!reply.text().contains("codename") && !reply.text().contains("and more"), "{}", reply.text());
    assert_eq!(Speech::Chat.ending(&reply), "error content_policy_violation");
}

#[test]
fn a_service_is_asked_about_less_than_a_window_when_text_has_waited_long_enough() {
    let bed = deny();
    let body = Speech::Chat.stream(&["Just a few words", " and some more"]);
    let script = json!({"body": body, "pause_at": offset_of(&body, " and some more"), "gap_ms": 2500});
    let asked = chat_told("gpt-mod-hold", "hi", true, script);
    let times = times(&bed, &asked, &["Just a few words", " and some more"]);
    assert!(times[0] >= 900 && times[0] < 2400, "after max_hold, which is 1 s: {times:?}");
}

#[test]
fn a_stream_leaves_only_after_its_service_has_passed_it() {
    let bed = deny();
    let words = ["Nothing to ", "see here, ", "move along."];
    let body = Speech::Chat.stream(&words);
    let times = times(&bed, &chat_told("gpt-late-passes", "hi", true, json!({"body": body})), &words);
    assert!(times.iter().all(|ms| *ms >= u128::from(LATE_MS) - 20), "nothing before its verdict: {times:?}");
    let body = Speech::Chat.stream(&["There is ", "violence."]);
    let reply = ask(&bed, Speech::Chat, "gpt-late-blocks", json!({"body": body}));
    assert_eq!((reply.status, reply.code().as_str()), (400, "content_policy_violation"), "{}", reply.text());
}
