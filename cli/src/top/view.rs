//! What is shown: totals, and rates between two snapshots.

use super::buckets::{Buckets, Quantile};
use super::history::Point;
use super::snapshot::{By, Event, Snapshot, Tally};

/// Everything that is shown of one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Seconds that rates are those of; `None`: there is nothing to compare with yet.
    pub seconds: Option<f64>,
    /// Seconds that Envoy has run, about.
    pub uptime: f64,
    /// Requests in flight that limits know of; `None` where none does.
    pub in_flight: Option<f64>,
    /// Bytes that filters hold back; `None` where none ever did.
    pub held: Option<f64>,
    /// All requests.
    pub all: Row,
    /// What the last intervals brought, oldest first.
    pub points: Vec<Point>,
    groups: [Vec<Row>; By::ALL.len()],
    events: Vec<(Event, Happened)>,
}

/// Some requests: rates a second where nothing else is said. `None`: not known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// What they have in common; empty: that they name nothing.
    pub name: String,
    /// Requests.
    pub requests: Option<f64>,
    /// Errors, of a hundred requests.
    pub errors: Option<f64>,
    /// Tokens read.
    pub input: Option<f64>,
    /// Tokens written.
    pub output: Option<f64>,
    /// Dollars an hour.
    pub cost: Option<f64>,
    /// What came in this time.
    pub now: Tally,
    /// What came since Envoy began.
    pub total: Tally,
}

/// How often something happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Happened {
    /// What its labels say.
    pub labels: Vec<String>,
    /// In the time that rates are those of.
    pub now: f64,
    /// Since Envoy began.
    pub total: f64,
}

impl View {
    pub(super) fn new(
        now: &Snapshot,
        before: Option<&Snapshot>,
        points: impl Iterator<Item = Point>,
    ) -> Self {
        let seconds = before.map(|before| now.at - before.at).filter(|seconds| *seconds > 0.0);
        let row = |name: &str, tally: &Tally, old: Option<&Tally>| Row::new(name, tally, old, seconds);
        let rows = |by: By| {
            let old = |name: &str| before.and_then(|before| before.group(by).get(name));
            now.group(by).iter().map(|(name, tally)| row(name, tally, old(name))).collect()
        };
        Self {
            seconds,
            uptime: now.uptime,
            in_flight: now.in_flight,
            held: now.held,
            all: row("", &now.all, before.map(|before| &before.all)),
            points: points.collect(),
            groups: By::ALL.map(rows),
            events: events(now, before),
        }
    }

    /// Requests told apart, by name.
    #[must_use]
    pub fn rows(&self, by: By) -> &[Row] {
        By::ALL.iter().zip(&self.groups).find(|(own, _)| **own == by).map_or(&[], |(_, rows)| rows)
    }

    /// What happened, the most frequent of late first.
    #[must_use]
    pub fn happened(&self, event: Event) -> Vec<&Happened> {
        let mut all: Vec<_> =
            self.events.iter().filter(|(own, _)| *own == event).map(|(_, one)| one).collect();
        all.sort_by(|a, b| b.now.total_cmp(&a.now).then(b.total.total_cmp(&a.total)));
        all
    }

    /// Hits of a hundred requests that the cache was asked for, of late and in all.
    #[must_use]
    pub fn hit_ratio(&self) -> (Option<f64>, Option<f64>) {
        let of = |pick: fn(&Happened) -> f64| {
            let count = |result: &str| {
                let all = self.happened(Event::Cache).into_iter();
                all.filter(|one| one.labels.first().is_some_and(|own| own == result))
                    .map(pick)
                    .fold(0.0, |sum, one| sum + one)
            };
            percent(count("hit"), count("hit") + count("miss"))
        };
        (of(|one| one.now), of(|one| one.total))
    }
}

impl Row {
    fn new(name: &str, total: &Tally, before: Option<&Tally>, seconds: Option<f64>) -> Self {
        let nothing = Tally::default();
        let now = total.since(before.unwrap_or(&nothing));
        let rate = |count: f64| seconds.map(|seconds| count / seconds);
        Self {
            name: name.to_owned(),
            requests: rate(now.requests),
            errors: seconds.and_then(|_| percent(now.errors, now.requests)),
            input: rate(now.input),
            output: rate(now.output),
            cost: rate(now.cost * 3_600.0),
            total: total.clone(),
            now: if seconds.is_some() { now } else { nothing },
        }
    }

    /// What 95 of 100 first tokens did not exceed, in milliseconds.
    #[must_use]
    pub fn first_token(&self) -> Option<Quantile> {
        self.now.first_token.quantile(0.95)
    }
}

impl Tally {
    fn since(&self, before: &Self) -> Self {
        let more = |pick: fn(&Self) -> f64| (pick(self) - pick(before)).max(0.0);
        let came = |pick: fn(&Self) -> &Buckets| pick(self).since(pick(before));
        Self {
            requests: more(|tally| tally.requests),
            errors: more(|tally| tally.errors),
            input: more(|tally| tally.input),
            output: more(|tally| tally.output),
            cost: more(|tally| tally.cost),
            duration: came(|tally| &tally.duration),
            first_token: came(|tally| &tally.first_token),
            gateway: came(|tally| &tally.gateway),
        }
    }
}

impl Event {
    const ALL: [Self; 9] = [
        Self::Error,
        Self::Fallback,
        Self::Refusal,
        Self::NearlyUsed,
        Self::Cache,
        Self::Finding,
        Self::Rest,
        Self::Exhausted,
        Self::Breaker,
    ];
}

fn events(now: &Snapshot, before: Option<&Snapshot>) -> Vec<(Event, Happened)> {
    let mut all = Vec::new();
    for event in Event::ALL {
        for (labels, total) in now.events(event) {
            let new = before.map_or(0.0, |before| (total - before.event(event, labels)).max(0.0));
            all.push((event, Happened { labels: labels.to_vec(), now: new, total }));
        }
    }
    all
}

fn percent(part: f64, of: f64) -> Option<f64> {
    (of > 0.0).then(|| part / of * 100.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIRST: &str = include_str!("testdata/first.prom");
    const SECOND: &str = include_str!("testdata/second.prom");

    fn view() -> View {
        let [first, second] =
            [(FIRST, 0.0), (SECOND, 10.0)].map(|(page, at)| Snapshot::read(page, at).unwrap());
        View::new(&second, Some(&first), std::iter::empty())
    }

    fn row<'a>(view: &'a View, by: By, name: &str) -> &'a Row {
        view.rows(by).iter().find(|row| row.name == name).unwrap()
    }

    #[test]
    fn rates_are_differences_by_seconds() {
        let view = view();
        let mobile = row(&view, By::Consumer, "mobile-app");
        assert_eq!((mobile.requests, mobile.errors), (Some(4.0), Some(5.0)));
        assert_eq!((mobile.input, mobile.output), (Some(2_000.0), Some(500.0)));
        assert!((mobile.cost.unwrap() - 3.6).abs() < 1e-9, "{mobile:?}");
        assert_eq!(mobile.total.requests, 1_240.0);
    }

    #[test]
    fn who_is_new_counts_from_nothing_and_who_is_idle_has_no_error_rate() {
        let view = view();
        assert_eq!(row(&view, By::Consumer, "newcomer").requests, Some(0.1));
        let batch = row(&view, By::Consumer, "batch");
        assert_eq!((batch.requests, batch.errors, batch.first_token()), (Some(0.0), None, None));
    }

    #[test]
    fn what_happened_most_of_late_comes_first() {
        let view = view();
        let fallbacks = view.happened(Event::Fallback);
        let shown: Vec<_> = fallbacks.iter().map(|one| (one.labels.join(" "), one.now, one.total)).collect();
        assert_eq!(
            shown,
            [
                ("openai azure rate_limited".to_owned(), 6.0, 46.0),
                ("openai azure timeout".to_owned(), 0.0, 55.0)
            ]
        );
        assert_eq!(view.hit_ratio(), (Some(25.0), Some(20.0)));
    }

    proptest! {
        #[test]
        fn no_two_snapshots_give_anything_but_numbers(
            counts in prop::collection::vec((0..3_usize, 0..4_u8, any::<f64>()), 0..12),
            more in prop::collection::vec((0..3_usize, 0..4_u8, any::<f64>()), 0..12),
            seconds in any::<f64>(),
        ) {
            let names = ["ai_log_requests_total", "ai_log_errors_total", "ai_log_gateway_milliseconds_bucket"];
            let page = |counts: &[(usize, u8, f64)]| -> String {
                counts.iter().map(|(name, who, value)| format!("{}{{consumer=\"{who}\",le=\"{who}\"}} {value}\n", names[*name])).collect()
            };
            let [before, now] = [(&counts, 0.0), (&more, seconds)].map(|(counts, at)| Snapshot::read(&page(counts), at).unwrap());
            let view = View::new(&now, Some(&before), std::iter::empty());
            for row in view.rows(By::Consumer).iter().chain([&view.all]) {
                for number in [row.requests, row.errors, row.input, row.output, row.cost].into_iter().flatten() {
                    prop_assert!(!number.is_nan() && number >= 0.0, "{:?}", row);
                }
            }
        }
    }
}
