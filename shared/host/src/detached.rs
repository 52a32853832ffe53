//! What a filter does outside of any stream: callouts and wake-ups that the end of the stream does not cancel.

use std::cell::RefCell;
use std::ptr::addr_eq;
use std::rc::{Rc, Weak};

use sluice_core::filter::{CalloutError, CalloutId, Host as _, Note, StreamId};

use crate::by_number::ByNumber;
use crate::envoy::Envoy;
use crate::kind::{Answer, Setting};
use crate::platform::errands::{Letter, mail};
use crate::stage;
use crate::wake::{Waiting, Wake};

/// The detached work of one root context, each part with the configuration that asked for it.
pub(crate) struct Detached {
    name: &'static str,
    root: u32,
    at: usize,
    pub(crate) waiting: Rc<Waiting>,
    this: Weak<Self>,
    callouts: RefCell<ByNumber<Sent>>,
    wakes: RefCell<Vec<(u64, Rc<dyn Setting>)>>,
}

/// Something to do that outlives a stream.
pub(crate) enum Errand {
    /// A callout, with what its sender wants to know at its end.
    Callout(Letter, Note),
    /// A wake-up at this time, in milliseconds since the epoch.
    Wake(u64),
}

/// A detached callout that is open.
struct Sent {
    setting: Rc<dyn Setting>,
    note: Note,
}

impl Detached {
    pub(crate) fn new(name: &'static str, root: u32, at: usize, waiting: Rc<Waiting>) -> Rc<Self> {
        Rc::new_cyclic(|this| Self {
            name,
            root,
            at,
            waiting,
            this: this.clone(),
            callouts: RefCell::default(),
            wakes: RefCell::default(),
        })
    }

    /// Takes over what a callback asked of `host`; `setting` is that of `route`.
    pub(crate) fn settle(&self, host: &mut Envoy<'_>, setting: &Rc<dyn Setting>, route: &str) {
        if host.hastened.is_empty() && host.detached.is_empty() && host.wake_detached.is_none() {
            return;
        }
        host.hastened.iter().for_each(|stream| self.waiting.hasten(*stream));
        let callouts = host.detached.drain(..).map(|(letter, note)| Errand::Callout(letter, note));
        let mut errands: Vec<Errand> = callouts.collect();
        errands.extend(host.wake_detached.map(|ms| Errand::Wake(host.now_ms().saturating_add(ms))));
        for errand in errands {
            if let Some(errand) = mail(self.root, self.at, route, errand) {
                self.carry_out(errand, setting);
            }
        }
    }

    /// Does an errand of `setting`.
    pub(crate) fn carry_out(&self, errand: Errand, setting: &Rc<dyn Setting>) {
        match errand {
            Errand::Wake(at_ms) => self.wake_at(at_ms, setting),
            Errand::Callout(letter, note) => match letter.send() {
                Some(token) => {
                    let sent = Sent { setting: Rc::clone(setting), note };
                    self.callouts.borrow_mut().insert(token, sent);
                }
                None => self.call(setting, |host| {
                    setting.on_detached_callout(host, note, Err(CalloutError::NotSent));
                }),
            },
        }
    }

    /// Whether this callout is one of these.
    pub(crate) fn awaits(&self, id: CalloutId) -> bool {
        self.callouts.borrow().contains_key(&id.0)
    }

    pub(crate) fn callout_ended(&self, id: CalloutId, reply: Answer) {
        let sent = self.callouts.borrow_mut().remove(&id.0);
        if let Some(Sent { setting, note }) = sent {
            self.call(&setting, |host| setting.on_detached_callout(host, note, reply));
        }
    }

    fn call(&self, setting: &Rc<dyn Setting>, call: impl FnOnce(&mut Envoy<'_>)) {
        let mut host = Envoy {
            member: self.at,
            context: self.root,
            root: self.root,
            plugin: self.name,
            ..Envoy::default()
        };
        call(&mut host);
        self.settle(&mut host, setting, "");
    }

    fn wake_at(&self, at_ms: u64, setting: &Rc<dyn Setting>) {
        let mut wakes = self.wakes.borrow_mut();
        match wakes.iter_mut().find(|(_, known)| addr_eq(Rc::as_ptr(known), Rc::as_ptr(setting))) {
            Some((known_ms, _)) => *known_ms = at_ms.min(*known_ms),
            None => wakes.push((at_ms, Rc::clone(setting))),
        }
        drop(wakes);
        self.book();
    }

    /// Books the next wake-up with the timer.
    fn book(&self) {
        let next = self.wakes.borrow().iter().map(|(at_ms, _)| *at_ms).min();
        if let Some(at_ms) = next {
            let this = Weak::clone(&self.this);
            self.waiting.add(stage::member(self.root, self.at), self.root, at_ms, this);
        }
    }
}

impl Wake for Detached {
    fn wake(&self, _: StreamId) {
        let host = Envoy::default();
        let now_ms = host.now_ms();
        let due: Vec<_> = self.wakes.borrow_mut().extract_if(.., |(at_ms, _)| *at_ms <= now_ms).collect();
        self.book();
        for (_, setting) in due {
            self.call(&setting, |host| setting.on_detached_wake(host));
        }
    }
}
