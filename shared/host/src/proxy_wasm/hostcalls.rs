//! The proxy-wasm 0.2.1 hostcalls that Sluice uses, each with an answer for every status.
//!
//! The SDK's own wrappers panic on a status they do not expect (asking for response headers before there are any
//! is one), and a panic kills the VM with every stream in it. Here a call that fails reads as "nothing there".
//! Names and shapes: <https://github.com/proxy-wasm/spec/tree/main/abi-versions/v0.2.1>.
#![allow(unsafe_code, reason = "hostcalls are foreign functions; this module is their only safe face")]

use std::ptr::{null, null_mut};

use sluice_core::filter::{Callout, Headers, Side};

use super::pairs;
use crate::abi::{BufferType, Level, MapType, MetricType};

const OK: u32 = 0;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: Level, data: *const u8, size: usize) -> u32;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_get_buffer_bytes(
        buffer: BufferType,
        start: usize,
        max: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_set_buffer_bytes(
        buffer: BufferType,
        start: usize,
        length: usize,
        data: *const u8,
        size: usize,
    ) -> u32;
    fn proxy_get_header_map_pairs(map: MapType, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_header_map_value(
        map: MapType,
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_replace_header_map_value(
        map: MapType,
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_remove_header_map_value(map: MapType, key: *const u8, key_size: usize) -> u32;
    fn proxy_get_property(path: *const u8, path_size: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_set_property(path: *const u8, path_size: usize, value: *const u8, value_size: usize) -> u32;
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
        cas: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
        cas: u32,
    ) -> u32;
    fn proxy_continue_stream(stream: u32) -> u32;
    fn proxy_close_stream(stream: u32) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_http_call(
        cluster: *const u8,
        cluster_size: usize,
        headers: *const u8,
        headers_size: usize,
        body: *const u8,
        body_size: usize,
        trailers: *const u8,
        trailers_size: usize,
        timeout_ms: u32,
        token: *mut u32,
    ) -> u32;
    fn proxy_define_metric(kind: MetricType, name: *const u8, name_size: usize, id: *mut u32) -> u32;
    fn proxy_increment_metric(id: u32, offset: i64) -> u32;
    fn proxy_record_metric(id: u32, value: u64) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
}

/// Takes over what the host allocated through the module's own allocator; `None` where it gave nothing.
fn owned(status: u32, data: *mut u8, size: usize) -> Option<Vec<u8>> {
    if status != OK {
        return None;
    }
    if data.is_null() {
        return Some(Vec::new());
    }
    // SAFETY: the host got `data` from our `proxy_on_memory_allocate`, a `Box<[u8]>` of `size` bytes.
    Some(unsafe { Vec::from_raw_parts(data, size, size) })
}

pub(crate) fn log(level: Level, message: &str) {
    // SAFETY: pointer and length describe a live string.
    unsafe { proxy_log(level, message.as_ptr(), message.len()) };
}

/// Nanoseconds since the Unix epoch.
pub(crate) fn now_ns() -> u64 {
    let mut time = 0;
    // SAFETY: the host writes one u64.
    unsafe { proxy_get_current_time_nanoseconds(&raw mut time) };
    time
}

/// Ticks every `period` milliseconds; 0 stops them. Meant is the root of the effective context.
pub(crate) fn set_tick(period: u32) {
    // SAFETY: no pointers.
    unsafe { proxy_set_tick_period_milliseconds(period) };
}

pub(crate) fn buffer(buffer: BufferType, start: usize, max: usize) -> Option<Vec<u8>> {
    let (mut data, mut size) = (null_mut(), 0);
    // SAFETY: the host writes a pointer and a length.
    let status = unsafe { proxy_get_buffer_bytes(buffer, start, max, &raw mut data, &raw mut size) };
    owned(status, data, size)
}

/// Replaces all of `buffer`. Envoy refuses to replace a part of it (1.40, `Buffer::copyFrom`).
pub(crate) fn set_buffer(buffer: BufferType, value: &[u8]) -> bool {
    // SAFETY: pointer and length describe a live slice.
    OK == unsafe {
        proxy_set_buffer_bytes(
            buffer,
            0,
            u32::MAX.try_into().unwrap_or(usize::MAX),
            value.as_ptr(),
            value.len(),
        )
    }
}

/// Adds to the end of `buffer`: a start behind its end means just that.
pub(crate) fn append_buffer(buffer: BufferType, value: &[u8]) -> bool {
    let behind = u32::MAX.try_into().unwrap_or(usize::MAX);
    // SAFETY: pointer and length describe a live slice.
    OK == unsafe { proxy_set_buffer_bytes(buffer, behind, 0, value.as_ptr(), value.len()) }
}

pub(crate) fn headers(map: MapType) -> Headers {
    let (mut data, mut size) = (null_mut(), 0);
    // SAFETY: the host writes a pointer and a length.
    let status = unsafe { proxy_get_header_map_pairs(map, &raw mut data, &raw mut size) };
    owned(status, data, size).map(pairs::decode).unwrap_or_default()
}

pub(crate) fn header(map: MapType, name: &str) -> Option<Vec<u8>> {
    let (mut data, mut size) = (null_mut(), 0);
    // SAFETY: pointer and length describe a live string; the host writes a pointer and a length.
    let status =
        unsafe { proxy_get_header_map_value(map, name.as_ptr(), name.len(), &raw mut data, &raw mut size) };
    // Envoy answers a missing header with "ok" and no data in some versions, with "not found" in others.
    owned(status, data, size).filter(|_| !data.is_null())
}

pub(crate) fn set_header(map: MapType, name: &str, value: &str) {
    // SAFETY: pointers and lengths describe live strings.
    unsafe {
        proxy_replace_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len());
    }
}

pub(crate) fn remove_header(map: MapType, name: &str) {
    // SAFETY: pointer and length describe a live string.
    unsafe { proxy_remove_header_map_value(map, name.as_ptr(), name.len()) };
}

pub(crate) fn attribute(path: &[&str]) -> Option<Vec<u8>> {
    property(path.join("\0").as_bytes())
}

pub(crate) fn fact(name: &str) -> Option<Vec<u8>> {
    property(name.as_bytes())
}

/// `path` with its parts joined by NUL.
fn property(path: &[u8]) -> Option<Vec<u8>> {
    let (mut data, mut size) = (null_mut(), 0);
    // SAFETY: pointer and length describe a live slice; the host writes a pointer and a length.
    let status = unsafe { proxy_get_property(path.as_ptr(), path.len(), &raw mut data, &raw mut size) };
    owned(status, data, size)
}

pub(crate) fn set_fact(name: &str, value: &[u8]) {
    // SAFETY: pointers and lengths describe live slices.
    unsafe { proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
}

pub(crate) fn shared(key: &str) -> Option<(Vec<u8>, u32)> {
    let (mut data, mut size, mut cas) = (null_mut(), 0, 0);
    // SAFETY: pointer and length describe a live string; the host writes a pointer, a length and a version.
    let status =
        unsafe { proxy_get_shared_data(key.as_ptr(), key.len(), &raw mut data, &raw mut size, &raw mut cas) };
    Some((owned(status, data, size)?, cas))
}

/// Whether the value was written. A `cas` of 0 writes whatever stands there.
pub(crate) fn set_shared(key: &str, value: &[u8], cas: u32) -> bool {
    // SAFETY: pointers and lengths describe live slices.
    OK == unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas) }
}

/// Lets go what a pause holds (`WasmStreamType`: 0 is the request, 1 the response).
pub(crate) fn resume(side: Side) {
    // SAFETY: no pointers.
    unsafe { proxy_continue_stream(stream_type(side)) };
}

/// Resets the whole exchange.
pub(crate) fn reset(side: Side) {
    // SAFETY: no pointers.
    unsafe { proxy_close_stream(stream_type(side)) };
}

/// Closes the connection of a network filter (`WasmStreamType`: 2 is downstream).
pub(crate) fn close_connection() {
    // SAFETY: no pointers.
    unsafe { proxy_close_stream(2) };
}

fn stream_type(side: Side) -> u32 {
    match side {
        Side::Request => 0,
        Side::Response => 1,
    }
}

/// Whether the host took the reply. `details` becomes `%RESPONSE_CODE_DETAILS%`.
pub(crate) fn send_reply(status: u16, headers: &[(&str, &str)], body: &[u8], details: &str) -> bool {
    let headers = pairs::encode(headers);
    // SAFETY: pointers and lengths describe live slices.
    OK == unsafe {
        proxy_send_local_response(
            u32::from(status),
            details.as_ptr(),
            details.len(),
            if body.is_empty() { null() } else { body.as_ptr() },
            body.len(),
            headers.as_ptr(),
            headers.len(),
            -1,
        )
    }
}

/// The token that names the callout when it ends; `None` if it was not sent.
pub(crate) fn send_callout(callout: &Callout<'_>) -> Option<u32> {
    let (headers, trailers) = (pairs::encode(&callout.headers), pairs::encode(&[]));
    let mut token = 0;
    // SAFETY: pointers and lengths describe live slices; the host writes one u32.
    let status = unsafe {
        proxy_http_call(
            callout.cluster.as_ptr(),
            callout.cluster.len(),
            headers.as_ptr(),
            headers.len(),
            callout.body.as_ptr(),
            callout.body.len(),
            trailers.as_ptr(),
            trailers.len(),
            callout.timeout_ms,
            &raw mut token,
        )
    };
    (status == OK).then_some(token)
}

pub(crate) fn define_metric(kind: MetricType, name: &str) -> Option<u32> {
    let mut id = 0;
    // SAFETY: pointer and length describe a live string; the host writes one u32.
    let status = unsafe { proxy_define_metric(kind, name.as_ptr(), name.len(), &raw mut id) };
    (status == OK).then_some(id)
}

pub(crate) fn increment(metric: u32, by: i64) {
    // SAFETY: no pointers.
    unsafe { proxy_increment_metric(metric, by) };
}

pub(crate) fn record(metric: u32, value: u64) {
    // SAFETY: no pointers.
    unsafe { proxy_record_metric(metric, value) };
}

pub(crate) fn set_effective_context(context: u32) -> bool {
    // SAFETY: no pointers.
    OK == unsafe { proxy_set_effective_context(context) }
}
