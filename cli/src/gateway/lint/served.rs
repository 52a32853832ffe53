//! What limits, the cache and checks share: whether anybody meets their globs and conditions.

use crate::file::Cursor;
use crate::gateway::pattern::{can_meet, less_prefix};
use crate::gateway::{Gateway, Rule, When};

/// Whether some request may meet the rule, the globs and the conditions; no globs: every model.
pub(super) fn may_apply(models: &[String], when: &When, rule: &Rule) -> bool {
    let met = models.is_empty() || models.iter().any(|glob| meets(rule, glob));
    met && may_hold_together(when, &rule.when)
}

/// Whether the glob matches a model that the rule serves, as asked or as sent.
fn meets(rule: &Rule, glob: &str) -> bool {
    rule.matches.iter().any(|matched| meets_match(rule, matched, glob))
}

/// The same for one glob of the rule.
pub(super) fn meets_match(rule: &Rule, matched: &str, glob: &str) -> bool {
    // of what cannot be told apart, all may be sent
    let as_sent = || sent(matched, rule).is_none_or(|globs| globs.iter().any(|sent| can_meet(sent, glob)));
    can_meet(matched, glob) || (rule.strip_prefix.is_some() && as_sent())
}

fn may_hold_together(one: &When, other: &When) -> bool {
    let differ =
        |one: &Option<String>, other: &Option<String>| one.is_some() && other.is_some() && one != other;
    !differ(&one.consumer, &other.consumer) && !differ(&one.tier, &other.tier)
}

/// The model as a target without one of its own is asked for it.
pub(super) fn sent(glob: &str, rule: &Rule) -> Option<Vec<String>> {
    less_prefix(glob, rule.strip_prefix.as_deref().unwrap_or_default())
}

/// Globs in `at` of models that no rule serves, or that none serves under the conditions beside them.
pub(super) fn unserved(at: &Cursor<'_>, models: &[String], when: &When, rules: &[Rule]) {
    let Some(section) = at.field("models") else {
        if let (Some(at), false) = (at.field("when"), rules.iter().any(|rule| may_apply(models, when, rule)))
        {
            at.warn("never holds, as each rule in `models` is for others; change one of the two");
        }
        return;
    };
    let served = |glob: &String| rules.iter().any(|rule| meets(rule, glob));
    for (index, _) in models.iter().enumerate().filter(|(_, glob)| !served(glob)) {
        section
            .nth(index)
            .warn("matches no model that a rule serves; write a glob that `match` of a rule meets");
    }
    if models.iter().any(served) && !rules.iter().any(|rule| may_apply(models, when, rule)) {
        section.warn("are served only to other consumers than `when` names; change one of the two");
    }
}

/// Conditions in `at` that nobody meets; `what` they belong to.
pub(super) fn callers(at: &Cursor<'_>, when: &When, gateway: &Gateway, what: &str) {
    let (Some(name), Some(section)) = (&when.consumer, at.field("when")) else {
        return;
    };
    let consumer = gateway.consumers.iter().find(|consumer| consumer.name == *name);
    if let (Some(at), true) = (section.field("consumer"), consumer.is_some_and(|consumer| consumer.disabled))
    {
        at.warn(format!("never holds, as the consumer is disabled; enable it or remove the {what}"));
    }
    let other = consumer.is_some_and(|consumer| when.tier.is_some() && consumer.tier != when.tier);
    if let (Some(at), true) = (section.field("tier"), other) {
        at.warn(format!(
            "never holds, as the consumer of this {what} has another tier; remove one of the two"
        ));
    }
}
