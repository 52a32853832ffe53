//! The stream of the callback at hand, and what waits for the end of the callback.
#![allow(unsafe_code, reason = "Envoy's functions are foreign")]

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use sluice_core::filter::{Headers, Side};

use super::ffi::{self, Bytes, Handle};
use super::reply::{self, Reply};
use super::stream::Stream;
use crate::dispatch::{NewRoot, StreamContext};

/// What was asked of Envoy that runs other callbacks.
pub(crate) enum Deferred {
    Resume(Side),
    Reset,
    Reply(Reply),
}

/// The end of a callout.
#[derive(Default)]
pub(crate) struct Answer {
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
}

#[derive(Default)]
struct Current {
    stream: Option<Rc<Stream>>,
    /// Envoy's configuration, on the main thread.
    config: Option<Handle>,
    deferred: Vec<Deferred>,
}

thread_local! {
    static CURRENT: RefCell<Current> = RefCell::default();
    static ANSWER: RefCell<Answer> = RefCell::default();
}

/// Envoy's filter that the callback at hand is about; `None` outside of streams.
pub(crate) fn filter() -> Option<Handle> {
    CURRENT.with_borrow(|current| current.stream.as_ref().map(|stream| stream.filter))
}

/// As [`filter`], of whom Envoy still answers questions about the exchange.
pub(crate) fn informant() -> Option<Handle> {
    CURRENT.with_borrow(|current| current.stream.as_ref()?.informant())
}

/// The stream that the callback at hand is about.
pub(crate) fn stream() -> Option<Rc<Stream>> {
    CURRENT.with_borrow(|current| current.stream.clone())
}

/// Of the reply that the stream at hand is being told of, if it is.
pub(crate) fn reply<T>(read: impl FnOnce(&mut Reply) -> T) -> Option<T> {
    CURRENT.with_borrow(|current| current.stream.as_ref()?.reply.borrow_mut().as_mut().map(read))
}

/// Envoy's configuration that the callback at hand is about; `None` in those of streams.
pub(crate) fn config() -> Option<Handle> {
    CURRENT.with_borrow(|current| current.config)
}

/// Runs a callback of a configuration, on the main thread.
pub(crate) fn enter_config(config: Handle, call: impl FnOnce()) {
    let outer = CURRENT.replace(Current { config: Some(config), ..Current::default() });
    // A panic is told of in the log; what it leaves half done is an errand, whose note says what that means.
    let _ = catch_unwind(AssertUnwindSafe(call));
    CURRENT.set(outer);
}

/// Does `what` when the callback at hand is over.
pub(crate) fn defer(what: Deferred) {
    CURRENT.with_borrow_mut(|current| current.deferred.push(what));
}

/// The answer of the callout that has just ended.
pub(crate) fn answer<T>(read: impl FnOnce(&Answer) -> T) -> T {
    ANSWER.with_borrow(read)
}

pub(crate) fn set_answer(answer: Answer) {
    ANSWER.set(answer);
}

/// Runs a callback of `stream`. `None`: nothing runs in it, or it has panicked.
pub(crate) fn enter<T>(stream: &Rc<Stream>, call: impl FnOnce(&dyn StreamContext) -> T) -> Option<T> {
    run(stream, || stream.running().map(|running| call(&**running)))
}

/// Begins what runs in `stream`, in which the first callback follows.
pub(crate) fn begin(stream: &Rc<Stream>, new_root: NewRoot) {
    run(stream, || {
        stream.begin(new_root);
        None::<()>
    });
}

fn run<T>(stream: &Rc<Stream>, call: impl FnOnce() -> Option<T>) -> Option<T> {
    let outer = CURRENT.replace(Current { stream: Some(Rc::clone(stream)), ..Current::default() });
    // What a panic leaves half done is the stream's own, and nothing of it is shown to that stream again.
    let returned = catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| {
        stream.broken.set(true);
        defer(Deferred::Reply(Reply::of_panic()));
        None
    });
    let Current { deferred, .. } = CURRENT.replace(outer);
    // What is over has no route, and nobody to resume or to answer.
    if stream.done.get() {
        return returned;
    }
    if stream.rerouted.take() {
        // SAFETY: Envoy keeps the filter until its stream is over.
        unsafe { ffi::envoy_dynamic_module_callback_http_clear_route_cache(stream.filter) };
    }
    deferred.into_iter().for_each(|what| what.carry_out(stream));
    returned
}

impl Deferred {
    fn carry_out(self, stream: &Rc<Stream>) {
        let filter = stream.filter;
        // SAFETY: Envoy keeps the filter until its stream is over, and what is pointed to outlives the calls.
        unsafe {
            match self {
                Self::Resume(Side::Request) => {
                    ffi::envoy_dynamic_module_callback_http_filter_continue_decoding(filter);
                }
                Self::Resume(Side::Response) if reply::is_told(stream) => reply::resume(stream),
                Self::Resume(Side::Response) => {
                    ffi::envoy_dynamic_module_callback_http_filter_continue_encoding(filter);
                }
                Self::Reset => {
                    ffi::envoy_dynamic_module_callback_http_filter_reset_stream(
                        filter,
                        0,
                        Bytes::of(b"sluice"),
                    );
                }
                Self::Reply(reply) => reply::tell(stream, reply),
            }
        }
    }
}
