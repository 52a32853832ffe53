//! The functions of Envoy's dynamic modules that Sluice uses, as Envoy 1.40 exports them.
//!
//! Names, shapes and who owns which memory: `abi.h` of Envoy's `source/extensions/dynamic_modules`, described at
//! <https://www.envoyproxy.io/docs/envoy/v1.40.0/intro/arch_overview/advanced/dynamic_modules>.
#![allow(unsafe_code, reason = "foreign functions")]

use std::ffi::c_void;

use crate::abi::Level;

/// Version of the interface that this module is written for.
pub(crate) const ABI_VERSION: &std::ffi::CStr = c"v0.2.0";

/// A filter, a filter's configuration, or a scheduler, as Envoy knows it.
pub(crate) type Handle = *mut c_void;

/// Bytes of either side, which whoever gave them owns.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Bytes {
    pub(crate) data: *const u8,
    pub(crate) size: usize,
}

/// A name and a value of either side.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Pair {
    pub(crate) name: Bytes,
    pub(crate) value: Bytes,
}

/// Which headers are meant.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) enum Headers {
    Request = 0,
    Response = 2,
}

/// Which body is meant: what has come with the callback at hand, or what Envoy holds from before.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) enum Body {
    RequestReceived = 0,
    RequestHeld = 1,
    ResponseReceived = 2,
    ResponseHeld = 3,
}

/// Whose metadata is meant.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) enum Metadata {
    /// The endpoint's.
    Endpoint = 3,
}

/// How a callout or a change of a metric has begun or ended.
pub(crate) const SUCCESS: u32 = 0;

/// Sends a callout.
pub(crate) type Send = unsafe extern "C" fn(Handle, *mut u64, Bytes, *const Pair, usize, Bytes, u64) -> u32;

unsafe extern "C" {
    pub(crate) fn envoy_dynamic_module_callback_log(level: Level, message: Bytes);

    pub(crate) fn envoy_dynamic_module_callback_http_get_header(
        filter: Handle,
        of: Headers,
        name: Bytes,
        value: *mut Bytes,
        index: usize,
        count: *mut usize,
    ) -> bool;
    pub(crate) fn envoy_dynamic_module_callback_http_get_headers_size(filter: Handle, of: Headers) -> usize;
    pub(crate) fn envoy_dynamic_module_callback_http_get_headers(
        filter: Handle,
        of: Headers,
        pairs: *mut Pair,
    ) -> bool;
    pub(crate) fn envoy_dynamic_module_callback_http_set_header(
        filter: Handle,
        of: Headers,
        name: Bytes,
        value: Bytes,
    ) -> bool;
    pub(crate) fn envoy_dynamic_module_callback_http_clear_route_cache(filter: Handle);

    pub(crate) fn envoy_dynamic_module_callback_http_get_body_size(filter: Handle, of: Body) -> usize;
    pub(crate) fn envoy_dynamic_module_callback_http_get_body_chunks_size(filter: Handle, of: Body) -> usize;
    pub(crate) fn envoy_dynamic_module_callback_http_get_body_chunks(
        filter: Handle,
        of: Body,
        chunks: *mut Bytes,
    ) -> bool;
    pub(crate) fn envoy_dynamic_module_callback_http_append_body(
        filter: Handle,
        of: Body,
        data: Bytes,
    ) -> bool;
    pub(crate) fn envoy_dynamic_module_callback_http_drain_body(
        filter: Handle,
        of: Body,
        bytes: usize,
    ) -> bool;

    pub(crate) fn envoy_dynamic_module_callback_http_set_filter_state_bytes(
        filter: Handle,
        name: Bytes,
        value: Bytes,
    ) -> bool;
    pub(crate) fn envoy_dynamic_module_callback_http_get_filter_state_bytes(
        filter: Handle,
        name: Bytes,
        value: *mut Bytes,
    ) -> bool;
    pub(crate) fn envoy_dynamic_module_callback_http_get_metadata_string(
        filter: Handle,
        of: Metadata,
        namespace: Bytes,
        name: Bytes,
        value: *mut Bytes,
    ) -> bool;
    pub(crate) fn envoy_dynamic_module_callback_http_filter_get_attribute_string(
        filter: Handle,
        attribute: u32,
        value: *mut Bytes,
    ) -> bool;
    pub(crate) fn envoy_dynamic_module_callback_http_filter_get_attribute_int(
        filter: Handle,
        attribute: u32,
        value: *mut u64,
    ) -> bool;

    pub(crate) fn envoy_dynamic_module_callback_http_filter_continue_decoding(filter: Handle);
    pub(crate) fn envoy_dynamic_module_callback_http_filter_continue_encoding(filter: Handle);
    pub(crate) fn envoy_dynamic_module_callback_http_filter_reset_stream(
        filter: Handle,
        reason: u32,
        details: Bytes,
    );
    pub(crate) fn envoy_dynamic_module_callback_http_send_response(
        filter: Handle,
        status: u32,
        headers: *const Pair,
        headers_size: usize,
        body: Bytes,
        details: Bytes,
    );

    pub(crate) fn envoy_dynamic_module_callback_http_filter_http_callout(
        filter: Handle,
        id: *mut u64,
        cluster: Bytes,
        headers: *const Pair,
        headers_size: usize,
        body: Bytes,
        timeout_ms: u64,
    ) -> u32;
    pub(crate) fn envoy_dynamic_module_callback_http_filter_config_http_callout(
        config: Handle,
        id: *mut u64,
        cluster: Bytes,
        headers: *const Pair,
        headers_size: usize,
        body: Bytes,
        timeout_ms: u64,
    ) -> u32;

    pub(crate) fn envoy_dynamic_module_callback_http_filter_scheduler_new(filter: Handle) -> Handle;
    pub(crate) fn envoy_dynamic_module_callback_http_filter_scheduler_commit(scheduler: Handle, event: u64);
    pub(crate) fn envoy_dynamic_module_callback_http_filter_scheduler_delete(scheduler: Handle);
    pub(crate) fn envoy_dynamic_module_callback_http_filter_config_scheduler_new(config: Handle) -> Handle;
    pub(crate) fn envoy_dynamic_module_callback_http_filter_config_scheduler_commit(
        scheduler: Handle,
        event: u64,
    );
    pub(crate) fn envoy_dynamic_module_callback_http_filter_config_scheduler_delete(scheduler: Handle);

    pub(crate) fn envoy_dynamic_module_callback_bootstrap_extension_timer_new(config: Handle) -> Handle;
    pub(crate) fn envoy_dynamic_module_callback_bootstrap_extension_timer_enable(
        timer: Handle,
        delay_ms: u64,
    );
    pub(crate) fn envoy_dynamic_module_callback_bootstrap_extension_config_signal_init_complete(
        config: Handle,
    );

    pub(crate) fn envoy_dynamic_module_callback_network_filter_get_read_buffer_chunks_size(
        filter: Handle,
    ) -> usize;
    pub(crate) fn envoy_dynamic_module_callback_network_filter_get_read_buffer_chunks(
        filter: Handle,
        chunks: *mut Bytes,
    ) -> bool;
    pub(crate) fn envoy_dynamic_module_callback_network_filter_drain_read_buffer(
        filter: Handle,
        bytes: usize,
    ) -> bool;
    pub(crate) fn envoy_dynamic_module_callback_network_filter_append_read_buffer(
        filter: Handle,
        data: Bytes,
    ) -> bool;
    pub(crate) fn envoy_dynamic_module_callback_network_filter_get_write_buffer_chunks_size(
        filter: Handle,
    ) -> usize;
    pub(crate) fn envoy_dynamic_module_callback_network_filter_get_write_buffer_chunks(
        filter: Handle,
        chunks: *mut Bytes,
    ) -> bool;
    pub(crate) fn envoy_dynamic_module_callback_network_filter_drain_write_buffer(
        filter: Handle,
        bytes: usize,
    ) -> bool;
    pub(crate) fn envoy_dynamic_module_callback_network_filter_append_write_buffer(
        filter: Handle,
        data: Bytes,
    ) -> bool;
    pub(crate) fn envoy_dynamic_module_callback_network_filter_close(filter: Handle, how: u32);

    pub(crate) fn envoy_dynamic_module_callback_bootstrap_extension_config_define_counter(
        config: Handle,
        name: Bytes,
        labels: *const Bytes,
        labels_size: usize,
        id: *mut usize,
    ) -> u32;
    pub(crate) fn envoy_dynamic_module_callback_bootstrap_extension_config_define_gauge(
        config: Handle,
        name: Bytes,
        labels: *const Bytes,
        labels_size: usize,
        id: *mut usize,
    ) -> u32;
    pub(crate) fn envoy_dynamic_module_callback_bootstrap_extension_config_define_histogram(
        config: Handle,
        name: Bytes,
        labels: *const Bytes,
        labels_size: usize,
        id: *mut usize,
    ) -> u32;
    pub(crate) fn envoy_dynamic_module_callback_bootstrap_extension_config_increment_counter(
        config: Handle,
        id: usize,
        labels: *const Bytes,
        labels_size: usize,
        by: u64,
    ) -> u32;
    pub(crate) fn envoy_dynamic_module_callback_bootstrap_extension_config_increment_gauge(
        config: Handle,
        id: usize,
        labels: *const Bytes,
        labels_size: usize,
        by: u64,
    ) -> u32;
    pub(crate) fn envoy_dynamic_module_callback_bootstrap_extension_config_decrement_gauge(
        config: Handle,
        id: usize,
        labels: *const Bytes,
        labels_size: usize,
        by: u64,
    ) -> u32;
    pub(crate) fn envoy_dynamic_module_callback_bootstrap_extension_config_record_histogram_value(
        config: Handle,
        id: usize,
        labels: *const Bytes,
        labels_size: usize,
        value: u64,
    ) -> u32;
}

/// Shows `see` the `count` things that `fill` writes down where it is told to, if it says that it has: up to `FEW` without
/// an allocation.
pub(crate) fn listed<T: Copy, R, const FEW: usize>(
    count: usize,
    none: T,
    fill: impl FnOnce(*mut T) -> bool,
    see: impl FnOnce(&[T]) -> R,
) -> Option<R> {
    let mut few = [none; FEW];
    let mut many = Vec::new();
    let room = few.get_mut(..count).unwrap_or_else(|| {
        many.resize(count, none);
        &mut many
    });
    (count > 0 && fill(room.as_mut_ptr())).then(|| see(room))
}

impl Bytes {
    /// No bytes.
    pub(crate) const NONE: Self = Self { data: std::ptr::null(), size: 0 };

    pub(crate) const fn of(bytes: &[u8]) -> Self {
        Self { data: bytes.as_ptr(), size: bytes.len() }
    }

    /// What they are.
    ///
    /// # Safety
    /// Whoever gave them keeps them for the lifetime that the caller gives the slice.
    pub(crate) unsafe fn get<'a>(self) -> &'a [u8] {
        if self.data.is_null() {
            return &[];
        }
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts(self.data, self.size) }
    }
}

impl Pair {
    pub(crate) const NONE: Self = Self { name: Bytes::NONE, value: Bytes::NONE };

    pub(crate) const fn of(name: &str, value: &[u8]) -> Self {
        Self { name: Bytes::of(name.as_bytes()), value: Bytes::of(value) }
    }
}
