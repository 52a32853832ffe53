use proptest::prelude::*;

use super::*;

fn glob(text: &str) -> Glob {
    text.parse().unwrap()
}

#[test]
fn a_glob_matches_the_whole_text() {
    for (pattern, yes, no) in [
        ("gpt-4", &["gpt-4"][..], &["gpt-4o", "xgpt-4", "GPT-4", "gpt-", ""][..]),
        ("gpt-4*", &["gpt-4", "gpt-4o", "gpt-4/x"], &["gpt-3", "a-gpt-4"]),
        ("*", &["", "a", "a/b/c", "é"], &[]),
        ("*/*", &["/", "a/b", "a/b/c"], &["ab"]),
        ("?", &["a", "é", "😀"], &["", "ab"]),
        ("a?c", &["abc", "a/c"], &["ac", "abbc"]),
        ("[abc]", &["a", "b", "c"], &["d", "ab", ""]),
        ("[a-cx-z]1", &["a1", "c1", "y1"], &["d1", "a", "-1"]),
        ("[!a-c]", &["d", "-", "é"], &["a", "b", ""]),
        ("[-a]", &["-", "a"], &["b"]),
        ("[a-]", &["-", "a"], &["b"]),
        ("[\\]\\-x]", &["]", "-", "x"], &["\\"]),
        ("[*?{,]", &["*", "?", "{", ","], &["a"]),
        ("[α-ω]", &["β"], &["b"]),
        ("{a,b}", &["a", "b"], &["ab", "", "a,b"]),
        ("x{a,b{c,d*}}y", &["xay", "xbcy", "xbdy", "xbd-y"], &["xby", "xaby"]),
        ("o{1,3,4}{-mini,}", &["o1", "o3-mini", "o4"], &["o2", "o1-mini-x"]),
        ("{a}", &["a"], &["{a}"]),
        ("a,b", &["a,b"], &["a", "b"]),
        ("\\*\\{\\}\\[", &["*{}["], &["x{}["]),
        ("a]", &["a]"], &["a"]),
        ("*a*b", &["ab", "aab", "xaxb", "abab"], &["ba", "aba"]),
    ] {
        let glob = glob(pattern);
        yes.iter().for_each(|text| assert!(glob.matches(text), "{pattern} matches {text}"));
        no.iter().for_each(|text| assert!(!glob.matches(text), "{pattern} does not match {text}"));
    }
}

#[test]
fn a_mistake_is_named_with_its_column() {
    for (pattern, want) in [
        ("", "column 1: a glob must not be empty"),
        ("ab\\", "column 3: nothing follows the backslash"),
        ("é[ab", "column 2: `[` is never closed"),
        ("[a\\", "column 3: nothing follows the backslash"),
        ("[a-", "column 1: `[` is never closed"),
        ("a[]", "column 2: `[]` names no character; write `\\[` for a bracket itself"),
        ("[!]", "column 1: `[]` names no character; write `\\[` for a bracket itself"),
        ("[^a]", "column 2: write `[!…]` for other characters, or `\\^` for the character itself"),
        ("[az-a]", "column 3: the range ends before it starts"),
        ("a{b,{c}", "column 2: `{` is never closed"),
        ("a}b", "column 2: `}` closes nothing; write `\\}` for the brace itself"),
        ("{a}}", "column 4: `}` closes nothing; write `\\}` for the brace itself"),
    ] {
        assert_eq!(pattern.parse::<Glob>().unwrap_err().to_string(), want, "{pattern}");
    }
}

#[test]
fn braces_have_bounds() {
    let doubled = "{a,b}".repeat(10);
    assert_eq!(glob(&doubled).literals().unwrap().len(), MAX_ALTERNATIVES);
    let mistake = |text: &str| text.parse::<Glob>().unwrap_err().mistake;
    assert_eq!(mistake(&"{a,b}".repeat(11)), Mistake::TooMany);
    assert_eq!(mistake(&"{".repeat(100_000)), Mistake::TooDeep);
    assert_eq!(mistake(&format!("{{{}}}", "a,".repeat(2000))), Mistake::TooMany);
}

#[test]
fn many_stars_do_not_explode() {
    let text = "a".repeat(2000);
    for pattern in
        [format!("{}b", "*a".repeat(200)), format!("{}b", "*?".repeat(200)), format!("{}b", "*".repeat(500))]
    {
        assert!(!glob(&pattern).matches(&text));
        assert!(glob(&pattern).matches(&format!("{text}b")));
    }
}

#[test]
fn a_glob_without_wildcards_lists_its_names() {
    for (pattern, want) in [
        ("gpt-4", Some(&["gpt-4"][..])),
        ("{gpt-4,o{1,3}}", Some(&["gpt-4", "o1", "o3"])),
        ("\\*", Some(&["*"])),
        ("{a,b*}", None),
        ("a?", None),
        ("[a]", None),
    ] {
        let want = want.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(glob(pattern).literals(), want, "{pattern}");
    }
}

#[test]
fn covering_is_claimed_only_where_certain() {
    for (ours, theirs, want) in [
        ("a*", "a*", true),
        ("*", "a?[b]", true),
        ("**", "x*", true),
        ("gpt-*", "gpt-4", true),
        ("gpt-*", "{gpt-4,gpt-5}", true),
        ("{a*,b*}", "{b*,a*}", true),
        ("gpt-*", "{gpt-4,o3}", false),
        ("gpt-*", "gpt-4*", false), // true, but not cheaply certain
        ("gpt-4", "gpt-*", false),
        ("?", "*", false),
    ] {
        assert_eq!(glob(ours).covers(&glob(theirs)), want, "{ours} over {theirs}");
    }
}

#[test]
fn a_set_matches_where_one_of_its_globs_does() {
    let set = GlobSet::parse(&["qwen-*", "deepseek-*"]).unwrap();
    assert!(set.matches("qwen-max") && set.matches("deepseek-r1") && !set.matches("gpt-4"));
    assert!(!GlobSet::default().matches(""));
    let (index, error) = GlobSet::parse(&["a", "b["]).unwrap_err();
    assert_eq!((index, error.column), (1, 2));
}

/// A pattern as a tree, and the obvious, exponential way to match it.
#[derive(Clone, Debug)]
enum Naive {
    Char(char),
    AnyChar,
    AnyText,
    Class(bool, Vec<(char, char)>),
    Either(Vec<Vec<Self>>),
}

fn written(pattern: &[Naive]) -> String {
    let part = |part: &Naive| match part {
        Naive::Char(char) => format!("\\{char}"),
        Naive::AnyChar => "?".to_owned(),
        Naive::AnyText => "*".to_owned(),
        Naive::Class(negated, ranges) => {
            let ranges: String = ranges.iter().map(|(first, last)| format!("{first}-{last}")).collect();
            format!("[{}{ranges}]", if *negated { "!" } else { "" })
        }
        Naive::Either(all) => {
            format!("{{{}}}", all.iter().map(|one| written(one)).collect::<Vec<_>>().join(","))
        }
    };
    pattern.iter().map(part).collect()
}

/// Every suffix of `text` that is left when `pattern` has matched the rest.
fn suffixes<'a>(pattern: &[Naive], text: &'a str) -> Vec<&'a str> {
    let Some((part, rest)) = pattern.split_first() else {
        return vec![text];
    };
    let char = text.chars().next();
    let after_char = || char.map(|char| &text[char.len_utf8()..]).into_iter().collect();
    let left: Vec<&str> = match part {
        Naive::Char(own) if char == Some(*own) => after_char(),
        Naive::AnyChar => after_char(),
        Naive::Class(negated, ranges)
            if char.is_some_and(|char| ranges.iter().any(|(a, b)| (a..=b).contains(&&char)) != *negated) =>
        {
            after_char()
        }
        Naive::Char(_) | Naive::Class(..) => vec![],
        Naive::AnyText => text.char_indices().map(|(at, _)| &text[at..]).chain([""]).collect(),
        Naive::Either(all) => all.iter().flat_map(|one| suffixes(one, text)).collect(),
    };
    left.into_iter().flat_map(|text| suffixes(rest, text)).collect()
}

fn pattern() -> impl Strategy<Value = Vec<Naive>> {
    let char = prop::sample::select(&['a', 'b', 'é', '/', '*'][..]);
    let range = prop::sample::select(&[('a', 'a'), ('a', 'b'), ('à', 'ö')][..]);
    let leaf = prop_oneof![
        4 => char.prop_map(Naive::Char),
        1 => Just(Naive::AnyChar),
        2 => Just(Naive::AnyText),
        1 => (any::<bool>(), prop::collection::vec(range, 1..3)).prop_map(|(negated, all)| Naive::Class(negated, all)),
    ];
    let part = leaf.prop_recursive(2, 8, 3, |inner| {
        let one = prop::collection::vec(inner, 0..3);
        prop::collection::vec(one, 1..3).prop_map(Naive::Either)
    });
    prop::collection::vec(part, 1..5)
}

proptest! {
    #[test]
    fn matching_agrees_with_a_naive_matcher(pattern in pattern(), text in "[abé/*]{0,7}") {
        let want = suffixes(&pattern, &text).contains(&"");
        prop_assert_eq!(glob(&written(&pattern)).matches(&text), want, "{} on {}", written(&pattern), text);
    }

    #[test]
    fn a_listed_name_matches_and_a_covered_glob_matches_no_more(a in pattern(), b in pattern(), text in "[abé/*]{0,5}") {
        let (a, b) = (glob(&written(&a)), glob(&written(&b)));
        prop_assert!(a.literals().unwrap_or_default().iter().all(|name| a.matches(name)));
        prop_assert!(!a.covers(&b) || !b.matches(&text) || a.matches(&text));
    }

    #[test]
    fn no_text_makes_it_panic(pattern in ".{0,12}", text in ".{0,8}") {
        if let Ok(glob) = pattern.parse::<Glob>() {
            let _ = glob.matches(&text);
        }
    }
}
