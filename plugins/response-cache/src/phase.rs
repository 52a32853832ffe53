//! How far a request is: read, looked up, waiting for another's answer, or the provider's to answer.

use std::rc::Rc;

use sluice_core::context;
use sluice_core::filter::{CalloutError, CalloutId, CalloutReply, Filter as _, Host, Next};
use sluice_core::redis::Call;

use crate::ResponseCache;
use crate::config::Store;
use crate::entry::Entry;
use crate::fetch::Fetch;
use crate::flight::{News, Seat};
use crate::hit;
use crate::label::Label;
use crate::operator::Order;
use crate::question::{Bypass, Head, Question};
use crate::search::Search;
use crate::worker::{Found, LEASE_MS};

/// How far a request is.
#[derive(Debug, Default)]
pub(crate) enum Phase {
    /// Not begun, or nothing is left to do: passed by, or answered here.
    #[default]
    Idle,
    /// Its body is awaited.
    Reading(Box<Head>),
    /// Redis is asked.
    Asking { search: Search, call: Call },
    /// Another request of this worker is to bring the answer.
    Following(Question),
    /// Another worker or gateway is to bring the answer to Redis.
    Polling(Search),
    /// The provider is asked.
    Fetching(Box<Fetch>),
    /// An operator's order is carried out.
    Operating(Order),
}

impl ResponseCache {
    pub(crate) fn begin(&mut self, host: &mut dyn Host, end: bool) -> Next {
        if self.config.operator {
            return self.operate(host);
        }
        match Head::of(host, &self.config, end) {
            Ok(head) => {
                self.phase = Phase::Reading(Box::new(head));
                Next::Whole { max_bytes: self.config.max_body_bytes }
            }
            Err(reason) => self.bypass(host, reason),
        }
    }

    /// The whole `body` is here.
    pub(crate) fn read(&mut self, host: &mut dyn Host, body: &[u8]) -> Next {
        let Phase::Reading(head) = std::mem::take(&mut self.phase) else { return Next::Pass };
        match head.read(host, &self.config, body) {
            Ok(question) if question.control.no_cache => self.fetch_alone(host, question, Some("no-cache")),
            Ok(question) => self.look(host, question),
            Err(reason) => self.bypass(host, reason),
        }
    }

    fn bypass(&mut self, host: &mut dyn Host, reason: Bypass) -> Next {
        let label = Label::Bypass(reason);
        label.publish(host);
        self.label = Some(label);
        Next::Pass
    }

    /// Looks where it costs nothing: in this Envoy's memory, and at what others of this worker ask.
    fn look(&mut self, host: &mut dyn Host, question: Question) -> Next {
        let known = match &self.config.store {
            Store::Memory(memory) => memory.get(host, &question.key).map(Rc::new),
            Store::Redis(_) => None,
        };
        let reason = match known.map(|entry| (hit::reply(host, &question, &entry, false), entry)) {
            Some((Ok(reply), entry)) => {
                self.land(host, &entry);
                self.leave(host);
                return reply;
            }
            Some((Err(reason), _)) => Some(reason),
            None => None,
        };
        match self.sit(host, &question) {
            Seat::Leader | Seat::Alone => self.search(host, question, reason),
            Seat::Follower => {
                host.wake_after(question.left_ms(&self.config, host.now_ms()));
                self.phase = Phase::Following(question);
                Next::Wait
            }
            Seat::Answer(entry) => self.take(host, question, &entry),
        }
    }

    /// In Redis, who asks for an answer of some age only would let others wait for a new one, though an older one would
    /// do for them.
    fn sit(&mut self, host: &dyn Host, question: &Question) -> Seat {
        if self.config.redis().is_some() && question.control.max_age_ms.is_some() {
            return Seat::Alone;
        }
        let seat = self.config.flights.borrow_mut().join(question.key, host.stream(), question.follows);
        if matches!(seat, Seat::Leader | Seat::Follower) {
            self.seat = Some(question.key);
        }
        seat
    }

    fn search(&mut self, host: &mut dyn Host, question: Question, reason: Option<&'static str>) -> Next {
        let search = Search::new(&self.config, question, reason);
        if self.config.redis().is_some() && reason.is_none() {
            return self.ask(host, search);
        }
        self.fetch(host, search, false)
    }

    /// A callout of this stream has ended.
    pub(crate) fn answered(
        &mut self,
        host: &mut dyn Host,
        id: CalloutId,
        reply: Result<CalloutReply, CalloutError>,
    ) -> Option<Next> {
        match std::mem::take(&mut self.phase) {
            Phase::Asking { search, call } if call.id() == id => {
                match Found::read(host, call, reply, self.config.ttl_ms) {
                    Found::Again(call) => {
                        self.phase = Phase::Asking { search, call };
                        None
                    }
                    found => unless_waiting(self.found(host, search, found)),
                }
            }
            Phase::Operating(order) => unless_waiting(self.obeyed(host, order, id, reply)),
            other => {
                self.phase = other;
                None
            }
        }
    }

    /// The time that somebody asked for has come.
    pub(crate) fn woken(&mut self, host: &mut dyn Host) -> Option<Next> {
        match std::mem::take(&mut self.phase) {
            Phase::Following(question) => unless_waiting(self.hear(host, question)),
            Phase::Polling(search) => unless_waiting(self.ask(host, search)),
            other => {
                self.phase = other;
                self.renew(host);
                None
            }
        }
    }

    /// One who follows has been woken: by news, or because it has waited long enough.
    fn hear(&mut self, host: &mut dyn Host, question: Question) -> Next {
        let news = self.config.flights.borrow_mut().news(host.stream());
        match news {
            Some(News::Lead) => self.look(host, question),
            Some(News::Answer(entry)) => {
                self.leave(host);
                self.take(host, question, &entry)
            }
            Some(News::Alone) => {
                self.leave(host);
                self.fetch_alone(host, question, Some("unshared"))
            }
            None => match question.left_ms(&self.config, host.now_ms()) {
                0 => {
                    self.leave(host);
                    self.fetch_alone(host, question, Some("max-wait"))
                }
                left_ms => {
                    host.wake_after(left_ms);
                    self.phase = Phase::Following(question);
                    Next::Wait
                }
            },
        }
    }

    /// Answers with what another request has brought.
    fn take(&mut self, host: &mut dyn Host, question: Question, entry: &Entry) -> Next {
        let reply = hit::reply(host, &question, entry, true);
        reply.unwrap_or_else(|reason| self.fetch_alone(host, question, Some(reason)))
    }

    fn fetch_alone(&mut self, host: &mut dyn Host, question: Question, reason: Option<&'static str>) -> Next {
        self.fetch(host, Search::new(&self.config, question, reason), false)
    }

    /// Lets the request go to the provider; `locked` if no other gateway does the same.
    pub(crate) fn fetch(&mut self, host: &mut dyn Host, search: Search, locked: bool) -> Next {
        let label = Label::Miss(search.reason);
        label.publish(host);
        self.label = Some(label);
        context::RECORDER.set(host, Self::NAME);
        if locked {
            host.wake_after(LEASE_MS / 3);
        }
        self.phase = Phase::Fetching(Box::new(Fetch::new(search.question, search.token, locked)));
        Next::Pass
    }

    /// Everybody who follows gets `entry`.
    pub(crate) fn land(&self, host: &mut dyn Host, entry: &Rc<Entry>) {
        if let Some(key) = self.seat {
            let woken = self.config.flights.borrow_mut().land(key, host.stream(), entry);
            woken.into_iter().for_each(|stream| host.hasten(stream));
        }
    }

    /// Everybody who follows is to go alone.
    pub(crate) fn scatter(&mut self, host: &mut dyn Host) {
        if let Some(key) = self.seat {
            let woken = self.config.flights.borrow_mut().scatter(key, host.stream());
            woken.into_iter().for_each(|stream| host.hasten(stream));
        }
        self.leave(host);
    }

    /// Gives up the seat in a flight; the next one leads, if this one did and has found nothing.
    pub(crate) fn leave(&mut self, host: &mut dyn Host) {
        if let Some(key) = self.seat.take() {
            let next = self.config.flights.borrow_mut().leave(key, host.stream());
            next.into_iter().for_each(|stream| host.hasten(stream));
        }
    }

    /// The exchange is over.
    pub(crate) fn finish(&mut self, host: &mut dyn Host) {
        match std::mem::take(&mut self.phase) {
            // The client has left, but Redis may have given it the lock.
            Phase::Asking { search, .. } => self.release(host, &search),
            Phase::Fetching(fetch) => fetch.finish(host, &self.config, self.seat.is_none()),
            _ => {}
        }
        self.leave(host);
    }
}

/// A request that waits already goes on waiting.
fn unless_waiting(next: Next) -> Option<Next> {
    (next != Next::Wait).then_some(next)
}
