//! The same filters as a dynamic module: a shared object that Envoy loads into its own process.
//!
//! | trap (Envoy 1.40) | answer |
//! | --- | --- |
//! | a filter hears nothing of a reply that it sends itself | its members are told here, before it is sent (`reply`) |
//! | resuming and replying run callbacks at once | both wait until the callback at hand is over (`current`) |
//! | one configuration for all threads | each thread makes filters of its own from it, when it first needs them (`config`) |
//! | a metric is gone with the configuration that it belongs to | all belong to the process (`process`) |
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
mod process;
mod reply;
mod shared;
mod stream;
mod timer;
pub(crate) mod waiting;

pub use self::entry::{abi_version, start};

pub(crate) use self::stream::join;

/// Events that Envoy does not load a module without, and that nothing here causes or needs.
macro_rules! unheard {
    ($($event:ident),* $(,)?) => {
        $(
            // Whatever arguments it is called with are not read, which the calling conventions of C allow.
            #[unsafe(no_mangle)]
            extern "C" fn $event() {}
        )*
    };
}
use unheard;

/// A callout's end comes with the stream that sent it.
pub(crate) const fn expect_callout(_: u32, _: u32) {}

/// Locks, also what a panic has left locked: nothing behind the locks here is ever half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
