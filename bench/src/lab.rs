//! What a run holds together: who is measured on which processor, how long, in which order, and where figures go.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use sluice_e2e::envoy;

use crate::Failure;
use crate::record::{Figure, GATEWAY, Recorder};
use crate::stats::Random;
use crate::subject::Around;

/// Seed of the order in which variants take their turns.
const SEED: u64 = 6;

/// How thorough a run is.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds of each workload, warming up not counted.
    pub rounds: u32,
    /// Processor time of Envoy in one turn, of which a tick must be a small part.
    pub turn: Duration,
    /// Streams open at once, to see what one takes.
    pub open_streams: u32,
    /// Streams of each turn that are started at a steady pace.
    pub steady_streams: u32,
    /// Streams of each turn of 64 at once.
    pub crowded_streams: u64,
    /// Requests over which memory is to be flat.
    pub memory_requests: u64,
    /// Reloads over which memory is to be flat.
    pub memory_reloads: u32,
}

impl Effort {
    /// For the report: a tick is less than 1 % of a turn.
    pub const FULL: Self = Self {
        rounds: 5,
        turn: Duration::from_millis(1_100),
        open_streams: 5_000,
        steady_streams: 120,
        crowded_streams: 1_920,
        memory_requests: 1_000_000,
        memory_reloads: 1_000,
    };
    /// To see that everything works.
    pub const QUICK: Self = Self {
        rounds: 1,
        turn: Duration::from_millis(200),
        open_streams: 200,
        steady_streams: 10,
        crowded_streams: 128,
        memory_requests: 2_000,
        memory_reloads: 20,
    };
}

/// One run.
pub struct Lab {
    /// How thorough it is.
    pub effort: Effort,
    /// Provider and Redis.
    pub around: Around,
    recorder: Recorder,
    random: Random,
}

impl Lab {
    /// A run that writes its figures to `file`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn new(effort: Effort, around: Around, file: &Path) -> Result<Self, Failure> {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let recorder = Recorder::create(file)?;
        Ok(Self { effort, around, recorder, random: Random::new(SEED) })
    }

    /// The order of the next round.
    pub fn order(&mut self, count: usize) -> Vec<usize> {
        self.random.order(count)
    }

    /// Keeps one figure.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep(&mut self, at: &At<'_>, metric: &str, unit: &str, value: f64) -> Result<(), Failure> {
        self.recorder.write(&Figure {
            suite: GATEWAY.to_owned(),
            workload: at.workload.to_owned(),
            name: at.name.to_owned(),
            metric: metric.to_owned(),
            unit: unit.to_owned(),
            round: at.round,
            value,
            version: None,
        })
    }
}

/// Whom a figure is of.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    /// What was asked for.
    pub workload: &'a str,
    /// Who was measured.
    pub name: &'a str,
    /// From 1.
    pub round: u32,
}

/// The folder `bench` of the checkout.
#[must_use]
pub fn folder() -> PathBuf {
    envoy::checkout().join("bench")
}

/// Keeps this process, and all threads that it starts later, off the last processor, which is Envoy's. Does nothing where there
/// is only one.
pub fn make_room() {
    if let Some([ours, _]) = shares() {
        let _ = sched_setaffinity(None, &ours);
    }
}

/// Processors that Envoy may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// One of its own: what its worker is measured on.
    One,
    /// All that there are: while it starts nobody asks for anything, and what it compiles it compiles on all of them.
    All,
}

/// Starts something in Envoy's room: a child runs where the thread may that started it.
///
/// # Errors
/// Those of `start`.
pub fn beside<T: Send>(room: Room, start: impl FnOnce() -> std::io::Result<T> + Send) -> std::io::Result<T> {
    let Some([ours, mut envoys]) = shares() else { return start() };
    if room == Room::All {
        (0..CpuSet::MAX_CPU).filter(|cpu| ours.is_set(*cpu)).for_each(|cpu| envoys.set(cpu));
    }
    let started = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let _ = sched_setaffinity(None, &envoys);
            start()
        });
        thread.join()
    });
    started.map_err(|_| std::io::Error::other("the thread that starts Envoy failed"))?
}

/// Processors of the lab and the one of Envoy.
fn shares() -> Option<[CpuSet; 2]> {
    static SHARES: std::sync::OnceLock<Option<[CpuSet; 2]>> = std::sync::OnceLock::new();
    *SHARES.get_or_init(|| {
        let mut ours = sched_getaffinity(None).ok()?;
        let last = (0..CpuSet::MAX_CPU).rev().find(|cpu| ours.is_set(*cpu))?;
        ours.unset(last);
        let mut envoys = CpuSet::new();
        envoys.set(last);
        (ours.count() > 0).then_some([ours, envoys])
    })
}
