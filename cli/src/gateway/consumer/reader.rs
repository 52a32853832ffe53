//! Reads the three sections.

use std::collections::{BTreeMap, HashMap};

use sluice_core::config::shown;
use sluice_core::glob::{Glob, MAX_ALTERNATIVES};

use super::{Callers, Consumer, Credentials, Known, key, value};
use crate::file::{Cursor, Fields};
use crate::gateway::rule::globs;
use crate::gateway::{Sources, http};

const CONSUMER: &str = "`{name: mobile-app, keys: [env:MOBILE_APP_KEY]}`";

/// Longest metadata of a consumer as JSON, in bytes, as consumer-auth has it: it stands in every record.
const MAX_METADATA_BYTES: usize = 2048;

/// What `anonymous` says of nobody.
const DENY: &str = "deny";

/// Reads the sections, and what conditions may name.
pub(in crate::gateway) fn read(fields: &mut Fields<'_>, sources: &Sources<'_>) -> (Known, Option<Callers>) {
    let (known, consumers) = match fields.optional("consumers") {
        Some(at) => section(&at, sources),
        None => (Known::default(), Some(Vec::new())),
    };
    let anonymous = fields.optional("anonymous").map_or(Some(None), |at| anonymous(&at, &known));
    let credentials =
        fields.optional("credentials").map_or(Some(Credentials::default()), |at| credentials(&at));
    let callers =
        || Some(Callers { consumers: consumers?, anonymous: anonymous?, credentials: credentials? });
    (known, callers())
}

/// An empty list is refused: with no consumers, everybody may call.
fn section(at: &Cursor<'_>, sources: &Sources<'_>) -> (Known, Option<Vec<Consumer>>) {
    let mut known = Known { written: true, ..Known::default() };
    let Some(items) = at.items(&format!("consumers such as {CONSUMER}"), false) else {
        return (known, None);
    };
    known.listed = true;
    let mut section = Section { sources, names: HashMap::new(), keys: HashMap::new() };
    let read: Vec<_> =
        items.iter().enumerate().map(|(index, at)| section.consumer(index, at, &mut known)).collect();
    (known, read.into_iter().collect())
}

/// What is known of earlier consumers.
struct Section<'a> {
    sources: &'a Sources<'a>,
    names: HashMap<String, usize>,
    keys: key::Seen,
}

impl Section<'_> {
    fn consumer(&mut self, index: usize, at: &Cursor<'_>, known: &mut Known) -> Option<Consumer> {
        let mut fields = at.fields(&format!("a consumer such as {CONSUMER}"))?;
        let name = fields.required("name", "`name: mobile-app`").and_then(|at| self.name(&at, index));
        let keys = fields.optional("keys");
        let keys = keys.map_or(Some(Vec::new()), |at| key::read(&at, index, &mut self.keys, self.sources));
        let tier = fields.optional("tier").map_or(Some(None), |at| value::name(&at, "tier").map(Some));
        let models = fields.optional("models").map_or(Some(Vec::new()), |at| models(&at));
        let routes = each(&mut fields, "routes", "a glob of paths such as /v1/chat/*", value::path);
        let from = each(&mut fields, "from", "addresses such as [10.0.0.0/8]", value::range);
        let expires_s = fields.optional("expires").map_or(Some(None), |at| value::expires(&at).map(Some));
        let disabled = fields.optional("disabled");
        let disabled = disabled.map_or(Some(false), |at| at.choice(&[("true", true), ("false", false)]));
        let metadata = fields.optional("metadata").map_or(Some(BTreeMap::new()), |at| metadata(&at));
        fields.finish();
        known.names.extend(name.clone());
        known.tiers.extend(tier.clone().flatten());
        Some(Consumer {
            name: name?,
            keys: keys?,
            tier: tier?,
            models: models?,
            routes: routes?,
            from: from?,
            expires_s: expires_s?,
            disabled: disabled?,
            metadata: metadata?,
        })
    }

    fn name(&mut self, at: &Cursor<'_>, index: usize) -> Option<String> {
        let name = value::name(at, "consumer")?;
        if name == DENY {
            return at.refuse("is what `anonymous` calls nobody; choose another name");
        }
        if let Some(earlier) = self.names.get(&name) {
            return at.refuse(format!("is the name of consumers[{earlier}] too; choose another"));
        }
        self.names.insert(name.clone(), index);
        Some(name)
    }
}

/// A field with one value or several, each read by `one`; empty if it is left out.
fn each<T>(
    fields: &mut Fields<'_>,
    name: &'static str,
    want: &str,
    one: fn(&Cursor<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    let Some(at) = fields.optional(name) else {
        return Some(Vec::new());
    };
    let read: Vec<_> = at.one_or_more(want)?.iter().map(one).collect();
    read.into_iter().collect()
}

/// Globs that can be joined by commas, as consumer-auth tells them to model-router.
fn models(at: &Cursor<'_>) -> Option<Vec<String>> {
    let globs = globs(at)?;
    let braced = |text: &str| format!("{{{text}}}").parse::<Glob>().ok();
    let survives = |text: &String| {
        let glob = text.parse::<Glob>().ok();
        glob.zip(braced(text)).is_some_and(|(glob, braced)| glob.covers(&braced) && braced.covers(&glob))
    };
    if let Some(index) = globs.iter().position(|glob| !survives(glob)) {
        return at
            .nth(index)
            .refuse("holds a comma; write each glob as an item of its own, or \\, for a comma");
    }
    if globs.len() > 1 && braced(&globs.join(",")).is_none() {
        return at.refuse(format!(
            "make more than {MAX_ALTERNATIVES} alternatives together; use * or fewer braces"
        ));
    }
    Some(globs)
}

fn metadata(at: &Cursor<'_>) -> Option<BTreeMap<String, String>> {
    let named = at.fields("facts by name such as {team: search}")?.named();
    let read: Vec<_> = named
        .into_iter()
        .map(|(name, _, at)| at.text("text such as search").map(|text| (name, text.to_owned())))
        .collect();
    let read: BTreeMap<_, _> = read.into_iter().collect::<Option<_>>()?;
    if serde_json::to_string(&read).is_ok_and(|json| json.len() > MAX_METADATA_BYTES) {
        return at.refuse(format!(
            "is longer than {MAX_METADATA_BYTES} bytes as JSON; write fewer or shorter facts"
        ));
    }
    Some(read)
}

/// Who callers without a key are; `None`: refused.
fn anonymous(at: &Cursor<'_>, known: &Known) -> Option<Option<String>> {
    if !known.any() {
        return at
            .refuse("has no effect without `consumers`, as everybody may call; add consumers or remove it");
    }
    match at.text("deny, or the name of the consumer that callers without a key are")? {
        DENY => Some(None),
        _ => known.consumer(at).map(Some),
    }
}

fn credentials(at: &Cursor<'_>) -> Option<Credentials> {
    let mut fields = at.fields("`{headers: [x-my-key], query: key}`")?;
    let headers = each(&mut fields, "headers", "names of headers such as [x-my-key]", header);
    let query = fields.optional("query").map_or(Some(None), |at| parameter(&at).map(Some));
    fields.finish();
    Some(Credentials { headers: headers?, query: query? })
}

fn header(at: &Cursor<'_>) -> Option<String> {
    let text = at.text("the name of a header such as x-my-key")?;
    match http::credential_header(text) {
        Ok(name) => Some(name),
        Err(why) => at.refuse(format!("{:?} {why}", shown(text))),
    }
}

fn parameter(at: &Cursor<'_>) -> Option<String> {
    let text = at.text("the name of a parameter such as key")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.~".contains(c);
    if text.chars().all(plain) {
        return Some(text.to_owned());
    }
    at.refuse(format!("{:?} is no name of a parameter; write letters, digits and - such as key", shown(text)))
}
