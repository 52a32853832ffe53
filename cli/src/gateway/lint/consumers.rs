//! Warnings about callers: who can never call, and what is looked for in vain.

use std::collections::HashMap;

use time::OffsetDateTime;

use crate::file::Cursor;
use crate::gateway::pattern::can_meet;
use crate::gateway::{Consumer, Gateway, Origin, Rule};

/// Looks at `consumers` and what belongs to them.
pub(super) fn look(root: &Cursor<'_>, gateway: &Gateway) {
    let Some(section) = root.field("consumers") else {
        if let Some(at) = root.field("credentials") {
            at.warn("names keys that nobody checks, as there are no `consumers`; add them or remove it");
        }
        return;
    };
    let now_s = u64::try_from(OffsetDateTime::now_utc().unix_timestamp()).unwrap_or_default();
    let mut rules = Rules { rules: &gateway.models, met: HashMap::new() };
    for (index, consumer) in gateway.consumers.iter().enumerate() {
        let at = section.nth(index);
        keys(&at, consumer, gateway.anonymous.as_deref());
        if let Some(field) = at.field("expires").filter(|_| has_expired(consumer, now_s)) {
            field.warn("has passed, so the consumer is refused; write a later date or remove the consumer");
        }
        unserved(&at, consumer, &mut rules);
    }
    if gateway.consumers.iter().all(|consumer| consumer.disabled || has_expired(consumer, now_s)) {
        section.warn("are all disabled or expired, so nobody may call; enable one or add another");
    }
    contradictions(root, gateway);
}

fn has_expired(consumer: &Consumer, now_s: u64) -> bool {
    consumer.expires_s.is_some_and(|expires_s| expires_s <= now_s)
}

fn keys(at: &Cursor<'_>, consumer: &Consumer, anonymous: Option<&str>) {
    if consumer.keys.is_empty() && anonymous != Some(&consumer.name) {
        at.warn("has no keys, so nobody can be it; add `keys: [\"sha256:…\"]` as `sluice key new` prints it");
    }
    let Some(section) = at.field("keys") else {
        return;
    };
    for (index, key) in consumer.keys.iter().enumerate() {
        let at = || section.nth(index);
        if key.origin == Origin::Literal {
            at().warn(
                "is the key itself; write the sha256: line of `sluice key hash` to keep it out of this file",
            );
        }
        if key.weak {
            at().warn("is short enough to be guessed; make a key with `sluice key new`");
        }
        if key.like_hash {
            at().warn("is a key that looks like the hash of one; if it is a hash, write sha256: before it");
        }
    }
}

/// A consumer to whom every model is 403 or 404.
fn unserved<'g>(at: &Cursor<'_>, consumer: &'g Consumer, rules: &mut Rules<'g>) {
    if rules.serve(consumer) {
        return;
    }
    match at.field("models") {
        Some(models) => {
            models.warn("allows no model that a rule serves; write globs that `match` of a rule meets")
        }
        None => at.warn("is served by no rule, as each has a `when` for others; add a rule for it"),
    }
}

/// The rules, and which globs of consumers meet them. Consumers share few globs: each is compared once.
struct Rules<'g> {
    rules: &'g [Rule],
    met: HashMap<(usize, &'g str), bool>,
}

impl<'g> Rules<'g> {
    fn serve(&mut self, consumer: &'g Consumer) -> bool {
        let Self { rules, met } = self;
        let is_for = |rule: &Rule| {
            rule.when.consumer.as_ref().is_none_or(|name| *name == consumer.name)
                && (rule.when.tier.is_none() || rule.when.tier == consumer.tier)
        };
        let mut meets = |index: usize, rule: &Rule, glob: &'g String| {
            let compare = || rule.matches.iter().any(|matched| can_meet(matched, glob));
            *met.entry((index, glob)).or_insert_with(compare)
        };
        rules.iter().enumerate().filter(|(_, rule)| is_for(rule)).any(|(index, rule)| {
            consumer.models.is_empty() || consumer.models.iter().any(|glob| meets(index, rule, glob))
        })
    }
}

/// A rule for a consumer of another tier.
fn contradictions(root: &Cursor<'_>, gateway: &Gateway) {
    let Some(section) = root.field("models") else {
        return;
    };
    for (index, rule) in gateway.models.iter().enumerate() {
        let (Some(name), Some(tier)) = (&rule.when.consumer, &rule.when.tier) else {
            continue;
        };
        let of_another_tier =
            |consumer: &&Consumer| consumer.name == *name && consumer.tier.as_ref() != Some(tier);
        let field = section.nth(index).field("when").and_then(|when| when.field("tier"));
        if let (Some(at), Some(_)) = (field, gateway.consumers.iter().find(of_another_tier)) {
            at.warn("never holds, as the consumer of this rule has another tier; remove one of the two");
        }
    }
}
