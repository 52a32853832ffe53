//! The same filters as a dynamic module: a shared object that Envoy loads into its own process.
//!
//! | trap (Envoy 1.40) | answer |
//! | --- | --- |
//! | a filter hears nothing of a reply that it sends itself | a second filter behind it sends the replies (`stream`) |
//! | resuming and replying run callbacks at once | both wait until the callback at hand is over (`current`) |
//! | one configuration for all threads | each thread makes filters of its own from it, when it first needs them (`config`) |
//! | no timers | one thread keeps the time and posts to Envoy's (`timer`) |
//! | a filter of an attempt is told of its end when Envoy answers it no more | the exchange's filter is asked (`stream`) |
//! | a panic would end the process | it ends the stream (`current`) |

use std::sync::{Mutex, MutexGuard, PoisonError};

mod answers;
mod attributes;
mod bodies;
mod config;
mod configured;
mod current;
mod entry;
pub(crate) mod errands;
mod ffi;
pub(crate) mod hostcalls;
mod metrics;
mod network;
mod shared;
mod stream;
mod timer;
pub(crate) mod waiting;

pub use self::entry::{abi_version, start};

pub(crate) use self::stream::join;

/// A callout's end comes with the stream that sent it.
pub(crate) const fn expect_callout(_: u32, _: u32) {}

/// Locks, also what a panic has left locked: nothing behind the locks here is ever half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
