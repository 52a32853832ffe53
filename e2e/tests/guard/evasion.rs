//! Ways around the guard that are none, and those that are: what is out of scope is said so here.

use serde_json::{Value, json};

use crate::bed::{chat, chat_told, deny, told, with};
use crate::places;
use crate::speech::{self, Speech};

/// Disguises of `internal codename` that are seen through.
const SEEN: [(&str, &str); 27] = [
    ("as it is", "internal codename"),
    ("capitals", "INTERNAL CodeName"),
    ("two blanks", "internal  codename"),
    ("a line break", "internal\ncodename"),
    ("a line break of Windows", "internal\r\ncodename"),
    ("tabs", "internal\t\tcodename"),
    ("a wide blank", "internal\u{3000}codename"),
    ("a blank that does not break", "internal\u{a0}codename"),
    ("zero-width blanks", "int\u{200b}ern\u{200b}al code\u{200b}name"),
    ("joiners", "int\u{200d}ernal code\u{200c}name"),
    ("a word joiner", "inter\u{2060}nal codename"),
    ("a byte-order mark", "inter\u{feff}nal codename"),
    ("soft hyphens", "in\u{ad}ter\u{ad}nal code\u{ad}name"),
    ("variation selectors", "internal\u{fe0f} codename"),
    ("tag characters", "inter\u{e0041}nal codename"),
    ("marks of direction", "inter\u{202e}nal\u{202c} codename"),
    ("full width", "ｉｎｔｅｒｎａｌ　ｃｏｄｅｎａｍｅ"),
    ("full width in part", "inｔernal coｄename"),
    ("mathematical letters", "𝐢𝐧𝐭𝐞𝐫𝐧𝐚𝐥 codename"),
    ("single letters", "i n t e r n a l  c o d e n a m e"),
    ("single letters in one row", "i n t e r n a l c o d e n a m e"),
    ("dashes", "i-n-t-e-r-n-a-l codename"),
    ("dots", "i.n.t.e.r.n.a.l c.o.d.e.n.a.m.e"),
    ("a hyphen at the end of a line", "inter-\nnal codename"),
    ("no blank", "internalcodename"),
    ("blanks elsewhere", "inter nal code name"),
    ("within a sentence", "(see:internal codename!)"),
];

/// What it does not claim to see through: whoever writes it passes.
const UNSEEN: [(&str, &str); 5] = [
    ("base64", "aW50ZXJuYWwgY29kZW5hbWU="),
    ("hexadecimal", "696e7465726e616c20636f64656e616d65"),
    ("rot13", "vagreany pbqranzr"),
    ("backwards", "emanedoc lanretni"),
    ("another language", "interner Deckname"),
];

#[test]
fn disguises_in_requests_are_seen_through() {
    let bed = deny();
    for (n, (disguise, text)) in SEEN.into_iter().enumerate() {
        let model = format!("gpt-ban-disguise-{n}");
        let reply = bed.gateway.chat(&chat(&model, text));
        assert_eq!((reply.status, bed.asked(&model).len()), (400, 0), "{disguise}: {text:?}");
    }
}

#[test]
fn disguises_in_answers_are_seen_through() {
    let bed = deny();
    for (n, (disguise, text)) in SEEN.into_iter().enumerate() {
        let letters: Vec<String> = text.chars().map(String::from).collect();
        let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
        for (form, stream, body) in [
            ("whole", false, Speech::Chat.whole(text)),
            ("stream", true, Speech::Chat.stream(&[text])),
            ("letters", true, Speech::Chat.stream(&letters)),
        ] {
            let model = format!("gpt-ban-said-{n}-{form}");
            let reply = bed.gateway.chat(&chat_told(&model, "hi", stream, json!({"body": body})));
            assert_eq!(reply.status, 400, "{disguise}, {form}: {}", reply.text());
        }
    }
}

#[test]
fn what_is_out_of_scope_passes_and_says_so() {
    let bed = deny();
    for (n, (disguise, text)) in UNSEEN.into_iter().enumerate() {
        let reply = bed.gateway.chat(&chat(&format!("gpt-ban-unseen-{n}"), text));
        assert_eq!(reply.status, 200, "{disguise} is seen through now: move it to the other table");
    }
    let parts =
        json!([{"type": "file", "file": {"file_data": "data:text/plain;base64,aW50ZXJuYWwgY29kZW5hbWU="}}]);
    let body = json!({"model": "gpt-ban-unseen-file", "messages": [{"role": "user", "content": parts}]});
    assert_eq!(bed.gateway.chat(&body).status, 200, "files in base64 are not read");
}

#[test]
fn structures_of_requests_hide_nothing() {
    let bed = deny();
    for (n, (what, members)) in places::HIDDEN.into_iter().enumerate() {
        let model = format!("gpt-ban-structure-{n}");
        let body = format!("{{\"model\":\"{model}\",{members}}}");
        let reply = bed.post_raw("/chat/completions", &[], body.as_bytes());
        assert_eq!((reply.status, bed.asked(&model).len()), (400, 0), "{what}: {}", reply.text());
    }
}

#[test]
fn structures_of_answers_hide_nothing() {
    let bed = deny();
    let call = |text: &str| json!({"tool_calls": [{"index": 0, "function": {"arguments": text}}]});
    let split = |texts: &[&str]| texts.iter().map(|text| call(text)).collect::<Vec<Value>>();
    for (what, body) in [
        (
            "arguments escaped",
            speech::chunks(&split(&["{\"q\":\"\\u0069nternal", " codename\"}"]), "tool_calls"),
        ),
        (
            "an escape cut in two",
            speech::chunks(&split(&["{\"q\":\"\\u00", "69nternal codename\"}"]), "tool_calls"),
        ),
        (
            "a backslash cut off",
            speech::chunks(&split(&["{\"q\":\"internal\\", "ncodename\"}"]), "tool_calls"),
        ),
        ("JSON escapes", Speech::Chat.stream(&["internal"]).replace("internal", "\\u0069nternal codename")),
        (
            "lines of data",
            Speech::Chat.stream(&["internal codename"]).replace("\"choices\"", "\ndata: \"choices\""),
        ),
        ("data that is no JSON", "data: internal codename\n\ndata: [DONE]\n\n".to_owned()),
    ] {
        let model = format!("gpt-ban-{}", what.replace(' ', "-"));
        let reply = bed.gateway.chat(&chat_told(&model, "hi", true, json!({"body": body})));
        assert!(!reply.text().contains("codename"), "{what}: {}", reply.text());
    }
}

#[test]
fn disguised_values_are_masked_whole() {
    let bed = deny();
    for (n, value) in
        ["alice@\u{200b}example.com", "ａｌｉｃｅ＠ｅｘａｍｐｌｅ．ｃｏｍ", "al\u{ad}ice@example.com"]
            .into_iter()
            .enumerate()
    {
        let model = format!("gpt-pii-disguise-{n}");
        let ask = with(
            chat(&model, &format!("I am {value}.")),
            &json!({"metadata": told(json!({"body": Speech::Chat.whole("You are [EMAIL_1].")}))}),
        );
        let reply = bed.gateway.chat(&ask);
        assert!(bed.sent(&model).contains("I am [EMAIL_1]."), "{}", bed.sent(&model));
        assert_eq!(Speech::Chat.said(&reply), format!("You are {value}."));
    }
}
