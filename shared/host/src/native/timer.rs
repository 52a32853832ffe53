//! The time: one thread of ours that posts to Envoy's when something is due.
#![allow(unsafe_code, reason = "Envoy's functions are foreign")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::ffi::{self, Handle};
use super::hostcalls::now_ns;
use super::lock;

/// Posts events to the thread of a stream, or for a configuration to the main thread. Whatever it posts to is gone:
/// nothing happens.
#[derive(Debug)]
pub(crate) enum Scheduler {
    Stream(Handle),
    Config(Handle),
}

// SAFETY: Envoy lets any thread post and delete.
unsafe impl Send for Scheduler {}
// SAFETY: as above.
unsafe impl Sync for Scheduler {}

impl Scheduler {
    /// Of the stream with this filter.
    pub(crate) fn of_stream(filter: Handle) -> Arc<Self> {
        // SAFETY: Envoy keeps the filter of the callback at hand.
        Arc::new(Self::Stream(unsafe {
            ffi::envoy_dynamic_module_callback_http_filter_scheduler_new(filter)
        }))
    }

    /// Of the configuration that Envoy knows by this.
    pub(crate) fn of_config(config: Handle) -> Arc<Self> {
        // SAFETY: Envoy keeps the configuration that it is making.
        Arc::new(Self::Config(unsafe {
            ffi::envoy_dynamic_module_callback_http_filter_config_scheduler_new(config)
        }))
    }

    /// Posts `event`.
    pub(crate) fn post(&self, event: u64) {
        // SAFETY: the scheduler lives as long as this.
        unsafe {
            match self {
                Self::Stream(scheduler) => {
                    ffi::envoy_dynamic_module_callback_http_filter_scheduler_commit(*scheduler, event);
                }
                Self::Config(scheduler) => {
                    ffi::envoy_dynamic_module_callback_http_filter_config_scheduler_commit(*scheduler, event);
                }
            }
        }
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        // SAFETY: made once, deleted once.
        unsafe {
            match self {
                Self::Stream(scheduler) => {
                    ffi::envoy_dynamic_module_callback_http_filter_scheduler_delete(*scheduler);
                }
                Self::Config(scheduler) => {
                    ffi::envoy_dynamic_module_callback_http_filter_config_scheduler_delete(*scheduler);
                }
            }
        }
    }
}

/// Longest time in milliseconds between two looks of the thread.
const IDLE_MS: u64 = 60_000;

/// What is due when.
#[derive(Default)]
struct Book {
    /// By time and a number of its own.
    due: BTreeMap<(u64, u64), (Arc<Scheduler>, u64)>,
    /// When the thread looks next: it is woken only for what is due before. Most alarms are for long after they are
    /// taken out again.
    looks_at_ms: u64,
}

#[derive(Default)]
struct Clock {
    book: Mutex<Book>,
    changed: Condvar,
}

static CLOCK: LazyLock<Arc<Clock>> = LazyLock::new(|| {
    let clock = Arc::new(Clock::default());
    let ticking = Arc::clone(&clock);
    // Without a thread nothing is ever due, which each caller has an answer for: deadlines of Envoy's own remain.
    let _ = std::thread::Builder::new().name("sluice-timer".into()).spawn(move || ticking.run());
    clock
});

impl Clock {
    fn book(&self) -> MutexGuard<'_, Book> {
        lock(&self.book)
    }

    fn run(&self) {
        let mut book = self.book();
        loop {
            let now_ms = now_ms();
            // Posted under the lock: what has been taken out of the book is not posted any more.
            while let Some(due) = book.due.first_entry().filter(|entry| entry.key().0 <= now_ms) {
                let (scheduler, event) = due.remove();
                scheduler.post(event);
            }
            let at_ms = book.due.first_key_value().map(|((at_ms, _), _)| *at_ms);
            book.looks_at_ms = at_ms.unwrap_or_else(|| now_ms.saturating_add(IDLE_MS));
            let wait = Duration::from_millis(book.looks_at_ms.saturating_sub(now_ms));
            book = self.changed.wait_timeout(book, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// An event that is posted at a time, unless this is dropped before.
#[derive(Debug)]
pub(crate) struct Alarm((u64, u64));

impl Alarm {
    /// Posts `event` at `at_ms` (epoch).
    pub(crate) fn set(at_ms: u64, scheduler: Arc<Scheduler>, event: u64) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let key = (at_ms, NEXT.fetch_add(1, Ordering::Relaxed));
        let mut book = CLOCK.book();
        book.due.insert(key, (scheduler, event));
        // Once: the thread has been woken for all that comes before it looks.
        let is_sooner = at_ms < book.looks_at_ms;
        book.looks_at_ms = at_ms.min(book.looks_at_ms);
        drop(book);
        if is_sooner {
            CLOCK.changed.notify_one();
        }
        Self(key)
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let taken = CLOCK.book().due.remove(&self.0);
        drop(taken);
    }
}

pub(crate) fn now_ms() -> u64 {
    now_ns() / 1_000_000
}
