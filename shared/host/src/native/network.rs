//! Network filters: connections that pass through the module.
#![allow(
    unsafe_code,
    reason = "Envoy's functions are foreign; entry points have fixed names and are handed pointers"
)]

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use sluice_core::network::Way;

use super::answers::joined;
use super::bodies::FEW;
use super::config::Config;
use super::configured::known;
use super::entry::new_root;
use super::ffi::{self, Bytes, Handle};
use crate::dispatch::ConnectionContext;

/// A connection through the module, as Envoy holds it.
struct Connection {
    filter: Handle,
    config: Arc<Config>,
    running: RefCell<Option<Rc<dyn ConnectionContext>>>,
}

/// What the callback at hand is about.
#[derive(Clone, Copy)]
struct At {
    filter: Handle,
    way: Way,
}

thread_local! {
    static AT: Cell<Option<At>> = const { Cell::new(None) };
    static CLOSES: Cell<bool> = const { Cell::new(false) };
}

/// All of the data of the callback at hand.
pub(crate) fn data() -> Option<Vec<u8>> {
    let At { filter, way } = AT.get()?;
    let (count, read): (
        unsafe extern "C" fn(Handle) -> usize,
        unsafe extern "C" fn(Handle, *mut Bytes) -> bool,
    ) = match way {
        Way::Out => (
            ffi::envoy_dynamic_module_callback_network_filter_get_read_buffer_chunks_size,
            ffi::envoy_dynamic_module_callback_network_filter_get_read_buffer_chunks,
        ),
        Way::Back => (
            ffi::envoy_dynamic_module_callback_network_filter_get_write_buffer_chunks_size,
            ffi::envoy_dynamic_module_callback_network_filter_get_write_buffer_chunks,
        ),
    };
    // SAFETY: Envoy keeps the filter of the callback at hand; there is room for as many chunks as it says there are; and
    // they are copied before anything changes them.
    unsafe {
        let data = ffi::listed::<_, _, FEW>(
            count(filter),
            Bytes::NONE,
            |room| read(filter, room),
            |chunks| joined(chunks),
        );
        Some(data.unwrap_or_default())
    }
}

/// Replaces all of the data of the callback at hand.
pub(crate) fn set_data(value: &[u8]) -> bool {
    let Some(At { filter, way }) = AT.get() else { return false };
    // SAFETY: Envoy keeps the filter of the callback at hand and copies the bytes.
    unsafe {
        match way {
            Way::Out => {
                ffi::envoy_dynamic_module_callback_network_filter_drain_read_buffer(filter, usize::MAX);
                value.is_empty()
                    || ffi::envoy_dynamic_module_callback_network_filter_append_read_buffer(
                        filter,
                        Bytes::of(value),
                    )
            }
            Way::Back => {
                ffi::envoy_dynamic_module_callback_network_filter_drain_write_buffer(filter, usize::MAX);
                value.is_empty()
                    || ffi::envoy_dynamic_module_callback_network_filter_append_write_buffer(
                        filter,
                        Bytes::of(value),
                    )
            }
        }
    }
}

/// Closes the connection when the callback at hand is over.
pub(crate) fn close() {
    CLOSES.set(true);
}

/// # Safety
/// `module` was made by `on_network_filter_new` and has not been destroyed.
unsafe fn pass(module: *const c_void, way: Way, size: usize) -> u32 {
    // SAFETY: the caller's promise.
    let Some(connection) = (unsafe { module.cast::<Connection>().as_ref() }) else { return 0 };
    let Some(running) = connection.running() else { return 0 };
    let filter = connection.filter;
    let outer = AT.replace(Some(At { filter, way }));
    // A panic ends the connection, which is all that it can have left half done.
    let passed = catch_unwind(AssertUnwindSafe(|| running.on_data(way, size)));
    AT.set(outer);
    if CLOSES.take() || passed.is_err() {
        // SAFETY: Envoy keeps the filter until its connection is over. 0: what has been written goes out first.
        unsafe { ffi::envoy_dynamic_module_callback_network_filter_close(filter, 0) };
    }
    0
}

impl Connection {
    fn running(&self) -> Option<Rc<dyn ConnectionContext>> {
        if self.running.borrow().is_none() {
            let made =
                new_root().and_then(|new_root| self.config.root(new_root)?.create_connection(self.config.id));
            self.running.replace(made);
        }
        self.running.borrow().clone()
    }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_network_filter_config_new(
    _: Handle,
    name: Bytes,
    text: Bytes,
) -> *const c_void {
    // SAFETY: Envoy keeps both until this returns.
    let config = Config::new(None, unsafe { name.get() }, unsafe { text.get() });
    let is_taken = new_root().is_some_and(|new_root| config.root(new_root).is_some());
    if is_taken { Arc::into_raw(config).cast() } else { std::ptr::null() }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_network_filter_config_destroy(config: *const c_void) {
    // SAFETY: made by `on_network_filter_config_new`, and this is its end.
    drop(unsafe { Arc::from_raw(config.cast::<Config>()) });
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_network_filter_new(
    config: *const c_void,
    filter: Handle,
) -> *const c_void {
    // SAFETY: made by `on_network_filter_config_new`, and Envoy keeps it while there are filters of it.
    let config = unsafe { known(config) };
    Box::into_raw(Box::new(Connection { filter, config, running: RefCell::default() })).cast_const().cast()
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_network_filter_new_connection(_: Handle, _: *const c_void) -> u32 {
    0
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_network_filter_read(
    _: Handle,
    module: *const c_void,
    size: usize,
    _: bool,
) -> u32 {
    // SAFETY: Envoy hands over what `on_network_filter_new` has made.
    unsafe { pass(module, Way::Out, size) }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_network_filter_write(
    _: Handle,
    module: *const c_void,
    size: usize,
    _: bool,
) -> u32 {
    // SAFETY: Envoy hands over what `on_network_filter_new` has made.
    unsafe { pass(module, Way::Back, size) }
}

/// Nothing here depends on how a connection ends.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_network_filter_event(_: Handle, _: *const c_void, _: u32) {}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_network_filter_destroy(module: *const c_void) {
    // SAFETY: made by `on_network_filter_new`, and this is its end.
    drop(unsafe { Box::from_raw(module.cast::<Connection>().cast_mut()) });
}
