use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Masks every e-mail address of the body, in the simplest sense of the word.
fn masked(vault: &mut Vault, body: &str) -> String {
    let mut document = Document::request(body.as_bytes().to_vec()).unwrap();
    vault.avoid(&document);
    for number in 0..document.passages().len() {
        let passage = document.passages()[number].clone();
        for range in addresses(&passage.text) {
            let with = vault.placeholder("email", &passage.text[range.clone()]);
            document.replace(number, range, &with);
        }
    }
    String::from_utf8(document.finish()).unwrap()
}

/// Ranges of words around an `@`.
fn addresses(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    for (at, char) in text.char_indices().chain([(text.len(), ' ')]) {
        if !(char.is_ascii_alphanumeric() || "@.".contains(char)) {
            let word = &text[start..at];
            if word.contains('@') {
                found.push(start..at);
            }
            start = at.saturating_add(char.len_utf8());
        }
    }
    found
}

fn restored(vault: &Vault, body: &str) -> String {
    let mut document = Document::answer(body.as_bytes().to_vec()).unwrap();
    vault.restore(&mut document);
    String::from_utf8(document.finish()).unwrap()
}

#[test]
fn values_leave_as_placeholders_wherever_they_stand() {
    for (body, want) in [
        (
            r#"{"messages":[{"role":"user","content":"I am a@b.c, not d@e.f; a@b.c!"}]}"#,
            r#"{"messages":[{"role":"user","content":"I am [EMAIL_1], not [EMAIL_2]; [EMAIL_1]!"}]}"#,
        ),
        // escapes, spaces and the order of members stay
        (
            r#"{ "messages" : [{"content":"\u00e9 \u0061@b.c \/ \ud83d\ude00 a@b.c", "role":"user"}] , "x":1.0}"#,
            r#"{ "messages" : [{"content":"\u00e9 [EMAIL_1] \/ \ud83d\ude00 [EMAIL_1]", "role":"user"}] , "x":1.0}"#,
        ),
        (
            r#"{"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{\"to\":\"a\\u0040b.c\"}"}}]},{"role":"user","content":"a@b.c"}]}"#,
            r#"{"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{\"to\":\"[EMAIL_1]\"}"}}]},{"role":"user","content":"[EMAIL_1]"}]}"#,
        ),
        // over the parts of one message
        (
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"at a@"},{"type":"text","text":"b.c "}]}]}"#,
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"at [EMAIL_1]"},{"type":"text","text":" "}]}]}"#,
        ),
        // what looks like a placeholder is the client's own
        (
            r#"{"input":["[EMAIL_1] and \u005bEMAIL_2]","a@b.c"]}"#,
            r#"{"input":["[EMAIL_1] and \u005bEMAIL_2]","[EMAIL_3]"]}"#,
        ),
        (
            r#"{"input":"a@b.c","input":"a@b.c","user":"a@b.c"}"#,
            r#"{"input":"[EMAIL_1]","input":"[EMAIL_1]","user":"a@b.c"}"#,
        ),
        (
            r#"{"tools":[{"function":{"parameters":{"properties":{"a@b.c":{"description":"a@b.c"}}}}}]}"#,
            r#"{"tools":[{"function":{"parameters":{"properties":{"[EMAIL_1]":{"description":"[EMAIL_1]"}}}}}]}"#,
        ),
    ] {
        assert_eq!(masked(&mut Vault::default(), body), want, "{body}");
    }
}

#[test]
fn answers_get_the_values_back() {
    let mut vault = Vault::default();
    let value = "\"é\"\n\\";
    assert_eq!(vault.placeholder("secret", value), "[SECRET_1]");
    assert_eq!(vault.stand_in("secret", "other"), "[SECRET_2]");
    let arguments = |value: &str| json!({"to": value, "n": 1.5}).to_string();
    let answer = |text: &str| {
        json!({"choices": [{"message": {"content": format!("{text}; [SECRET_2] [SECRET_1"),
            "tool_calls": [{"function": {"name": "f", "arguments": arguments(text)}}]}, "finish_reason": "stop"}]})
    };
    let got: Value = serde_json::from_str(&restored(&vault, &answer("[SECRET_1]").to_string())).unwrap();
    assert_eq!(got, answer(value));
    let plain = r#"{"choices":[{"message":{"content":"[SECRET_9] \u0061"}}]}"#;
    assert_eq!(restored(&vault, plain), plain);
}

#[test]
fn probabilities_of_a_changed_text_are_left_out() {
    let mut vault = Vault::default();
    vault.placeholder("name", "Ada");
    for (body, want) in [
        (
            r#"{"choices":[{"message":{"content":"[NAME_1]"},"logprobs":{"content":[{"token":"["}]}}]}"#,
            r#"{"choices":[{"message":{"content":"Ada"},"logprobs":null}]}"#,
        ),
        (
            r#"{"output":[{"type":"message","content":[{"type":"output_text","logprobs":[{"token":"["}],"text":"[NAME_1]"}]}]}"#,
            r#"{"output":[{"type":"message","content":[{"type":"output_text","logprobs":[],"text":"Ada"}]}]}"#,
        ),
        (
            r#"{"choices":[{"message":{"content":"Ada"},"logprobs":{"content":[]}}]}"#,
            r#"{"choices":[{"message":{"content":"Ada"},"logprobs":{"content":[]}}]}"#,
        ),
    ] {
        assert_eq!(restored(&vault, body), want);
    }
}

#[test]
fn findings_that_overlap_become_one() {
    for (ranges, want) in [
        (&[][..], &[][..]),
        (&[4..6, 0..2], &[(0..2, 1), (4..6, 0)]),
        (&[0..4, 2..6, 6..7, 8..8], &[(0..6, 0), (6..7, 2)]),
        (&[2..3, 2..9, 4..5], &[(2..9, 1)]),
    ] {
        assert_eq!(merged(ranges.iter().cloned()), want);
    }
}

#[test]
fn placeholders_that_could_still_be_completed_are_open() {
    let mut vault = Vault::default();
    assert_eq!(vault.open("a ["), 3);
    vault.placeholder("a b", "1");
    for (text, want) in [
        ("", 0),
        ("x", 1),
        ("x[", 1),
        ("x[A_B_1", 1),
        ("x[A_B_1]", 8),
        ("x[A_B_2", 7),
        ("[[A", 1),
        ("[A[", 2),
    ] {
        assert_eq!(vault.open(text), want, "{text}");
    }
    assert_eq!(format!("{vault:?}"), "Vault { placeholders: 1, .. }");
}

proptest! {
    #[test]
    fn what_is_masked_comes_back_as_it_was(words in proptest::collection::vec("[a-z]{1,3}(@[a-z]{1,2})?|\\PC{0,3}", 0..8), nested in any::<bool>()) {
        let text = words.join(" ") + " ";
        let content = if nested { json!([{"type": "text", "text": text}, {"type": "text", "text": text}]) } else { json!(text) };
        let body = json!({"messages": [{"role": "user", "content": content}]});
        let mut vault = Vault::default();
        let sent = masked(&mut vault, &body.to_string());
        prop_assert!(!Document::request(sent.clone().into_bytes()).unwrap().passages().iter().any(|passage| !addresses(&passage.text).is_empty()));
        let back: Value = serde_json::from_str(&restored(&vault, &sent)).unwrap();
        prop_assert_eq!(back, body);
    }
}
