//! The way of a whole body through the checks: local ones, masks, services, and back with what was masked.

use sluice_core::filter::{CalloutError, CalloutId, CalloutReply, Host};

use crate::body::{Body, Unreadable};
use crate::config::{Action, Config, Direction};
use crate::exchange::{Exchange, Withheld};
use crate::inquiry::{Heard, Inquiry};
use crate::inspect::{self, Mask, Place};
use crate::mask::Document;
use crate::verdict::Verdict;

/// How far a body has come.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It passes, with other bytes if there are some.
    Passes(Option<Vec<u8>>),
    /// Services are asked.
    Asking(Box<Examination>),
    /// It does not pass.
    Withheld(Withheld),
}

/// A body of which services are asked.
#[derive(Debug)]
pub(crate) struct Examination {
    direction: Direction,
    body: Body,
    document: Document,
    inquiry: Inquiry<Place>,
    masks: Vec<Mask>,
    changed: bool, // since the client or the provider wrote it
}

impl Exchange {
    /// Checks a whole body.
    pub(crate) fn examine(
        &mut self,
        host: &mut dyn Host,
        config: &Config,
        direction: Direction,
        mut body: Body,
    ) -> Outcome {
        match body.document() {
            Ok(document) if document.is_readable() => self.check(host, config, direction, body, document),
            Ok(document) => match self.unreadable(host, config, direction) {
                Some(withheld) => Outcome::Withheld(withheld),
                None => self.check(host, config, direction, body, document),
            },
            Err(Unreadable) => {
                self.unreadable(host, config, direction).map_or(Outcome::Passes(None), Outcome::Withheld)
            }
        }
    }

    fn check(
        &mut self,
        host: &mut dyn Host,
        config: &Config,
        direction: Direction,
        mut body: Body,
        mut document: Document,
    ) -> Outcome {
        let applied = self.scope.side(direction);
        let findings = inspect::find(config, applied, direction, &document);
        self.verdicts.add_all(host, config, findings.verdicts.iter().cloned());
        if findings.is_blocked {
            return Outcome::Withheld(Withheld::Blocked);
        }
        self.vault.avoid(&document);
        findings.mask(direction, &mut document, &mut self.vault);
        let changed = document.is_changed();
        let (inquiry, masks) = (Inquiry::default(), Vec::new());
        if changed && !applied.services.is_empty() {
            // services see the masked text
            document = match body.take(document).and_then(|()| body.document()) {
                Ok(document) => document,
                Err(Unreadable) => return Outcome::Withheld(Withheld::Unreadable),
            };
        }
        let examination = Examination { direction, body, document, inquiry, masks, changed };
        examination.ask(self, host, config)
    }
}

impl Examination {
    /// Asks all services of all pieces.
    fn ask(mut self, exchange: &mut Exchange, host: &mut dyn Host, config: &Config) -> Outcome {
        let services = &exchange.scope.side(self.direction).services;
        if !services.is_empty() {
            let Some(pieces) = inspect::pieces(&self.document) else {
                return match exchange.unreadable(host, config, self.direction) {
                    Some(withheld) => Outcome::Withheld(withheld),
                    None => self.finish(exchange),
                };
            };
            for check in services {
                self.inquiry.ask(config, *check, pieces.iter().cloned());
            }
        }
        self.go_on(exchange, host, config)
    }

    /// Sends what may be sent now.
    fn go_on(mut self, exchange: &mut Exchange, host: &mut dyn Host, config: &Config) -> Outcome {
        loop {
            let about = exchange.scope.about(self.direction);
            let failed = self.inquiry.send(host, config, &about);
            if failed.is_empty() {
                break;
            }
            for heard in failed {
                if let Some(withheld) = self.hear(exchange, host, config, heard) {
                    return Outcome::Withheld(withheld);
                }
            }
        }
        if self.inquiry.is_done() { self.finish(exchange) } else { Outcome::Asking(Box::new(self)) }
    }

    /// A callout has ended.
    pub(crate) fn answered(
        mut self: Box<Self>,
        exchange: &mut Exchange,
        host: &mut dyn Host,
        config: &Config,
        id: CalloutId,
        reply: Result<CalloutReply, CalloutError>,
    ) -> Outcome {
        let Some(heard) = self.inquiry.ended(host, config, id, reply) else {
            return Outcome::Asking(self);
        };
        match self.hear(exchange, host, config, heard) {
            Some(withheld) => Outcome::Withheld(withheld),
            None => self.go_on(exchange, host, config),
        }
    }

    /// Which way the body goes.
    pub(crate) const fn direction(&self) -> Direction {
        self.direction
    }

    fn hear(
        &mut self,
        exchange: &mut Exchange,
        host: &mut dyn Host,
        config: &Config,
        heard: Heard<Place>,
    ) -> Option<Withheld> {
        let Some(said) = heard.said else {
            return exchange.unsaid(host, config, self.direction, heard.check);
        };
        let mut blocked = false;
        for (place, opinion) in said {
            let (Some(action), Some(check)) =
                (inspect::weigh(config, heard.check, &opinion), config.checks.get(heard.check))
            else {
                continue;
            };
            let verdict =
                Verdict::new(&check.name, self.direction, &opinion.category, opinion.risk, action.name());
            exchange.verdicts.add(host, config, verdict);
            match action {
                Action::Block => blocked = true,
                Action::Mask => {
                    let masks =
                        inspect::masks(config, heard.check, place, opinion.replacement, &self.document);
                    self.masks.extend(masks);
                }
                Action::Log => {}
            }
        }
        blocked.then_some(Withheld::Blocked)
    }

    /// All is said: what services want replaced is, and in an answer what stands for something of the request gives way
    /// to that.
    fn finish(mut self, exchange: &mut Exchange) -> Outcome {
        if !self.masks.is_empty() {
            inspect::mask(self.masks, self.direction, &mut self.document, &mut exchange.vault);
        }
        let mut changed = self.changed || self.document.is_changed();
        let restores = self.direction == Direction::Response && !exchange.vault.is_empty();
        if !changed && !restores {
            return Outcome::Passes(None);
        }
        if self.body.take(self.document).is_err() {
            return Outcome::Withheld(Withheld::Unreadable);
        }
        if restores {
            let Ok(mut document) = self.body.document() else {
                return Outcome::Withheld(Withheld::Unreadable);
            };
            exchange.vault.restore(&mut document);
            changed |= document.is_changed();
            if self.body.take(document).is_err() {
                return Outcome::Withheld(Withheld::Unreadable);
            }
        }
        Outcome::Passes(changed.then(|| self.body.into_bytes()))
    }
}
