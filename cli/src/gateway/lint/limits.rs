//! Limits, prices and Redis: what costs cannot be told, and what never limits anything.

use std::time::Duration;

use sluice_core::config::shown;

use crate::file::Cursor;
use crate::gateway::pattern::{can_meet, covers, escaped, less_prefix};
use crate::gateway::{Amount, Dimension, Gateway, Hop, Limit, Price, Rule, When};

/// Fewer tokens than almost any request and its answer have.
const FEW_TOKENS: u64 = 16;
/// A window after which nobody should have to be told not to ask again.
const QUOTA: Duration = Duration::from_hours(1);
/// Most targets without a price that one line names.
const MOST_NAMED: usize = 3;

/// Looks at `limits`, `prices` and `redis`.
pub(super) fn look(root: &Cursor<'_>, gateway: &Gateway) {
    if let Some(section) = root.field("limits") {
        for (index, limit) in gateway.limits.iter().enumerate() {
            let at = section.nth(index);
            unpriced(&at, limit, gateway);
            unserved(&at, limit, &gateway.models);
            callers(&at, limit, gateway);
            terminal(&at, limit);
            few(&at, limit);
            looser(&section, &gateway.limits, index);
        }
    }
    prices(root, gateway);
    if let (Some(at), true) = (root.field("redis"), gateway.limits.is_empty()) {
        at.warn("is not used, as there are no `limits`; add limits or remove it");
    }
}

/// A cost that cannot be told: every model that a limited request may be sent to needs a price.
fn unpriced(at: &Cursor<'_>, limit: &Limit, gateway: &Gateway) {
    let Some(at) = at.field("cost_usd").filter(|_| limit.is_cost()) else {
        return;
    };
    if gateway.prices.is_empty() {
        at.refuse::<()>("needs prices; write `prices: {\"*\": {input: 0.5, output: 1.5}}`");
        return;
    }
    let prices: Vec<&str> = gateway.prices.iter().map(|price| price.models.as_str()).collect();
    let mut without: Vec<String> = Vec::new();
    for rule in gateway.models.iter().filter(|rule| may_apply(limit, rule)) {
        for hop in rule.hops().filter(|hop| !has_price(hop, rule, limit, &prices)) {
            let name = described(hop, rule);
            if !without.contains(&name) {
                without.push(name);
            }
        }
    }
    let Some(first) = without.first() else { return };
    let example = first.split_once(' ').map_or(first.as_str(), |(model, _)| model);
    let more = match without.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let named = without.iter().take(MOST_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    at.refuse::<()>(format!(
        "applies to models without a price: {named}{more}; write one in `prices` such as \"{example}\": \
         {{input: 0.5, output: 1.5}}"
    ));
}

/// `qwen-max at bailian`; without a model of its own what the rule lets through.
fn described(hop: &Hop, rule: &Rule) -> String {
    let sent = rule.matches.iter().filter_map(|glob| sent(glob, rule)).flatten().next();
    let model = hop.model.clone().or(sent).unwrap_or_else(|| "*".to_owned());
    format!("{} at {}", shown(&model), shown(&hop.provider))
}

/// Whether some request may meet both the rule and the limit.
fn may_apply(limit: &Limit, rule: &Rule) -> bool {
    let models = limit.models.is_empty() || limit.models.iter().any(|glob| meets(rule, glob));
    models && may_hold_together(&limit.when, &rule.when)
}

/// Whether the glob of a limit matches a model that the rule serves, as asked or as sent.
fn meets(rule: &Rule, glob: &str) -> bool {
    rule.matches.iter().any(|matched| meets_match(rule, matched, glob))
}

fn meets_match(rule: &Rule, matched: &str, glob: &str) -> bool {
    // of what cannot be told apart, all may be sent
    let as_sent = || sent(matched, rule).is_none_or(|globs| globs.iter().any(|sent| can_meet(sent, glob)));
    can_meet(matched, glob) || (rule.strip_prefix.is_some() && as_sent())
}

fn may_hold_together(one: &When, other: &When) -> bool {
    let differ =
        |one: &Option<String>, other: &Option<String>| one.is_some() && other.is_some() && one != other;
    !differ(&one.consumer, &other.consumer) && !differ(&one.tier, &other.tier)
}

/// Whether all that the target may be asked for by limited requests certainly has a price.
fn has_price(hop: &Hop, rule: &Rule, limit: &Limit, prices: &[&str]) -> bool {
    let priced =
        |glob: &String| covers(prices, glob) || covers(prices, &format!("{}/{glob}", escaped(&hop.provider)));
    if let Some(model) = &hop.model {
        return priced(&escaped(model));
    }
    let all = |glob: &String| sent(glob, rule).is_some_and(|globs| globs.iter().all(priced));
    rule.matches.iter().all(|matched| {
        let mut narrower = limit.models.iter().filter(|glob| meets_match(rule, matched, glob)).peekable();
        let narrowed = !limit.models.is_empty();
        all(matched) || (narrowed && (narrower.peek().is_none() || narrower.all(all)))
    })
}

/// The model as a target without one of its own is asked for it.
fn sent(glob: &str, rule: &Rule) -> Option<Vec<String>> {
    less_prefix(glob, rule.strip_prefix.as_deref().unwrap_or_default())
}

/// Globs of models that no rule serves.
fn unserved(at: &Cursor<'_>, limit: &Limit, rules: &[Rule]) {
    let Some(section) = at.field("models") else {
        return;
    };
    let served = |glob: &String| rules.iter().any(|rule| meets(rule, glob));
    for (index, _) in limit.models.iter().enumerate().filter(|(_, glob)| !served(glob)) {
        section
            .nth(index)
            .warn("matches no model that a rule serves; write a glob that `match` of a rule meets");
    }
    if limit.models.iter().any(served) && !rules.iter().any(|rule| may_apply(limit, rule)) {
        section.warn("are served only to other consumers than `when` names; change one of the two");
    }
}

/// Conditions that nobody meets, and dimensions of which there is one value.
fn callers(at: &Cursor<'_>, limit: &Limit, gateway: &Gateway) {
    if let (Some(name), Some(when)) = (&limit.when.consumer, at.field("when")) {
        let consumer = gateway.consumers.iter().find(|consumer| consumer.name == *name);
        if let (Some(at), true) = (when.field("consumer"), consumer.is_some_and(|consumer| consumer.disabled))
        {
            at.warn("never holds, as the consumer is disabled; enable it or remove the limit");
        }
        let other =
            consumer.is_some_and(|consumer| limit.when.tier.is_some() && consumer.tier != limit.when.tier);
        if let (Some(at), true) = (when.field("tier"), other) {
            at.warn("never holds, as the consumer of this limit has another tier; remove one of the two");
        }
    }
    let Some(section) = at.field("by") else {
        return;
    };
    for (index, by) in limit.by.iter().enumerate() {
        let why = match by {
            Dimension::Consumer | Dimension::Tier | Dimension::Key if gateway.consumers.is_empty() => {
                "there are no consumers; add `consumers`"
            }
            Dimension::Tier if gateway.consumers.iter().all(|consumer| consumer.tier.is_none()) => {
                "no consumer has a tier; give them one"
            }
            _ => continue,
        };
        section.nth(index).warn(format!("sets nobody apart, as {why} or remove it"));
    }
}

/// "Do not ask again" about what is free again soon.
fn terminal(at: &Cursor<'_>, limit: &Limit) {
    let Some(at) = at.field("terminal").filter(|_| limit.terminal) else {
        return;
    };
    let again = match limit.per {
        None => "as soon as a request ends",
        Some(per) if per < QUOTA => "within the hour",
        Some(_) => return,
    };
    at.warn(format!("tells clients not to ask again, though it is free again {again}; remove it"));
}

fn few(at: &Cursor<'_>, limit: &Limit) {
    let few = limit.amount.tokens().is_some_and(|most| most < FEW_TOKENS);
    if let (Some(at), true) = (at.field(limit.amount.name()), few) {
        at.warn("is used up by any one request; write as many tokens as several requests have");
    }
}

/// A limit that another one of the same bucket is always reached before.
fn looser(section: &Cursor<'_>, limits: &[Limit], index: usize) {
    let Some(limit) = limits.get(index) else {
        return;
    };
    let stricter = limits.iter().enumerate().find(|(at, other)| {
        let same = is_at_least(&limit.amount, &other.amount) && limit.per <= other.per;
        let mirrored = is_at_least(&other.amount, &limit.amount) && other.per <= limit.per;
        *at != index && same && same_bucket(limit, other) && (!mirrored || *at < index)
    });
    if let Some((stricter, _)) = stricter {
        section.nth(index).warn(format!(
            "is never reached, as limits[{stricter}] of the same bucket is stricter; remove it"
        ));
    }
}

fn same_bucket(one: &Limit, other: &Limit) -> bool {
    let same_by = one.by.len() == other.by.len() && one.by.iter().all(|by| other.by.contains(by));
    same_by && one.models == other.models && one.when == other.when
}

/// Whether `one` allows as much of the same as `other`, or more.
fn is_at_least(one: &Amount, other: &Amount) -> bool {
    match (one, other) {
        (Amount::InputTokens(one), Amount::InputTokens(other))
        | (Amount::OutputTokens(one), Amount::OutputTokens(other))
        | (Amount::TotalTokens(one), Amount::TotalTokens(other))
        | (Amount::Requests(one), Amount::Requests(other))
        | (Amount::InFlight(one), Amount::InFlight(other)) => one >= other,
        (Amount::Weighted(one, weights), Amount::Weighted(other, others)) => {
            weights == others && one >= other
        }
        (Amount::CostUsd(one), Amount::CostUsd(other)) => one.units() >= other.units(),
        _ => false,
    }
}

fn is_free(price: &Price) -> bool {
    let all = [Some(price.input), price.cached, Some(price.output)];
    all.into_iter().flatten().all(|price| price.units() == 0)
}

/// Prices that nothing asks for, or that come to nothing.
fn prices(root: &Cursor<'_>, gateway: &Gateway) {
    let Some(section) = root.field("prices").filter(|_| !gateway.prices.is_empty()) else {
        return;
    };
    if !gateway.limits.iter().any(Limit::is_cost) {
        section.warn("are not used, as no limit is on cost_usd; add one or remove them");
    } else if gateway.prices.iter().all(is_free) {
        section.warn("are all 0, so no limit on cost_usd is ever reached; write what tokens cost");
    }
    let mut earlier: Vec<&str> = Vec::new();
    for price in &gateway.prices {
        if let (true, Some(at)) = (covers(&earlier, &price.models), section.field(&price.models)) {
            at.warn("is never used, as prices before it match all that it does; move it up or remove it");
        }
        earlier.push(&price.models);
    }
}
