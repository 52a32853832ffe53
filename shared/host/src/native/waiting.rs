//! Wake-ups, each with an alarm of its own.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use sluice_core::filter::StreamId;

use super::config;
use super::current;
use super::timer::{Alarm, Scheduler, now_ms};
use crate::by_number::ByStream;
use crate::wake::Wake;

/// The streams of one configuration and thread that wait.
#[derive(Default)]
pub(crate) struct Waiting(RefCell<ByStream<Sleeper>>);

/// One who waits.
struct Sleeper {
    at_ms: u64,
    stream: Weak<dyn Wake>,
    scheduler: Arc<Scheduler>,
    _alarm: Alarm,
}

impl Waiting {
    /// Wakes `member` of `context` at `at_ms` (epoch) instead of whenever it was to be woken before.
    pub(crate) fn add(&self, member: StreamId, context: u32, at_ms: u64, stream: Weak<dyn Wake>) {
        let Some(scheduler) = scheduler(context) else { return };
        // The time that it was reckoned from was cut to a millisecond.
        let at_ms = at_ms.saturating_add(1);
        let alarm = Alarm::set(at_ms, Arc::clone(&scheduler), member.0);
        let sleeper = Sleeper { at_ms, stream, scheduler, _alarm: alarm };
        let before = self.0.borrow_mut().insert(member, sleeper);
        drop(before);
    }

    /// Wakes `member` as soon as its thread is free, if it waits at all.
    pub(crate) fn hasten(&self, member: StreamId) {
        if let Some(sleeper) = self.0.borrow_mut().get_mut(&member) {
            sleeper.at_ms = 0;
            sleeper.scheduler.post(member.0);
        }
    }

    /// Forgets a stream that has ended.
    pub(crate) fn remove(&self, member: StreamId) {
        let gone = self.0.borrow_mut().remove(&member);
        drop(gone);
    }

    /// Wakes `member`, if its time has come and not gone by.
    pub(crate) fn due(&self, member: StreamId) {
        if let Some(stream) = self.take(member) {
            stream.wake(member);
        }
    }

    fn take(&self, member: StreamId) -> Option<Rc<dyn Wake>> {
        let mut sleepers = self.0.borrow_mut();
        let is_due = sleepers.get(&member)?.at_ms <= now_ms();
        if is_due { sleepers.remove(&member)?.stream.upgrade() } else { None }
    }
}

/// Of the stream of the callback at hand, or of the configuration that this thread works for.
fn scheduler(context: u32) -> Option<Arc<Scheduler>> {
    match current::stream().filter(|stream| stream.context == context) {
        Some(stream) => Some(stream.scheduler()),
        None => config::scheduler(context),
    }
}
