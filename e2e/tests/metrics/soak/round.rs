//! One round: traffic, a change of gateway.yaml in its midst, rest, and the count of everything.

use std::collections::HashSet;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::time::{Duration, Instant};

use serde_json::Value;
use sluice_e2e::exposition::Metrics;
use sluice_e2e::redis::Redis;
use sluice_e2e::reported::Tokens;
use sluice_e2e::wait;

use super::load::{self, Pace};
use super::samples::{Sample, Samples};
use crate::bed::{self, Metered};
use crate::client::{self, Got};
use crate::ledger::{self, Counts, Rules};
use crate::mixed::{self, Used};
use crate::traffic::{self, Booked, Endless, GLOBBED, LITERAL, Planned};

/// Time between two samples under load.
const LOOK: Duration = Duration::from_secs(10);

/// How long Envoy may take to hand out all it has counted, and a change of gateway.yaml to be applied, beside other work.
const PATIENCE: Duration = Duration::from_secs(60);

const SEED: u64 = 20_261_122;

/// What no provider or client fails at, and the guard, the cache and the limits let pass.
const WHOLE: [&str; 7] = ["plain", "stream", "hidden", "mask", "noted", "fallback", "keys"];

/// A gateway under way.
pub(super) struct Soaked<'a> {
    name: &'static str,
    bed: Metered,
    redis: Option<&'a Redis>,
    samples: &'a Samples,
    requests: Endless,
    counts: Counts,
    edits: usize,
    /// Bytes of the access log that have been read.
    read: u64,
}

impl<'a> Soaked<'a> {
    #[track_caller]
    pub(super) fn start(
        name: &'static str,
        sections: &str,
        redis: Option<&'a Redis>,
        samples: &'a Samples,
    ) -> Self {
        let bed = bed::start_with(1, sections);
        let (first, _) = traffic::plan(SEED, GLOBBED.len());
        let requests = Endless::new(SEED, first.len());
        let counts = Counts::new();
        let mut soaked = Self { name, bed, redis, samples, requests, counts, edits: 0, read: 0 };
        let got: Vec<Got> = first.chunks(1).flat_map(|one| client::send(&soaked.bed, one)).collect();
        soaked.settle(&first, &got);
        soaked
    }

    /// Sends as many requests as a round has, and counts.
    #[track_caller]
    pub(super) fn round(&mut self, pace: &Pace) {
        let planned: Vec<Planned> = self.requests.by_ref().take(pace.requests()).collect();
        self.edits += 1;
        let got = load::send(&self.bed, &planned, pace, || self.watch(pace.round));
        self.settle(&planned, &got);
        eprintln!("{} after {} requests", self.name, self.counts_of("ai_log_requests_total"));
    }

    /// Takes samples for so long, and changes gateway.yaml half-way.
    fn watch(&self, round: Duration) {
        let began = Instant::now();
        std::thread::sleep(round / 2);
        self.edit();
        while began.elapsed() + LOOK < round {
            self.samples.keep(self.samples.look(self.name, &self.bed, self.redis, false));
            std::thread::sleep(LOOK);
        }
    }

    /// Another weight, another word to look for, and one more rule or one less.
    #[track_caller]
    fn edit(&self) {
        let weight = format!("weight: {}", 2 + self.edits % 3);
        let word = format!("[heron, crane-{}]", self.edits % 5);
        let rule =
            format!("models:\n  - {{match: \"none-{}\", targets: [{{provider: c}}]}}\n", self.edits % 4);
        let yaml = self.bed.yaml.replace("weight: 3", &weight).replace("[heron]", &word);
        self.bed.gateway.rewrite(&yaml.replace("models:\n", &rule));
        let applied = || self.bed.gateway.stderr().matches("gateway.yaml: applied").count();
        let found = wait::poll(PATIENCE, || (applied() >= self.edits).then_some(()));
        assert!(found.is_some(), "change {} was not applied: {}", self.edits, self.bed.gateway.stderr());
    }

    /// Waits until all is recorded, counted and let go, and holds one against the other.
    #[track_caller]
    fn settle(&mut self, planned: &[Planned], got: &[Got]) {
        let records = self.records(planned.len());
        let ids: HashSet<&str> = records.iter().filter_map(|record| record["request_id"].as_str()).collect();
        assert_eq!((records.len(), ids.len()), (planned.len(), planned.len()), "a record for each request");
        let failed = planned.iter().zip(got).find(|(one, got)| WHOLE.contains(&one.kind) && !got.whole);
        assert!(failed.is_none(), "{:?}", failed.map(|(one, got)| (one.kind, &one.user, got)));
        mixed::assert_costs(&records);
        self.assert_tokens(planned, got, &records);
        let rules = Rules { is_named: &|model| LITERAL.contains(&model) || GLOBBED.contains(&model) };
        for (series, count) in ledger::count(&rules, &records) {
            *self.counts.entry(series).or_default() += count;
        }
        self.rest();
        for provider in self.bed.chain.iter().chain([&self.bed.keyed, &self.bed.service]) {
            provider.forget();
        }
    }

    /// The records since the last time, once there are so many.
    #[track_caller]
    fn records(&mut self, count: usize) -> Vec<Value> {
        let mut file = std::fs::File::open(self.bed.gateway.folder().join("access.log")).expect("a log");
        let mut new = Vec::new();
        let what = format!("{count} records of {}", self.name);
        wait::until(&what, || {
            file.seek(SeekFrom::Start(self.read + new.len() as u64)).expect("a log");
            file.read_to_end(&mut new).expect("a log");
            let lines = new.iter().filter(|byte| **byte == b'\n').count();
            (lines >= count && new.ends_with(b"\n")).then_some(())
        });
        self.read += new.len() as u64;
        let lines = new.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let record = |line| serde_json::from_slice::<Value>(line).expect("a line is JSON")["ai_log"].take();
        lines.map(record).collect()
    }

    /// What the records say was used is what the providers say.
    #[track_caller]
    fn assert_tokens(&self, planned: &[Planned], got: &[Got], records: &[Value]) {
        let unknown = |model: &str| ["gpt-left", "gpt-reset", "gpt-idle", "gpt-guard-cut"].contains(&model);
        let each = planned.iter().zip(got).filter(|(one, _)| !unknown(&one.model));
        debug_assert!(planned.iter().all(|one| one.booked != Booked::Unknown || unknown(&one.model)));
        let want = mixed::wanted(each, &mixed::served(&self.bed));
        let mut found = Used::new();
        for record in records {
            let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
            let number = |name: &str| record[name].as_u64().unwrap_or(0);
            let [input, output] = ["input_tokens", "output_tokens"].map(number);
            let [cached, reasoning] = ["cached_tokens", "reasoning_tokens"].map(number);
            let tokens = Tokens { input, output, cached, reasoning };
            if tokens == Tokens::default() || unknown(&text("model")) {
                continue;
            }
            let names = ["consumer", "model", "provider", "operation", "usage_source"].map(text);
            *found.entry(names.map(|name| name.replace(';', "_"))).or_default() += tokens;
        }
        let differ: Vec<_> =
            want.keys().chain(found.keys()).filter(|key| want.get(*key) != found.get(*key)).collect();
        let shown = |key: &[String; 5]| {
            format!("{key:?}: providers {:?}, records {:?}", want.get(key), found.get(key))
        };
        assert!(differ.is_empty(), "{}: {:#?}", self.name, differ.into_iter().map(shown).collect::<Vec<_>>());
    }

    /// Waits until the metrics say what all records say, nothing is held and nobody is connected.
    #[track_caller]
    fn rest(&self) {
        let differences = || {
            let metrics = Metrics::scrape(self.bed.gateway.admin());
            ledger::differences(&self.counts, &ledger::counted(&metrics))
        };
        let same = wait::poll(PATIENCE, || differences().is_empty().then_some(()));
        let shown: Vec<String> = if same.is_some() { Vec::new() } else { differences() };
        assert!(
            same.is_some(),
            "{}: {} series differ: {:#?}",
            self.name,
            shown.len(),
            &shown[..shown.len().min(30)]
        );
        let look = || self.samples.look(self.name, &self.bed, self.redis, true);
        let still = wait::poll(PATIENCE, || Some(look()).filter(Sample::is_still));
        self.samples.keep(still.unwrap_or_else(|| panic!("not still at rest: {:?}", look())));
        self.bed.gateway.assert_no_trap();
    }

    fn counts_of(&self, name: &str) -> u64 {
        self.counts.iter().filter(|(series, _)| series.name == name).map(|(_, count)| count).sum()
    }
}
