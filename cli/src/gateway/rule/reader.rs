//! Reads section `models`.

use sluice_core::config::shown;

use super::{Hop, Rule, Sticky, Target, When, when};
use crate::file::{Cursor, Fields, did_you_mean};
use crate::gateway::consumer::Known;
use crate::gateway::http::header_name;
use crate::gateway::pattern;

const RULE: &str = "`{match: \"gpt-*\", targets: [{provider: openai}]}`";
const TARGET: &str = "`{provider: openai}`";
const GLOB: &str = "a glob such as \"gpt-4*\"";

/// Reads the section. `providers` are the names that a target may use; none: the section itself is broken.
pub(in crate::gateway) fn read(
    fields: &mut Fields<'_>,
    providers: &[String],
    callers: &Known,
) -> Option<Vec<Rule>> {
    let section = fields.required("models", &format!("a list of rules such as {RULE}"))?;
    let rules = section.items(&format!("rules such as {RULE}"), false)?;
    let rules: Vec<_> = rules.iter().map(|at| rule(at, providers, callers)).collect();
    rules.into_iter().collect()
}

fn rule(at: &Cursor<'_>, providers: &[String], callers: &Known) -> Option<Rule> {
    let mut fields = at.fields(&format!("a rule such as {RULE}"))?;
    let matches = fields.required("match", "`match: \"gpt-4*\"`").and_then(|at| globs(&at));
    let when = fields.optional("when").map_or(Some(When::default()), |at| when(&at, callers));
    let strip_prefix = fields.optional("strip_prefix");
    let strip_prefix = strip_prefix.map_or(Some(None), |at| prefix(&at, matches.as_deref()).map(Some));
    let default = if callers.any() { Sticky::Consumer } else { Sticky::Request };
    let sticky = fields.optional("sticky").map_or(Some(default), |at| sticky(&at));
    let targets = fields.required("targets", "`targets: [{provider: openai}]`");
    let targets = targets.and_then(|at| targets_of(&at, providers));
    let fallback = fields.optional("fallback").map_or(Some(Vec::new()), |at| fallback(&at, providers));
    fields.finish();
    Some(Rule {
        matches: matches?,
        when: when?,
        strip_prefix: strip_prefix?,
        sticky: sticky?,
        targets: targets?,
        fallback: fallback?,
    })
}

/// One glob over models or several.
pub(in crate::gateway) fn globs(at: &Cursor<'_>) -> Option<Vec<String>> {
    let items = at.one_or_more(&format!("{GLOB} or a list of globs"))?;
    let read: Vec<_> = items.iter().map(glob).collect();
    read.into_iter().collect()
}

pub(super) fn glob(at: &Cursor<'_>) -> Option<String> {
    let text = at.text(GLOB)?;
    match pattern::parse(text) {
        Ok(glob) => Some(glob.as_str().to_owned()),
        Err(why) => at.refuse(why),
    }
}

/// A prefix that no matching name can have would never be taken off.
fn prefix(at: &Cursor<'_>, globs: Option<&[String]>) -> Option<String> {
    let text = at.text("the beginning of a model's name such as \"openai/\"")?;
    match globs {
        Some(globs) if !globs.iter().any(|glob| pattern::can_begin_with(glob, text)) => at.refuse(format!(
            "{:?} begins no name that `match` lets through; write the prefix that `match` begins with",
            shown(text)
        )),
        _ => Some(text.to_owned()),
    }
}

fn sticky(at: &Cursor<'_>) -> Option<Sticky> {
    let want = "consumer, request or header:NAME";
    let text = at.text(want)?;
    match text.split_once(':') {
        None if text == "consumer" => Some(Sticky::Consumer),
        None if text == "request" => Some(Sticky::Request),
        None if text == "header" => at.refuse("names no header; write header:NAME such as header:x-user"),
        Some(("header", name)) => match header_name(name.trim()) {
            Ok(name) => Some(Sticky::Header(name)),
            Err(why) => at.refuse(format!("{:?} {why}", shown(name))),
        },
        _ => {
            let advice = did_you_mean(text, ["consumer", "request"].into_iter(), &format!("write {want}"));
            at.refuse(format!("{:?} is not known{advice}", shown(text)))
        }
    }
}

fn targets_of(at: &Cursor<'_>, providers: &[String]) -> Option<Vec<Target>> {
    let items = at.items(&format!("targets such as {TARGET}"), false)?;
    let read: Vec<_> = items.iter().map(|at| target(at, providers)).collect();
    let read: Vec<(Hop, Option<u32>)> = read.into_iter().collect::<Option<_>>()?;
    let weights = read.iter().filter(|(_, weight)| weight.is_some()).count();
    let bare = items.iter().zip(&read).find(|(_, (_, weight))| weight.is_none());
    let mut good = no_two_alike(&items, &read.iter().map(|(hop, _)| hop).collect::<Vec<_>>());
    if let (1.., Some((at, _))) = (weights, bare) {
        good = at.refuse("has no weight, but other targets have; write a weight at every target or at none");
    }
    if weights == read.len() && read.iter().all(|(_, weight)| *weight == Some(0)) {
        good = at.refuse("has only weights of 0, so nobody serves; give at least one target a weight");
    }
    good?;
    Some(read.into_iter().map(|(hop, weight)| Target { hop, weight: weight.unwrap_or(1) }).collect())
}

fn target(at: &Cursor<'_>, providers: &[String]) -> Option<(Hop, Option<u32>)> {
    let mut fields = at.fields(&format!("a target such as {TARGET}"))?;
    let hop = hop(&mut fields, providers);
    let weight = fields.optional("weight").map_or(Some(None), |at| at.number32(0..=1_000_000).map(Some));
    fields.finish();
    Some((hop?, weight?))
}

fn fallback(at: &Cursor<'_>, providers: &[String]) -> Option<Vec<Hop>> {
    let items = at.items("a list such as `[{provider: openai}]`", true)?;
    let read: Vec<_> = items.iter().map(|at| next_hop(at, providers)).collect();
    let read: Vec<Hop> = read.into_iter().collect::<Option<_>>()?;
    no_two_alike(&items, &read.iter().collect::<Vec<_>>())?;
    Some(read)
}

fn next_hop(at: &Cursor<'_>, providers: &[String]) -> Option<Hop> {
    let mut fields = at.fields(&format!("a target such as {TARGET}"))?;
    let hop = hop(&mut fields, providers);
    fields.not_yet("weight", "has no effect, as fallbacks are tried in order; remove it");
    fields.finish();
    hop
}

fn hop(fields: &mut Fields<'_>, providers: &[String]) -> Option<Hop> {
    let provider = fields.required("provider", "`provider: NAME`").and_then(|at| provider(&at, providers));
    let model = fields.optional("model").map_or(Some(None), |at| model(&at).map(Some));
    Some(Hop { provider: provider?, model: model? })
}

fn provider(at: &Cursor<'_>, providers: &[String]) -> Option<String> {
    let name = at.text("the name of a provider")?;
    if providers.is_empty() || providers.iter().any(|known| known == name) {
        return Some(name.to_owned());
    }
    let known: Vec<&str> = providers.iter().map(|known| shown(known)).collect();
    let known = format!("the providers are {}", known.join(", "));
    let advice = did_you_mean(name, providers.iter().map(String::as_str), &known);
    at.refuse(format!("no provider named {:?}{advice}", shown(name)))
}

/// The name of a model as it is sent.
pub(in crate::gateway) fn model(at: &Cursor<'_>) -> Option<String> {
    let text = at.text("the name of a model")?;
    if text.chars().any(char::is_control) {
        return at.refuse("holds a control character; write the name of a model in one line");
    }
    if text.contains('*') {
        return at.refuse(format!(
            "{:?} is a glob, but is sent as it stands; write the name of one model",
            shown(text)
        ));
    }
    Some(text.to_owned())
}

/// Two entries that are the same are one with a wrong weight, or a slip.
fn no_two_alike(items: &[Cursor<'_>], hops: &[&Hop]) -> Option<()> {
    let mut good = Some(());
    for (at, (cursor, hop)) in items.iter().zip(hops).enumerate() {
        let earlier = hops.iter().take(at).position(|earlier| earlier == hop);
        if let Some(earlier) = earlier.and_then(|earlier| items.get(earlier)) {
            let path = earlier.path();
            good = cursor.refuse(format!("is the same provider and model as {path}; remove one of them"));
        }
    }
    good
}
