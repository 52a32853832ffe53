//! A report as JSON for programs.

use serde_json::{Map, Number, Value, json};
use sluice_core::price::{NANO, decimal};

use super::log::Skipped;
use super::record::Unread;
use super::report::{Both, Change, Group, Note, Report};

impl Report {
    /// The report as one JSON object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let change = |((change, from, to), group): (&(Change, String, String), &Group)| {
            let text = |text: &String| (!text.is_empty()).then(|| text.clone());
            json!({
                "change": change.name(), "from": text(from), "to": text(to),
                "requests": group.count, "examples": group.examples,
            })
        };
        let notes = self.notes.iter().map(|(note, count)| (note.name().to_owned(), (*count).into()));
        let by = |costs: &std::collections::BTreeMap<String, Both>| -> Map<String, Value> {
            costs.iter().map(|(name, both)| (name.clone(), dollars(*both))).collect()
        };
        json!({
            "requests": self.requests,
            "same": self.same,
            "changed": self.changed(),
            "from_us": self.span_us.map(|(first, _)| first),
            "to_us": self.span_us.map(|(_, last)| last),
            "skipped": self.skipped.iter().map(Skipped::to_json).collect::<Vec<_>>(),
            "changes": self.changes.iter().map(change).collect::<Vec<_>>(),
            "cache": {
                "hits": counts(self.caches.hits),
                "misses": counts(self.caches.misses),
                "bypasses": counts(self.caches.bypasses),
            },
            "cost_usd": dollars(self.cost),
            "cost_usd_by_consumer": by(&self.cost_by_consumer),
            "cost_usd_by_model": by(&self.cost_by_model),
            "assumed": notes.collect::<Map<String, Value>>(),
            "unseen_headers": self.unseen_headers,
        })
    }
}

impl Skipped {
    fn to_json(&self) -> Value {
        json!({"why": self.why.name(), "count": self.count, "lines": self.lines})
    }
}

impl Unread {
    const fn name(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::NoRecord => "no_record",
            Self::OtherVersion => "other_version",
            Self::NoTimes => "no_times",
        }
    }
}

impl Change {
    const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Admitted => "admitted",
            Self::RefusedOtherwise => "refused_otherwise",
            Self::Routed => "routed",
            Self::Served => "served",
            Self::Hit => "cache_hit",
            Self::Missed => "cache_miss",
            Self::Cost => "cost",
        }
    }
}

impl Note {
    const fn name(self) -> &'static str {
        match self {
            Self::Assumed => "another_provider",
            Self::Estimated => "no_answer_recorded",
            Self::Unread => "request_not_recorded",
            Self::ByName => "key_unknown",
            Self::NoCacheKey => "cache_key_not_recorded",
            Self::Unpriced => "unpriced",
        }
    }
}

fn counts(both: Both) -> Value {
    json!({"before": both.before, "after": both.after})
}

fn dollars(both: Both) -> Value {
    let number = |nano: u64| decimal(nano, NANO).parse::<Number>().map_or(Value::Null, Value::Number);
    json!({"before": number(both.before), "after": number(both.after)})
}
