//! A report as text for people.

use std::collections::BTreeMap;
use std::fmt;

use sluice_core::price::NANO;
use time::OffsetDateTime;

use super::log::Skipped;
use super::record::Unread;
use super::report::{Both, Change, Group, Note, Report};

/// Rows of a table of costs; the rest is one row more.
const ROWS: usize = 10;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = self.span_us.map(|(first, last)| format!(", {} to {}", clock(first), clock(last)));
        writeln!(f, "read    {}{}", requests(self.requests), span.unwrap_or_default())?;
        self.skipped.iter().try_for_each(|skipped| write!(f, "{skipped}"))?;
        writeln!(f, "same    {}{}", self.same, share(self.same, self.requests))?;
        writeln!(f, "change  {}{}", self.changed(), share(self.changed(), self.requests))?;
        self.changes(f)?;
        self.caches(f)?;
        self.costs(f)?;
        self.notes(f)
    }
}

impl Report {
    fn changes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut told = None;
        let mut groups: Vec<_> = self.changes.iter().collect();
        groups.sort_by_key(|((change, ..), group)| (*change, std::cmp::Reverse(group.count)));
        for ((change, from, to), group) in groups {
            if told.replace(*change) != Some(*change) {
                let of_kind = self.changes.iter().filter(|((kind, ..), _)| kind == change);
                let sum = of_kind.fold(0_u64, |sum, (_, group)| sum.saturating_add(group.count));
                writeln!(f, "\n{}: {}", change.title(), requests(sum))?;
            }
            let what = match (from.as_str(), to.as_str()) {
                ("", "") => "",
                ("", one) | (one, "") => one,
                (from, to) => &format!("{from} -> {to}"),
            };
            if !(what.is_empty() && group.examples.is_empty()) {
                writeln!(f, "{}", Row(what, group))?;
            }
        }
        Ok(())
    }

    fn caches(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows =
            [("hits", self.caches.hits), ("misses", self.caches.misses), ("bypasses", self.caches.bypasses)];
        if rows.iter().all(|(_, both)| *both == Both::default()) {
            return Ok(());
        }
        writeln!(f, "\n{:<24} {:>14} {:>14}", "cache", "before", "after")?;
        rows.iter().try_for_each(|(name, Both { before, after })| {
            writeln!(f, "{:<24} {before:>14} {after:>14}", format!("  {name}"))
        })
    }

    fn costs(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.cost == Both::default() {
            return Ok(());
        }
        writeln!(f, "\n{:<24} {:>14} {:>14}", "cost in US dollars", "before", "after")?;
        cost(f, "  in all", self.cost)?;
        for (what, costs) in [("consumer", &self.cost_by_consumer), ("model", &self.cost_by_model)] {
            table(f, what, costs)?;
        }
        Ok(())
    }

    fn notes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unseen = !self.unseen_headers.is_empty();
        if self.notes.is_empty() && !unseen && !self.has_checks {
            return Ok(());
        }
        writeln!(f)?;
        for (note, count) in &self.notes {
            writeln!(f, "note    {}: {}", requests(*count), note.words())?;
        }
        if unseen {
            let names = self.unseen_headers.join(", ");
            writeln!(f, "note    no record holds a header that the file looks at: {names}")?;
        }
        if self.has_checks {
            writeln!(f, "note    content checks are not run again: what they found then stands")?;
        }
        Ok(())
    }
}

/// A change with its examples.
struct Row<'a>(&'a str, &'a Group);

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(what, Group { count, examples }) = self;
        write!(f, "{count:>10}  {what}")?;
        if examples.is_empty() {
            return Ok(());
        }
        let lead = if what.is_empty() { "" } else { "\n            " };
        write!(f, "{lead}such as {}", examples.join(", "))
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.lines.iter().map(u64::to_string).collect();
        let shown = u64::try_from(lines.len()).unwrap_or(u64::MAX);
        let more = if self.count > shown { ", …" } else { "" };
        let (s, numbers) = (if self.count == 1 { "" } else { "s" }, lines.join(", "));
        writeln!(f, "skip    {} line{s} {}: {numbers}{more}", self.count, self.why.words())
    }
}

impl Unread {
    const fn words(self) -> &'static str {
        match self {
            Self::Broken => "that cannot be read",
            Self::NoRecord => "without a record",
            Self::OtherVersion => "of another version",
            Self::NoTimes => "that do not say when",
        }
    }
}

impl Change {
    const fn title(self) -> &'static str {
        match self {
            Self::Refused => "get an error, and did not",
            Self::Admitted => "got an error, and do not",
            Self::RefusedOtherwise => "get another error",
            Self::Routed => "go elsewhere",
            Self::Served => "are answered by another",
            Self::Hit => "are answered from the cache, and were not",
            Self::Missed => "were answered from the cache, and are not",
            Self::Cost => "cost something else",
        }
    }
}

impl Note {
    const fn words(self) -> &'static str {
        match self {
            Self::Assumed => "somebody else is asked, and taken to answer with the tokens of who did then",
            Self::Estimated => "nobody answered then: tokens and time are those of other answers by the rule",
            Self::Unread => "let in now, but what they asked for is not in the log",
            Self::ByName => "the file does not have the key: told by the consumer's name",
            Self::NoCacheKey => "taken for misses, as the log does not tell what they asked",
            Self::Unpriced => "the model that serves has no price",
        }
    }
}

/// Costs by name, the dearest first.
fn table(f: &mut fmt::Formatter<'_>, what: &str, costs: &BTreeMap<String, Both>) -> fmt::Result {
    let mut rows: Vec<_> = costs.iter().collect();
    rows.sort_by_key(|(_, both)| std::cmp::Reverse(both.before.max(both.after)));
    for (name, both) in rows.iter().take(ROWS) {
        cost(f, &format!("  {what} {name}"), **both)?;
    }
    let rest = rows.iter().skip(ROWS).fold(Both::default(), |sum, (_, both)| Both {
        before: sum.before.saturating_add(both.before),
        after: sum.after.saturating_add(both.after),
    });
    if rows.len() > ROWS { cost(f, &format!("  other {what}s"), rest) } else { Ok(()) }
}

fn cost(f: &mut fmt::Formatter<'_>, name: &str, Both { before, after }: Both) -> fmt::Result {
    let change = match before {
        0 => String::new(),
        _ => percent(before, after).map_or(String::new(), |percent| format!("  {percent}")),
    };
    writeln!(f, "{name:<24} {:>14} {:>14}{change}", dollars(before), dollars(after))
}

/// To a millionth of a dollar.
fn dollars(nano: u64) -> String {
    let micro = nano.saturating_add(500).checked_div(1_000).unwrap_or_default();
    let million = NANO.checked_div(1_000).unwrap_or(1);
    let (whole, rest) = (micro.checked_div(million), micro.checked_rem(million));
    format!("{}.{:06}", whole.unwrap_or_default(), rest.unwrap_or_default())
}

/// `+12.5 %`; `None`: no change.
fn percent(before: u64, after: u64) -> Option<String> {
    let sign = if after < before { '-' } else { '+' };
    let tenths = tenths(after.abs_diff(before), before);
    (before != after).then(|| format!("{sign}{} %", point(tenths)))
}

fn share(part: u64, whole: u64) -> String {
    if whole == 0 || part == 0 {
        return String::new();
    }
    format!(" ({} %)", point(tenths(part, whole)))
}

/// Tenths of a percent, rounded.
fn tenths(part: u64, whole: u64) -> u128 {
    let (part, whole) = (u128::from(part), u128::from(whole));
    let doubled = part.saturating_mul(2_000).saturating_add(whole);
    doubled.checked_div(whole.saturating_mul(2)).unwrap_or_default()
}

fn point(tenths: u128) -> String {
    format!("{}.{}", tenths.checked_div(10).unwrap_or_default(), tenths.checked_rem(10).unwrap_or_default())
}

fn requests(count: u64) -> String {
    format!("{count} request{}", if count == 1 { "" } else { "s" })
}

/// `2026-11-22 08:05:09`, in UTC.
fn clock(us: u64) -> String {
    let seconds = us.checked_div(1_000_000).and_then(|seconds| i64::try_from(seconds).ok());
    let Some(Ok(at)) = seconds.map(OffsetDateTime::from_unix_timestamp) else { return "?".to_owned() };
    let (date, (hour, minute, second)) = (at.date(), at.to_hms());
    format!("{date} {hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_people_read_them() {
        assert_eq!(dollars(1_234_567_890), "1.234568");
        assert_eq!(percent(100, 150).as_deref(), Some("+50.0 %"));
        assert_eq!(percent(3, 2).as_deref(), Some("-33.3 %"));
        assert_eq!(percent(3, 3), None);
        assert_eq!(share(1, 8), " (12.5 %)");
        assert_eq!((share(0, 8).as_str(), share(0, 0).as_str()), ("", ""));
        assert_eq!(clock(1_795_334_709_123_456), "2026-11-22 08:05:09");
        assert_eq!(requests(1), "1 request");
    }
}
