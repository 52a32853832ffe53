//! Values that providers never see and clients get back.

use serde_json::{Value, json};
use sluice_e2e::client::Reply;
use sluice_e2e::sse;

use crate::bed::{Guarded, chat, chat_told, deny, told, transcribe, with};
use crate::speech::{self, Speech};

const MAIL: &str = "alice@example.com";

/// A keyword whose value must be escaped in JSON.
const ODD: &str = "ann \"the fox\" lee\\new";

/// Kinds of values, by placeholder.
const VALUES: [(&str, &str); 8] = [
    ("EMAIL", MAIL),
    ("PHONE", "+1 415 555 2671"),
    ("CARD", "4111 1111 1111 1111"),
    ("CN_ID", "11010519491231002X"),
    ("API_KEY", "AKIAIOSFODNN7EXAMPLE"),
    ("JWT", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"),
    (
        "PRIVATE_KEY",
        "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\n-----END PRIVATE KEY-----",
    ),
    ("ODD_NAMES", ODD),
];

/// The provider got `want` in the place of the text, and nothing of `value` anywhere.
#[track_caller]
fn assert_sent(bed: &Guarded, model: &str, want: &str, value: &str) {
    let sent = bed.sent(model);
    assert!(sent.contains(want), "no {want} in {sent}");
    let quoted = json!(value).to_string();
    assert!(!sent.contains(value) && !sent.contains(quoted.trim_matches('"')), "{value} in {sent}");
}

#[test]
fn every_kind_of_value_leaves_as_a_placeholder_and_comes_back() {
    let bed = deny();
    for (label, value) in VALUES {
        for stream in [false, true] {
            let model = format!("gpt-pii-kind-{}-{stream}", label.to_lowercase());
            let script = match stream {
                true => json!({"body": Speech::Chat.stream(&["It is [", label, "_", "1", "], right?"])}),
                false => json!({"body": Speech::Chat.whole(&format!("It is [{label}_1], right?"))}),
            };
            let reply =
                bed.gateway.chat(&chat_told(&model, &format!("Note {value}, please."), stream, script));
            assert_eq!(reply.status, 200, "{}", reply.text());
            assert_eq!(Speech::Chat.said(&reply), format!("It is {value}, right?"), "{}", reply.text());
            assert_sent(&bed, &model, &format!("Note [{label}_1], please."), value);
            let category = if label == "ODD_NAMES" { "keyword" } else { &label.to_lowercase() };
            let check = if label == "ODD_NAMES" { "odd-names" } else { "pii" };
            assert_eq!(bed.verdicts(&model), [format!("{check} request {category} high mask 1")]);
        }
    }
}

#[test]
fn the_same_value_is_the_same_placeholder_and_another_one_is_not() {
    let bed = deny();
    let model = "gpt-pii-same";
    let text = "a@b.io, c@d.io, a@b.io and [EMAIL_1] which is mine";
    let answer = Speech::Chat.whole("[EMAIL_2] [EMAIL_3] [EMAIL_1] [EMAIL_9] [PHONE_1] [EMAIL_2");
    let body = with(chat_told(model, text, false, json!({"body": answer})), &json!({"stop": "c@d.io"}));
    let reply = bed.gateway.chat(&body);
    assert_sent(&bed, model, "[EMAIL_2], [EMAIL_3], [EMAIL_2] and [EMAIL_1] which is mine", "a@b.io");
    assert!(bed.sent(model).contains("\"stop\":\"[EMAIL_3]\""), "in every place");
    assert_eq!(Speech::Chat.said(&reply), "a@b.io c@d.io [EMAIL_1] [EMAIL_9] [PHONE_1] [EMAIL_2");
    assert_eq!(bed.verdicts(model), ["pii request email high mask 4"]);
}

#[test]
fn every_other_byte_stays() {
    let bed = deny();
    let model = "gpt-pii-bytes";
    let body = format!(
        "{{ \"model\":\"{model}\",\n\"n\" : 1.0e0, \"messages\":[{{\"content\":\"\\u0061 \\/ {MAIL} \\ud83d\\ude00\",\"role\":\"user\"}}],\"é\":[ ] }}"
    );
    let reply = bed.post_raw("/chat/completions", &[], body.as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(bed.sent(model), body.replace(MAIL, "[EMAIL_1]"));
}

#[test]
fn a_value_is_masked_in_every_place_and_operation() {
    let bed = deny();
    for speech in Speech::ALL {
        for stream in [false, true] {
            let model = format!("gpt-pii-speech-{}-{stream}", speech.name());
            let body = match stream {
                true => speech.stream(&["Hello ", "[EMA", "IL_1", "]", ", bye."]),
                false => speech.whole("Hello [EMAIL_1], bye."),
            };
            let ask = speech.ask(&model, &format!("I am {MAIL}."), stream);
            let reply =
                bed.post(speech.path(), &[], &with(ask, &json!({"metadata": told(json!({"body": body}))})));
            assert_eq!(reply.status, 200, "{}", reply.text());
            assert_eq!(speech.said(&reply), format!("Hello {MAIL}, bye."), "{}", reply.text());
            assert_eq!(speech.ending(&reply), speech.stop());
            assert!(!reply.text().contains("EMAIL"), "nor does it stand anywhere else: {}", reply.text());
            assert_sent(&bed, &model, "I am [EMAIL_1].", MAIL);
        }
    }
}

#[test]
fn a_value_comes_back_however_its_placeholder_is_cut() {
    let bed = deny();
    let whole = format!("To {MAIL} and {MAIL}.");
    let parts: [&[&str]; 4] = [
        &["To [EMAIL_1] and [EMAIL_1]."],
        &["To ", "[EMAIL_1", "] and [EM", "AIL_1]", "."],
        &["To [", "E", "M", "A", "I", "L", "_", "1", "] and ", "[", "EMAIL_", "1].", ""],
        &["T", "o [E", "MAIL_1] a", "nd [EMAIL", "_1].", "", ""],
    ];
    let mut n = 0;
    let mut ask = |script: Value| {
        n += 1;
        let model = format!("gpt-pii-cut-{n}");
        let reply = bed.gateway.chat(&chat_told(&model, MAIL, true, script.clone()));
        assert_eq!(Speech::Chat.said(&reply), whole, "{script}: {}", reply.text());
        assert_eq!(Speech::Chat.ending(&reply), "stop", "{script}");
    };
    for deltas in parts {
        let body = Speech::Chat.stream(deltas);
        for size in [1, 2, 3, 7, 64] {
            ask(json!({"body": body, "write_size": size}));
        }
        let (first, last) = (body.find('[').expect("a placeholder"), body.rfind(']').expect("its end"));
        let inside = body[first..last].find("\"content\":").map_or(first, |at| first + at);
        for at in (inside.saturating_sub(6)..inside + 36).step_by(3) {
            ask(json!({"body": body, "pause_at": at}));
        }
    }
}

#[test]
fn values_come_back_in_tool_arguments_escaped_as_json_needs_it() {
    let bed = deny();
    let text = format!("Write to {ODD} at {MAIL}.");
    let arguments = json!({"to": "[ODD_NAMES_1]", "at": ["[EMAIL_1]"], "n": 1}).to_string();
    let want = json!({"to": ODD, "at": [MAIL], "n": 1});
    let call = |arguments: &str| json!([{"index": 0, "id": "c", "type": "function", "function": {"name": "send", "arguments": arguments}}]);
    let message = json!({"role": "assistant", "content": null, "tool_calls": call(&arguments)});
    let whole = json!({"id": "c1", "object": "chat.completion", "model": "m", "choices": [
        {"index": 0, "message": message, "finish_reason": "tool_calls"}]});
    let model = "gpt-pii-tool-whole";
    let reply = bed.gateway.chat(&chat_told(model, &text, false, json!({"body": whole.to_string()})));
    let got = reply.json()["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"].clone();
    assert_eq!(serde_json::from_str::<Value>(got.as_str().expect("text")).expect("JSON"), want);
    assert_sent(&bed, model, "Write to [ODD_NAMES_1] at [EMAIL_1].", MAIL);
    for size in [1, 2, 3, 5, 9, 100] {
        let model = format!("gpt-pii-tool-{size}");
        let pieces: Vec<String> = arguments
            .as_bytes()
            .chunks(size)
            .map(|piece| String::from_utf8_lossy(piece).into_owned())
            .collect();
        let deltas: Vec<Value> = pieces.iter().map(|piece| json!({"tool_calls": call(piece)})).collect();
        let script = json!({"body": speech::chunks(&deltas, "tool_calls"), "write_size": 50 * size});
        let reply = bed.gateway.chat(&chat_told(&model, &text, true, script));
        let got = arguments_of(&reply);
        assert_eq!(serde_json::from_str::<Value>(&got).expect("JSON"), want, "in pieces of {size}: {got}");
    }
}

/// The arguments of a streamed tool call.
fn arguments_of(reply: &Reply) -> String {
    let piece = |event: &sse::Event| {
        let delta = event.json()["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].clone();
        delta.as_str().map(str::to_owned)
    };
    reply.events().iter().filter_map(piece).collect()
}

#[test]
fn a_messages_tool_gets_its_values_back() {
    let bed = deny();
    let model = "gpt-pii-tool-messages";
    let pieces = ["{\"to\": \"[ODD_", "NAMES_1]\", \"at\"", ": \"[EMAIL", "_1]\"}"];
    let body = speech::message(&[
        ("thinking_delta", "thinking", &["of [EMA", "IL_1]"]),
        ("input_json_delta", "partial_json", &pieces),
    ]);
    let ask = Speech::Messages.ask(model, &format!("Write to {ODD} at {MAIL}."), true);
    let reply = bed.post("/messages", &[], &with(ask, &json!({"metadata": told(json!({"body": body}))})));
    let all = |path: &str| -> String {
        let events = reply.events();
        events.iter().filter_map(|event| Some(event.json().pointer(path)?.as_str()?.to_owned())).collect()
    };
    assert_eq!(all("/delta/thinking"), format!("of {MAIL}"));
    let arguments: Value = serde_json::from_str(&all("/delta/partial_json")).expect("JSON");
    assert_eq!(arguments, json!({"to": ODD, "at": MAIL}));
}

#[test]
fn values_in_tool_arguments_of_a_request_are_masked() {
    let bed = deny();
    let model = "gpt-pii-arguments";
    let arguments = json!({"to": ODD, "at": MAIL}).to_string();
    let call = json!([{"id": "c", "type": "function", "function": {"name": "send", "arguments": arguments}}]);
    let messages = json!([{"role": "assistant", "tool_calls": call}, {"role": "tool", "tool_call_id": "c", "content": MAIL}]);
    let reply = bed.gateway.chat(&json!({"model": model, "messages": messages}));
    assert_eq!(reply.status, 200, "{}", reply.text());
    let sent: Value = serde_json::from_str(&bed.sent(model)).expect("JSON");
    let got =
        sent["messages"][0]["tool_calls"][0]["function"]["arguments"].as_str().expect("text").to_owned();
    let want = json!({"to": "[ODD_NAMES_1]", "at": "[EMAIL_1]"});
    assert_eq!(serde_json::from_str::<Value>(&got).expect("JSON"), want);
    assert_eq!(sent["messages"][1]["content"], "[EMAIL_1]");
}

#[test]
fn what_the_model_makes_up_is_masked_and_not_restored() {
    let bed = deny();
    for (stream, deltas) in
        [(false, vec![]), (true, vec!["Ask bo", "b@exam", "ple.com or ", "bob@example.com."])]
    {
        let model = format!("gpt-invent-{stream}");
        let body = match stream {
            true => Speech::Chat.stream(&deltas),
            false => Speech::Chat.whole("Ask bob@example.com or bob@example.com."),
        };
        let reply = bed.gateway.chat(&chat_told(&model, "hi", stream, json!({"body": body})));
        assert_eq!(Speech::Chat.said(&reply), "Ask [EMAIL_1] or [EMAIL_1].", "{}", reply.text());
        assert_eq!(bed.verdicts(&model), ["made-up response email high mask 2"]);
    }
}

#[test]
fn logprobs_do_not_tell_what_was_masked() {
    let bed = deny();
    let mut body: Value = serde_json::from_str(&Speech::Chat.whole("Ask bob@example.com")).expect("JSON");
    body["choices"][0]["logprobs"] =
        json!({"content": [{"token": "bob@example.com", "logprob": -0.1, "bytes": [98]}]});
    let reply =
        bed.gateway.chat(&chat_told("gpt-invent-logprobs", "hi", false, json!({"body": body.to_string()})));
    assert!(!reply.text().contains("bob@"), "{}", reply.text());
}

#[test]
fn requests_that_run_together_get_their_own_values() {
    let bed = deny();
    std::thread::scope(|scope| {
        for n in 0..16 {
            let bed = &bed;
            scope.spawn(move || {
                let (model, mail) = (format!("gpt-pii-own-{n}"), format!("person{n}@example.com"));
                let script = json!({"body": Speech::Chat.stream(&["I ", "know [EMA", "IL_1]", "."]), "write_size": 11, "delay_ms": 50});
                let reply = bed.gateway.chat(&chat_told(&model, &mail, true, script));
                assert_eq!(Speech::Chat.said(&reply), format!("I know {mail}."));
            });
        }
    });
}

#[test]
fn a_multipart_request_is_masked_too() {
    let bed = deny();
    let model = "gpt-pii-form";
    let body = format!(
        "--x\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n--x\r\ncontent-disposition: form-data; name=\"prompt\"\r\n\r\nnames: {MAIL}\r\n--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\ncontent-type: audio/mpeg\r\n\r\n\x01\x02\r\n--x--\r\n"
    );
    let reply = transcribe(&bed, &body);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let seen = bed.providers[0].tagged(model);
    assert_eq!(String::from_utf8_lossy(&seen[0].body), body.replace(MAIL, "[EMAIL_1]"));
}

#[test]
fn a_request_without_values_and_its_answer_pass_untouched() {
    let bed = deny();
    let model = "gpt-pii-none";
    let answer = Speech::Chat.whole("[EMAIL_1] is not mine");
    let body = chat_told(model, "hi", false, json!({"body": answer}));
    let reply = bed.gateway.chat(&body);
    assert_eq!((reply.text(), bed.sent(model)), (answer, body.to_string()));
    assert_eq!(bed.record(model)["guard"], Value::Null);
    assert_eq!(bed.gateway.chat(&chat("gpt-pii-plain", "hello")).status, 200);
}
