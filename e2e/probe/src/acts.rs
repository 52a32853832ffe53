//! Doing what a script says.

use sluice_core::filter::{Callout, CalloutError, CalloutReply, Host, Next, Shared, Side};
use sluice_core::openai::error::{Code, LocalReply};

use crate::Probe;
use crate::script::{Act, Ask, When};

impl When {
    /// The side that a callback is about; outside of either, the request.
    const fn side(self) -> Side {
        match self {
            Self::ResponseHeaders | Self::ResponsePart | Self::ResponseEnd => Side::Response,
            _ => Side::Request,
        }
    }
}

impl From<Ask> for Next {
    fn from(ask: Ask) -> Self {
        match ask {
            Ask::Pass => Self::Pass,
            Ask::Watch => Self::Watch,
            Ask::End => Self::End,
            Ask::Hold => Self::Hold,
            Ask::Whole(max_bytes) => Self::Whole { max_bytes },
            Ask::Wait => Self::Wait,
        }
    }
}

impl<const TWIN: bool> Probe<TWIN> {
    /// Does what is to be done, and says what comes next: once a body has ended nothing is held any more.
    pub(crate) fn decide(&mut self, host: &mut dyn Host, when: When) -> Next {
        let next = self.act(host, when);
        next.unwrap_or_else(|| match when {
            When::RequestEnd | When::ResponseEnd => Next::Pass,
            _ if when.side() == Side::Request => self.script.request.into(),
            _ => self.script.response.into(),
        })
    }

    /// Does what is to be done; the last decision counts.
    pub(crate) fn act(&mut self, host: &mut dyn Host, when: When) -> Option<Next> {
        let acts = self.script.on.get(&when).cloned().unwrap_or_default();
        let mut next = None;
        for act in &acts {
            next = self.perform(host, when.side(), act).or(next);
        }
        next
    }

    fn perform(&mut self, host: &mut dyn Host, side: Side, act: &Act) -> Option<Next> {
        match act {
            Act::Next(ask) => return Some((*ask).into()),
            Act::Reply(text) => {
                return Some(Next::Reply(LocalReply::error(Code::InvalidJson, None, text)));
            }
            Act::Break => return Some(Next::Break),
            Act::Panic => trap(),
            Act::SetBody(text) => host.set_body(side, text.as_bytes()),
            Act::AppendBody(text) => host.append_body(side, text.as_bytes()),
            Act::SetHeader(name, value) => host.set_header(side, name, value),
            Act::NoteHeader(name) => self.note_bytes(host, name, host.header(Side::Request, name)),
            Act::NoteFact(name) => self.note_bytes(host, name, host.fact(name)),
            Act::WakeAfter(ms) => host.wake_after(*ms),
            Act::WakeDetachedAfter(ms) => host.wake_detached_after(*ms),
            Act::Callout(cluster, timeout_ms) => {
                let sent = host.callout(&callout(cluster, *timeout_ms));
                self.sent(host, sent);
            }
            Act::CalloutDetached(cluster, timeout_ms) => {
                let sent = host.callout_detached(&callout(cluster, *timeout_ms), Box::new(()));
                self.sent(host, sent.map_err(|_| CalloutError::NotSent));
            }
            Act::Count(name) => host.count(name, 1),
            Act::Observe(name, value) => host.observe(name, *value),
            Act::IncrementAll(name, count) => {
                (0..*count).for_each(|n| increment(host, &format!("{name}{n}")))
            }
            Act::NoteSum(name, count) => {
                let numbers = (0..*count).map(|n| number(&host.shared(&format!("{name}{n}"))));
                let sum: u64 = numbers.sum();
                self.note(host, &format!("{name}={sum}"));
            }
        }
        None
    }

    fn sent<T>(&mut self, host: &dyn Host, sent: Result<T, CalloutError>) {
        if let Err(error) = sent {
            self.note(host, &format!("callout {error:?}"));
        }
    }

    /// Takes down something that happened: with the milliseconds since the request in front.
    pub(crate) fn note(&mut self, host: &dyn Host, what: &str) {
        let ms = host.now_ms().saturating_sub(self.began_ms);
        self.record.notes.push(format!("{ms} {what}"));
    }

    fn note_bytes(&mut self, host: &dyn Host, name: &str, value: Option<Vec<u8>>) {
        let value = value.map_or("absent".into(), |value| String::from_utf8_lossy(&value).into_owned());
        self.note(host, &format!("{name}={value}"));
    }

    pub(crate) fn words(reply: &Result<CalloutReply, CalloutError>) -> String {
        match reply {
            Ok(reply) => format!("{} {}", reply.status, String::from_utf8_lossy(&reply.body)),
            Err(error) => format!("{error:?}"),
        }
    }
}

fn callout(cluster: &str, timeout_ms: u32) -> Callout<'_> {
    let headers = vec![(":method", "GET"), (":path", "/callout"), (":authority", "probe")];
    Callout { cluster, headers, body: b"", timeout_ms }
}

#[expect(clippy::panic, reason = "the tests want to see what a trap does")]
fn trap() {
    panic!("the probe was told to trap");
}

fn number(shared: &Shared) -> u64 {
    String::from_utf8_lossy(&shared.value).parse().unwrap_or(0)
}

fn increment(host: &mut dyn Host, key: &str) {
    loop {
        let shared = host.shared(key);
        let next = number(&shared).saturating_add(1).to_string();
        if host.set_shared(key, next.as_bytes(), shared.version).is_ok() {
            return;
        }
    }
}
