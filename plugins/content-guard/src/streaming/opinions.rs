//! What services say of a stream's texts, and what the checks make of that.

use std::mem;

use sluice_core::filter::Host;

use super::{Live, Streaming};
use crate::config::{Action, Config, Direction};
use crate::exchange::{Exchange, Withheld};
use crate::inquiry::Heard;
use crate::inspect;
use crate::services::Opinion;
use crate::stream::{Answer, Step};
use crate::verdict::Verdict;

/// A text that services are asked about.
#[derive(Debug)]
pub(super) struct Asked {
    open: usize, // services that have not answered
    rewrite: Option<String>,
}

impl Streaming {
    /// Asks every service about what is new; where one fails at once, says what the checks make of that.
    pub(super) fn ask(
        &mut self,
        exchange: &mut Exchange,
        host: &mut dyn Host,
        config: &Config,
        step: &mut Step,
    ) -> Result<Option<Step>, Withheld> {
        let services = &exchange.scope.response.services;
        for ask in mem::take(&mut step.asks) {
            self.asked.insert(ask.id, Asked { open: services.len(), rewrite: None });
            for check in services {
                self.inquiry.ask(config, *check, [(ask.id, ask.text.clone())]);
            }
        }
        let failed = self.inquiry.send(host, config, &exchange.scope.about(Direction::Response));
        let mut last: Option<Step> = None;
        for heard in failed {
            let step = self.hear(exchange, host, config, heard)?;
            last = joined(last, step);
        }
        Ok(last)
    }

    /// What the checks make of a service's opinions; `None`: nothing yet, for others are still asked.
    pub(super) fn hear(
        &mut self,
        exchange: &mut Exchange,
        host: &mut dyn Host,
        config: &Config,
        heard: Heard<u64>,
    ) -> Result<Option<Step>, Withheld> {
        let check = heard.check;
        let said: Vec<(u64, Opinion)> = match heard.said {
            Some(said) => said,
            None => {
                if let Some(withheld) = exchange.unsaid(host, config, Direction::Response, check) {
                    return Err(withheld);
                }
                heard.unsaid.into_iter().map(|id| (id, Opinion::harmless())).collect()
            }
        };
        let mut step = None;
        for (id, opinion) in said {
            let answer = self.weigh(exchange, host, config, check, id, opinion);
            if let Some(answer) = answer {
                let live = Live { config, applied: &exchange.scope.response };
                step = joined(step, Some(self.machine.answer(&live, host.now_ms(), id, answer)));
            }
        }
        Ok(step)
    }

    /// What all services together say of a text; `None` while some are still asked.
    fn weigh(
        &mut self,
        exchange: &mut Exchange,
        host: &mut dyn Host,
        config: &Config,
        check: usize,
        id: u64,
        opinion: Opinion,
    ) -> Option<Answer> {
        let action = inspect::weigh(config, check, &opinion);
        let name = config.checks.get(check).map_or("", |check| check.name.as_str());
        if let Some(action) = action {
            let (on, action) = (Direction::Response, action.name());
            let verdict = Verdict::new(name, on, &opinion.category, opinion.risk, action);
            exchange.verdicts.add(host, config, verdict);
        }
        let asked = self.asked.get_mut(&id)?;
        asked.open = asked.open.saturating_sub(1);
        match action {
            Some(Action::Block) => {
                self.asked.remove(&id);
                return Some(Answer::Block);
            }
            Some(Action::Mask) => {
                // where two rewrite the same text, neither's words hold
                let stand_in = || format!("[{}]", name.to_ascii_uppercase());
                let first = asked.rewrite.is_none();
                asked.rewrite = Some(opinion.replacement.filter(|_| first).unwrap_or_else(stand_in));
            }
            Some(Action::Log) | None => {}
        }
        if asked.open > 0 {
            return None;
        }
        let rewrite = self.asked.remove(&id).and_then(|asked| asked.rewrite);
        Some(rewrite.map_or(Answer::Pass, Answer::Rewrite))
    }
}

/// One step after the other, as one.
fn joined(before: Option<Step>, after: Option<Step>) -> Option<Step> {
    match (before, after) {
        (Some(mut before), Some(mut after)) => {
            before.release.append(&mut after.release);
            before.asks.append(&mut after.asks);
            before.findings.append(&mut after.findings);
            before.unread |= after.unread;
            Some(Step { due_ms: after.due_ms, retained: after.retained, state: after.state, ..before })
        }
        (before, after) => after.or(before),
    }
}
