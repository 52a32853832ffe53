//! What is measured of a gateway over time, and whether that is flat.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::json;
use sluice_e2e::exposition::Metrics;
use sluice_e2e::redis::Redis;

use crate::bed::Metered;

/// Shorter runs are all warm-up: of them only the ledger is judged, and what must be 0 at rest.
const SHORTEST: Duration = Duration::from_secs(600);

/// What Envoy's memory may grow by in an hour once it is warm, in bytes: its allocator's slack, not a leak. A hundred bytes
/// lost by each request would be 7 MB.
const GROWTH: f64 = 6e6;

/// What else may grow between the first half of what is judged and the end: series and keys that come late because what they
/// count is rare.
const LATE: f64 = 1.02;

/// Files, connections aside, that Envoy may have open at one moment and not at another.
const FILES: f64 = 8.0;

/// One look at one gateway.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    gateway: &'static str,
    at: Duration,
    rest: bool,
    memory: u64,
    leases: f64,
    held_bytes: f64,
    clients: f64,
    providers: f64,
    files: usize,
    series: usize,
    redis_keys: u64,
}

impl Sample {
    /// Whether nothing is held, and no client connected.
    pub(super) fn is_still(&self) -> bool {
        [self.leases, self.held_bytes, self.clients] == [0.0; 3]
    }

    /// Open files that are no connection in use or kept for the next request: of the latter there are as many as requests
    /// were once under way at a time.
    fn other_files(&self) -> f64 {
        self.files as f64 - self.clients - self.providers
    }

    fn to_line(&self) -> String {
        let line = json!({"gateway": self.gateway, "at_s": self.at.as_secs(), "rest": self.rest,
            "memory_bytes": self.memory, "leases": self.leases, "held_bytes": self.held_bytes,
            "client_connections": self.clients, "provider_connections": self.providers,
            "open_files": self.files, "series": self.series, "redis_keys": self.redis_keys});
        format!("{line}\n")
    }
}

/// All samples so far, each also a line of a file.
pub(super) struct Samples {
    began: Instant,
    all: Mutex<(File, Vec<Sample>)>,
}

impl Samples {
    #[track_caller]
    pub(super) fn create(path: &Path) -> Self {
        let file = File::create(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { began: Instant::now(), all: Mutex::new((file, Vec::new())) }
    }

    /// Keeps a sample.
    #[track_caller]
    pub(super) fn keep(&self, sample: Sample) {
        let mut all = self.all.lock().expect("nobody panics");
        all.0.write_all(sample.to_line().as_bytes()).expect("a file that can be written");
        all.1.push(sample);
    }

    /// Takes a look; `rest`: between two rounds.
    #[track_caller]
    pub(super) fn look(
        &self,
        gateway: &'static str,
        bed: &Metered,
        redis: Option<&Redis>,
        rest: bool,
    ) -> Sample {
        let metrics = Metrics::scrape(bed.gateway.admin());
        let clients = metrics
            .of("envoy_http_downstream_cx_active")
            .filter(|(series, _)| series.label("envoy_http_conn_manager_prefix") == "gateway")
            .map(|(_, value)| value);
        // A cluster's name has a dot, and what follows that is part of the metric's name.
        let providers = metrics
            .iter()
            .filter(|(series, _)| series.name.ends_with("_upstream_cx_active"))
            .map(|(_, value)| value);
        let keys = |redis: &Redis| ::redis::cmd("DBSIZE").query(&mut redis.connect()).expect("a number");
        Sample {
            gateway,
            at: self.began.elapsed(),
            rest,
            memory: bed.gateway.envoy_memory(),
            leases: metrics.sum("token_limit_leases"),
            held_bytes: metrics.sum("sluice_held_bytes"),
            clients: clients.sum(),
            providers: providers.sum(),
            files: bed.gateway.envoy_files(),
            series: metrics.iter().count(),
            redis_keys: redis.map_or(0, keys),
        }
    }

    /// Fails if anything has grown that should not; says what was seen.
    pub(super) fn judge(&self, length: Duration) {
        let all = self.all.lock().expect("nobody panics").1.clone();
        for gateway in ["local", "redis"] {
            let rests: Vec<&Sample> =
                all.iter().filter(|sample| sample.gateway == gateway && sample.rest).collect();
            let warm = rests.split_at(rests.len() / 4).1;
            let growth = slope(warm) * 3600.0;
            let (first, last) = (warm[0], warm[warm.len() - 1]);
            eprintln!("{gateway}: {growth:.0} bytes an hour once warm; from {first:?} to {last:?}");
            if length >= SHORTEST {
                assert!(growth < GROWTH, "{gateway}: memory grows by {growth:.0} bytes an hour");
                assert_bounded(warm, "series", |sample| sample.series as f64);
                assert_bounded(warm, "keys in Redis", |sample| sample.redis_keys as f64);
                let (before, after) = (first.other_files(), last.other_files());
                assert!(
                    after <= before + FILES,
                    "{gateway}: {before} open files beside connections, then {after}"
                );
            }
        }
    }
}

/// The median of the slopes between any two samples, in bytes a second: single outliers do not move it (Theil and Sen).
fn slope(samples: &[&Sample]) -> f64 {
    let between = |from: &Sample, to: &Sample| {
        (to.memory as f64 - from.memory as f64) / (to.at - from.at).as_secs_f64().max(1.0)
    };
    let pairs = samples
        .iter()
        .enumerate()
        .flat_map(|(n, from)| samples[n + 1..].iter().map(move |to| between(from, to)));
    let mut slopes: Vec<f64> = pairs.collect();
    slopes.sort_by(f64::total_cmp);
    slopes.get(slopes.len() / 2).copied().unwrap_or(0.0)
}

/// The most of the second half is hardly more than the most of the first.
#[track_caller]
fn assert_bounded(samples: &[&Sample], what: &str, of: impl Fn(&Sample) -> f64) {
    let (before, after) = samples.split_at(samples.len() / 2);
    let most = |samples: &[&Sample]| samples.iter().map(|sample| of(sample)).fold(0.0, f64::max);
    let (before, after) = (most(before), most(after));
    assert!(after <= before * LATE, "{}: {before} {what}, then {after}", samples[0].gateway);
}
