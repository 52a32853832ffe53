//! What is found, what is not, and that streams find the same.

#![allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails")]

mod evasion;
mod screen;
mod streams;

use sluice_core::detect::{Detector, Form};

use super::{Applies, Finding, Local, LocalCheck, LocalError, LocalRule};

fn keywords(words: &[&str], whole_words: bool) -> LocalRule {
    LocalRule::Keywords { words: words.iter().map(|word| (*word).to_owned()).collect(), whole_words }
}

fn regex(patterns: &[&str]) -> LocalRule {
    LocalRule::Regex(patterns.iter().map(|pattern| (*pattern).to_owned()).collect())
}

fn local(rules: impl IntoIterator<Item = LocalRule>) -> Local {
    let checks = rules.into_iter().enumerate().map(|(check, rule)| LocalCheck { check, rule });
    Local::new(checks.collect()).unwrap()
}

/// Every check there may be in a test.
fn all() -> Applies {
    Applies::new(0..8)
}

/// What is found in a plain text, as it stands in it.
fn finds<'a>(local: &Local, text: &'a str) -> Vec<&'a str> {
    local.find(&all(), Form::Plain, text, 0).into_iter().map(|finding| &text[finding.range]).collect()
}

#[test]
fn a_finding_names_its_check_and_category() {
    let local =
        local([keywords(&["alice"], false), regex(&["[0-9]{3}"]), LocalRule::Detect(Detector::ALL.to_vec())]);
    let found = local.find(&all(), Form::Plain, "alice@example.com 123", 0);
    let want = [(0, "keyword", 0..5), (2, "email", 0..17), (1, "regex", 18..21)];
    assert_eq!(found, want.map(|(check, category, range)| Finding { check, category, range }));
}

#[test]
fn only_checks_that_apply_run() {
    let local = local([keywords(&["one"], false), regex(&["two"]), LocalRule::Detect(vec![Detector::Email])]);
    for (checks, want) in
        [(vec![0], vec!["one"]), (vec![1], vec!["two"]), (vec![2, 7], vec!["a@b.io"]), (vec![], vec![])]
    {
        let text = "one two a@b.io";
        let applies = Applies::new(checks);
        let found: Vec<&str> =
            local.find(&applies, Form::Plain, text, 0).into_iter().map(|one| &text[one.range]).collect();
        assert_eq!(found, want);
    }
    assert!(!local.is_empty());
    assert!(Local::new(vec![]).unwrap().is_empty());
}

#[test]
fn overlapping_findings_of_one_check_are_united() {
    let local = local([keywords(&["abc", "cde", "abcde", "x", "cd"], false)]);
    for (text, want) in [
        ("abcde", vec!["abcde"]),
        ("abcdx", vec!["abcd", "x"]),
        ("abcabc", vec!["abc", "abc"]),
        ("ab", vec![]),
    ] {
        assert_eq!(finds(&local, text), want, "{text}");
    }
}

#[test]
fn whole_words_stand_alone() {
    let local = local([keywords(&["cat", "C++", "内部", "e-mail"], true)]);
    let rows = [
        ("cat", 1),
        ("a cat.", 1),
        ("(CAT)", 1),
        ("category", 0),
        ("tomcat", 0),
        ("cat_1", 0),
        ("cat's", 1),
        ("C++", 1),
        ("c++11", 1),
        ("这是内部代号", 1),
        ("猫cat猫", 1),
        ("e-mail", 1),
        ("e-mails", 0),
        ("c a t", 0),
    ];
    for (text, want) in rows {
        assert_eq!(finds(&local, text).len(), want, "{text}");
    }
}

#[test]
fn expressions_read_folded_text() {
    let local = local([regex(&[r"PROJ-\d+", r"(?i)\bsecret\b", "内部[ ]?代号"])]);
    let rows = [
        ("see PROJ-12.", vec!["PROJ-12"]),
        ("PROJ-", vec![]),
        ("ＰＲＯＪ－１２", vec!["ＰＲＯＪ－１２"]),
        ("PR\u{200b}OJ-1", vec!["PR\u{200b}OJ-1"]),
        ("SECRET secretly Secret", vec!["SECRET", "Secret"]),
        ("内部\n 代号", vec!["内部\n 代号"]),
    ];
    for (text, want) in rows {
        assert_eq!(finds(&local, text), want, "{text}");
    }
}

#[test]
fn what_cannot_be_looked_for_is_refused() {
    let build = |rule| Local::new(vec![LocalCheck { check: 3, rule }]).unwrap_err();
    assert_eq!(build(keywords(&["ok", " \u{200b}"], false)), LocalError::EmptyKeyword { check: 3, index: 1 });
    assert_eq!(build(keywords(&[&"x".repeat(257)], false)), LocalError::LongKeyword { check: 3, index: 0 });
    for (pattern, why) in [
        ("(", "unclosed group"),
        ("a*", "empty text"),
        (r"\b", "empty text"),
        (r"(\w{1000}){1000}", "size limit"),
    ] {
        let said = build(regex(&["ok", pattern])).to_string();
        assert!(said.starts_with("checks[3]: regex 1: ") && said.contains(why), "{pattern}: {said}");
    }
}

/// How much of `text` is found, and how many findings: work that does not grow with the square of the text.
#[test]
fn a_long_hostile_text_is_read_in_reasonable_time() {
    let local = local([
        keywords(&["aaaaaaaaaaaaaaab", "a b", "internal codename"], false),
        regex(&["(a|aa)+b", "[a-z]+@corp"]),
        LocalRule::Detect(Detector::ALL.to_vec()),
    ]);
    let parts = [
        "a",
        "a ",
        "a-",
        "1",
        "1 ",
        "1-",
        "@",
        "a@",
        "a.",
        "a@a.",
        "+1",
        "(4",
        "ey",
        "eyJhbGciOiJIUzI1NiJ9.",
        "sk-",
        "Q~",
        "8Q~a",
        "-",
        "-----BEGIN",
        "-----BEGIN PRIVATE KEY-----",
        "\u{200b}",
        "\\u00",
        "\\",
        " ",
        "ａ",
        "内 ",
        "ſ",
    ];
    for part in parts {
        let text = part.repeat((1 << 17) / part.len());
        for form in [Form::Plain, Form::Json] {
            let found = local.find(&all(), form, &text, 0);
            assert!(found.len() <= text.len());
            let settled = local.settled(&all(), form, &text, 0);
            assert!(settled.keep <= settled.until && settled.until <= text.len());
        }
    }
}
