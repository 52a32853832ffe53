//! The look that spares the search: it hides nothing, and lets little pass.

use proptest::prelude::*;
use sluice_core::detect::{Form, fold};

use super::super::keywords::{Builder, Keywords};
use super::super::{Applies, Finding, Found};

fn keywords<S: AsRef<str>>(words: &[S]) -> Keywords {
    let words: Vec<String> = words.iter().map(|word| word.as_ref().to_owned()).collect();
    let mut builder = Builder::default();
    builder.add(0, &words, false).unwrap();
    builder.build().unwrap()
}

/// Where keywords are found: by a look first, and where all of the text is searched.
fn both(keywords: &Keywords, text: &str) -> [Vec<Finding>; 2] {
    let (folded, applies) = (fold(text, Form::Plain), Applies::new([0]));
    let found = || Found { folded: &folded, findings: Vec::new() };
    let (mut looked, mut searched) = (found(), found());
    keywords.find(&applies, folded.text(), 0, &mut looked);
    keywords.search(&applies, folded.text(), 0..folded.text().len(), 0, &mut searched);
    [looked.findings, searched.findings]
}

/// Whether the look lets the text pass, folded and, if it is ASCII, as it stands.
fn pass(keywords: &Keywords, text: &str) -> bool {
    let folded = keywords.may_stand_in(fold(text, Form::Plain).text());
    if text.is_ascii() {
        assert_eq!(keywords.may_stand_in(text), folded, "{text:?}");
    }
    folded
}

#[test]
fn text_without_the_letters_of_a_keyword_is_not_searched() {
    let keywords = keywords(&["internal codename", "nazi", "内部代号", "naïve plan", "c%%", "—dash—"]);
    let rows = [
        ("", false),
        ("Please summarise the notes of our meeting.", false),
        ("the intern has a code, the name is not known", false),
        ("内部的代号", false),
        ("wir hören später davon", false),
        ("internat, nasal, national", false),
        ("i-n t.e\nr_n a l", false),
        ("i-n t.e\nr_n a l code; name", true), // searched, and not found
        ("INTERNAL\u{0} codename", true),
        ("na zi", true),
        ("内 部 代号", true),
        ("naïve plan", true),
        ("naive plan", true), // behind the strange letter they are the same
        ("C % %", true),
        ("a dash", true),
        ("İ", true), // in lower case an i, and a dot
    ];
    for (text, want) in rows {
        assert_eq!(pass(&keywords, text), want, "{text:?}");
    }
}

#[test]
fn with_a_keyword_of_one_byte_every_text_is_searched() {
    for word in ["a", "é", "c++", "1 -"] {
        assert!(pass(&keywords(&["internal codename", word]), "nothing of it"), "{word}");
    }
    assert!(!pass(&keywords(&["ab"]), "nothing of it"));
}

#[test]
fn many_keywords_let_other_text_through() {
    let words: Vec<String> = (0..10_000).map(|number| format!("forbidden phrase {number:05}")).collect();
    let keywords = keywords(&words);
    assert!(!pass(&keywords, &"Phrases for bidding are as welcome as those of 00017 others. ".repeat(100)));
    assert!(pass(&keywords, "a forbidden  phrase 00017"));
    let text = format!("{0} forbidden\nphrase 00017 {0}", "Nothing here. ".repeat(1000));
    let [looked, searched] = both(&keywords, &text);
    assert_eq!((looked.len(), looked), (1, searched));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn a_look_hides_nothing_from_the_search(
        words in prop::collection::vec("[abAéÉßİk内 .-]{1,10}", 1..4),
        text in "[abABkéÉßẞİKａ内 \n\u{ad}\u{200b}.,-]{0,24}",
        at in any::<prop::sample::Index>(),
    ) {
        let words: Vec<_> = words.into_iter().filter(|word| !word.trim().is_empty()).collect();
        prop_assume!(!words.is_empty());
        let keywords = keywords(&words);
        // Often with a keyword in it, in capitals and split.
        let word: String = words[at.index(words.len())].to_uppercase().chars().flat_map(|char| [char, ' ']).collect();
        let whole = word.replace(' ', "");
        for text in [text.clone(), format!("{text}{word}{text}"), format!("{text}{whole}{text}"), format!("{}{whole}{text}{word}", text.repeat(30))] {
            let [looked, searched] = both(&keywords, &text);
            prop_assert!(searched.is_empty() || pass(&keywords, &text), "{:?} in {:?}", words, text);
            prop_assert_eq!(looked, searched, "{:?} in {:?}", words, text);
        }
    }
}
