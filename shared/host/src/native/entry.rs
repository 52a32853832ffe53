//! The module's entry points: names and shapes of `abi.h` of Envoy's `source/extensions/dynamic_modules` (1.40).
#![allow(unsafe_code, reason = "entry points have fixed names and are handed pointers")]

use std::ffi::{CStr, c_void};
use std::rc::Rc;
use std::sync::OnceLock;

use sluice_core::filter::{Side, StreamId};
use sluice_core::metric::Family;

use super::answers::with_answer;
use super::configured::known;
use super::ffi::{self, Bytes, Handle, Pair};
use super::stream::Stream;
use super::{bodies, current, metrics};
use crate::abi::{self, Level};
use crate::dispatch::{Action, NewRoot, StreamContext};

static NEW_ROOT: OnceLock<NewRoot> = OnceLock::new();

/// Starts the module.
pub fn start(new_root: NewRoot, families: impl Iterator<Item = &'static Family>) {
    let _ = NEW_ROOT.set(new_root);
    metrics::declare(families);
    std::panic::set_hook(Box::new(|panic| abi::log(Level::Critical, &panic.to_string())));
}

/// The version of the interface that the module is written for.
#[must_use]
pub const fn abi_version() -> &'static CStr {
    ffi::ABI_VERSION
}

/// Makes roots; `None` before the module has started.
pub(crate) fn new_root() -> Option<NewRoot> {
    NEW_ROOT.get().copied()
}

/// What Envoy is told: headers held while the body is read on, a body held in its buffer, trailers held.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
enum Status {
    Continue = 0,
    Stop = 1,
}

/// What a module's pointer to a filter stands for.
///
/// # Safety
/// `module` was made by `on_http_filter_new` and has not been destroyed.
unsafe fn stream(module: *const c_void) -> Option<Rc<Stream>> {
    let stream = module.cast::<Stream>();
    if stream.is_null() {
        return None;
    }
    // SAFETY: the caller's promise: one count is Envoy's, this adds ours.
    unsafe {
        Rc::increment_strong_count(stream);
        Some(Rc::from_raw(stream))
    }
}

/// # Safety
/// As [`stream()`].
unsafe fn act(
    module: *const c_void,
    side: Side,
    call: impl FnOnce(&Stream, &dyn StreamContext, Side) -> Action,
) -> Status {
    // SAFETY: the caller's promise.
    let Some(stream) = (unsafe { stream(module) }) else { return Status::Continue };
    match (current::enter(&stream, |running| call(&stream, running, side)), side) {
        (Some(Action::Pause), _) => Status::Stop,
        // What has panicked has replied, and nothing of the request goes on.
        (None, Side::Request) if stream.broken.get() => Status::Stop,
        (Some(Action::Continue) | None, _) => Status::Continue,
    }
}

/// Tells the stream of its end, once.
fn end(stream: &Rc<Stream>) {
    if !stream.done.replace(true) {
        current::enter(stream, |running| running.on_done());
    }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_new(
    config: *const c_void,
    filter: Handle,
) -> *const c_void {
    // SAFETY: made by `on_http_filter_config_new`, and Envoy keeps it while there are filters of it.
    Rc::into_raw(Stream::new(unsafe { known(config) }, filter)).cast()
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_destroy(module: *const c_void) {
    // SAFETY: Envoy hands over what `on_http_filter_new` has made.
    if let Some(stream) = unsafe { stream(module) } {
        stream.gone.set(true);
        end(&stream);
        // SAFETY: the count that Envoy had.
        drop(unsafe { Rc::from_raw(module.cast::<Stream>()) });
    }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_stream_complete(_: Handle, module: *const c_void) {
    // SAFETY: Envoy hands over what `on_http_filter_new` has made.
    if let Some(stream) = unsafe { stream(module) } {
        end(&stream);
    }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_headers(
    _: Handle,
    module: *const c_void,
    end: bool,
) -> Status {
    // SAFETY: Envoy hands over what `on_http_filter_new` has made; so below.
    unsafe {
        if let (Some(stream), Some(new_root)) = (stream(module), new_root()) {
            current::begin(&stream, new_root);
        }
        act(module, Side::Request, |_, running, side| running.on_headers(side, end))
    }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_body(
    _: Handle,
    module: *const c_void,
    end: bool,
) -> Status {
    // SAFETY: as above.
    unsafe { act(module, Side::Request, |stream, running, side| body(stream, running, side, end)) }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_trailers(
    _: Handle,
    module: *const c_void,
) -> Status {
    // SAFETY: as above.
    unsafe { act(module, Side::Request, |_, running, side| running.on_trailers(side)) }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_headers(
    _: Handle,
    module: *const c_void,
    end: bool,
) -> Status {
    // SAFETY: as above.
    unsafe {
        act(module, Side::Response, |stream, running, side| {
            stream.answered.set(true);
            running.on_headers(side, end)
        })
    }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_body(
    _: Handle,
    module: *const c_void,
    end: bool,
) -> Status {
    // SAFETY: as above.
    unsafe { act(module, Side::Response, |stream, running, side| body(stream, running, side, end)) }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_trailers(
    _: Handle,
    module: *const c_void,
) -> Status {
    // SAFETY: as above.
    unsafe { act(module, Side::Response, |_, running, side| running.on_trailers(side)) }
}

fn body(stream: &Stream, running: &dyn StreamContext, side: Side, end: bool) -> Action {
    running.on_body(side, bodies::size(stream.filter, side), end)
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_callout_done(
    _: Handle,
    module: *const c_void,
    id: u64,
    result: u32,
    headers: *const Pair,
    headers_size: usize,
    chunks: *const Bytes,
    chunks_size: usize,
) {
    // SAFETY: Envoy hands over what `on_http_filter_new` has made, and keeps the answer until this returns.
    unsafe {
        let token = u32::try_from(id).unwrap_or_default();
        with_answer(result, (headers, headers_size), (chunks, chunks_size), |size| {
            if let Some(stream) = stream(module) {
                current::enter(&stream, |running| running.on_callout(token, size));
            }
        });
    }
}

/// The time of a member of a stream has come.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_scheduled(_: Handle, module: *const c_void, event: u64) {
    // SAFETY: Envoy hands over what `on_http_filter_new` has made.
    let (Some(stream), Some(new_root)) = (unsafe { stream(module) }, new_root()) else { return };
    if let Some(root) = stream.config.root(new_root) {
        current::enter(&stream, |_| root.on_due(StreamId(event)));
    }
}
