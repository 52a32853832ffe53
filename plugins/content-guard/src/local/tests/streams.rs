//! A text in parts yields what it yields whole, wherever it is cut.

use proptest::prelude::*;
use sluice_core::detect::{Detector, Form};

use super::super::{Finding, Local, LocalRule, MAX_HELD, Settled};
use super::{all, keywords, local, regex};

/// Feeds `parts` as a stream's caller does; what was final by then, with its place in the whole text.
fn stream(local: &Local, form: Form, parts: &[&str]) -> Vec<Finding> {
    let (mut buffer, mut dropped, mut from) = (String::new(), 0, 0);
    let mut out = Vec::new();
    let moved = |finding: Finding, by: usize| Finding {
        range: finding.range.start + by..finding.range.end + by,
        ..finding
    };
    for part in parts {
        buffer.push_str(part);
        let Settled { until, keep } = local.settled(&all(), form, &buffer, from);
        assert!(keep <= until && from <= until && until <= buffer.len(), "{keep} {from} {until}");
        assert!(buffer.is_char_boundary(keep) && buffer.is_char_boundary(until));
        for finding in local.find(&all(), form, &buffer, from) {
            assert!(finding.range.start >= from);
            assert!(
                finding.range.end <= until || finding.range.start >= until,
                "a finding lies across {until}"
            );
            if finding.range.end <= until {
                out.push(moved(finding, dropped));
            }
        }
        buffer.drain(..keep);
        dropped += keep;
        from = until - keep;
    }
    out.extend(local.find(&all(), form, &buffer, from).into_iter().map(|finding| moved(finding, dropped)));
    out
}

/// Checks of every kind that can interfere with each other.
fn checks() -> Local {
    local([
        keywords(
            &[
                "internal codename",
                "codename x",
                "nazi",
                "内部代号",
                "ab",
                "abab",
                "a b",
                "in-house tool",
                "straße",
            ],
            false,
        ),
        keywords(&["cat", "cat food", "a", "well-known"], true),
        regex(&["a{2,5}b", r"\b[0-9]{3}\b", "end$", "内.号"]),
        LocalRule::Detect(vec![Detector::Email, Detector::Phone]),
        LocalRule::Detect(vec![Detector::Card, Detector::CnId]),
        LocalRule::Detect(vec![Detector::ApiKey, Detector::Jwt, Detector::PrivateKey]),
    ])
}

const TEXTS: [&str; 13] = [
    "the internal codename is out; INTERNAL\n codename, inter nal code name!",
    "i n t e r n a l c o d e n a m e and n-a-z-i, n.a.z.i. or n a z",
    "mail alice@example.com, or «bob@mail.example.org». git@github.com:x",
    "call +1 (415) 555-2671 or 13812345678, not 138123456789012 nor 1.13812345678",
    "card 4111 1111 1111 1111, id 11010519491231002X; 4111-1111-1111-1112",
    "a cat, a category, cat food, cats; cat",
    "key sk-a1B2c3D4e5F6g7H8a1B2c3D4e5F6g7H8. And ghp_a1B2c3D4e5F6g7H8a1B2c3D4e5F6g7H8a1B2!",
    "内部\u{200b}代号 内 部 代 号，ｉｎｔｅｒｎａｌ　ｃｏｄｅｎａｍｅ",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9 -",
    "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n-----END PRIVATE KEY-----\nthe end",
    "aaaaab aab 123 1234 the end",
    r#"{"q":"\u0069nternal\u0020codename","w":"\ud835\udc1b\\n","to":"a\u0040b.io"}"#,
    "inter-\nnal code-\nname, in-\nhouse tool, well-\nknown STRASSE STRAßE",
];

#[test]
fn every_split_point_finds_the_same() {
    let local = checks();
    for text in TEXTS {
        for form in [Form::Plain, Form::Json] {
            let want = local.find(&all(), form, text, 0);
            for at in (0..=text.len()).filter(|at| text.is_char_boundary(*at)) {
                let (head, tail) = text.split_at(at);
                assert_eq!(
                    sorted(stream(&local, form, &[head, tail])),
                    sorted(want.clone()),
                    "{head:?} | {tail:?}"
                );
            }
            let singly: Vec<String> = text.chars().map(String::from).collect();
            let singly: Vec<&str> = singly.iter().map(String::as_str).collect();
            assert_eq!(sorted(stream(&local, form, &singly)), sorted(want), "singly: {text:?}");
        }
    }
}

#[test]
fn plain_words_are_let_go_of_soon() {
    let local = local([keywords(&["internal codename"], false), LocalRule::Detect(Detector::ALL.to_vec())]);
    let rows = [
        ("Hello there, how are you?", ""),
        ("Hello there, how are", "are"),
        ("Hello there ", ""),
        ("The internal co", "internal co"),
        ("The intern", "intern"),
        ("The internal notes! ", ""),
        ("In 2024 there were 17 of", "of"),
        ("write to alice@exam", "alice@exam"),
        ("dial 138 1234", "138 1234"),
    ];
    for (text, held) in rows {
        let until = local.settled(&all(), Form::Plain, text, 0).until;
        assert_eq!(text[until..].trim_start(), held, "{text}");
    }
}

#[test]
fn nothing_grows_without_end() {
    let local = checks();
    for part in ["a", "a ", "1", "1 ", "a@", "-", "\u{200b}", " ", "ab", "eyJ", "sk-", "x.", "内"] {
        let text = part.repeat(100_000 / part.len());
        let Settled { until, keep } = local.settled(&all(), Form::Plain, &text, 0);
        assert!(text.len() - until <= MAX_HELD && until - keep <= MAX_HELD, "{part:?} {until} {keep}");
    }
}

fn sorted(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by_key(|finding| (finding.check, finding.range.start));
    findings
}

/// Text of parts that checks look at, in any order.
#[allow(clippy::too_many_lines, reason = "one table")]
fn texts() -> impl Strategy<Value = Vec<String>> {
    let parts = prop::sample::select(vec![
        "internal",
        "inter",
        "nal",
        "code",
        "name",
        "codename",
        "x",
        "i",
        "n",
        "a",
        "z",
        "b",
        "ab",
        "cat",
        "food",
        " ",
        "  ",
        "\n",
        "-",
        "-\n",
        ".",
        "\u{200b}",
        "\u{ad}",
        "ｎ",
        "ａ",
        "内",
        "部",
        "代",
        "号",
        "1",
        "138",
        "12345678",
        "4111 1111 1111 1111",
        "+",
        "415",
        "@",
        "alice",
        ".com",
        "sk-",
        "a1B2c3D4e5F6g7H8a1B2c3D4e5F6g7H8",
        "ghp_",
        "eyJhbGciOiJIUzI1NiJ9",
        "\\",
        "\\u006",
        "9",
        "\\n",
        "\\ud835",
        "\\udc1b",
        "end",
        "ß",
        "ẞ",
        "İ",
        "é",
        "Q~",
        "_",
        "-----",
        "BEGIN",
        " PRIVATE KEY",
        "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj",
        "END",
        "(",
        ")",
        ":",
    ]);
    prop::collection::vec(prop::collection::vec(parts, 0..6).prop_map(|parts| parts.concat()), 0..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(768))]

    #[test]
    fn any_parts_find_the_same(parts in texts(), json in any::<bool>()) {
        let local = checks();
        let form = if json { Form::Json } else { Form::Plain };
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let whole = parts.concat();
        let want = sorted(local.find(&all(), form, &whole, 0));
        prop_assert_eq!(sorted(stream(&local, form, &parts)), want, "{:?}", parts);
    }

    #[test]
    fn any_keywords_in_any_parts(words in prop::collection::vec("[ab ]{0,5}[ab][ab ]{0,5}", 1..5), whole in any::<bool>(), parts in prop::collection::vec("[ab \n.-]{0,7}", 0..12)) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let local = local([keywords(&words, whole)]);
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let want = sorted(local.find(&all(), Form::Plain, &parts.concat(), 0));
        prop_assert_eq!(sorted(stream(&local, Form::Plain, &parts)), want, "{:?} in {:?}", words, parts);
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>(), from in 0_usize..40, json in any::<bool>()) {
        let local = checks();
        let form = if json { Form::Json } else { Form::Plain };
        let _ = local.find(&all(), form, &text, from);
        let _ = local.settled(&all(), form, &text, (from..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len()));
    }
}
