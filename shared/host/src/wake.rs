//! Wake-ups: the root context's tick, shared out to the streams that asked for one.
//!
//! proxy-wasm has one timer per root context and none per stream. It runs only while somebody waits.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::{Rc, Weak};

use crate::abi;

/// Milliseconds between two ticks, so how late a wake-up may be.
const TICK_MS: u32 = 10;
/// Milliseconds to the next tick when somebody is to be woken now.
const SOON_MS: u32 = 1;

/// A stream that can be woken.
pub(crate) trait Wake {
    /// Its time has come; the stream's context is the effective one.
    fn wake(&self);
}

/// The streams of one root context that wait.
#[derive(Default)]
pub(crate) struct Waiting(RefCell<Book>);

#[derive(Default)]
struct Book {
    by_time: BTreeSet<(u64, u32)>,
    streams: HashMap<u32, (u64, Weak<dyn Wake>)>,
    ticking: bool,
    soon: bool,
}

impl Waiting {
    /// Wakes `context` at `at_ms` (epoch) instead of whenever it was to be woken before.
    pub(crate) fn add(&self, context: u32, at_ms: u64, stream: Weak<dyn Wake>) {
        let mut book = self.0.borrow_mut();
        book.remove(context);
        book.by_time.insert((at_ms, context));
        book.streams.insert(context, (at_ms, stream));
        if !book.ticking {
            book.ticking = true;
            abi::set_tick(TICK_MS);
        }
    }

    /// Wakes `context` with the next tick, if it waits at all.
    pub(crate) fn hasten(&self, context: u32) {
        let mut book = self.0.borrow_mut();
        if let Some(stream) = book.remove(context) {
            book.by_time.insert((0, context));
            book.streams.insert(context, (0, stream));
            // Once only: each call sets the timer back, and under load it would never run out.
            if !std::mem::replace(&mut book.soon, true) {
                abi::set_tick(SOON_MS);
            }
        }
    }

    /// Forgets a stream that has ended.
    pub(crate) fn remove(&self, context: u32) {
        self.0.borrow_mut().remove(context);
    }

    /// Wakes everyone who is due, and stops the timer when nobody is left.
    pub(crate) fn tick(&self, root: u32, now_ms: u64) {
        while let Some((context, stream)) = self.next_due(now_ms) {
            // The filter's hostcalls mean its own stream only while that is the effective context.
            if abi::set_effective_context(context) {
                stream.wake();
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

    fn next_due(&self, now_ms: u64) -> Option<(u32, Rc<dyn Wake>)> {
        let mut book = self.0.borrow_mut();
        loop {
            let &(at_ms, context) = book.by_time.first()?;
            if at_ms > now_ms {
                return None;
            }
            let stream = book.remove(context);
            if let Some(stream) = stream.and_then(|weak| weak.upgrade()) {
                return Some((context, stream));
            }
        }
    }
}

impl Book {
    fn remove(&mut self, context: u32) -> Option<Weak<dyn Wake>> {
        let (at_ms, stream) = self.streams.remove(&context)?;
        self.by_time.remove(&(at_ms, context));
        Some(stream)
    }
}
