//! Reads section `guard`.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Action, Check, Failure, Form, Guard, Refusal, finder};
use crate::file::{Cursor, Fields};
use crate::gateway::consumer::Known;
use crate::gateway::line::message;
use crate::gateway::{Sources, When, rule};

const CHECK: &str = "`{name: pii, detect: [email, phone], action: mask}`";
/// Time for which text is held back unless the file says otherwise.
const MAX_HOLD: Duration = Duration::from_secs(1);
/// Shorter ones hold nothing together, longer ones are no stream any more.
const HOLDS: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(30);

/// Reads the section; `Some(None)` where there is none. `callers` are the consumers and tiers that a condition may
/// name.
pub(in crate::gateway) fn read(
    fields: &mut Fields<'_>,
    callers: &Known,
    sources: &Sources<'_>,
) -> Option<Option<Guard>> {
    let Some(section) = fields.optional("guard") else {
        return Some(None);
    };
    let mut fields = section.fields(&format!("`{{checks: [{}]}}`", CHECK.trim_matches('`')))?;
    let on_error = fields.optional("on_error");
    let on_error = on_error.map_or(Some(Failure::default()), |at| at.choice(&Failure::NAMES));
    let max_hold = fields.optional("max_hold").map_or(Some(MAX_HOLD), |at| at.duration(HOLDS));
    let checks = fields.required("checks", &format!("a list of checks such as {CHECK}"));
    let checks = checks.and_then(|at| checks_of(&at, callers, sources));
    let refusal = fields.optional("refusal").map_or(Some(Refusal::default()), |at| refusal(&at));
    fields.finish();
    Some(Some(Guard { on_error: on_error?, max_hold: max_hold?, checks: checks?, refusal: refusal? }))
}

/// An empty list is refused: no list made by a script opens the gateway by mistake.
fn checks_of(at: &Cursor<'_>, callers: &Known, sources: &Sources<'_>) -> Option<Vec<Check>> {
    let items = at.items(&format!("checks such as {CHECK}"), false)?;
    let read: Vec<_> = items.iter().map(|at| check(at, callers, sources)).collect();
    let mut earlier: HashMap<String, &Cursor<'_>> = HashMap::new();
    let mut good = Some(());
    for (at, check) in items.iter().zip(&read) {
        let Some(name) = check.as_ref().map(|check| check.name.to_ascii_lowercase()) else { continue };
        if let Some(earlier) = earlier.insert(name, at) {
            let at = at.field("name").unwrap_or_else(|| at.clone());
            good = at
                .refuse(format!("is the name of {} too, case does not count; write another", earlier.path()));
        }
    }
    good.and_then(|()| read.into_iter().collect())
}

fn check(at: &Cursor<'_>, callers: &Known, sources: &Sources<'_>) -> Option<Check> {
    let mut fields = at.fields(&format!("a check such as {CHECK}"))?;
    let name = fields.required("name", "`name: pii`").and_then(|at| name(&at));
    let on = fields.optional("on").map_or(Some((true, true)), |at| directions(&at));
    let models = fields.optional("models").map_or(Some(Vec::new()), |at| rule::globs(&at));
    let when = fields.optional("when").map_or(Some(When::default()), |at| rule::when(&at, callers));
    let action_at = fields.optional("action");
    let action = action_at.as_ref().map_or(Some(Action::default()), |at| at.choice(&Action::NAMES));
    let finder = finder::read(&mut fields, sources);
    fields.finish();
    let (action, finder) = (action?, finder?);
    if let Some(at) = action_at {
        finder::can(&at, &finder, action)?;
    }
    let (requests, responses) = on?;
    Some(Check { name: name?, requests, responses, models: models?, when: when?, finder, action })
}

/// Names become parts of metrics, of clusters and of placeholders.
fn name(at: &Cursor<'_>) -> Option<String> {
    let text = at.text("a name such as pii")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if text.len() <= 64 && text.chars().all(plain) {
        return Some(text.to_owned());
    }
    at.refuse("is no name of a check; write 1 to 64 letters, digits, - and _")
}

/// Whether requests and whether answers.
fn directions(at: &Cursor<'_>) -> Option<(bool, bool)> {
    let items = at.one_or_more("request, response or a list of them")?;
    let read: Vec<_> = items.iter().map(|at| at.choice(&[("request", true), ("response", false)])).collect();
    let read: Vec<bool> = read.into_iter().collect::<Option<_>>()?;
    Some((read.contains(&true), read.contains(&false)))
}

fn refusal(at: &Cursor<'_>) -> Option<Refusal> {
    let default = Refusal::default();
    let mut fields = at.fields("`{as: error, message: \"This request cannot be answered.\"}`")?;
    let form = fields.optional("as").map_or(Some(default.form), |at| at.choice(&Form::NAMES));
    let message = fields.optional("message").map_or(Some(default.message), |at| message(&at));
    fields.finish();
    Some(Refusal { form: form?, message: message? })
}
