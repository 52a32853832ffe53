//! Processor time per request: everybody in turns, each turn long enough for a tick to be a small part of it.

use std::sync::Arc;
use std::time::Duration;

use crate::lab::{At, Lab};
use crate::load::{Load, Outcome};
use crate::provider;
use crate::request::Template;
use crate::stats::percentile;
use crate::subject::{Subject, Variant};
use crate::{Failure, say};

/// Requests of the turn that warms up, by which the others are sized.
const WARM_UP: u64 = 1_000;

/// A request, and how many connections ask it.
#[derive(Clone, Copy, Debug)]
pub struct Chat {
    /// As it stands in the report.
    pub name: &'static str,
    /// Bytes of the request.
    pub size: usize,
    /// Which answer, [`provider::WHOLE`] or another.
    pub model: &'static str,
    /// Connections at the same time.
    pub connections: u32,
    /// Whether all requests are the same.
    pub same: bool,
}

impl Chat {
    /// A whole answer to a request of this size.
    #[must_use]
    pub const fn whole(name: &'static str, size: usize) -> Self {
        Self { name, size, model: provider::WHOLE, connections: 4, same: false }
    }

    fn template(&self, callers: u32) -> Template {
        let template = Template::chat(self.model, self.size, self.model != provider::WHOLE, callers);
        if self.same { template.same() } else { template }
    }

    /// Measures everybody.
    ///
    /// # Errors
    /// Somebody does not start, or answers something else than 200.
    pub fn run(&self, lab: &mut Lab, variants: &[Variant]) -> Result<(), Failure> {
        let subjects = super::start_all(variants, lab.around)?;
        self.measure(lab, &subjects)
    }

    /// Measures those that run already.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn measure(&self, lab: &mut Lab, subjects: &[Subject]) -> Result<(), Failure> {
        let mut turns = subjects
            .iter()
            .map(|subject| Turn::warm_up(*self, subject, lab.effort.turn))
            .collect::<Result<Vec<_>, _>>()?;
        for round in 1..=lab.effort.rounds {
            say(&format!("{}: round {round} of {}", self.name, lab.effort.rounds));
            for index in lab.order(turns.len()) {
                if let Some(turn) = turns.get_mut(index) {
                    turn.take(lab, round)?;
                }
            }
        }
        Ok(())
    }
}

/// One subject and the load that it is measured by.
struct Turn<'a> {
    subject: &'a Subject,
    workload: &'static str,
    load: Load,
}

impl<'a> Turn<'a> {
    fn warm_up(chat: Chat, subject: &'a Subject, cpu: Duration) -> Result<Self, Failure> {
        let template = Arc::new(chat.template(subject.callers()));
        let load = Load {
            address: subject.address(),
            template,
            connections: chat.connections,
            requests: WARM_UP,
            first: 1,
            stagger: Duration::ZERO,
        };
        let mut turn = Self { subject, workload: chat.name, load };
        let (taken, _) = turn.ask()?;
        let needed = cpu.as_secs_f64() / taken.max(Duration::from_millis(10)).as_secs_f64();
        turn.load.requests = ((WARM_UP as f64 * needed) as u64).max(WARM_UP / 2);
        Ok(turn)
    }

    /// Asks as often as planned, each time with new requests; Envoy's processor time.
    fn ask(&mut self) -> Result<(Duration, Outcome), Failure> {
        let before = self.subject.cpu()?;
        let outcome = self.load.run().map_err(|error| format!("{}: {error}", self.subject.name()))?;
        self.load.first += self.load.requests;
        Ok((self.subject.cpu()?.saturating_sub(before), outcome))
    }

    fn take(&mut self, lab: &mut Lab, round: u32) -> Result<(), Failure> {
        let (taken, outcome) = self.ask()?;
        let at = At { workload: self.workload, name: self.subject.name(), round };
        lab.keep(&at, "cpu", "us", taken.as_secs_f64() * 1e6 / outcome.requests as f64)?;
        lab.keep(&at, "rate", "1/s", outcome.rate())?;
        for (metric, share) in [("p50", 0.5), ("p99", 0.99)] {
            lab.keep(&at, metric, "ms", percentile(&outcome.whole_ms, share).unwrap_or_default())?;
        }
        let resident = self.subject.resident()? as f64 / 1e6;
        lab.keep(&at, "rss", "MB", resident)
    }
}
