//! The workloads: what is asked of whom, and what is measured of it.

mod cpu;
mod memory;
mod redis;
mod start;
mod streams;

use crate::lab::Lab;
use crate::subject::{Around, Filter, Subject, Variant};
use crate::{Failure, provider};

pub use cpu::Chat;

/// A workload by its name.
#[derive(Clone, Copy)]
pub struct Workload {
    /// As `--only` names it.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// Whether an ordinary run leaves it out: it takes long.
    pub long: bool,
    run: fn(&mut Lab, &[Variant]) -> Result<(), Failure>,
}

impl Workload {
    /// Measures `variants`, or those that this workload is about.
    ///
    /// # Errors
    /// Somebody does not start, or answers something else than 200.
    pub fn run(&self, lab: &mut Lab, variants: &[Variant]) -> Result<(), Failure> {
        (self.run)(lab, variants).map_err(|error| format!("{}: {error}", self.name).into())
    }
}

/// All of them, in the order of the report.
pub const ALL: &[Workload] = &[
    ordinary("chat-1k", "a whole answer to a request of 1 KB", |lab, variants| {
        Chat::whole("chat-1k", 1_024).run(lab, variants)
    }),
    ordinary("chat-16k", "a whole answer to a request of 16 KB", |lab, variants| {
        Chat::whole("chat-16k", 16 * 1_024).run(lab, variants)
    }),
    ordinary("chat-128k", "a whole answer to a request of 128 KB", |lab, variants| {
        Chat::whole("chat-128k", 128 * 1_024).run(lab, variants)
    }),
    ordinary("stream-20", "a stream of 20 events, all at once", |lab, variants| {
        Chat { model: provider::BURST, ..Chat::whole("stream-20", 1_024) }.run(lab, variants)
    }),
    ordinary("plugins-1k", "a bare Envoy with a single filter, 1 KB", |lab, _| {
        let mut alone = vec![Variant::bare()];
        alone.extend(Filter::ALL.map(Variant::filter).into_iter().flatten());
        Chat::whole("plugins-1k", 1_024).run(lab, &alone)
    }),
    ordinary("stream-50-steady", "streams of 50 events 2 ms apart, 10 a second", streams::steady),
    ordinary("stream-50-crowd", "the same, 64 open at once", streams::crowd),
    ordinary("open-streams", "memory of a stream that stays open", streams::open),
    ordinary("cache-hit", "the same request again, answered by the cache", |lab, _| redis::cache_hit(lab)),
    ordinary("redis", "limits counted in Redis, near, far and dead", |lab, _| redis::cost(lab)),
    ordinary("start", "from the start of Envoy to its first answer", start::start),
    ordinary("modules", "sizes of the modules", |lab, _| start::modules(lab)),
    Workload { name: "memory", about: "memory over requests and reloads", long: true, run: memory::memory },
];

const fn ordinary(
    name: &'static str,
    about: &'static str,
    run: fn(&mut Lab, &[Variant]) -> Result<(), Failure>,
) -> Workload {
    Workload { name, about, long: false, run }
}

fn start_all(variants: &[Variant], around: Around) -> Result<Vec<Subject>, Failure> {
    variants.iter().map(|variant| Subject::start(variant, around)).collect()
}
