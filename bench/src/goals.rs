//! The figures to reach, and whether they are.

use crate::record::{Figures, GATEWAY, MICRO};
use crate::stats::median;

/// The gateway with all of its ordinary parts.
pub const WHOLE: &str = "whole";

/// Module that holds all filters; the others hold one each.
pub const SUITE: &str = "sluice";

/// On which side of the bound a value must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

impl Bound {
    /// Whether `value` is on the right side.
    #[must_use]
    pub fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(bound) => value <= bound,
            Self::AtLeast(bound) => value >= bound,
        }
    }
}

/// One figure to reach.
#[derive(Clone, Copy)]
pub struct Goal {
    /// What is measured.
    pub what: &'static str,
    /// What to reach.
    pub bound: Bound,
    /// Unit of both.
    pub unit: &'static str,
    measure: fn(&Of<'_>) -> Option<f64>,
}

impl Goal {
    /// What was measured of gateways whose names end with `form`, if it was.
    #[must_use]
    pub fn value(&self, figures: &Figures, form: &str) -> Option<f64> {
        (self.measure)(&Of { figures, form })
    }
}

/// The figures of one form of the filters.
struct Of<'a> {
    figures: &'a Figures,
    form: &'a str,
}

impl Of<'_> {
    fn name(&self, gateway: &str) -> String {
        format!("{gateway}{}", self.form)
    }

    fn median(&self, workload: &str, gateway: &str, metric: &str) -> Option<f64> {
        median(&self.figures.values(GATEWAY, workload, &self.name(gateway), metric))
    }
}

/// All of them, for one worker.
pub const ALL: &[Goal] = &[
    at_most("whole chain, 1 KB, CPU per request", 2.0, "× bare", |all| cpu(all, "chat-1k")),
    at_most("whole chain, 16 KB", 2.0, "× bare", |all| cpu(all, "chat-16k")),
    at_most("whole chain, 128 KB", 1.8, "× bare", |all| cpu(all, "chat-128k")),
    at_most("whole chain, stream of 20 events", 2.0, "× bare", |all| cpu(all, "stream-20")),
    at_most("added time to first token, p50, 10 streams/s", 0.3, "ms", |all| {
        added(all, "stream-50-steady", "ttft_p50")
    }),
    at_most("added time to first token, p99, 10 streams/s", 1.0, "ms", |all| {
        added(all, "stream-50-steady", "ttft_p99")
    }),
    at_most("added time to first token, p50, 64 open", 1.0, "ms", |all| {
        added(all, "stream-50-crowd", "ttft_p50")
    }),
    at_most("added time to first token, p99, 64 open", 4.0, "ms", |all| {
        added(all, "stream-50-crowd", "ttft_p99")
    }),
    at_most("resident memory, whole chain less bare", 60.0, "MB", |all| added(all, "chat-1k", "rss")),
    at_most("its growth over 1,000,000 requests", FLAT_MB, "MB", |all| growth(all, "requests")),
    at_most("its growth over 1,000 reloads", FLAT_MB, "MB", |all| growth(all, "reloads")),
    at_most("start until first answer", 2.0, "s", |all| all.median("start", WHOLE, "first answer")),
    at_most("largest module of one filter", 350.0, "KB", largest_module),
    at_least("cache hits, in Envoy's memory", 15_000.0, "/s", |all| all.median("cache-hit", "cache", "rate")),
    at_least("cache hits, in Redis", 8_000.0, "/s", |all| all.median("cache-hit", "cache-redis", "rate")),
    at_most("limit decision, pure, native", 1.0, "µs", limit_decision),
];

/// Growth that counts as none: what an allocator may keep of the last peak.
const FLAT_MB: f64 = 5.0;

const fn at_most(
    what: &'static str,
    bound: f64,
    unit: &'static str,
    measure: fn(&Of<'_>) -> Option<f64>,
) -> Goal {
    Goal { what, bound: Bound::AtMost(bound), unit, measure }
}

const fn at_least(
    what: &'static str,
    bound: f64,
    unit: &'static str,
    measure: fn(&Of<'_>) -> Option<f64>,
) -> Goal {
    Goal { what, bound: Bound::AtLeast(bound), unit, measure }
}

fn cpu(all: &Of<'_>, workload: &str) -> Option<f64> {
    median(&all.figures.ratios(GATEWAY, workload, &all.name(WHOLE), "cpu"))
}

fn added(all: &Of<'_>, workload: &str, metric: &str) -> Option<f64> {
    median(&all.figures.added(GATEWAY, workload, &all.name(WHOLE), metric))
}

/// From the mean of the second quarter to that of the last: the first warms up.
fn growth(all: &Of<'_>, workload: &str) -> Option<f64> {
    let looks = all.figures.values(GATEWAY, workload, &all.name(WHOLE), "rss");
    let quarter = looks.len() / 4;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let before = mean(looks.get(quarter..quarter * 2).filter(|values| !values.is_empty())?);
    let after = mean(looks.get(looks.len() - quarter..)?);
    Some(after - before)
}

/// Of Wasm modules: there is one native module, with all filters.
fn largest_module(all: &Of<'_>) -> Option<f64> {
    let figures = all.figures;
    let of_one = figures.names(GATEWAY, "modules").into_iter().filter(|name| *name != SUITE);
    let sizes = of_one.flat_map(|name| figures.values(GATEWAY, "modules", name, "size"));
    sizes.max_by(f64::total_cmp).filter(|_| all.form.is_empty())
}

fn limit_decision(all: &Of<'_>) -> Option<f64> {
    let figures = all.figures;
    let workload = figures.workloads(MICRO).into_iter().find(|name| name.starts_with("limit: decide"))?;
    median(&figures.values(MICRO, workload, "native", "rate")).map(|rate| 1e6 / rate)
}

#[cfg(test)]
mod tests {
    use super::{ALL, Bound, Of, growth};
    use crate::record::{Figure, Figures, GATEWAY};
    use crate::subject::NATIVE;

    fn looks(values: &[f64]) -> Figures {
        let figure = |(index, value): (usize, &f64)| Figure {
            suite: GATEWAY.to_owned(),
            workload: "requests".to_owned(),
            name: "whole".to_owned(),
            metric: "rss".to_owned(),
            unit: "MB".to_owned(),
            round: u32::try_from(index).unwrap() + 1,
            value: *value,
            version: None,
        };
        values.iter().enumerate().map(figure).collect()
    }

    #[test]
    fn bounds_include_what_they_name() {
        assert!(Bound::AtMost(2.0).holds(2.0) && !Bound::AtMost(2.0).holds(2.1));
        assert!(Bound::AtLeast(8.0).holds(8.0) && !Bound::AtLeast(8.0).holds(7.9));
    }

    #[test]
    fn growth_is_what_comes_after_warming_up() {
        let figures = looks(&[10.0, 90.0, 100.0, 100.0, 101.0, 102.0, 103.0, 105.0]);
        let growth = |figures: &Figures, form: &str| growth(&Of { figures, form }, "requests");
        assert_eq!((growth(&figures, ""), growth(&figures, NATIVE)), (Some(4.0), None));
        assert_eq!(growth(&looks(&[1.0, 2.0]), ""), None);
    }

    #[test]
    fn what_was_not_measured_has_no_value() {
        for goal in ALL {
            assert_eq!(goal.value(&Figures::default(), ""), None, "{}", goal.what);
        }
    }
}
