//! A view in words, for a screen and for plain text alike.

use super::buckets::Buckets;
use super::number::{age, bytes, count, dollars, percent, time, window};
use super::snapshot::{Event, Tally};
use super::view::{Happened, Row, View};

/// Captions of the table's columns but the first.
pub(super) const CAPTIONS: [&str; 7] = ["req/s", "errors", "in/s", "out/s", "$/h", "$ total", "ttft p95"];
/// How wide the columns under these are.
const WIDTHS: [u16; CAPTIONS.len()] = [6, 7, 6, 6, 9, 9, 9];
/// Least width of the first column.
const NAME: u16 = 12;
/// Captions of [`Entry`]'s numbers.
pub(super) const COUNTS: [&str; 2] = ["now", "total"];

/// A line of a pane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// What happened.
    pub(super) what: String,
    /// Of late.
    pub(super) now: String,
    /// Since Envoy began.
    pub(super) total: String,
    /// It happened of late, and should not.
    pub(super) is_bad: bool,
}

/// Things of one kind that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pane {
    pub(super) title: &'static str,
    pub(super) entries: Vec<Entry>,
}

/// Where the numbers come from and of when they are.
pub(super) fn heading(address: &str, view: &View) -> String {
    let up = if view.uptime > 0.0 { format!("up {}  ", age(view.uptime)) } else { String::new() };
    format!("sluice top  {address}  {up}{}", window(view.seconds))
}

/// What is counted, of late and in all.
pub(super) fn counts(view: &View) -> [Entry; 5] {
    let row = &view.all;
    let total = &row.total;
    let rate = |number: Option<f64>| number.map_or_else(|| count(None), |rate| format!("{}/s", count(rate)));
    let entry =
        |what: &str, now: String, total: String| Entry { what: what.to_owned(), now, total, is_bad: false };
    let cost = row.cost.map_or_else(|| dollars(None), |cost| format!("{}/h", dollars(cost)));
    [
        entry("requests", rate(row.requests), count(total.requests)),
        Entry { is_bad: row.errors > Some(0.0), ..entry("errors", percent(row.errors), count(total.errors)) },
        entry("tokens in", rate(row.input), count(total.input)),
        entry("tokens out", rate(row.output), count(total.output)),
        entry("cost", cost, dollars(total.cost)),
    ]
}

/// How long things take: what, and what 50, 95 and 99 of 100 did not exceed, of late and in all.
pub(super) fn times(view: &View) -> [(&'static str, [String; 6]); 3] {
    let of = |pick: fn(&Tally) -> &Buckets| {
        let at = |tally: &Tally, share: f64| time(pick(tally).quantile(share));
        let (now, total) = (&view.all.now, &view.all.total);
        [at(now, 0.5), at(now, 0.95), at(now, 0.99), at(total, 0.5), at(total, 0.95), at(total, 0.99)]
    };
    [
        ("answer", of(|tally| &tally.duration)),
        ("1st token", of(|tally| &tally.first_token)),
        ("gateway", of(|tally| &tally.gateway)),
    ]
}

/// What is there at this moment.
pub(super) fn standing(view: &View) -> String {
    format!("in flight {}   bytes held {}", count(view.in_flight), bytes(view.held))
}

/// The name of a row.
pub(super) fn name(row: &Row) -> &str {
    if row.name.is_empty() { "(none)" } else { &row.name }
}

/// The cells of a row but its name, as [`CAPTIONS`] has them.
pub(super) fn cells(row: &Row) -> [String; 7] {
    [
        count(row.requests),
        percent(row.errors),
        count(row.input),
        count(row.output),
        dollars(row.cost),
        dollars(row.total.cost),
        time(row.first_token()),
    ]
}

/// Widths of the columns that fit beside a name, the first ones: a number that is cut off is another number.
pub(super) fn fitting(room: u16) -> &'static [u16] {
    let ends = WIDTHS.iter().scan(NAME, |end, width| {
        *end = end.saturating_add(*width).saturating_add(1);
        Some(*end)
    });
    WIDTHS.get(..ends.take_while(|end| *end <= room).count()).unwrap_or_default()
}

/// What happened, by kind.
pub(super) fn panes(view: &View) -> [Pane; 6] {
    let bad = |event: Event, what: fn(&Happened) -> String| entries(view, event, true, what);
    [
        Pane { title: "errors", entries: bad(Event::Error, |one| words(one, " ")) },
        Pane { title: "fallbacks", entries: bad(Event::Fallback, fallback) },
        Pane {
            title: "health",
            entries: [
                bad(Event::Breaker, breaker),
                bad(Event::Exhausted, |one| format!("{}: all keys rest", words(one, " "))),
                bad(Event::Rest, |one| format!("{}: a key rests", words(one, " "))),
            ]
            .concat(),
        },
        Pane {
            title: "limits",
            entries: [
                bad(Event::Refusal, |one| format!("{} refused", words(one, " "))),
                entries(view, Event::NearlyUsed, false, |one| format!("{} nearly used", words(one, " "))),
            ]
            .concat(),
        },
        Pane { title: "cache", entries: cache(view) },
        Pane { title: "guard", entries: entries(view, Event::Finding, false, |one| words(one, " ")) },
    ]
}

fn entries(view: &View, event: Event, is_bad: bool, what: fn(&Happened) -> String) -> Vec<Entry> {
    let entry = |one: &Happened| Entry {
        what: what(one),
        now: if view.seconds.is_some() { count(one.now) } else { count(None) },
        total: count(one.total),
        is_bad: is_bad && one.now > 0.0,
    };
    view.happened(event).into_iter().map(entry).collect()
}

fn words(one: &Happened, between: &str) -> String {
    one.labels.iter().filter(|word| !word.is_empty()).map(String::as_str).collect::<Vec<_>>().join(between)
}

fn fallback(one: &Happened) -> String {
    match one.labels.as_slice() {
        [from, to, why] => format!("{from}>{to} {why}"),
        _ => words(one, " "),
    }
}

fn breaker(one: &Happened) -> String {
    let who = words(one, " ");
    format!("{}: breaker opened", if who.is_empty() { "redis" } else { &who })
}

fn cache(view: &View) -> Vec<Entry> {
    let results = entries(view, Event::Cache, false, |one| format!("cache {}", words(one, " ")));
    let (now, total) = view.hit_ratio();
    let ratio =
        Entry { what: "cache hit ratio".to_owned(), now: percent(now), total: percent(total), is_bad: false };
    if results.is_empty() { results } else { [vec![ratio], results].concat() }
}
