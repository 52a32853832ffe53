//! Questions to services: bounded in number, each with a deadline, none while a service's breaker is open.

use std::collections::VecDeque;

use sluice_core::breaker::Ticket;
use sluice_core::filter::{CalloutError, CalloutId, CalloutReply, Host, Level};
use sluice_core::metric::{Label, series};

use crate::config::{Check, Config};
use crate::services::{About, Opinion, Service};

/// Calls of one request that are in flight at the same time.
const MAX_CALLS: usize = 16;

/// Text of one call that holds several pieces, in bytes.
const MAX_CALL_BYTES: usize = 64 * 1024;

/// What one exchange asks of services. `T` names a piece of text.
#[derive(Debug)]
pub(crate) struct Inquiry<T> {
    queue: VecDeque<Question<T>>,
    sent: Vec<(CalloutId, Sent<T>)>,
}

/// One call to come: pieces for one service.
#[derive(Debug)]
struct Question<T> {
    check: usize,
    pieces: Vec<(T, String)>,
}

/// One call under way.
#[derive(Debug)]
struct Sent<T> {
    check: usize,
    pieces: Vec<T>,
    ticket: Ticket,
    at_ms: u64,
}

/// What came of one call.
#[derive(Debug)]
pub(crate) struct Heard<T> {
    /// The check that asked.
    pub(crate) check: usize,
    /// The pieces, each with what the service says of it; `None`: it says nothing.
    pub(crate) said: Option<Vec<(T, Opinion)>>,
    /// Those that were asked about in vain.
    pub(crate) unsaid: Vec<T>,
}

/// Why a service says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    BreakerOpen,
    NotSent,
    NotAnswered,
    Garbage,
}

impl Failure {
    const fn name(self) -> &'static str {
        match self {
            Self::BreakerOpen => "breaker_open",
            Self::NotSent => "not_sent",
            Self::NotAnswered => "not_answered",
            Self::Garbage => "garbage",
        }
    }
}

impl<T> Default for Inquiry<T> {
    fn default() -> Self {
        Self { queue: VecDeque::new(), sent: Vec::new() }
    }
}

impl<T> Inquiry<T> {
    /// Lets the service of `check` be asked about `pieces`, in as few calls as it takes.
    pub(crate) fn ask(
        &mut self,
        config: &Config,
        check: usize,
        pieces: impl IntoIterator<Item = (T, String)>,
    ) {
        let Some(service) = service(config, check) else { return };
        let (mut question, mut bytes) = (Vec::new(), 0_usize);
        for (name, text) in pieces {
            let with = bytes.saturating_add(text.len());
            if !question.is_empty() && (question.len() >= service.texts_per_call() || with > MAX_CALL_BYTES) {
                self.queue.push_back(Question { check, pieces: std::mem::take(&mut question) });
                bytes = 0;
            }
            bytes = bytes.saturating_add(text.len());
            question.push((name, text));
        }
        if !question.is_empty() {
            self.queue.push_back(Question { check, pieces: question });
        }
    }

    /// Sends as many calls as may be in flight; says which ones failed at once.
    pub(crate) fn send(&mut self, host: &mut dyn Host, config: &Config, about: &About<'_>) -> Vec<Heard<T>> {
        let mut failed = Vec::new();
        while self.sent.len() < MAX_CALLS
            && let Some(question) = self.queue.pop_front()
        {
            failed.extend(self.send_one(host, config, about, question));
        }
        failed
    }

    fn send_one(
        &mut self,
        host: &mut dyn Host,
        config: &Config,
        about: &About<'_>,
        question: Question<T>,
    ) -> Option<Heard<T>> {
        let check = question.check;
        let service = service(config, check)?;
        let at_ms = host.now_ms();
        let (pieces, texts): (Vec<T>, Vec<String>) = question.pieces.into_iter().unzip();
        let unsaid = |host: &mut dyn Host, pieces, failure| {
            count_failure(host, config, check, failure);
            Some(Heard { check, said: None, unsaid: pieces })
        };
        let ticket = service.breaker.borrow_mut().admit(at_ms);
        let Some(ticket) = ticket else {
            return unsaid(host, pieces, Failure::BreakerOpen);
        };
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        if let Ok(id) = service.send(host, &service.encode(about, &texts)) {
            self.sent.push((id, Sent { check, pieces, ticket, at_ms }));
            return None;
        }
        report(host, config, check, ticket, false);
        unsaid(host, pieces, Failure::NotSent)
    }

    /// Takes the end of callout `id`; `None` if it is none of these.
    pub(crate) fn ended(
        &mut self,
        host: &mut dyn Host,
        config: &Config,
        id: CalloutId,
        reply: Result<CalloutReply, CalloutError>,
    ) -> Option<Heard<T>> {
        let at = self.sent.iter().position(|(sent, _)| *sent == id)?;
        let (_, Sent { check, pieces, ticket, at_ms }) = self.sent.swap_remove(at);
        let service = service(config, check)?;
        host.observe("content_guard_call_ms", host.now_ms().saturating_sub(at_ms));
        let said = match reply {
            Ok(reply) => service.read(reply.status, &reply.body, pieces.len()).map_err(|_| Failure::Garbage),
            Err(_) => Err(Failure::NotAnswered),
        };
        report(host, config, check, ticket, said.is_ok());
        Some(match said {
            Ok(opinions) => {
                let said = Some(pieces.into_iter().zip(opinions).collect());
                Heard { check, said, unsaid: Vec::new() }
            }
            Err(failure) => {
                count_failure(host, config, check, failure);
                Heard { check, said: None, unsaid: pieces }
            }
        })
    }

    /// Whether nothing is asked and nothing is to be asked.
    pub(crate) fn is_done(&self) -> bool {
        self.queue.is_empty() && self.sent.is_empty()
    }
}

fn service(config: &Config, check: usize) -> Option<&Service> {
    config.checks.get(check)?.service.as_ref()
}

fn name(config: &Config, check: usize) -> &str {
    config.checks.get(check).map_or("", |check: &Check| check.name.as_str())
}

fn count_failure(host: &mut dyn Host, config: &Config, check: usize, failure: Failure) {
    let name = name(config, check);
    let labels = [(Label::Check, name), (Label::Kind, failure.name())];
    host.count(&series("content_guard_service_failures_total", &labels), 1);
}

fn report(host: &mut dyn Host, config: &Config, check: usize, ticket: Ticket, good: bool) {
    let Some(service) = service(config, check) else { return };
    let opened = service.breaker.borrow_mut().report(ticket, good, host.now_ms());
    if opened {
        let name = name(config, check);
        host.count(&series("content_guard_breaker_opened_total", &[(Label::Check, name)]), 1);
        host.log(
            Level::Warn,
            &format!("the service of check {name} keeps failing; it is asked now and then only"),
        );
    }
}
