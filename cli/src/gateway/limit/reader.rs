//! Reads section `limits`.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use sluice_core::config::shown;

use super::{Amount, Dimension, Limit, Weights};
use crate::file::{Cursor, Decimal, Fields, did_you_mean};
use crate::gateway::consumer::Known;
use crate::gateway::http::header_name;
use crate::gateway::line::{message, yes_or_no};
use crate::gateway::{When, rule};

const LIMIT: &str = "`{name: per-consumer, by: [consumer], total_tokens: 100000, per: 1m}`";
const BY: &str = "consumer, tier, key, model, rule, ip or header:NAME";
/// Measures of which a limit has one.
const MEASURES: &str = "total_tokens, input_tokens, output_tokens, requests, in_flight or cost_usd";
/// Most that a ledger counts exactly: Redis' Lua has doubles only.
const EXACT: u64 = (1 << 53) - 1;
/// Digits of a dollar that are kept.
const NANO: u8 = 9;
/// Most dollars of a limit, in nano-dollars; round, and below [`EXACT`].
const MOST_NANO: u64 = 9_000_000_000_000_000;
/// Digits of a weight that are kept.
const MILLI: u8 = 3;
/// Highest weight, in thousandths.
const MOST_WEIGHT: u64 = 1_000_000_000;
/// Most weighted tokens, which are kept in thousandths.
const MOST_WEIGHTED: u64 = 9_000_000_000_000;
/// Windows; a leap year is the longest.
const PER: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(366 * 24);

/// Reads the section. `callers` are the consumers and tiers that a condition may name.
pub(in crate::gateway) fn read(fields: &mut Fields<'_>, callers: &Known) -> Option<Vec<Limit>> {
    let Some(section) = fields.optional("limits") else {
        return Some(Vec::new());
    };
    let items = section.items(&format!("limits such as {LIMIT}"), true)?;
    let read: Vec<_> = items.iter().map(|at| limit(at, callers)).collect();
    let mut earlier: HashMap<&str, &Cursor<'_>> = HashMap::new();
    let mut good = Some(());
    for (at, limit) in items.iter().zip(&read) {
        let Some(name) = limit.as_ref().map(|limit| limit.name.as_str()) else { continue };
        if let Some(earlier) = earlier.insert(name, at) {
            let at = at.field("name").unwrap_or_else(|| at.clone());
            good = at.refuse(format!(
                "is the name of {} too; each has its own ledger, so write another",
                earlier.path()
            ));
        }
    }
    good.and_then(|()| read.into_iter().collect())
}

fn limit(at: &Cursor<'_>, callers: &Known) -> Option<Limit> {
    let mut fields = at.fields(&format!("a limit such as {LIMIT}"))?;
    let name = fields.required("name", "`name: per-consumer`").and_then(|at| name(&at));
    let by = fields.optional("by").map_or(Some(Vec::new()), |at| dimensions(&at));
    let models = fields.optional("models").map_or(Some(Vec::new()), |at| rule::globs(&at));
    let when = fields.optional("when").map_or(Some(When::default()), |at| rule::when(&at, callers));
    let amount = amount(&mut fields);
    let per = per(&mut fields, amount.as_ref());
    let terminal = fields.optional("terminal").map_or(Some(false), |at| yes_or_no(&at));
    let message = fields.optional("message").map_or(Some(None), |at| message(&at).map(Some));
    fields.finish();
    Some(Limit {
        name: name?,
        by: by?,
        models: models?,
        when: when?,
        amount: amount?,
        per: per?,
        terminal: terminal?,
        message: message?,
    })
}

/// Names become parts of metrics and of keys in Redis.
fn name(at: &Cursor<'_>) -> Option<String> {
    let text = at.text("a name such as per-consumer")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if text.len() <= 64 && text.chars().all(plain) {
        return Some(text.to_owned());
    }
    at.refuse("is no name of a limit; write 1 to 64 letters, digits, -, _ and .")
}

fn dimensions(at: &Cursor<'_>) -> Option<Vec<Dimension>> {
    let items = at.items("a list such as [consumer]", true)?;
    let read: Vec<_> = items.iter().map(dimension).collect();
    let read: Vec<Dimension> = read.into_iter().collect::<Option<_>>()?;
    let mut good = Some(());
    for (index, (at, by)) in items.iter().zip(&read).enumerate() {
        if read.iter().take(index).any(|earlier| earlier == by) {
            good = at.refuse("is in the list already; remove it");
        }
    }
    good.map(|()| read)
}

fn dimension(at: &Cursor<'_>) -> Option<Dimension> {
    let text = at.text(BY)?;
    if let Some((_, by)) = Dimension::NAMES.into_iter().find(|(name, _)| *name == text) {
        return Some(by);
    }
    match text.split_once(':') {
        None if text == "header" => at.refuse("names no header; write header:NAME such as header:x-user"),
        Some(("header", name)) => match header_name(name.trim()) {
            Ok(name) => Some(Dimension::Header(name)),
            Err(why) => at.refuse(format!("{:?} {why}", shown(name))),
        },
        _ => {
            let names = Dimension::NAMES.iter().map(|(name, _)| *name);
            at.refuse(format!(
                "{:?} is not known{}",
                shown(text),
                did_you_mean(text, names, &format!("write {BY}"))
            ))
        }
    }
}

/// The one measure, and `weighted` beside it.
fn amount(fields: &mut Fields<'_>) -> Option<Amount> {
    let weighted = fields.optional("weighted");
    let total = fields.optional("total_tokens");
    let measures: [(Option<Cursor<'_>>, Read); 5] = [
        (fields.optional("input_tokens"), |at| at.number(1..=EXACT).map(Amount::InputTokens)),
        (fields.optional("output_tokens"), |at| at.number(1..=EXACT).map(Amount::OutputTokens)),
        (fields.optional("requests"), |at| at.number(1..=EXACT).map(Amount::Requests)),
        (fields.optional("in_flight"), |at| at.number(1..=EXACT).map(Amount::InFlight)),
        (fields.optional("cost_usd"), |at| at.decimal(NANO, 1..=MOST_NANO).map(Amount::CostUsd)),
    ];
    if let (Some(at), None) = (&weighted, &total) {
        return at.refuse("has no total_tokens beside it; write the most weighted tokens there");
    }
    let mut written = measures.into_iter().filter_map(|(at, read)| Some((at?, read)));
    match (total, written.next(), written.next()) {
        (Some(total), None, _) => match weighted {
            Some(weighted) => weights(&weighted, total.number(1..=MOST_WEIGHTED)),
            None => total.number(1..=EXACT).map(Amount::TotalTokens),
        },
        (None, Some((at, read)), None) => read(&at),
        (None, None, _) => fields.whole().refuse(format!("says not how much; write one of {MEASURES}")),
        (Some(_), Some((at, _)), _) | (None, Some(_), Some((at, _))) => {
            at.refuse("is a second measure of one limit; write two limits")
        }
    }
}

type Read = fn(&Cursor<'_>) -> Option<Amount>;

fn weights(at: &Cursor<'_>, most: Option<u64>) -> Option<Amount> {
    let mut fields = at.fields("`{input: 1, cached: 0.1, output: 4}`")?;
    let weight =
        |at: Option<Cursor<'_>>| at.map_or(Some(None), |at| at.decimal(MILLI, 0..=MOST_WEIGHT).map(Some));
    let input = weight(fields.optional("input"));
    let cached = weight(fields.optional("cached"));
    let output = weight(fields.optional("output"));
    fields.finish();
    let (input, cached, output) = (input?, cached?, output?);
    let one = Decimal::new(1000, MILLI);
    let weights = Weights { input: input.unwrap_or(one), cached, output: output.unwrap_or(one) };
    let all = [Some(weights.input), weights.cached, Some(weights.output)];
    if all.iter().flatten().all(|weight| weight.units() == 0) {
        return at.refuse("counts nothing; give at least one kind of token a weight");
    }
    Some(Amount::Weighted(most?, weights))
}

/// The window, which only requests in flight have not.
fn per(fields: &mut Fields<'_>, amount: Option<&Amount>) -> Option<Option<Duration>> {
    match amount {
        Some(Amount::InFlight(_)) => match fields.optional("per") {
            Some(at) => at.refuse("has no meaning for in_flight, which counts running requests; remove it"),
            None => Some(None),
        },
        Some(_) => fields.required("per", "`per: 1m`").and_then(|at| at.duration(PER)).map(Some),
        None => fields.optional("per").and_then(|at| at.duration(PER)).map(Some),
    }
}
