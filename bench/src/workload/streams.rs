//! Streams of 50 events 2 ms apart: what the gateway adds to the first byte and to each event, and what an open stream takes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use super::start_all;
use crate::lab::{At, Lab};
use crate::load::{self, Client, Load, Outcome};
use crate::request::Template;
use crate::stats::percentile;
use crate::subject::{Subject, Variant};
use crate::{Failure, provider, say};

/// Bytes of a request for a stream.
const SIZE: usize = 1_024;

/// Between two streams of one subject at a steady pace: 10 a second.
const EVERY: Duration = Duration::from_millis(100);

/// Streams at once in a crowd.
const CROWD: u32 = 64;

/// Connections over which open streams are begun at the same time.
const OPENERS: u32 = 32;

/// 10 streams a second of one variant after the other: a slow one at the same time would make all wait.
///
/// # Errors
/// Somebody does not start, or answers something else than 200.
pub(super) fn steady(lab: &mut Lab, variants: &[Variant]) -> Result<(), Failure> {
    const WORKLOAD: &str = "stream-50-steady";
    let subjects = start_all(variants, lab.around)?;
    for round in 1..=lab.effort.rounds {
        say(&format!("{WORKLOAD}: round {round} of {}", lab.effort.rounds));
        for index in lab.order(subjects.len()) {
            let Some(subject) = subjects.get(index) else { continue };
            // No text twice, or a cache would answer.
            let first = u64::from(round) * u64::from(lab.effort.steady_streams);
            let outcome = load::block_on(pace(subject, first, lab.effort.steady_streams))?;
            keep(lab, &At { workload: WORKLOAD, name: subject.name(), round }, &outcome)?;
        }
    }
    Ok(())
}

/// 64 streams of one variant at once, which begin at different moments.
///
/// # Errors
/// As [`steady`].
pub(super) fn crowd(lab: &mut Lab, variants: &[Variant]) -> Result<(), Failure> {
    const WORKLOAD: &str = "stream-50-crowd";
    let subjects = start_all(variants, lab.around)?;
    for round in 1..=lab.effort.rounds {
        say(&format!("{WORKLOAD}: round {round} of {}", lab.effort.rounds));
        for index in lab.order(subjects.len()) {
            let Some(subject) = subjects.get(index) else { continue };
            let load = Load {
                address: subject.address(),
                template: Arc::new(Template::chat(provider::PACED, SIZE, true, subject.callers())),
                connections: CROWD,
                requests: lab.effort.crowded_streams,
                first: u64::from(round) * lab.effort.crowded_streams,
                stagger: EVERY / CROWD,
            };
            keep(lab, &At { workload: WORKLOAD, name: subject.name(), round }, &load.run()?)?;
        }
    }
    Ok(())
}

/// Memory that an open stream takes; each round begins with Envoys that have served nobody else.
///
/// # Errors
/// As [`steady`].
pub(super) fn open(lab: &mut Lab, variants: &[Variant]) -> Result<(), Failure> {
    const WORKLOAD: &str = "open-streams";
    for round in 1..=lab.effort.rounds {
        say(&format!("{WORKLOAD}: round {round} of {}", lab.effort.rounds));
        for index in lab.order(variants.len()) {
            let Some(variant) = variants.get(index) else { continue };
            let subject = Subject::start(variant, lab.around)?;
            let before = subject.resident()?;
            let count = lab.effort.open_streams;
            let after = load::block_on(hold(&subject, count))?;
            let bytes = after.saturating_sub(before) as f64 / f64::from(count);
            lab.keep(&At { workload: WORKLOAD, name: subject.name(), round }, "each", "bytes", bytes)?;
        }
    }
    Ok(())
}

fn keep(lab: &mut Lab, at: &At<'_>, outcome: &Outcome) -> Result<(), Failure> {
    for (what, times) in [("ttft", &outcome.first_ms), ("event", &outcome.event_ms)] {
        for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
            let value = percentile(times, share).ok_or("a stream without events")?;
            lab.keep(at, &format!("{what}_{name}"), "ms", value)?;
        }
    }
    Ok(())
}

/// Begins `count` streams at a steady pace; they are numbered from `first` on.
async fn pace(subject: &Subject, first: u64, count: u32) -> Result<Outcome, Failure> {
    let pool = Arc::new(Pool::new(subject));
    let mut ticks = interval(EVERY);
    let mut streams = JoinSet::new();
    for number in (first..).take(count as usize) {
        ticks.tick().await;
        streams.spawn(Arc::clone(&pool).ask(number));
    }
    while let Some(stream) = streams.join_next().await {
        stream??;
    }
    Ok(pool.outcome())
}

/// Connections to one subject that wait for the next stream, and what has come of the former ones.
struct Pool {
    address: SocketAddr,
    template: Template,
    idle: Mutex<Vec<Client>>,
    outcome: Mutex<Outcome>,
}

impl Pool {
    fn new(subject: &Subject) -> Self {
        Self {
            address: subject.address(),
            template: Template::chat(provider::PACED, SIZE, true, subject.callers()),
            idle: Mutex::default(),
            outcome: Mutex::default(),
        }
    }

    async fn ask(self: Arc<Self>, number: u64) -> Result<(), Failure> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut client = match idle {
            Some(client) => client,
            None => Client::open(self.address).await?,
        };
        let mut outcome = Outcome::default();
        client.ask(&self.template, number, &mut outcome).await?;
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).add(outcome);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(client);
        Ok(())
    }

    fn outcome(&self) -> Outcome {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Opens so many streams and tells how much memory Envoy has in use then, once that no longer grows.
async fn hold(subject: &Subject, count: u32) -> Result<u64, Failure> {
    let template = Arc::new(Template::chat(provider::OPEN, SIZE, true, subject.callers()));
    let mut openers = JoinSet::new();
    for opener in 0..OPENERS {
        let (address, template) = (subject.address(), Arc::clone(&template));
        let share = count / OPENERS + u32::from(opener < count % OPENERS);
        openers.spawn(async move {
            let mut streams = Vec::new();
            for number in 0..share {
                let mut client = Client::open(address).await?;
                client.begin(&template, u64::from(opener * count + number)).await?;
                streams.push(client);
            }
            Result::<_, Failure>::Ok(streams)
        });
    }
    let mut streams = Vec::new();
    while let Some(opened) = openers.join_next().await {
        streams.extend(opened??);
    }
    let deadline = Instant::now() + Duration::from_secs(2);
    let mut most = subject.resident()?;
    while Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(100)).await;
        most = most.max(subject.resident()?);
    }
    drop(streams);
    Ok(most)
}
