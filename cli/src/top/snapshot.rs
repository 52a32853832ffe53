//! What the gateway had counted at one moment, summed up as far as it is shown.

use std::collections::BTreeMap;

use sluice_core::metric::Label;

use super::buckets::Buckets;
use super::exposition::{self, Sample, Unreadable};

/// What requests are told apart by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum By {
    /// Who asked.
    #[default]
    Consumer,
    /// The model asked for.
    Model,
    /// Who was asked last.
    Provider,
    /// The rule that matched.
    Route,
}

impl By {
    /// All, in the order shown.
    pub const ALL: [Self; 4] = [Self::Consumer, Self::Model, Self::Provider, Self::Route];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Consumer => "consumer",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Route => "route",
        }
    }

    const fn label(self) -> Label {
        match self {
            Self::Consumer => Label::Consumer,
            Self::Model => Label::Model,
            Self::Provider => Label::Provider,
            Self::Route => Label::Route,
        }
    }
}

/// What is counted of some requests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// Requests that are over.
    pub requests: f64,
    /// Those not answered well.
    pub errors: f64,
    /// Tokens read.
    pub input: f64,
    /// Tokens written.
    pub output: f64,
    /// Dollars.
    pub cost: f64,
    /// Milliseconds from the request to the end of its answer.
    pub duration: Buckets,
    /// Milliseconds to the first token.
    pub first_token: Buckets,
    /// Milliseconds that the gateway itself took.
    pub gateway: Buckets,
}

/// A kind of thing that happens, each counted by what its labels say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// A request was not answered well: class, type.
    Error,
    /// Another was asked instead: who failed, who was asked, why.
    Fallback,
    /// A limit refused a request: limit.
    Refusal,
    /// A limit let a request pass with little left: limit.
    NearlyUsed,
    /// The cache was asked: what came of it.
    Cache,
    /// A check found something: check, category, what was done.
    Finding,
    /// A key of a provider rests: provider, why.
    Rest,
    /// Every key of a provider rested: provider.
    Exhausted,
    /// Redis or a service of content-guard is left alone for a while: which.
    Breaker,
}

/// Counters that happen, and the labels that tell them apart.
const EVENTS: &[(&str, Event, &[Label])] = &[
    ("ai_log_errors_total", Event::Error, &[Label::ErrorClass, Label::ErrorType]),
    ("ai_log_fallbacks_total", Event::Fallback, &[Label::Provider, Label::To, Label::Reason]),
    ("ai_log_limit_refusals_total", Event::Refusal, &[Label::Limit]),
    ("ai_log_limits_nearly_used_total", Event::NearlyUsed, &[Label::Limit]),
    ("ai_log_cache_total", Event::Cache, &[Label::Result]),
    ("ai_log_guard_findings_total", Event::Finding, &[Label::Check, Label::Category, Label::Action]),
    ("key_rotation_rests_total", Event::Rest, &[Label::Provider, Label::Reason]),
    ("key_rotation_exhausted_total", Event::Exhausted, &[Label::Provider]),
    ("redis_breaker_opened_total", Event::Breaker, &[]),
    ("content_guard_breaker_opened_total", Event::Breaker, &[Label::Check]),
];

/// What is asked of Envoy: only names that are shown, and only what was ever counted.
pub(super) const PAGE: &str = concat!(
    "/stats/prometheus?usedonly&filter=%5E(server%5C.uptime$%7Cwasmcustom%5C.(",
    "ai_log_(requests_total%7Cerrors_total%7Ctokens_total%7Ccost_nanodollars_total%7Cfallbacks_total%7C",
    "limit_refusals_total%7Climits_nearly_used_total%7Ccache_total%7Cguard_findings_total%7Cgateway_milliseconds)%7C",
    "gen_ai_client_operation_duration_milliseconds%7Cgen_ai_server_time_to_first_token_milliseconds%7C",
    "key_rotation_(rests%7Cexhausted)_total%7Ctoken_limit_leases%7Csluice_held_bytes%7C",
    "redis_breaker_opened_total%7Ccontent_guard_breaker_opened_total))",
);

/// What the gateway had counted at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// When, in seconds of whatever clock the caller has.
    pub at: f64,
    /// Seconds that Envoy had run; it updates this now and then.
    pub uptime: f64,
    /// Requests in flight that limits know of; `None` where none does.
    pub in_flight: Option<f64>,
    /// Bytes of bodies that filters hold back; `None` where none ever did.
    pub held: Option<f64>,
    /// All requests.
    pub all: Tally,
    groups: [BTreeMap<String, Tally>; By::ALL.len()],
    events: BTreeMap<Event, BTreeMap<Vec<String>, f64>>,
}

impl Snapshot {
    /// What a gateway that has just begun has counted.
    #[must_use]
    pub fn nothing(at: f64) -> Self {
        Self { at, ..Self::default() }
    }

    /// Sums up a page of Envoy's `/stats/prometheus`.
    ///
    /// # Errors
    /// It is no such page.
    pub fn read(page: &str, at: f64) -> Result<Self, Unreadable> {
        let mut snapshot = Self::nothing(at);
        for sample in exposition::samples(page) {
            snapshot.add(&sample?);
        }
        Ok(snapshot)
    }

    /// Requests told apart, by name. Those without one are under the empty name.
    #[must_use]
    pub fn group(&self, by: By) -> &BTreeMap<String, Tally> {
        let [consumer, model, provider, route] = &self.groups;
        match by {
            By::Consumer => consumer,
            By::Model => model,
            By::Provider => provider,
            By::Route => route,
        }
    }

    /// What happened, how often.
    pub fn events(&self, event: Event) -> impl Iterator<Item = (&[String], f64)> {
        let all = self.events.get(&event).into_iter().flatten();
        all.map(|(labels, count)| (labels.as_slice(), *count))
    }

    /// How often one thing happened.
    #[must_use]
    pub fn event(&self, event: Event, labels: &[String]) -> f64 {
        self.events.get(&event).and_then(|all| all.get(labels)).copied().unwrap_or_default()
    }

    /// Something was counted down since `before`, which no counter does but one that began anew.
    #[must_use]
    pub fn has_begun_anew_since(&self, before: &Self) -> bool {
        let fell = |now: f64, then: f64| now < then;
        fell(self.uptime, before.uptime)
            || fell(self.all.requests, before.all.requests)
            || fell(self.all.input + self.all.output, before.all.input + before.all.output)
    }

    fn add(&mut self, sample: &Sample<'_>) {
        let value = if sample.value.is_finite() { sample.value.max(0.0) } else { 0.0 };
        match sample.name {
            "envoy_server_uptime" => self.uptime = value,
            "token_limit_leases" => *self.in_flight.get_or_insert_default() += value,
            "sluice_held_bytes" => *self.held.get_or_insert_default() += value,
            "ai_log_requests_total" => self.tally(sample, |tally| tally.requests += value),
            "ai_log_cost_nanodollars_total" => self.tally(sample, |tally| tally.cost += value / 1e9),
            "ai_log_errors_total" => self.tally(sample, |tally| tally.errors += value),
            "ai_log_tokens_total" => match sample.label(Label::TokenType.name()) {
                "input" => self.tally(sample, |tally| tally.input += value),
                "output" => self.tally(sample, |tally| tally.output += value),
                _ => {} // parts of these two
            },
            _ => self.observe(sample, value),
        }
        for (_, event, labels) in EVENTS.iter().filter(|(name, ..)| *name == sample.name) {
            let labels = labels.iter().map(|label| printable(sample.label(label.name()))).collect();
            *self.events.entry(*event).or_default().entry(labels).or_default() += value;
        }
    }

    fn observe(&mut self, sample: &Sample<'_>, value: f64) {
        let pick: fn(&mut Tally) -> &mut Buckets = match sample.name {
            "gen_ai_client_operation_duration_milliseconds_bucket" => |tally| &mut tally.duration,
            "gen_ai_server_time_to_first_token_milliseconds_bucket" => |tally| &mut tally.first_token,
            "ai_log_gateway_milliseconds_bucket" => |tally| &mut tally.gateway,
            _ => return,
        };
        let bound = sample.label("le").parse::<f64>().ok().filter(|bound| !bound.is_nan());
        if let Some(bound) = bound {
            self.tally(sample, |tally| pick(tally).add(bound, value));
        }
    }

    /// Changes every tally that a sample counts in.
    fn tally(&mut self, sample: &Sample<'_>, change: impl Fn(&mut Tally)) {
        change(&mut self.all);
        for (by, group) in By::ALL.into_iter().zip(&mut self.groups) {
            let name = sample.label(by.label().name());
            match group.get_mut(name) {
                Some(tally) => change(tally),
                None => change(group.entry(printable(name)).or_default()),
            }
        }
    }
}

/// A name as a terminal may be shown it: without what steers one, turns the line round or is not seen.
fn printable(name: &str) -> String {
    let is_mark =
        |char| matches!(char, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{feff}');
    let is_turn = |char| matches!(char, '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}');
    let is_shown = |char: char| !char.is_control() && !is_mark(char) && !is_turn(char);
    name.chars().map(|char| if is_shown(char) { char } else { '\u{fffd}' }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAGE: &str = include_str!("testdata/first.prom");

    #[test]
    fn a_page_is_summed_up_by_each_label() {
        let snapshot = Snapshot::read(PAGE, 1.0).unwrap();
        assert_eq!(
            (snapshot.uptime, snapshot.in_flight, snapshot.held),
            (8_000.0, Some(3.0), Some(20_480.0))
        );
        assert!(
            snapshot.all.requests > 0.0 && snapshot.all.cost > 0.0 && snapshot.all.duration.count() > 0.0
        );
        for by in By::ALL {
            let group = snapshot.group(by);
            assert!(group.len() > 1, "{by:?}");
            let sum = |pick: fn(&Tally) -> f64| group.values().map(pick).sum::<f64>();
            assert_eq!(sum(|tally| tally.requests), snapshot.all.requests, "{by:?}");
            assert_eq!(sum(|tally| tally.errors), snapshot.all.errors, "{by:?}");
            assert_eq!(sum(|tally| tally.output), snapshot.all.output, "{by:?}");
        }
    }

    #[test]
    fn every_series_that_is_shown_is_asked_for() {
        for (name, ..) in EVENTS {
            let found = Snapshot::read(&format!("{name}{{}} 2"), 0.0).unwrap();
            assert_ne!(found, Snapshot::default(), "{name}");
            let asked = name.rsplit_once("_total").unwrap().0.trim_start_matches("ai_log_");
            assert!(super::PAGE.contains(asked.trim_start_matches("key_rotation_")), "{name}");
        }
    }

    #[test]
    fn what_would_steer_a_terminal_is_shown_as_a_sign() {
        for (name, want) in [
            ("\u{1b}[2J\u{7}x", "\u{fffd}[2J\u{fffd}x"),
            ("\u{9b}31m", "\u{fffd}31m"),
            ("a\u{202e}b\u{200b}\u{feff}", "a\u{fffd}b\u{fffd}\u{fffd}"),
            ("模型 é", "模型 é"),
        ] {
            let page = format!("ai_log_requests_total{{consumer=\"{name}\"}} 1");
            let snapshot = Snapshot::read(&page, 0.0).unwrap();
            assert_eq!(snapshot.group(By::Consumer).keys().collect::<Vec<_>>(), [want]);
        }
    }

    #[test]
    fn odd_numbers_count_nothing() {
        let page = "ai_log_requests_total{} NaN\nai_log_requests_total{a=\"b\"} -3\nai_log_errors_total{} +Inf\n\
                    ai_log_gateway_milliseconds_bucket{le=\"NaN\"} 1";
        let snapshot = Snapshot::read(page, 0.0).unwrap();
        assert_eq!(
            (snapshot.all.requests, snapshot.all.errors, snapshot.all.gateway.count()),
            (0.0, 0.0, 0.0)
        );
    }

    proptest! {
        #[test]
        fn any_page_is_read_or_refused(page in "(ai_log_(requests|errors|tokens)_total\\{(le|consumer)=\"\\PC{0,3}\"\\} [0-9eE.+-]{0,6}\n){0,5}") {
            let _ = Snapshot::read(&page, 0.0);
        }
    }
}
