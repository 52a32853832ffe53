//! `sluice-peers`: other gateways before the lab's provider, in turns with a bare Envoy; `bench/peers/run` builds and calls it.
//!
//! Each has one processor, as Envoy has. They do not do the same: vllm-router and smg check no key, count no limit and keep
//! no record; Portkey is told by each request where it goes; LiteLLM knows one key.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "a lab counts, and a figure that overflows stops no gateway"
)]

mod peer;
mod tree;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use sluice_bench::load::{Load, Outcome};
use sluice_bench::record::{BARE, Figure, PEERS, Recorder};
use sluice_bench::request::Template;
use sluice_bench::stats::{Random, percentile};
use sluice_bench::subject::{Around, Subject, Variant};
use sluice_bench::{Failure, lab, provider, say};

use crate::peer::Peer;

/// The lab's workloads that all of them can serve.
const WORKLOADS: [(&str, &str); 2] = [("chat-1k", provider::WHOLE), ("stream-20", provider::BURST)];
/// As in the lab's own.
const CONNECTIONS: u32 = 4;
/// Requests that warm up, and by which turns are sized.
const WARM_UP: u64 = 200;

/// Measures other gateways beside a bare Envoy.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// A few short rounds, to see that it works
    #[arg(long)]
    quick: bool,
    /// Only these
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Rounds of each workload
    #[arg(long)]
    rounds: Option<u32>,
    /// Folder for the raw figures
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("peers: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (rounds, turn) = if arguments.quick { (2, 200) } else { (5, 1_100) };
    fs::create_dir_all(&arguments.out)?;
    lab::make_room();
    let provider = provider::start()?;
    let mut subjects =
        vec![Measured::Bare(Subject::start(&Variant::bare(), Around { provider, redis: None })?)];
    let mut missing = String::new();
    for name in peer::ALL
        .into_iter()
        .filter(|name| arguments.only.is_empty() || arguments.only.iter().any(|only| only == name))
    {
        say(&format!("starting {name}"));
        match Peer::start(name, provider) {
            Ok(peer) => subjects.push(Measured::Peer(peer)),
            Err(error) => missing.push_str(&format!("{name}: {error}\n")),
        }
    }
    say(&missing);
    if !missing.is_empty() {
        fs::write(arguments.out.join("peers-missing.txt"), &missing)?;
    }
    let mut recorder = Recorder::create(&arguments.out.join("peers.jsonl"))?;
    let plan = Plan { rounds: arguments.rounds.unwrap_or(rounds), turn: Duration::from_millis(turn) };
    WORKLOADS.iter().try_for_each(|(workload, model)| plan.measure(&subjects, workload, model, &mut recorder))
}

/// Who is measured.
enum Measured {
    Bare(Subject),
    Peer(Peer),
}

impl Measured {
    fn name(&self) -> &str {
        match self {
            Self::Bare(_) => BARE,
            Self::Peer(peer) => peer.name,
        }
    }

    fn version(&self) -> Option<String> {
        match self {
            Self::Bare(_) => None,
            Self::Peer(peer) => Some(peer.version.clone()),
        }
    }

    fn address(&self) -> SocketAddr {
        match self {
            Self::Bare(envoy) => envoy.address(),
            Self::Peer(peer) => peer.address(),
        }
    }

    fn template(&self, model: &str) -> Arc<Template> {
        match self {
            Self::Bare(_) => Arc::new(Template::chat(model, 1_024, model != provider::WHOLE, 1)),
            Self::Peer(peer) => peer.template(model),
        }
    }

    fn cpu(&self) -> Result<Duration, Failure> {
        match self {
            Self::Bare(envoy) => envoy.cpu(),
            Self::Peer(peer) => peer.cpu(),
        }
    }

    fn resident(&self) -> Result<u64, Failure> {
        match self {
            Self::Bare(envoy) => envoy.resident(),
            Self::Peer(peer) => peer.resident(),
        }
    }
}

/// How often, and how long a turn is in processor time of the one measured.
struct Plan {
    rounds: u32,
    turn: Duration,
}

impl Plan {
    fn measure(
        &self,
        subjects: &[Measured],
        workload: &str,
        model: &str,
        recorder: &mut Recorder,
    ) -> Result<(), Failure> {
        let mut turns = Vec::new();
        for subject in subjects {
            match Turn::warm_up(subject, model, self.turn) {
                Ok(turn) => turns.push(turn),
                Err(error) => say(&format!("{workload}: without {}: {error}", subject.name())),
            }
        }
        let mut random = Random::new(u64::from(self.rounds));
        for round in 1..=self.rounds {
            say(&format!("{workload}: round {round} of {}", self.rounds));
            for index in random.order(turns.len()) {
                let Some(turn) = turns.get_mut(index) else { continue };
                for (metric, unit, value) in turn.take()? {
                    let (suite, workload, metric) =
                        (PEERS.to_owned(), workload.to_owned(), metric.to_owned());
                    let (name, unit, version) =
                        (turn.subject.name().to_owned(), unit.to_owned(), turn.subject.version());
                    recorder.write(&Figure { suite, workload, name, metric, unit, round, value, version })?;
                }
            }
        }
        Ok(())
    }
}

/// One of them, and the load that it is measured by.
struct Turn<'a> {
    subject: &'a Measured,
    load: Load,
}

impl<'a> Turn<'a> {
    fn warm_up(subject: &'a Measured, model: &str, turn: Duration) -> Result<Self, Failure> {
        let (address, template) = (subject.address(), subject.template(model));
        let load = Load {
            address,
            template,
            connections: CONNECTIONS,
            requests: WARM_UP,
            first: 1,
            stagger: Duration::ZERO,
        };
        let mut turns = Self { subject, load };
        turns.ask()?; // compiles and fills pools
        let (taken, _) = turns.ask()?;
        let each = taken.max(Duration::from_millis(10)).as_secs_f64() / WARM_UP as f64;
        turns.load.requests = ((turn.as_secs_f64() / each) as u64).max(50);
        Ok(turns)
    }

    fn ask(&mut self) -> Result<(Duration, Outcome), Failure> {
        let before = self.subject.cpu()?;
        let outcome = self.load.run().map_err(|error| format!("{}: {error}", self.subject.name()))?;
        self.load.first += self.load.requests;
        Ok((self.subject.cpu()?.saturating_sub(before), outcome))
    }

    fn take(&mut self) -> Result<[(&'static str, &'static str, f64); 5], Failure> {
        let (taken, outcome) = self.ask()?;
        let time = |share| percentile(&outcome.whole_ms, share).unwrap_or_default();
        Ok([
            ("cpu", "us", taken.as_secs_f64() * 1e6 / outcome.requests as f64),
            ("rate", "1/s", outcome.rate()),
            ("p50", "ms", time(0.5)),
            ("p99", "ms", time(0.99)),
            ("rss", "MB", self.subject.resident()? as f64 / 1e6),
        ])
    }
}
