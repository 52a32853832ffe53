//! The ledger at the end of a scenario: every request has its record, every token is booked once and as the record and
//! the provider say, nothing is held, and Envoy is the process that it was, no larger than before.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::Pid;
use serde_json::Value;
use sluice_e2e::client::{self, Connection};
use sluice_e2e::exposition::Metrics;
use sluice_e2e::gateway::Gateway;
use sluice_e2e::limits::Running;
use sluice_e2e::{wait, wild};

use crate::bed::{Bed, FLIGHT};
use crate::client::Ask;
use crate::traffic::Ends;

/// Bytes by which Envoy may be larger after a scenario than before the first one. Linear memory of a VM never shrinks, and
/// neither does what the allocator keeps.
const GROWTH: u64 = 160 << 20;

/// What Envoy was at the start.
#[derive(Default)]
pub(crate) struct Before {
    pid: Option<Pid>,
    memory: u64,
}

impl Before {
    /// Its resident memory in bytes.
    pub(crate) const fn memory(&self) -> u64 {
        self.memory
    }

    pub(crate) fn of(gateway: &Gateway) -> Self {
        Self { pid: Some(gateway.envoy()), memory: gateway.envoy_memory() }
    }
}

/// Watches how large Envoy becomes.
pub(crate) struct Peak;

impl Peak {
    /// What `work` returns, and the most memory that Envoy had meanwhile, in bytes.
    pub(crate) fn during<T>(gateway: &Gateway, work: impl FnOnce() -> T) -> (T, u64) {
        let (over, peak) = (AtomicBool::new(false), AtomicU64::new(0));
        let result = std::thread::scope(|scope| {
            let _ends = Ends(&over); // however `work` ends
            scope.spawn(|| {
                wait::poll(Duration::from_secs(600), || {
                    peak.fetch_max(gateway.envoy_memory(), Ordering::Relaxed);
                    over.load(Ordering::Relaxed).then_some(())
                });
            });
            work()
        });
        (result, peak.into_inner())
    }
}

/// What is not as it should be, and why that is right.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Allowed {
    /// Lines of the log without a record: requests that reached no filter, or whose VM trapped.
    pub(crate) unrecorded: usize,
    /// How many more of these there may be, because nobody knows what a trap takes with it.
    pub(crate) lost: usize,
    /// Most reservations that traps have left in the gauge.
    pub(crate) leases: u64,
    /// Whether filters trapped: then the log says so, and what was held stays in the gauge.
    pub(crate) traps: bool,
}

/// Sums over the records of the access log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) tokens: u64,
    /// In millionths of a dollar, which is what a token costs.
    pub(crate) cost: u64,
    /// Requests that reached a provider.
    pub(crate) calls: u64,
}

impl Bed {
    /// Fails unless everything balances. Returns the records so far.
    #[track_caller]
    pub(crate) fn balance(&self, scenario: &str, allowed: Allowed) -> Vec<Value> {
        self.balance_of(scenario, allowed, Sums::of)
    }

    /// As [`Self::balance`], where of all records only these sums are booked.
    #[track_caller]
    pub(crate) fn balance_of(
        &self,
        scenario: &str,
        allowed: Allowed,
        sums: impl FnOnce(&[Value]) -> Sums,
    ) -> Vec<Value> {
        self.nothing_is_held(scenario, allowed);
        let records = self.every_request_is_recorded(scenario, allowed);
        let want = sums(&records);
        if allowed.traps {
            let booked = wait::until("leases to be over", || self.booked());
            assert!(want.within(booked), "{scenario}: recorded {want:?}, booked only {booked:?}");
        } else {
            self.is_booked(scenario, want);
        }
        self.providers_agree(scenario, &records);
        self.all_places_are_free(scenario);
        self.envoy_is_well(scenario, allowed);
        records
    }

    /// One line for each request that was sent, and no more.
    #[track_caller]
    pub(crate) fn every_request_is_recorded(&self, scenario: &str, allowed: Allowed) -> Vec<Value> {
        let lines = || self.gateway.access_text().bytes().filter(|byte| *byte == b'\n').count();
        let found = wait::poll(wait::PATIENCE, || (lines() >= self.sent()).then_some(()));
        let log = self.gateway.access_log();
        assert!(found.is_some(), "{scenario}: {} lines for {} requests", log.len(), self.sent());
        let most = self.sent() + self.maybe();
        assert!(log.len() <= most, "{scenario}: {} lines for {most} requests", log.len());
        let (recorded, not): (Vec<&Value>, Vec<&Value>) =
            log.iter().partition(|line| line["ai_log"].is_object());
        let unrecorded = allowed.unrecorded..=allowed.unrecorded + allowed.lost + self.maybe();
        assert!(unrecorded.contains(&not.len()), "{scenario}: {} lines without a record: {not:?}", not.len());
        recorded.into_iter().map(|line| line["ai_log"].clone()).collect()
    }

    /// Gauges are where they were, and no stream is open on either side.
    #[track_caller]
    fn nothing_is_held(&self, scenario: &str, allowed: Allowed) {
        let mut last = Vec::new();
        let found = wait::poll(wait::PATIENCE, || {
            let metrics = Metrics::scrape(self.gateway.admin());
            let now = |name: &str| metrics.sum(name) as u64;
            last = vec![
                now("token_limit_leases").saturating_sub(allowed.leases),
                if allowed.traps { 0 } else { now("sluice_held_bytes") },
                now("envoy_cluster_upstream_rq_active"),
                now("envoy_http_downstream_rq_active").saturating_sub(1), // this very scrape
            ];
            last.iter().all(|value| *value == 0).then_some(())
        });
        assert!(
            found.is_some(),
            "{scenario}: leases, held bytes, requests at providers, of clients: {last:?}"
        );
    }

    /// What the limits have booked is what the records come to.
    #[track_caller]
    pub(crate) fn is_booked(&self, scenario: &str, want: Sums) {
        let mut last = Sums::default();
        let found = wait::poll(wait::PATIENCE, || {
            last = self.booked()?;
            (last == want).then_some(())
        });
        assert!(found.is_some(), "{scenario}: booked {last:?}, recorded {want:?}");
    }

    /// What the limits have booked, once nothing is held any more.
    #[track_caller]
    pub(crate) fn booked(&self) -> Option<Sums> {
        self.count_sent();
        let reply = client::send(self.gateway.address(), "GET", "/v1/limits?model=gpt-any", &[], b"");
        let shown = reply.json()["limits"].as_array().cloned()?; // none while Redis does not answer
        let limit = |name: &str| shown.iter().find(|limit| limit["name"] == name).expect("such a limit");
        if shown.iter().any(|limit| limit["held"] != 0) {
            return None;
        }
        let used = |name: &str| limit(name)["used"].as_f64().expect("a number");
        Some(Sums {
            tokens: used("total") as u64,
            cost: (used("cost") * 1e6).round() as u64,
            calls: used("calls") as u64,
        })
    }

    /// Whatever is recorded as reported is what the provider's own books say of the request.
    #[track_caller]
    pub(crate) fn providers_agree(&self, scenario: &str, records: &[Value]) {
        let mut said: HashMap<(String, String), (u64, u64)> = HashMap::new();
        for provider in &self.chain {
            for served in provider.served() {
                if let (200, Some(tokens)) = (served.status, served.tokens) {
                    said.insert((provider.name().to_owned(), served.user), (tokens.input, tokens.output));
                }
            }
        }
        for record in records.iter().filter(|record| record["usage_source"] == "reported") {
            let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
            let got = ["input_tokens", "output_tokens"].map(|name| record[name].as_u64().unwrap_or(0));
            let want = match text("provider").as_str() {
                "wild" => Some((wild::INPUT, wild::OUTPUT)),
                _ => said.get(&(text("provider"), text("model"))).copied(),
            };
            assert_eq!(Some((got[0], got[1])), want, "{scenario}: {record}");
        }
    }

    /// As many requests as may be in flight still may, and one more may not: no lease is left.
    #[track_caller]
    pub(crate) fn all_places_are_free(&self, scenario: &str) {
        let script = serde_json::json!({"*": {"events": 1_000, "gap_ms": 100}});
        let ask = || Ask::new(self, "gpt").mock(script.clone());
        let begin = || {
            self.count_sent();
            Running::begin(self.gateway.address(), &[], &ask().body)
        };
        // All at once: a check may hold each back for a while.
        let streams: Vec<Running> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..FLIGHT).map(|_| scope.spawn(begin)).collect();
            threads.into_iter().map(|thread| thread.join().expect("a stream")).collect()
        });
        let refused = ask().send(self);
        assert_eq!(refused.status, 429, "{scenario}: {}", refused.tail);
        streams.into_iter().for_each(Running::leave);
        wait::until("the places to be free", || {
            let one = Ask::new(self, "gpt").send(self);
            (one.status == 200).then_some(())
        });
    }

    /// The same process, ready, within its bounds; nothing in its log speaks of a crash.
    #[track_caller]
    pub(crate) fn envoy_is_well(&self, scenario: &str, allowed: Allowed) {
        let mut admin = Connection::open(self.gateway.admin()).expect("Envoy's admin interface");
        admin.write(&client::request("GET", "/ready", &[], b"")).expect("a request");
        assert_eq!(admin.read().expect("an answer").status, 200, "{scenario}");
        assert_eq!(Some(self.gateway.envoy()), self.before.pid, "{scenario}: another Envoy");
        let log = self.gateway.envoy_log();
        for sign in ["Caught Segmentation fault", "Caught Aborted", "assert failure", "[critical][assert]"] {
            assert!(!log.contains(sign), "{scenario}: {sign:?} in Envoy's log");
        }
        if !allowed.traps {
            self.gateway.assert_no_trap();
        }
        let mut memory = 0;
        let found = wait::poll(Duration::from_secs(10), || {
            memory = self.gateway.envoy_memory();
            (memory <= self.before.memory + GROWTH).then_some(())
        });
        eprintln!(
            "{scenario}: {} requests, {} MB, at first {} MB",
            self.sent(),
            memory >> 20,
            self.before.memory >> 20
        );
        assert!(found.is_some(), "{scenario}: {} MB, at first {} MB", memory >> 20, self.before.memory >> 20);
    }
}

impl Sums {
    /// Whether all of it is in `other`. A trap may take the record of what is booked, never the reverse.
    const fn within(self, other: Self) -> bool {
        self.tokens <= other.tokens && self.cost <= other.cost && self.calls <= other.calls
    }

    /// Of all records.
    pub(crate) fn of(records: &[Value]) -> Self {
        let mut sums = Self::default();
        for record in records {
            let number = |name: &str| record[name].as_u64();
            // A client that leaves before its answer has begun pays for what a provider has read, if it left that late.
            let read = number("input_estimate").filter(|_| record["cost_usd"].is_number());
            let tokens = number("input_tokens").or(read).unwrap_or(0) + number("output_tokens").unwrap_or(0);
            let attempts = record["attempts"].as_array().into_iter().flatten();
            let reached = attempts.filter(|attempt| match attempt["verdict"].as_str() {
                Some("client_gone") => tokens > 0,
                verdict => verdict != Some("connect_failure"),
            });
            let reached = reached.count() > 0;
            sums.tokens += tokens;
            sums.cost += (record["cost_usd"].as_f64().unwrap_or(0.0) * 1e6).round() as u64;
            sums.calls += u64::from(reached);
        }
        sums
    }
}
