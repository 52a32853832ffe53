//! What a request has reserved, from its decision to its settlement.

use sluice_core::filter::Host;
use sluice_core::redis::{Call, Outcome, Reply};
use sluice_core::window::lease_end;

use crate::claim::{self, Claim, Used};
use crate::config::{Config, Limit};
use crate::decided;
use crate::settlement::Settlement;
use crate::store::{self, Decision, Standing, Verdict, Want, local};
use crate::worker::Worker;

/// What a request takes from its buckets, and where they are kept.
#[derive(Debug)]
pub(crate) struct Reservation {
    claims: Vec<Claim>,
    place: Place,
}

/// Where a reservation stands.
#[derive(Debug)]
enum Place {
    /// In this Envoy's memory, until then.
    Local { expires_ms: u64 },
    /// In Redis, or it may be there, under this name.
    Redis { lease: String },
}

impl Reservation {
    /// Decides in this Envoy's memory.
    pub(crate) fn local(host: &mut dyn Host, config: &Config, claims: Vec<Claim>) -> (Self, Decision) {
        let now_ms = host.now_ms();
        let expires_ms = lease_end(now_ms, config.lease_ms);
        let decision = local::reserve(host, &claim::wants(config, &claims), expires_ms, now_ms);
        let mut reservation = Self { claims, place: Place::Local { expires_ms } };
        if decision.verdict == Verdict::Unreserved {
            reservation.claims.iter_mut().for_each(|claim| claim.amount = 0);
        }
        (reservation, decision)
    }

    /// Asks Redis to decide.
    pub(crate) fn ask(
        host: &mut dyn Host,
        config: &Config,
        worker: &Worker,
        claims: Vec<Claim>,
    ) -> Result<(Self, Call), Vec<Claim>> {
        let lease = worker.new_lease();
        let asked = store::redis::reserve(&claim::wants(config, &claims), &lease, config.lease_ms, 0);
        match worker.ask(host, &asked) {
            Ok(call) => Ok((Self { claims, place: Place::Redis { lease } }, call)),
            Err(_) => Err(claims),
        }
    }

    /// Reads Redis' decision.
    pub(crate) fn read(&self, config: &Config, answer: &Answer) -> Option<Decision> {
        answer.decision(&claim::wants(config, &self.claims))
    }

    /// The limits with how their buckets stand.
    pub(crate) fn limits<'a>(
        &'a self,
        config: &'a Config,
        standings: &'a [Standing],
    ) -> impl Iterator<Item = (&'a Limit, &'a Standing)> {
        let limits = self.claims.iter().filter_map(|claim| config.limits.get(claim.limit));
        limits.zip(standings)
    }

    /// What was asked of the limit at `index` of the claims.
    pub(crate) fn asked(&self, index: usize) -> u64 {
        self.claims.get(index).map_or(0, |claim| claim.amount)
    }

    /// The claims alone, for another store; whatever Redis may hold of them is given back.
    pub(crate) fn withdraw(self, host: &mut dyn Host, config: &Config) -> Vec<Claim> {
        self.book(host, config, |_| 0);
        self.claims
    }

    /// Gives the leases more time.
    pub(crate) fn renew(&mut self, host: &mut dyn Host, config: &Config) {
        let now_ms = host.now_ms();
        let owed = claim::owed(config, &self.claims, |_| 0);
        match (&mut self.place, &config.redis) {
            (Place::Local { expires_ms }, _) => {
                let new = lease_end(now_ms, config.lease_ms);
                local::renew(host, &owed, *expires_ms, new, now_ms);
                *expires_ms = new;
            }
            (Place::Redis { lease }, Some(worker)) => {
                worker.renew(host, &store::redis::renew(&owed, lease, config.lease_ms, 0));
            }
            (Place::Redis { .. }, None) => {}
        }
    }

    /// Books what the request has used; what it held is free.
    pub(crate) fn settle(self, host: &mut dyn Host, config: &Config, used: &Used) {
        self.book(host, config, |limit| used.amount(limit));
    }

    fn book(&self, host: &mut dyn Host, config: &Config, actual: impl Fn(&Limit) -> u64) {
        let now_ms = host.now_ms();
        let owed = claim::owed(config, &self.claims, actual);
        let names =
            self.claims.iter().filter_map(|claim| Some(config.limits.get(claim.limit)?.name.as_str()));
        match (&self.place, &config.redis) {
            (Place::Local { expires_ms }, _) => {
                let lifted = local::settle(host, &owed, *expires_ms, now_ms);
                for (name, by) in names.zip(lifted) {
                    decided::count_overshoot(host, name, by);
                }
            }
            (Place::Redis { lease }, Some(worker)) => {
                worker.settle(host, Settlement::new(lease, names.zip(owed), now_ms));
            }
            (Place::Redis { .. }, None) => {}
        }
    }
}

/// What Redis said to a decision.
pub(crate) struct Answer(Reply);

impl Answer {
    pub(crate) fn of(outcome: Outcome) -> Result<Self, Unanswered> {
        match outcome {
            Outcome::Again(call) => Err(Unanswered::Again(call)),
            Outcome::Failed(_) => Err(Unanswered::Failed),
            Outcome::Done(results) => match results.into_iter().next() {
                Some(Ok(reply)) => Ok(Self(reply)),
                _ => Err(Unanswered::Failed),
            },
        }
    }

    /// The decision on `wants`; `None` if this is no answer of the script's.
    pub(crate) fn decision(&self, wants: &[Want<'_>]) -> Option<Decision> {
        store::redis::parse(&self.0, wants)
    }
}

/// Why there is no answer yet, or none at all.
pub(crate) enum Unanswered {
    /// It was asked again.
    Again(Call),
    /// There will be none.
    Failed,
}
