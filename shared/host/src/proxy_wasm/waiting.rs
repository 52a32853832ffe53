//! The root context's tick, shared out to the streams that asked for a wake-up.
//!
//! proxy-wasm has one timer per root context and none per stream. It runs only while somebody waits.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::{Rc, Weak};

use sluice_core::filter::StreamId;

use crate::abi;
use crate::by_number::ByStream;
use crate::wake::Wake;

/// Milliseconds between two ticks, so how late a wake-up may be.
const TICK_MS: u32 = 10;
/// Milliseconds to the next tick when somebody is to be woken now.
const SOON_MS: u32 = 1;

/// The streams of one root context that wait.
#[derive(Default)]
pub(crate) struct Waiting(RefCell<Book>);

#[derive(Default)]
struct Book {
    by_time: BTreeSet<(u64, StreamId)>,
    streams: ByStream<Sleeper>,
    ticking: bool,
    soon: bool,
}

/// One who waits.
struct Sleeper {
    at_ms: u64,
    context: u32,
    stream: Weak<dyn Wake>,
}

impl Waiting {
    /// Wakes `member` of `context` at `at_ms` (epoch) instead of whenever it was to be woken before.
    pub(crate) fn add(&self, member: StreamId, context: u32, at_ms: u64, stream: Weak<dyn Wake>) {
        let mut book = self.0.borrow_mut();
        book.remove(member);
        book.insert(member, Sleeper { at_ms, context, stream });
        if !book.ticking {
            book.ticking = true;
            abi::set_tick(TICK_MS);
        }
    }

    /// Wakes `member` with the next tick, if it waits at all.
    pub(crate) fn hasten(&self, member: StreamId) {
        let mut book = self.0.borrow_mut();
        if let Some(sleeper) = book.remove(member) {
            book.insert(member, Sleeper { at_ms: 0, ..sleeper });
            // Once only: each call sets the timer back, and under load it would never run out.
            if !std::mem::replace(&mut book.soon, true) {
                abi::set_tick(SOON_MS);
            }
        }
    }

    /// Forgets a stream that has ended.
    pub(crate) fn remove(&self, member: StreamId) {
        self.0.borrow_mut().remove(member);
    }

    /// Wakes everyone who is due, and stops the timer when nobody is left.
    pub(crate) fn tick(&self, root: u32, now_ms: u64) {
        while let Some((member, context, stream)) = self.next_due(now_ms) {
            // The filter's hostcalls mean its own stream only while that is the effective context.
            if abi::set_effective_context(context) {
                stream.wake(member);
            }
        }
        abi::set_effective_context(root);
        let mut book = self.0.borrow_mut();
        let due_soon = book.by_time.first().is_some_and(|(at_ms, _)| *at_ms == 0);
        if book.by_time.is_empty() && book.ticking {
            (book.ticking, book.soon) = (false, false);
            abi::set_tick(0);
        } else if book.soon && !due_soon {
            book.soon = false;
            abi::set_tick(TICK_MS);
        }
    }

    fn next_due(&self, now_ms: u64) -> Option<(StreamId, u32, Rc<dyn Wake>)> {
        let mut book = self.0.borrow_mut();
        loop {
            let &(at_ms, member) = book.by_time.first()?;
            if at_ms > now_ms {
                return None;
            }
            let sleeper = book.remove(member)?;
            if let Some(stream) = sleeper.stream.upgrade() {
                return Some((member, sleeper.context, stream));
            }
        }
    }
}

impl Book {
    fn insert(&mut self, member: StreamId, sleeper: Sleeper) {
        self.by_time.insert((sleeper.at_ms, member));
        self.streams.insert(member, sleeper);
    }

    fn remove(&mut self, member: StreamId) -> Option<Sleeper> {
        let sleeper = self.streams.remove(&member)?;
        self.by_time.remove(&(sleeper.at_ms, member));
        Some(sleeper)
    }
}
