//! Looks an answer up in Redis, where all gateways keep theirs: it is there, or somebody is about to bring it, or it is
//! ours to ask for.

use std::rc::Rc;

use sluice_core::filter::{Host, Next};

use crate::ResponseCache;
use crate::config::Config;
use crate::entry::Entry;
use crate::hit;
use crate::phase::Phase;
use crate::question::Question;
use crate::worker::{Found, Worker};

/// Pauses between two questions to Redis whether another gateway's answer is there, in milliseconds: each is longer than
/// the one before by the first, up to the last.
const FIRST_PAUSE_MS: u64 = 50;
const LAST_PAUSE_MS: u64 = 250;

/// A question that this request is to find an answer to.
#[derive(Debug)]
pub(crate) struct Search {
    pub(crate) question: Question,
    /// Names the request in Redis; empty where answers are kept in memory.
    pub(crate) token: String,
    /// How often somebody else had the lock.
    polls: u64,
    /// The entry itself is wanted, not the lock alone.
    lookup: bool,
    /// Why what was found does not do.
    pub(crate) reason: Option<&'static str>,
}

impl Search {
    pub(crate) fn new(config: &Config, question: Question, reason: Option<&'static str>) -> Self {
        let token = config.redis().map(Worker::new_token).unwrap_or_default();
        Self { question, token, polls: 0, lookup: true, reason }
    }
}

impl ResponseCache {
    /// Asks for the entry, and for the lock where there is none.
    pub(crate) fn ask(&mut self, host: &mut dyn Host, search: Search) -> Next {
        let config = Rc::clone(&self.config);
        let call = config
            .redis()
            .and_then(|worker| worker.acquire(host, &search.question.key, &search.token, search.lookup).ok());
        match call {
            Some(call) => {
                self.phase = Phase::Asking { search, call };
                Next::Wait
            }
            None => self.fetch(host, Search { reason: Some("redis"), ..search }, false),
        }
    }

    /// Redis has answered.
    pub(crate) fn found(&mut self, host: &mut dyn Host, search: Search, found: Found) -> Next {
        match found {
            Found::Entry(entry) => self.found_entry(host, search, &Rc::from(entry)),
            Found::Stale if search.lookup => self.ask(host, Search { lookup: false, ..search }),
            Found::Leader => self.fetch(host, search, true),
            Found::Wait if search.question.follows => self.poll(host, search),
            Found::Wait => self.fetch(host, search, false),
            Found::Stale | Found::Again(_) | Found::Failed => {
                self.release(host, &search); // it may be ours without our knowing
                self.fetch(host, Search { reason: Some("redis"), ..search }, false)
            }
        }
    }

    fn found_entry(&mut self, host: &mut dyn Host, search: Search, entry: &Rc<Entry>) -> Next {
        let reply = hit::reply(host, &search.question, entry, search.polls > 0);
        if let Err(reason @ "max-age") = reply {
            return self.ask(host, Search { lookup: false, reason: Some(reason), ..search });
        }
        self.land(host, entry);
        self.leave(host);
        reply.unwrap_or_else(|reason| self.fetch(host, Search { reason: Some(reason), ..search }, false))
    }

    /// Somebody else has the lock: asks again after a pause.
    fn poll(&mut self, host: &mut dyn Host, search: Search) -> Next {
        let left_ms = search.question.left_ms(&self.config, host.now_ms());
        if left_ms == 0 {
            return self.fetch(host, Search { reason: Some("max-wait"), ..search }, false);
        }
        let polls = search.polls.saturating_add(1);
        host.wake_after(FIRST_PAUSE_MS.saturating_mul(polls).min(LAST_PAUSE_MS).min(left_ms));
        self.phase = Phase::Polling(Search { polls, lookup: true, ..search });
        Next::Wait
    }

    /// Gives the lock back, if it is ours.
    pub(crate) fn release(&self, host: &mut dyn Host, search: &Search) {
        if let Some(worker) = self.config.redis() {
            worker.release(host, &search.question.key, &search.token);
        }
    }
}
