//! Reads what a check looks for: exactly one of keywords, regular expressions, detectors and a service.

use std::collections::HashMap;

use content_guard::local::{Local, LocalCheck, LocalError, LocalRule, MAX_KEYWORD};
use sluice_core::detect::{Detector, Form, fold};

use super::{Action, Contract, Finder, service};
use crate::file::{Cursor, Fields};
use crate::gateway::Sources;
use crate::gateway::line::yes_or_no;

/// What a check can look for.
const ONE_OF: &str = "keywords, regex, detect or url";
/// The built-in detectors, in the order in which they are told.
const DETECTORS: [Detector; 7] = [
    Detector::Email,
    Detector::Phone,
    Detector::Card,
    Detector::CnId,
    Detector::ApiKey,
    Detector::Jwt,
    Detector::PrivateKey,
];
/// Reads the fields that belong to it.
pub(super) fn read(fields: &mut Fields<'_>, sources: &Sources<'_>) -> Option<Finder> {
    let whole_words = fields.optional("whole_words");
    let keywords = fields.optional("keywords");
    let regex = fields.optional("regex");
    let detect = fields.optional("detect");
    let url = fields.optional("url");
    let rest = service::Rest::take(fields);
    let written: Vec<&Cursor<'_>> = [&keywords, &regex, &detect, &url].into_iter().flatten().collect();
    if let [_, second, ..] = written[..] {
        return second
            .refuse(format!("is a second thing to look for; write two checks, each with one of {ONE_OF}"));
    }
    if written.is_empty() {
        return fields.whole().refuse(format!("says not what to look for; write one of {ONE_OF}"));
    }
    let mut good = Some(());
    if url.is_none() {
        good = good.and(rest.refuse_all());
    }
    if let (Some(at), None) = (&whole_words, &keywords) {
        good = at.refuse("has no effect without `keywords`; remove it");
    }
    let whole_words = whole_words.map_or(Some(false), |at| yes_or_no(&at));
    let finder = match (keywords, regex, detect, url) {
        (Some(at), ..) => {
            words(&at).zip(whole_words).map(|(words, whole_words)| Finder::Keywords { words, whole_words })
        }
        (_, Some(at), ..) => expressions(&at).map(Finder::Regex),
        (_, _, Some(at), _) => detectors(&at).map(Finder::Detect),
        (.., url) => service::read(&url?, rest, sources).map(|service| Finder::Service(Box::new(service))),
    };
    good.and(finder)
}

/// Whether what is found can be treated so.
pub(super) fn can(at: &Cursor<'_>, finder: &Finder, action: Action) -> Option<()> {
    match (action, finder) {
        (Action::Mask, Finder::Service(service)) if service.protocol == Contract::Openai => at.refuse(
            "cannot be had of protocol openai, which does not say what to replace; write block or log, or \
             `protocol: generic`",
        ),
        _ => Some(()),
    }
}

/// The items of a list of which no two are `alike`.
fn distinct<T>(
    at: &Cursor<'_>,
    want: &str,
    one: impl Fn(&Cursor<'_>) -> Option<T>,
    alike: impl Fn(&T) -> String,
) -> Option<Vec<T>> {
    let items = at.one_or_more(want)?;
    let read: Vec<_> = items.iter().map(one).collect();
    let mut seen: HashMap<String, &Cursor<'_>> = HashMap::new();
    let mut good = Some(());
    for (at, item) in items.iter().zip(&read) {
        let Some(earlier) = item.as_ref().and_then(|item| seen.insert(alike(item), at)) else { continue };
        good = at.refuse(format!("is the same as {}; remove one of them", earlier.path()));
    }
    good.and_then(|()| read.into_iter().collect())
}

fn words(at: &Cursor<'_>) -> Option<Vec<String>> {
    let want = "words such as [\"internal codename\"]";
    distinct(at, want, word, |word| folded(word))
}

fn word(at: &Cursor<'_>) -> Option<String> {
    let text = at.text("a word or a phrase")?.trim();
    if text.len() > MAX_KEYWORD {
        return at.refuse(format!("is longer than {MAX_KEYWORD} bytes; write a part of it that says enough"));
    }
    if folded(text).trim().is_empty() {
        return at
            .refuse("holds only characters that nobody sees, which are left out of texts; write a word");
    }
    Some(text.to_owned())
}

/// The text as content-guard compares it.
pub(in crate::gateway) fn folded(text: &str) -> String {
    fold(text, Form::Plain).text().to_lowercase()
}

fn expressions(at: &Cursor<'_>) -> Option<Vec<String>> {
    distinct(at, "regular expressions such as ['AKIA[0-9A-Z]{16}']", expression, Clone::clone)
}

/// Compiled by content-guard itself.
fn expression(at: &Cursor<'_>) -> Option<String> {
    let text = at.text("a regular expression")?;
    let rule = LocalRule::Regex(vec![text.to_owned()]);
    match Local::new(vec![LocalCheck { check: 0, rule }]) {
        Ok(_) => Some(text.to_owned()),
        Err(LocalError::Regex { why, .. }) => {
            let why = why.trim_end_matches('.');
            let (is, syntax) = ("cannot be used", "https://docs.rs/regex/latest/regex/#syntax");
            at.refuse(format!("{is}: {why}; write one as {syntax} says"))
        }
        Err(error) => at.refuse(format!("{error}; write another")),
    }
}

fn detectors(at: &Cursor<'_>) -> Option<Vec<Detector>> {
    let choices = DETECTORS.map(|detector| (detector.name(), detector));
    distinct(
        at,
        "detectors such as [email, phone]",
        |at| at.choice(&choices),
        |found| found.name().to_owned(),
    )
}
