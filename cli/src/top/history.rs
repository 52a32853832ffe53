//! The last snapshots: as many as rates need, and no more.

use std::collections::VecDeque;

use super::snapshot::Snapshot;
use super::view::View;

/// Rates are those of so many seconds, or of one interval if that is longer: answers take seconds, and Envoy adds to
/// its histograms every five.
/// <https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/config/bootstrap/v3/bootstrap.proto#envoy-v3-api-field-config-bootstrap-v3-bootstrap-stats-flush-interval>
const WINDOW: f64 = 10.0;
/// A look may be late by a little.
const SLACK: f64 = 0.5;
/// Most snapshots kept, whatever their times say.
const MAX_KEPT: usize = 16;
/// Points of the curves: more than a terminal has columns.
const MAX_POINTS: usize = 512;
/// A number of the first page is compared with nothing, and a gateway younger than this has just begun.
const YOUNG: f64 = 1.0;

/// The last snapshots.
#[derive(Clone, Debug, Default)]
pub struct History {
    kept: VecDeque<Snapshot>,
    points: VecDeque<Point>,
}

/// What one interval brought, a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// Requests.
    pub requests: f64,
    /// Tokens, read and written.
    pub tokens: f64,
}

impl History {
    /// Takes in the newest snapshot. One that tells that Envoy has begun anew ends what was known of the one before.
    pub fn push(&mut self, snapshot: Snapshot) {
        if let Some(before) = self.kept.back() {
            if snapshot.has_begun_anew_since(before) {
                let age = (snapshot.at - before.at).clamp(0.0, snapshot.uptime.max(YOUNG));
                let nothing = Snapshot::nothing(snapshot.at - age);
                self.kept = VecDeque::from([nothing]);
            }
            self.points.extend(self.kept.back().and_then(|before| point(&snapshot, before)));
        }
        self.kept.push_back(snapshot);
        self.forget();
    }

    /// What is to be shown; `None` before anything is known.
    #[must_use]
    pub fn view(&self) -> Option<View> {
        let (now, before) = (self.kept.back()?, self.kept.front()?);
        Some(View::new(now, Some(before).filter(|before| before.at < now.at), self.points.iter().copied()))
    }

    fn forget(&mut self) {
        let newest = self.kept.back().map_or(0.0, |snapshot| snapshot.at);
        let is_enough = |next: &Snapshot| newest - next.at >= WINDOW - SLACK;
        while self.kept.len() > MAX_KEPT || self.kept.len() > 2 && self.kept.get(1).is_some_and(is_enough) {
            self.kept.pop_front();
        }
        while self.points.len() > MAX_POINTS {
            self.points.pop_front();
        }
    }
}

fn point(now: &Snapshot, before: &Snapshot) -> Option<Point> {
    let seconds = Some(now.at - before.at).filter(|seconds| *seconds > 0.0)?;
    let tokens = |snapshot: &Snapshot| snapshot.all.input + snapshot.all.output;
    let rate = |difference: f64| difference.max(0.0) / seconds;
    Some(Point {
        requests: rate(now.all.requests - before.all.requests),
        tokens: rate(tokens(now) - tokens(before)),
    })
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::By;
    use super::*;

    fn snapshot(at: f64, uptime: f64, requests: u32) -> Snapshot {
        let page =
            format!("envoy_server_uptime{{}} {uptime}\nai_log_requests_total{{consumer=\"a\"}} {requests}");
        Snapshot::read(&page, at).unwrap()
    }

    fn history(snapshots: &[(f64, f64, u32)]) -> History {
        let mut history = History::default();
        snapshots.iter().for_each(|(at, uptime, requests)| history.push(snapshot(*at, *uptime, *requests)));
        history
    }

    fn rate(history: &History) -> Option<f64> {
        history.view().unwrap().rows(By::Consumer)[0].requests
    }

    #[test]
    fn one_snapshot_gives_totals_and_no_rates() {
        let history = history(&[(1.0, 50.0, 7)]);
        let view = history.view().unwrap();
        assert_eq!((rate(&history), view.all.total.requests, view.seconds), (None, 7.0, None));
        assert!(History::default().view().is_none());
    }

    #[test]
    fn rates_are_those_of_the_last_ten_seconds() {
        assert_eq!(rate(&history(&[(0.0, 50.0, 0), (2.0, 50.0, 4)])), Some(2.0));
        let longer: Vec<_> = (0..20).map(|n| (f64::from(n) * 2.0, 50.0, n * n)).collect();
        assert_eq!(rate(&history(&longer)), Some((19.0 * 19.0 - 14.0 * 14.0) / 10.0));
    }

    #[test]
    fn an_interval_longer_than_that_is_shown_whole() {
        assert_eq!(rate(&history(&[(0.0, 0.0, 0), (60.0, 60.0, 60), (120.0, 120.0, 180)])), Some(2.0));
    }

    #[test]
    fn after_a_restart_it_counts_from_the_beginning() {
        for (name, then, now, want) in [
            ("counted down", (10.0, 0.0, 900), (12.0, 0.0, 4), 4.0),
            ("up for less", (10.0, 900.0, 3), (20.0, 5.0, 10), 2.0),
            ("up for longer than unseen", (10.0, 900.0, 100), (12.0, 5.0, 10), 5.0),
        ] {
            assert_eq!(rate(&history(&[(8.0, 900.0, 1), then, now])), Some(want), "{name}");
        }
    }

    #[test]
    fn two_snapshots_of_one_moment_give_no_rates() {
        assert_eq!(rate(&history(&[(5.0, 1.0, 1), (5.0, 1.0, 9)])), None);
    }

    #[test]
    fn memory_is_bounded() {
        let mut history = History::default();
        for n in 0..2_000_u32 {
            history.push(snapshot(f64::from(n) / 1e3, 1.0, n));
        }
        assert_eq!((history.kept.len(), history.points.len()), (MAX_KEPT, MAX_POINTS));
    }
}
