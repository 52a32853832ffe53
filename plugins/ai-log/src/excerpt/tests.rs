//! What is shown of texts, wherever they are cut.

use proptest::prelude::*;

use super::*;

const EVERYTHING: Limit = Limit { chars: usize::MAX, bytes: usize::MAX };

const SECRETS: [(&str, &str); 7] = [
    ("alice@example.com", "[EMAIL]"),
    ("+49 30 901820", "[PHONE]"),
    ("4111 1111 1111 1111", "[CARD]"),
    ("11010519491231002X", "[CN_ID]"),
    ("sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCDEF", "[API_KEY]"),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U", "[JWT]"),
    (
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF\n-----END PRIVATE KEY-----",
        "[PRIVATE_KEY]",
    ),
];

fn limit(chars: usize) -> Limit {
    Limit { chars, bytes: MAX_BYTES }
}

fn of(pieces: &[(u32, &str)], limit: Limit, by_strings: bool, ended: bool) -> Option<Excerpt> {
    let mut gathered = Gathered::new(limit, by_strings);
    for (key, piece) in pieces {
        gathered.push(*key, 0, piece, Form::Plain);
    }
    gathered.excerpt(ended)
}

fn shown(text: &str, limit: Limit) -> String {
    of(&[(0, text)], limit, true, true).map(|excerpt| excerpt.text).unwrap_or_default()
}

#[test]
fn texts_are_redacted_joined_and_cut() {
    for (name, pieces, chars, ended, want, whole) in [
        ("one text", &[(0, "hello")][..], 9, true, "hello", None),
        ("two texts", &[(0, "hello"), (1, "you")], 9, true, "hello\nyou", None),
        ("parts of one", &[(0, "hel"), (1, "you"), (0, "lo")], 10, true, "hel\nlo\nyou", None),
        ("one that is too long", &[(0, "hello")], 4, true, "hell", Some(5)),
        ("a second that does not fit", &[(0, "hello"), (1, "you")], 5, true, "hello", Some(9)),
        ("characters, not bytes", &[(0, "äöüß€")], 4, true, "äöüß", Some(5)),
        ("a placeholder that just fits", &[(0, "to bob@example.com!")], 10, true, "to [EMAIL]", Some(19)),
        ("a placeholder that does not fit", &[(0, "to bob@example.com!")], 9, true, "to ", Some(19)),
        ("a finding over two parts", &[(0, "bob@exam"), (0, "ple.com")], 99, true, "[EMAIL]", None),
        ("a finding in one part only", &[(0, "4111111111111111"), (0, "1")], 99, true, "[CARD]\n1", None),
        (
            "findings side by side",
            &[(0, "bob@a.org "), (0, "bob@b.org")],
            99,
            true,
            "[EMAIL] \n[EMAIL]",
            None,
        ),
        ("no end", &[(0, "all is well at 4111 1111")], 99, false, "all is well at ", Some(24)),
        ("no end, nothing open", &[(0, "all is well.\n")], 99, false, "all is well.\n", Some(13)),
        ("empty texts", &[(0, ""), (1, "a"), (2, "")], 9, true, "a", None),
    ] {
        let want = Excerpt { text: want.to_owned(), chars: whole };
        assert_eq!(of(pieces, limit(chars), true, ended), Some(want), "{name}");
    }
    assert_eq!(of(&[(0, "")], limit(9), true, true), None);
}

#[test]
fn each_kind_of_secret_becomes_its_name_wherever_the_text_is_cut() {
    for (secret, name) in SECRETS {
        let text = format!("It is {secret} and no other, it is {secret}.");
        let redacted = format!("It is {name} and no other, it is {name}.");
        assert_eq!(shown(&text, EVERYTHING), redacted);
        for chars in 1..text.len() {
            let shown = shown(&text, limit(chars));
            assert!(redacted.starts_with(&shown) && shown.len() <= chars, "{chars}: {shown}");
            assert!(!shown.contains('[') || shown.contains(']'), "{chars}: {shown}");
        }
    }
}

#[test]
fn nothing_of_a_secret_is_shown_that_the_bound_or_what_is_kept_cuts_through() {
    for (secret, name) in SECRETS {
        for border in [MAX_BYTES, MAX_BYTES + MARGIN] {
            for before in (border - secret.len() - 3..border + 3).step_by(11) {
                let filler = "so it is. ".repeat(before / 10 + 1);
                let text = format!("{} {secret} and so on. {filler}", &filler[..before]);
                let redacted = text.replace(secret, name);
                let excerpt = of(&[(0, &text)], limit(usize::MAX), false, true).unwrap();
                assert!(redacted.starts_with(&excerpt.text), "{name} at {before}");
                assert!(excerpt.text.len() > MAX_BYTES - 16, "{name} at {before}: {}", excerpt.text.len());
                assert_eq!(excerpt.chars, u64::try_from(text.len()).ok());
            }
        }
    }
}

/// Pages of nothing that is seen can stand within a secret.
#[test]
fn a_secret_that_goes_on_behind_what_is_kept_is_not_begun() {
    let hidden = "\u{200b}".repeat(MAX_BYTES);
    let text = format!("Pay with 4111 1111{hidden} 1111 1111 today");
    assert_eq!(shown(&text, limit(2000)), "Pay with ");
    let token = format!("It is eyJ{}", "hbGciOiJIUzI1NiJ9".repeat(400));
    assert_eq!(of(&[(0, &token)], limit(50), false, false).unwrap().text, "It is ");
}

#[test]
fn what_is_kept_is_bounded() {
    let mut gathered = Gathered::new(limit(usize::MAX), false);
    let piece = "so it is. ".repeat(1000);
    for n in 0..20_000_usize {
        gathered.push(n % 10_000, 8, if n < 200 { &piece } else { "ab" }, Form::Plain);
    }
    let held: usize = gathered.passages.iter().map(|passage| passage.text.capacity()).sum();
    assert!(held <= 2 * MAX_KEPT, "{held}");
    assert!(gathered.passages.len() <= MAX_PASSAGES && gathered.passages.iter().all(|p| p.parts.is_empty()));
    let excerpt = gathered.excerpt(true).unwrap();
    assert_eq!(excerpt.text.len(), MAX_BYTES);
    assert!(excerpt.chars >= Some(200 * 10_000 + 19_800 * 2), "{:?}", excerpt.chars);
}

fn text() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        proptest::sample::select(SECRETS.to_vec()).prop_map(|(secret, _)| secret.to_owned()),
        "[a-z@. 0-9+-]{0,12}",
        "[\u{200b}\u{ff10}-\u{ff19}äé😀\\\\\"\n]{0,6}",
    ];
    prop::collection::vec(word, 0..12).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn a_cut_text_is_the_beginning_of_the_redacted_one(text in text(), chars in 0_usize..200) {
        let whole = shown(&text, EVERYTHING);
        let excerpt = of(&[(0, &text)], limit(chars), true, true);
        let shown = excerpt.as_ref().map_or("", |excerpt| &excerpt.text);
        prop_assert!(whole.starts_with(shown), "{shown:?} of {whole:?}");
        prop_assert!(shown.chars().count() <= chars);
        prop_assert_eq!(excerpt.as_ref().is_some_and(|excerpt| excerpt.chars.is_some()), shown.len() < whole.len());
    }

    #[test]
    fn a_text_without_its_end_shows_no_more_than_with_it(text in text(), at in 0_usize..200) {
        let at = text.floor_char_boundary(at);
        let begun = of(&[(0, &text[..at])], EVERYTHING, false, false).map(|excerpt| excerpt.text).unwrap_or_default();
        prop_assert!(shown(&text, EVERYTHING).starts_with(&begun), "{begun:?} of {text:?}");
    }

    #[test]
    fn deltas_add_up_however_they_are_cut(text in text(), at in prop::collection::vec(0_usize..200, 0..5)) {
        let mut at: Vec<usize> = at.into_iter().map(|at| text.floor_char_boundary(at)).collect();
        at.extend([0, text.len()]);
        at.sort_unstable();
        let pieces: Vec<_> = at.windows(2).map(|cut| (0, &text[cut[0]..cut[1]])).collect();
        prop_assert_eq!(of(&pieces, limit(60), false, true), of(&[(0, &text)], limit(60), true, true));
    }
}
