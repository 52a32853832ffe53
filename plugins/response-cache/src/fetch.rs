//! A question on its way to the provider and back: the answer is taken down, handed to those who wait, and kept.

use std::rc::Rc;

use serde_json::Value;
use sluice_core::context;
use sluice_core::filter::{Host, Next, Side};
use sluice_core::openai::error::Code;

use crate::ResponseCache;
use crate::config::{Config, Store};
use crate::entry::Entry;
use crate::label::HEADER;
use crate::phase::Phase;
use crate::question::Question;
use crate::recording::{Recording, Refused};
use crate::worker::LEASE_MS;

/// A question that the provider is asked.
#[derive(Debug)]
pub(crate) struct Fetch {
    question: Question,
    /// Names the request in Redis.
    token: String,
    /// The lock in Redis is ours.
    locked: bool,
    recording: Option<Recording>, // none: not answered yet, or not worth it
    answer: Option<Rc<Entry>>,    // none: not complete yet, or not to be kept
}

impl Fetch {
    pub(crate) const fn new(question: Question, token: String, locked: bool) -> Self {
        Self { question, token, locked, recording: None, answer: None }
    }

    /// The exchange is over: what it has brought is kept, unless the checks forbid it. Where others have asked the same
    /// without waiting (`alone`), the first answer is enough: each one kept takes room from others.
    pub(crate) fn finish(self, host: &mut dyn Host, config: &Config, alone: bool) {
        let key = &self.question.key;
        let Some(entry) = self.answer.as_ref().filter(|_| !is_withheld(host) && is_the_targets(host)) else {
            return self.unlock(host, config);
        };
        match &config.store {
            Store::Memory(memory) => {
                let is_known = |known: Entry| known.stored_ms >= self.question.since_ms;
                let kept =
                    !(alone && memory.get(host, key).is_some_and(is_known)) && memory.put(host, key, entry);
                host.count("response_cache_stored_total", kept.into());
            }
            Store::Redis(worker) => worker.store(host, key, &self.token, entry),
        }
    }

    fn unlock(&self, host: &mut dyn Host, config: &Config) {
        if let Some(worker) = config.redis().filter(|_| self.locked) {
            worker.release(host, &self.question.key, &self.token);
        }
    }
}

/// Whether the content checks have kept the answer from the client: then it is nobody's.
fn is_withheld(host: &dyn Host) -> bool {
    let blocks = |finding: &Value| {
        let says = |name: &str, text: &str| finding.get(name).is_some_and(|value| value == text);
        says("on", "response") && says("action", "block")
    };
    let findings = context::GUARD.read(host, |list| serde_json::from_str::<Vec<Value>>(list).ok()).flatten();
    findings.iter().flatten().any(blocks) || context::ERROR.read(host, Code::withholds) == Some(true)
}

/// Whether the target that was picked has answered, not one that stood in for it: its answer, perhaps a lesser model's,
/// is good for who asks meanwhile, but nobody wants it when the target is back. So it is where nobody says who answered.
fn is_the_targets(host: &dyn Host) -> bool {
    let (Some(target), Some(provider)) = (context::TARGET.get(host), context::PROVIDER.get(host)) else {
        return true;
    };
    let Some(served) = context::PROVIDER_MODEL.get(host) else { return true };
    let asked = || context::BASE_MODEL.get(host).or_else(|| context::MODEL.get(host)).unwrap_or_default();
    target == format!("{provider}/{served}") || (target == provider && served == asked())
}

impl ResponseCache {
    /// The headers of an answer have come, of the provider's or another's.
    pub(crate) fn answer(&mut self, host: &mut dyn Host, end: bool) -> Next {
        if let Some(label) = self.label {
            host.set_header(Side::Response, HEADER, &label.to_string());
        }
        let Phase::Fetching(fetch) = &mut self.phase else { return Next::Pass };
        let headers = host.headers(Side::Response);
        let mut recording = match Recording::begin(&headers, &fetch.question, end) {
            Ok(recording) => recording,
            Err(why) => {
                self.give_up(host, why);
                return Next::Pass;
            }
        };
        if let Some(length) = headers.text("content-length").and_then(|length| length.parse().ok()) {
            recording.expect(length, &self.config);
        }
        if recording.is_stripped() {
            host.remove_header(Side::Response, "content-length"); // it counts what the client will not get
        }
        let (next, is_kept) = (recording.next(), recording.is_kept());
        fetch.recording = Some(recording);
        if !is_kept {
            self.give_up(host, Refused::Unfit);
        }
        next
    }

    /// A part of the body has come.
    pub(crate) fn part(&mut self, host: &mut dyn Host, part: &[u8], end: bool) -> Next {
        let Phase::Fetching(fetch) = &mut self.phase else { return Next::Pass };
        let Some(recording) = &mut fetch.recording else { return Next::Pass };
        let was_kept = recording.is_kept();
        if let Some(instead) = recording.pass(part, end, &self.config) {
            host.set_body(Side::Response, &instead);
        }
        let next = recording.next();
        if was_kept && end {
            self.complete(host);
        } else if was_kept && !recording.is_kept() {
            self.give_up(host, Refused::Unfit);
        }
        next
    }

    /// The answer is complete. Whoever follows gets it now, for it will be checked again on its way to them; it is kept
    /// only when this exchange is over and nothing was found against it.
    fn complete(&mut self, host: &mut dyn Host) {
        let Phase::Fetching(fetch) = &mut self.phase else { return };
        let Some(recording) = &mut fetch.recording else { return };
        match recording.end(&fetch.question, host.now_ms(), self.config.ttl_ms) {
            Ok(entry) => {
                fetch.answer = Some(Rc::clone(&entry));
                context::CACHE_BYTES.set(host, &entry.body.len().to_string());
                self.land(host, &entry);
            }
            Err(why) => self.give_up(host, why),
        }
    }

    /// The answer will not be kept: nobody is to wait for it any longer.
    fn give_up(&mut self, host: &mut dyn Host, why: Refused) {
        if let Phase::Fetching(fetch) = &mut self.phase {
            fetch.unlock(host, &self.config);
            fetch.locked = false;
        }
        match why {
            Refused::Failed => self.leave(host),
            Refused::Unfit => self.scatter(host),
        }
    }

    /// A third of the lease is over.
    pub(crate) fn renew(&self, host: &mut dyn Host) {
        if let (Phase::Fetching(fetch), Some(worker)) = (&self.phase, self.config.redis())
            && fetch.locked
        {
            worker.renew(host, &fetch.question.key, &fetch.token);
            host.wake_after(LEASE_MS / 3);
        }
    }
}
