//! What can be said about globs without a name to match: how their names begin, what covers what.

use sluice_core::config::shown;
use sluice_core::glob::Glob;

/// Stands for `*` in a skeleton. Private use characters, which no name of a model holds.
const RUN: char = '\u{f8ff}';
/// Stands for `?` and `[…]` in a skeleton.
const ONE: char = '\u{f8fe}';

/// Parses a glob as model-router will.
///
/// # Errors
/// What is wrong with it; what to write instead.
pub(super) fn parse(text: &str) -> Result<Glob, String> {
    text.parse::<Glob>().map_err(|error| {
        let mistake = error.mistake.to_string();
        let advice = if mistake.contains("write") { "" } else { "; write * ? [abc] {a,b} or plain text" };
        let colon = if mistake.starts_with("write") { ";" } else { ":" };
        format!("{:?} is no glob, see its character {}{colon} {mistake}{advice}", shown(text), error.column)
    })
}

/// Whether a name that begins with `prefix` can match `glob`; `true` when it cannot be told.
pub(super) fn can_begin_with(glob: &str, prefix: &str) -> bool {
    skeletons(glob).is_none_or(|skeletons| skeletons.iter().any(|skeleton| begins(skeleton, prefix)))
}

fn begins(skeleton: &str, prefix: &str) -> bool {
    let mut steps = skeleton.chars();
    for wanted in prefix.chars() {
        match steps.next() {
            Some(RUN) => return true,
            Some(step) if step == ONE || step == wanted => {}
            _ => return false,
        }
    }
    true
}

/// Whether every name that matches `inner` certainly matches one of `outer`. May miss a cover, never invents
/// one: only `*` of an outer glob without `?` and `[…]` can take a private use character, and what takes it
/// takes everything else in its place as well.
pub(super) fn covers(outer: &[&str], inner: &str) -> bool {
    let parsed = |text: &&str| text.parse::<Glob>().ok();
    let simple = |text: &&&str| !text.contains(['?', '[', RUN, ONE]);
    let same =
        inner.parse().is_ok_and(|inner| outer.iter().filter_map(parsed).any(|glob| glob.covers(&inner)));
    let simple: Vec<Glob> = outer.iter().filter(simple).filter_map(parsed).collect();
    let taken = |skeleton: &String| simple.iter().any(|glob| glob.matches(skeleton));
    same || skeletons(inner).is_some_and(|skeletons| skeletons.iter().all(taken))
}

/// Whether some name can match both globs; `true` when it cannot be told.
pub(super) fn can_meet(one: &str, other: &str) -> bool {
    match (skeletons(one), skeletons(other)) {
        (Some(one), Some(other)) => one.iter().any(|one| other.iter().any(|other| meet(one, other))),
        _ => true,
    }
}

/// Globs that together match every name that `glob` lets through, less `prefix` where a name has it. A name that is
/// one of several in braces becomes a glob of its own. `None`: it cannot be told.
pub(super) fn less_prefix(glob: &str, prefix: &str) -> Option<Vec<String>> {
    if !glob.contains('{') {
        match glob.strip_prefix(prefix) {
            Some(rest) if escaped(prefix) == prefix => return Some(vec![rest.to_owned()]),
            _ if !can_begin_with(glob, prefix) => return Some(vec![glob.to_owned()]),
            _ => {}
        }
    }
    let whole = |skeleton: &String| match less(skeleton, prefix) {
        Less::Always(rest) => vec![written(&rest)],
        Less::Sometimes(rest) => vec![written(skeleton), written(&rest)],
        Less::Never => vec![written(skeleton)],
    };
    Some(skeletons(glob)?.iter().flat_map(whole).collect())
}

/// What is left of the names of a skeleton when a prefix is taken off.
enum Less {
    /// All of them have it.
    Always(String),
    /// Some of them may have it.
    Sometimes(String),
    /// None has it.
    Never,
}

fn less(skeleton: &str, prefix: &str) -> Less {
    let mut steps = skeleton.chars();
    let mut always = true;
    for wanted in prefix.chars() {
        match steps.next() {
            Some(RUN) => return Less::Sometimes(format!("{RUN}{}", steps.as_str())),
            Some(ONE) => always = false,
            Some(step) if step == wanted => {}
            _ => return Less::Never,
        }
    }
    let rest = steps.as_str().to_owned();
    if always { Less::Always(rest) } else { Less::Sometimes(rest) }
}

/// A skeleton as a glob.
fn written(skeleton: &str) -> String {
    skeleton
        .chars()
        .map(|char| match char {
            RUN => "*".to_owned(),
            ONE => "?".to_owned(),
            char => escaped(char.encode_utf8(&mut [0; 4])),
        })
        .collect()
}

/// A glob that matches exactly `text`.
pub(super) fn escaped(text: &str) -> String {
    let special = |c: char| "*?[]{},!\\".contains(c);
    text.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

/// Whether some text fits both skeletons.
fn meet(one: &str, other: &str) -> bool {
    let other: Vec<char> = other.chars().collect();
    // for each number of steps of `other`: whether they fit some text that all steps of `one` so far fit
    let mut fits = vec![true];
    fits.extend(other.iter().scan(true, |fits, step| {
        *fits = *fits && *step == RUN;
        Some(*fits)
    }));
    for step in one.chars() {
        let mut left = step == RUN && fits.first() == Some(&true);
        let mut next = vec![left];
        for (before, other) in fits.windows(2).zip(&other) {
            let &[diagonal, above] = before else { continue };
            left = match (step, *other) {
                (RUN, _) | (_, RUN) => above || left,
                (ONE, _) | (_, ONE) => diagonal,
                (step, other) => diagonal && step == other,
            };
            next.push(left);
        }
        fits = next;
    }
    fits.last() == Some(&true)
}

/// The glob's alternatives, their wildcards replaced by [`RUN`] and [`ONE`].
fn skeletons(glob: &str) -> Option<Vec<String>> {
    let mut skeleton = String::new();
    let mut chars = glob.chars();
    while let Some(char) = chars.next() {
        match char {
            RUN | ONE => return None,
            '*' => skeleton.push(RUN),
            '?' => skeleton.push(ONE),
            '[' => {
                skip_class(&mut chars);
                skeleton.push(ONE);
            }
            '\\' => skeleton.extend([char].into_iter().chain(chars.next())),
            _ => skeleton.push(char),
        }
    }
    skeleton.parse::<Glob>().ok()?.literals()
}

/// Skips to behind the `]` that ends a class.
fn skip_class(chars: &mut std::str::Chars<'_>) {
    while let Some(char) = chars.next() {
        match char {
            ']' => return,
            '\\' => drop(chars.next()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_covers_what_it_certainly_matches() {
        for (outer, inner, want) in [
            (&["*"][..], "gpt-*", true),
            (&["gpt-*"], "gpt-4*", true),
            (&["gpt-*"], "gpt-4[ab]?", true),
            (&["gpt-*"], "gpt-4o", true),
            (&["*-mini"], "gpt-*-mini", true),
            (&["gpt-*", "o1"], "{gpt-4,o1}", true),
            (&["gpt-4*"], "gpt-*", false),
            (&["gpt-?"], "gpt-*", false),
            (&["gpt-?"], "gpt-?", true),
            (&["gpt-[!a]"], "gpt-*", false),
            (&["gpt-4"], "gpt-4*", false),
            (&["gpt-*"], "{gpt-4,o1}", false),
            (&["gpt-\\*"], "gpt-*", false),
            (&["*[!a]"], "*", false),
        ] {
            assert_eq!(covers(outer, inner), want, "{outer:?} {inner}");
        }
    }

    #[test]
    fn globs_meet_where_some_name_matches_both() {
        for (one, other, want) in [
            ("*", "gpt-4", true),
            ("gpt-*", "*-mini", true),
            ("gpt-*", "gpt-4?", true),
            ("a*b", "ab", true),
            ("a*b*c", "a?c*", true),
            ("{qwen,gpt}-*", "gpt-4", true),
            ("gpt-[45]", "gpt-3", true), // classes are not looked into
            ("gpt-4", "gpt-4o", false),
            ("gpt-*", "qwen-*", false),
            ("gpt-?", "gpt-", false),
            ("{qwen,deepseek}-*", "gpt-*", false),
            ("a*b", "a*c", false),
        ] {
            assert_eq!((can_meet(one, other), can_meet(other, one)), (want, want), "{one} {other}");
        }
    }

    #[test]
    fn what_a_prefix_leaves_is_told_without_guessing() {
        for (glob, prefix, want) in [
            ("openai/*", "openai/", &["*"][..]),
            ("openai/gpt-[45]", "openai/", &["gpt-[45]"]),
            ("gpt-*", "openai/", &["gpt-*"]),
            ("*", "openai/", &["*", "*"]),
            ("o*-mini", "openai/", &["o*-mini", "*-mini"]),
            ("{openai,azure}/gpt-*", "openai/", &["gpt-*", "azure/gpt-*"]),
            ("?penai/x", "openai/", &["?penai/x", "x"]),
            ("a\\*b{c,d}", "e", &["a\\*bc", "a\\*bd"]),
        ] {
            assert_eq!(less_prefix(glob, prefix).unwrap(), want, "{glob} {prefix}");
        }
    }

    #[test]
    fn a_prefix_must_be_one_that_the_glob_lets_through() {
        for (glob, prefix, want) in [
            ("openai/*", "openai/", true),
            ("*", "openai/", true),
            ("o*", "openai/", true),
            ("{openai,azure}/*", "azure/", true),
            ("[oa]penai/*", "openai/", true),
            ("openai/gpt-4", "openai/", true),
            ("gpt-*", "openai/", false),
            ("openai", "openai/", false),
            ("openai-*", "openai/", false),
        ] {
            assert_eq!(can_begin_with(glob, prefix), want, "{glob} {prefix}");
        }
    }
}
