//! Checks that never find anything, or only what others have found.

use std::collections::HashSet;

use super::served::{callers, unserved};
use crate::file::Cursor;
use crate::gateway::guard::folded;
use crate::gateway::pattern::covers;
use crate::gateway::{Action, Check, Finder, Gateway, Guard};

/// Looks at `guard`.
pub(super) fn look(root: &Cursor<'_>, gateway: &Gateway) {
    let (Some(at), Some(guard)) = (root.field("guard"), &gateway.guard) else {
        return;
    };
    if let Some(section) = at.field("checks") {
        for (index, check) in guard.checks.iter().enumerate() {
            let at = section.nth(index);
            unserved(&at, &check.models, &check.when, &gateway.models);
            callers(&at, &check.when, gateway, "check");
            literal_key(&at, check);
            white_space(&at, check);
            found_before(&section, &guard.checks, index);
        }
    }
    unheld(&at, guard);
}

fn literal_key(at: &Cursor<'_>, check: &Check) {
    let Finder::Service(service) = &check.finder else {
        return;
    };
    if let (Some(at), true) = (at.field("key"), service.key.as_ref().is_some_and(|key| key.is_literal())) {
        at.warn("is the key itself; write env:NAME or file:PATH to keep it out of this file");
    }
}

/// Line breaks and tabs, which texts have not when they are looked at.
fn white_space(at: &Cursor<'_>, check: &Check) {
    let (Some(section), Finder::Regex(expressions)) = (at.field("regex"), &check.finder) else {
        return;
    };
    for (index, _) in expressions.iter().enumerate().filter(|(_, text)| has_break(text)) {
        section.nth(index).warn(
            "names a line break or a tab, but white space is one space each when texts are looked at; write \\s or a \
             space",
        );
    }
}

/// Whether a regular expression holds a line break or a tab, as itself or as an escape.
fn has_break(expression: &str) -> bool {
    let mut chars = expression.chars();
    while let Some(char) = chars.next() {
        let named = match char {
            '\\' => matches!(chars.next(), Some('n' | 'r' | 't')),
            char => matches!(char, '\n' | '\r' | '\t'),
        };
        if named {
            return true;
        }
    }
    false
}

/// A check of which another finds everything before, and does at least as much to it.
fn found_before(section: &Cursor<'_>, checks: &[Check], index: usize) {
    let Some(check) = checks.get(index) else {
        return;
    };
    let earlier = checks.iter().take(index).position(|earlier| {
        let looks = (earlier.requests || !check.requests) && (earlier.responses || !check.responses);
        let ends = earlier.action == Action::Block || earlier.action == check.action;
        looks && ends && applies(earlier, check) && finds(&earlier.finder, &check.finder)
    });
    if let Some(earlier) = earlier {
        section.nth(index).warn(format!("finds only what checks[{earlier}] has found already; remove it"));
    }
}

/// Whether `one` applies wherever `other` does.
fn applies(one: &Check, other: &Check) -> bool {
    let globs: Vec<&str> = one.models.iter().map(String::as_str).collect();
    let models = one.models.is_empty()
        || (!other.models.is_empty() && other.models.iter().all(|glob| covers(&globs, glob)));
    models && (one.when.is_empty() || one.when == other.when)
}

/// Whether `one` finds all that `other` does.
fn finds(one: &Finder, other: &Finder) -> bool {
    match (one, other) {
        (
            Finder::Keywords { words: one, whole_words: whole },
            Finder::Keywords { words: other, whole_words: other_whole },
        ) => {
            let one: HashSet<String> = one.iter().map(|word| folded(word)).collect();
            (!whole || *other_whole) && other.iter().all(|word| one.contains(&folded(word)))
        }
        (Finder::Regex(one), Finder::Regex(other)) => other.iter().all(|regex| one.contains(regex)),
        (Finder::Detect(one), Finder::Detect(other)) => other.iter().all(|name| one.contains(name)),
        (Finder::Service(one), Finder::Service(other)) => one == other,
        _ => false,
    }
}

/// A time to hold answers for when none is looked at.
fn unheld(at: &Cursor<'_>, guard: &Guard) {
    if let (Some(at), false) = (at.field("max_hold"), guard.checks.iter().any(|check| check.responses)) {
        at.warn("has no effect, as no check looks at answers; remove it, or add response to `on` of one");
    }
}
