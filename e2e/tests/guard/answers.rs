//! Whole answers that a check objects to.

use serde_json::json;

use crate::bed::{PHRASE, REFUSAL, allow, beds, chat_told, deny, told, transcribe, with};
use crate::places;
use crate::speech::{Speech, error_code};

#[test]
fn a_whole_answer_is_checked_wherever_its_text_stands() {
    for (bed, name) in beds().iter().zip(["deny", "allow"]) {
        for (place, speech, body) in places::said("psst, the internal codename is X") {
            let model = format!("gpt-ban-whole-{place}-{name}");
            let ask = with(
                speech.ask(&model, "hi", false),
                &json!({"metadata": told(json!({"body": body.to_string()}))}),
            );
            let reply = bed.post(speech.path(), &[], &ask);
            assert!(!reply.text().contains("codename"), "{place}: {}", reply.text());
            if name == "deny" {
                assert_eq!(reply.status, 400, "{place}: {}", reply.text());
                let want = if speech == Speech::Messages {
                    "invalid_request_error"
                } else {
                    "content_policy_violation"
                };
                assert_eq!(error_code(&reply.json()).as_deref(), Some(want), "{place}");
                assert_eq!(reply.header("x-should-retry"), Some("false"));
            } else {
                assert_eq!(
                    (reply.status, speech.said(&reply).as_str()),
                    (200, REFUSAL),
                    "{place}: {}",
                    reply.text()
                );
                assert_eq!(speech.ending(&reply), speech.filtered(), "{place}");
            }
            assert_eq!(bed.verdicts(&model), ["banned response keyword high block 1"], "{place}");
        }
    }
}

#[test]
fn a_harmless_answer_passes_byte_for_byte() {
    let bed = deny();
    for (place, speech, body) in places::said("nothing to hide") {
        let model = format!("gpt-ban-fine-{place}");
        let ask = with(
            speech.ask(&model, "hi", false),
            &json!({"metadata": told(json!({"body": body.to_string()}))}),
        );
        let reply = bed.post(speech.path(), &[], &ask);
        assert_eq!((reply.status, reply.text()), (200, body.to_string()), "{place}");
    }
}

#[test]
fn text_that_is_no_json_is_checked_too() {
    let bed = deny();
    for (n, (kind, body)) in
        [("text/plain; charset=utf-8", PHRASE), ("text/vtt", "WEBVTT\n\n00:01 --> 00:02\ninternal\ncodename")]
            .into_iter()
            .enumerate()
    {
        let model = format!("gpt-ban-plain-{n}");
        let form = format!(
            "--x\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\ncontent-type: audio/mpeg\r\n\r\n\x01\x02\r\n--x--\r\n"
        );
        let script = sluice_e2e::script::Script::json(json!({"content_type": kind, "body": body}));
        bed.providers[0].once(script);
        let reply = transcribe(&bed, &form);
        assert_eq!(reply.status, 400, "{kind}: {}", reply.text());
    }
}

#[test]
fn a_withheld_answer_says_what_the_operator_wants() {
    let bed = deny();
    let reply = bed.gateway.chat(&chat_told(
        "gpt-ban-words",
        "hi",
        false,
        json!({"body": Speech::Chat.whole(PHRASE)}),
    ));
    assert_eq!(reply.json()["error"]["message"], REFUSAL);
    let bed = allow();
    let model = "gpt-ban-words-answer";
    let reply = bed.gateway.chat(&chat_told(model, "hi", false, json!({"body": Speech::Chat.whole(PHRASE)})));
    assert_eq!(reply.json()["choices"][0]["message"]["content"], REFUSAL);
    let record = bed.record(model);
    assert_eq!(
        (&record["finish_reason"], &record["status"]),
        (&json!("content_filter"), &json!(200)),
        "{record}"
    );
}

#[test]
fn the_providers_own_error_passes_unless_it_tells_what_is_not_to_be_told() {
    let bed = deny();
    let script = json!({"status": 400});
    let reply = bed.gateway.chat(&chat_told("gpt-ban-own-error", "hi", false, script));
    assert_eq!((reply.status, reply.code().as_str()), (400, "bad_parameter"));
    let body = json!({"error": {"message": "You said: internal codename", "type": "invalid_request_error", "code": "x"}});
    let script = json!({"status": 400, "body": body.to_string()});
    let reply = bed.gateway.chat(&chat_told("gpt-ban-telling-error", "hi", false, script));
    assert!(!reply.text().contains("codename"), "{}", reply.text());
}
