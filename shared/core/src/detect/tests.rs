//! What is found and what is not, and that folded text leads back to the original.

mod found;
mod missed;

use proptest::prelude::*;

use super::{Detector, Form, fold};

/// What `detector` finds in `text` after folding, as it stands in `text`.
fn finds(detector: Detector, text: &str) -> Vec<&str> {
    let folded = fold(text, Form::Plain);
    let mut ranges = Vec::new();
    detector.find(folded.text(), 0, &mut ranges);
    ranges.into_iter().map(|range| &text[folded.original(range)]).collect()
}

#[test]
fn disguises_come_off() {
    let rows = [
        ("plain text", "plain text"),
        ("two  blanks\tand\r\n\r\nlines", "two blanks and lines"),
        ("\u{3000}wide\u{a0}blanks\u{2003}", " wide blanks "),
        ("ｆｕｌｌ　ｗｉｄｔｈ　１２３＠", "full width 123@"),
        ("ze\u{200b}ro\u{200d} wi\u{feff}dth", "zero width"),
        ("soft\u{ad}hyphen", "softhyphen"),
        ("tag\u{e0041}ged va\u{fe0f}r con\u{0}trol", "tagged var control"),
        ("right\u{202e}left", "rightleft"),
        ("𝐛𝑜𝓵𝔡 𝟏𝟚𝟯 ⓒⒾ ℋ", "bold 123 cI H"),
        ("ｶﾀｶﾅ｡", "カタカナ。"),
        ("内部代号 Ünïcode", "内部代号 Ünïcode"),
        (r"stays \u0061 and \n", r"stays \u0061 and \n"),
        ("", ""),
    ];
    for (text, want) in rows {
        assert_eq!(fold(text, Form::Plain).text(), want, "{text:?}");
    }
}

/// Long texts are read in blocks.
#[test]
fn white_space_is_one_space_wherever_it_stands() {
    let words = "some words of a text, as long as several blocks of it are; ".repeat(3);
    for at in 0..words.len() {
        for gap in [" ", "  ", "\n", " \t", "\u{3000} "] {
            let text = [&words[..at], gap, &words[at..]].concat();
            let folded = fold(&text, Form::Plain);
            let mut want = String::new();
            for char in text.chars().map(|char| if char.is_whitespace() { ' ' } else { char }) {
                if char != ' ' || !want.ends_with(' ') {
                    want.push(char);
                }
            }
            assert_eq!(folded.text(), want, "{at} {gap:?}");
        }
    }
}

#[test]
fn escapes_of_json_within_a_string_come_off() {
    let rows = [
        (r#"{"q":"\u0061lice"}"#, r#"{"q":"alice"}"#),
        (r"a\nb\t\r\n c", "a b c"),
        (r#"\"\\\/"#, r#""\/"#),
        (r"\\u0061", r"\u0061"),
        (r"\ud835\udc1a", "a"),
        (r"\uff41\u200b\u3000x", "a x"),
        (r"\ud835 lone", r"\ud835 lone"),
        (r"\udc1a lone", r"\udc1a lone"),
        (r"\q \u00g1", r"\q \u00g1"),
    ];
    for (text, want) in rows {
        assert_eq!(fold(text, Form::Json).text(), want, "{text}");
    }
}

#[test]
fn an_escape_that_is_cut_off_is_known_to_be() {
    let rows = [
        (r"ab\", 2),
        (r"ab\u", 2),
        (r"ab\u00", 2),
        (r"\ud835", 0),
        (r"\ud835\", 0),
        (r"\ud835\udc", 0),
        (r"ab\\", 4),
        (r"ab\n", 4),
    ];
    for (text, want) in rows {
        assert_eq!(fold(text, Form::Json).whole(), want, "{text}");
        assert_eq!(fold(text, Form::Plain).whole(), text.len(), "{text}");
    }
}

#[test]
fn every_detector_has_a_name_of_its_own() {
    for detector in Detector::ALL {
        assert_eq!(Detector::named(detector.name()), Some(detector));
        assert_eq!(serde_json::to_value(detector).unwrap(), detector.name());
    }
    assert_eq!(Detector::named("passport"), None);
}

#[test]
fn several_are_found_each() {
    let text = "a@b.io, c@d.io; a@b.io";
    assert_eq!(finds(Detector::Email, text), ["a@b.io", "c@d.io", "a@b.io"]);
    let text = "13812345678,13912345678/13712345678 and +1 415 555 2671";
    assert_eq!(
        finds(Detector::Phone, text),
        ["13812345678", "13912345678", "13712345678", "+1 415 555 2671"]
    );
}

/// Text in which much of what detectors look at comes near to each other.
fn texts() -> impl Strategy<Value = String> {
    let parts = prop::sample::select(vec![
        "a",
        "B",
        "7",
        "138",
        "1381234",
        "5678",
        "alice",
        "@",
        "example",
        ".com",
        ".",
        "-",
        "+",
        "(",
        ")",
        " ",
        "  ",
        "\n",
        "\u{200b}",
        "ａ",
        "１",
        "内",
        "é",
        "sk-",
        "AKIA",
        "ABCDEFGHIJKLMNOP",
        "ghp_",
        "eyJhbGciOiJIUzI1NiJ9",
        "-----BEGIN",
        " PRIVATE KEY-----",
        "-----END",
        "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC",
        "4111 1111 1111 1111",
        "11010519491231002X",
        "\\",
        "\\u00",
        "61",
        "\\ud835",
        "\\udc1a",
        "\"",
        "Q~",
        "_",
        "0",
        "/",
        ":",
    ]);
    prop::collection::vec(parts, 0..60).prop_map(|parts| parts.concat())
}

fn forms() -> impl Strategy<Value = Form> {
    prop::sample::select(vec![Form::Plain, Form::Json])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn folded_text_leads_back(text in texts(), form in forms(), a in 0_usize..400, b in 0_usize..400) {
        let folded = fold(&text, form);
        let fit = |at: usize| (at.min(folded.text().len())..=folded.text().len()).find(|at| folded.text().is_char_boundary(*at)).unwrap();
        let (a, b) = (fit(a), fit(b));
        let (start, end) = (a.min(b), a.max(b));
        let original = folded.original(start..end);
        let again = fold(&text[original.clone()], form);
        prop_assert_eq!(again.text(), &folded.text()[start..end]);
        if start < end {
            prop_assert_eq!(folded.at(original.start), start);
        }
    }

    #[test]
    fn folding_twice_changes_nothing(text in "\\PC{0,80}") {
        let once = fold(&text, Form::Plain);
        let twice = fold(once.text(), Form::Plain);
        prop_assert_eq!(once.text(), twice.text());
    }

    #[test]
    fn no_text_makes_a_detector_panic(text in any::<String>(), from in 0_usize..64, form in forms()) {
        let folded = fold(&text, form);
        for detector in Detector::ALL {
            let mut found = Vec::new();
            detector.find(folded.text(), from, &mut found);
            let open = detector.open(folded.text(), from.min(folded.text().len()));
            prop_assert!(folded.text().is_char_boundary(open));
            prop_assert!(found.iter().all(|range| folded.text().get(range.clone()).is_some()));
        }
    }

    #[test]
    fn findings_are_in_order_and_apart(text in texts()) {
        let folded = fold(&text, Form::Plain);
        for detector in Detector::ALL {
            let mut found = Vec::new();
            detector.find(folded.text(), 0, &mut found);
            prop_assert!(found.windows(2).all(|pair| pair[0].end <= pair[1].start), "{:?} {:?}", detector, found);
        }
    }

    #[test]
    fn what_a_detector_calls_decided_stays(text in texts(), more in texts()) {
        let known = fold(&text, Form::Plain);
        let all = format!("{}{}", known.text(), fold(&more, Form::Plain).text());
        for detector in Detector::ALL {
            let open = detector.open(known.text(), 0);
            let (mut before, mut after) = (Vec::new(), Vec::new());
            detector.find(known.text(), 0, &mut before);
            detector.find(&all, 0, &mut after);
            // One that is whole but reaches into what is open is not decided either.
            let open = before.iter().chain(&after).filter(|range| range.start < open && open < range.end).map(|range| range.start).min().unwrap_or(open);
            before.retain(|range| range.start < open);
            after.retain(|range| range.start < open);
            prop_assert_eq!(before, after, "{:?} {:?} + {:?}", detector, known.text(), more);
        }
    }
}
