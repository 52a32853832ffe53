//! The module's entry points that are about configurations, on Envoy's main thread.
#![allow(unsafe_code, reason = "entry points have fixed names and are handed pointers")]

use std::ffi::c_void;
use std::sync::Arc;

use sluice_core::filter::StreamId;

use super::answers::with_answer;
use super::config::Config;
use super::entry::new_root;
use super::ffi::{Bytes, Handle, Pair};
use super::{current, errands};

/// What a module's pointer to a configuration stands for.
///
/// # Safety
/// `config` was made by `on_http_filter_config_new` or `on_network_filter_config_new` and has not been destroyed.
pub(crate) unsafe fn known(config: *const c_void) -> Arc<Config> {
    let config = config.cast::<Config>();
    // SAFETY: the caller's promise: one count is Envoy's, this adds ours.
    unsafe {
        Arc::increment_strong_count(config);
        Arc::from_raw(config)
    }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_new(
    config: Handle,
    name: Bytes,
    text: Bytes,
) -> *const c_void {
    // SAFETY: Envoy keeps both until this returns.
    let (name, text) = unsafe { (name.get(), text.get()) };
    let config = Config::new(Some(config), name, text);
    // Made here already, so that a configuration that does not hold is refused.
    if new_root().is_none_or(|new_root| config.root(new_root).is_none()) {
        return std::ptr::null();
    }
    config.begin();
    Arc::into_raw(config).cast()
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_destroy(config: *const c_void) {
    if !config.is_null() {
        // SAFETY: made by `on_http_filter_config_new`, and this is its end.
        let config = unsafe { Arc::from_raw(config.cast::<Config>()) };
        config.end();
        drop(errands::take(config.id));
    }
}

/// Something is to be done on the main thread.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_scheduled(
    handle: Handle,
    config: *const c_void,
    event: u64,
) {
    // SAFETY: Envoy hands over what `on_http_filter_config_new` has made.
    let config = unsafe { known(config) };
    if let Some(root) = new_root().and_then(|new_root| config.root(new_root)) {
        current::enter_config(handle, || match event {
            errands::EVENT => root.on_errands(),
            member => root.on_due(StreamId(member)),
        });
    }
}

/// A callout that belongs to no stream has ended.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_http_callout_done(
    handle: Handle,
    config: *const c_void,
    id: u64,
    result: u32,
    headers: *const Pair,
    headers_size: usize,
    chunks: *const Bytes,
    chunks_size: usize,
) {
    // SAFETY: Envoy hands over what `on_http_filter_config_new` has made, and keeps the answer until this returns.
    unsafe {
        let config = known(config);
        let Some(root) = new_root().and_then(|new_root| config.root(new_root)) else { return };
        let token = u32::try_from(id).unwrap_or_default();
        with_answer(result, (headers, headers_size), (chunks, chunks_size), |size| {
            current::enter_config(handle, || root.on_callout(token, size));
        });
    }
}

super::unheard! {
    envoy_dynamic_module_on_http_filter_http_stream_headers,
    envoy_dynamic_module_on_http_filter_http_stream_data,
    envoy_dynamic_module_on_http_filter_http_stream_trailers,
    envoy_dynamic_module_on_http_filter_http_stream_complete,
    envoy_dynamic_module_on_http_filter_http_stream_reset,
    envoy_dynamic_module_on_http_filter_config_http_stream_headers,
    envoy_dynamic_module_on_http_filter_config_http_stream_data,
    envoy_dynamic_module_on_http_filter_config_http_stream_trailers,
    envoy_dynamic_module_on_http_filter_config_http_stream_complete,
    envoy_dynamic_module_on_http_filter_config_http_stream_reset,
    envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark,
    envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark,
}
