//! Limits, prices and Redis: what costs cannot be told, and what never limits anything.

use std::time::Duration;

use sluice_core::config::shown;

use super::served::{callers, may_apply, meets_match, sent, unserved};
use crate::file::Cursor;
use crate::gateway::pattern::{covers, escaped};
use crate::gateway::{Amount, Dimension, Gateway, Hop, Limit, Price, Rule};

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
            unserved(&at, &limit.models, &limit.when, &gateway.models);
            callers(&at, &limit.when, gateway, "limit");
            dimensions(&at, limit, gateway);
            terminal(&at, limit);
            few(&at, limit);
            looser(&section, &gateway.limits, index);
        }
    }
    prices(root, gateway);
    if let (Some(at), true, None) = (root.field("redis"), gateway.limits.is_empty(), &gateway.cache) {
        at.warn("is not used, as there are no `limits` and no `cache`; add one of them or remove it");
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
    for rule in gateway.models.iter().filter(|rule| may_apply(&limit.models, &limit.when, rule)) {
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

/// Dimensions of which there is one value.
fn dimensions(at: &Cursor<'_>, limit: &Limit, gateway: &Gateway) {
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

/// Prices that come to nothing, or that no model gets.
fn prices(root: &Cursor<'_>, gateway: &Gateway) {
    let Some(section) = root.field("prices").filter(|_| !gateway.prices.is_empty()) else {
        return;
    };
    if gateway.limits.iter().any(Limit::is_cost) && gateway.prices.iter().all(is_free) {
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
