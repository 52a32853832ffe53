//! What Sluice asks of Envoy, over dynamic modules.
#![allow(unsafe_code, reason = "Envoy's functions are foreign; this module is their safe face")]

use std::time::{SystemTime, UNIX_EPOCH};

use sluice_core::filter::{Callout, Headers, Side};

use super::attributes::{Attribute, attribute as attribute_of, endpoint_metadata};
use super::bodies;
use super::config;
use super::current::{self, Deferred};
use super::ffi::{self, Bytes, Handle, Pair};
use super::reply::Reply;
use super::shared as data;
use super::{metrics, network};
use crate::abi::{BufferType, Level, MapType, MetricType};

/// Headers that are taken without an allocation.
const FEW: usize = 48;

pub(crate) fn log(level: Level, message: &str) {
    // SAFETY: what is pointed to outlives the call.
    unsafe { ffi::envoy_dynamic_module_callback_log(level, Bytes::of(message.as_bytes())) };
}

/// Nanoseconds since the Unix epoch.
#[allow(clippy::disallowed_methods, reason = "this is the clock that filters ask")]
pub(crate) fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

pub(crate) fn buffer(buffer: BufferType, start: usize, max: usize) -> Option<Vec<u8>> {
    match buffer {
        BufferType::RequestBody => Some(bodies::read(current::filter()?, Side::Request, start, max)),
        BufferType::ResponseBody => with_reply(Side::Response, |reply| reply.part(start, max))
            .or_else(|| Some(bodies::read(current::filter()?, Side::Response, start, max))),
        BufferType::CalloutBody => Some(current::answer(|answer| answer.body.clone())),
        BufferType::PluginConfiguration => config::reading().map(|config| config.text.clone()),
        BufferType::DownstreamData | BufferType::UpstreamData => network::data(),
    }
}

/// Replaces all of `buffer`.
pub(crate) fn set_buffer(buffer: BufferType, value: &[u8]) -> bool {
    if matches!(buffer, BufferType::DownstreamData | BufferType::UpstreamData) {
        return network::set_data(value);
    }
    let (Some(filter), Some(side)) = (current::filter(), side_of(buffer)) else { return false };
    if with_reply(side, |reply| value.clone_into(&mut reply.body)).is_some() {
        return true;
    }
    bodies::drain(filter, side);
    value.is_empty() || bodies::append(filter, side, value)
}

/// Adds to the end of `buffer`.
pub(crate) fn append_buffer(buffer: BufferType, value: &[u8]) -> bool {
    let (Some(filter), Some(side)) = (current::filter(), side_of(buffer)) else { return false };
    with_reply(side, |reply| reply.body.extend_from_slice(value)).is_some()
        || bodies::append(filter, side, value)
}

/// Of the reply that the stream at hand is being told of, if it is, and if it is about that.
fn with_reply<T>(side: Side, with: impl FnOnce(&mut Reply) -> T) -> Option<T> {
    if side == Side::Response { current::reply(with) } else { None }
}

fn side_of(buffer: BufferType) -> Option<Side> {
    match buffer {
        BufferType::RequestBody => Some(Side::Request),
        BufferType::ResponseBody => Some(Side::Response),
        _ => None,
    }
}

fn headers_of(map: MapType) -> Option<(Side, ffi::Headers)> {
    match map {
        MapType::Request => Some((Side::Request, ffi::Headers::Request)),
        MapType::Response => Some((Side::Response, ffi::Headers::Response)),
        MapType::Callout => None,
    }
}

pub(crate) fn headers(map: MapType) -> Headers {
    let Some((side, of)) = headers_of(map) else { return current::answer(|answer| answer.headers.clone()) };
    if let Some(headers) = with_reply(side, |reply| reply.headers.clone()) {
        return headers;
    }
    let Some(filter) = current::filter() else { return Headers::default() };
    // SAFETY: Envoy keeps the filter of the callback at hand, there is room for as many headers as it says there are, and
    // they are copied before anything changes them.
    unsafe {
        let count = ffi::envoy_dynamic_module_callback_http_get_headers_size(filter, of);
        let fill = |room| ffi::envoy_dynamic_module_callback_http_get_headers(filter, of, room);
        let headers = ffi::listed::<_, _, FEW>(count, Pair::NONE, fill, |pairs| copied(pairs));
        headers.unwrap_or_default()
    }
}

/// # Safety
/// Whoever gave the pairs keeps them until this returns.
pub(crate) unsafe fn copied(pairs: &[Pair]) -> Headers {
    let mut bytes = Vec::with_capacity(
        pairs
            .iter()
            .fold(0, |sum: usize, pair| sum.saturating_add(pair.name.size).saturating_add(pair.value.size)),
    );
    let mut keep = |part: Bytes| {
        let start = bytes.len();
        // SAFETY: the caller's promise.
        bytes.extend_from_slice(unsafe { part.get() });
        start..bytes.len()
    };
    let places: Vec<_> = pairs.iter().map(|pair| (keep(pair.name), keep(pair.value))).collect();
    Headers::lying_in(bytes, places.into_iter())
}

pub(crate) fn header(map: MapType, name: &str) -> Option<Vec<u8>> {
    let (filter, (side, of)) = (current::filter()?, headers_of(map)?);
    if let Some(value) = with_reply(side, |reply| reply.headers.get(name).map(<[u8]>::to_vec)) {
        return value;
    }
    let mut value = Bytes::NONE;
    // SAFETY: Envoy keeps the filter of the callback at hand, and the value is copied before anything changes it.
    unsafe {
        let name = Bytes::of(name.as_bytes());
        ffi::envoy_dynamic_module_callback_http_get_header(
            filter,
            of,
            name,
            &raw mut value,
            0,
            std::ptr::null_mut(),
        )
        .then(|| value.get().to_vec())
    }
}

pub(crate) fn set_header(map: MapType, name: &str, value: &str) {
    change_header(map, name, Some(value.as_bytes()));
}

pub(crate) fn remove_header(map: MapType, name: &str) {
    change_header(map, name, None);
}

fn change_header(map: MapType, name: &str, value: Option<&[u8]>) {
    let (Some(stream), Some((side, of))) = (current::stream(), headers_of(map)) else { return };
    let of_reply = |reply: &mut Reply| match value {
        Some(value) => reply.headers.set(name, value),
        None => _ = reply.headers.remove(name),
    };
    if with_reply(side, of_reply).is_some() {
        return;
    }
    // SAFETY: Envoy keeps the filter of the callback at hand and copies name and value.
    unsafe {
        ffi::envoy_dynamic_module_callback_http_set_header(
            stream.filter,
            of,
            Bytes::of(name.as_bytes()),
            value.map_or(Bytes::NONE, Bytes::of),
        );
    }
    if matches!(map, MapType::Request) {
        stream.rerouted.set(true);
    }
}

/// An attribute of the exchange at hand; `plugin_root_id` while a configuration is read.
pub(crate) fn attribute(path: &[&str]) -> Option<Vec<u8>> {
    if path == ["plugin_root_id"] {
        return config::reading().map(|config| config.name.clone().into_bytes());
    }
    let filter = current::informant()?;
    let Some((namespace, name)) = endpoint_metadata(path) else {
        return read_attribute(filter, attribute_of(path)?);
    };
    let mut value = Bytes::NONE;
    // SAFETY: Envoy keeps the filter of the callback at hand, and the value is copied at once.
    unsafe {
        ffi::envoy_dynamic_module_callback_http_get_metadata_string(
            filter,
            ffi::Metadata::Endpoint,
            Bytes::of(namespace.as_bytes()),
            Bytes::of(name.as_bytes()),
            &raw mut value,
        )
        .then(|| value.get().to_vec())
    }
}

fn read_attribute(filter: Handle, attribute: Attribute) -> Option<Vec<u8>> {
    let (mut text, mut number) = (Bytes::NONE, 0);
    // SAFETY: Envoy keeps the filter of the callback at hand, and the value is copied at once.
    unsafe {
        match attribute {
            Attribute::Text(id) => {
                ffi::envoy_dynamic_module_callback_http_filter_get_attribute_string(filter, id, &raw mut text)
                    .then(|| text.get().to_vec())
            }
            Attribute::Number(id) => {
                ffi::envoy_dynamic_module_callback_http_filter_get_attribute_int(filter, id, &raw mut number)
                    .then(|| number.to_le_bytes().to_vec())
            }
        }
    }
}

/// Facts stand in filter state under the names that they have for Wasm.
fn name_of(fact: &str) -> String {
    ["wasm.", fact].concat()
}

pub(crate) fn fact(name: &str) -> Option<Vec<u8>> {
    let (filter, name, mut value) = (current::informant()?, name_of(name), Bytes::NONE);
    // SAFETY: Envoy keeps the filter of the callback at hand, and the value is copied at once.
    unsafe {
        ffi::envoy_dynamic_module_callback_http_get_filter_state_bytes(
            filter,
            Bytes::of(name.as_bytes()),
            &raw mut value,
        )
        .then(|| value.get().to_vec())
    }
}

pub(crate) fn set_fact(name: &str, value: &[u8]) {
    let Some(filter) = current::informant() else { return };
    let name = name_of(name);
    // SAFETY: Envoy keeps the filter of the callback at hand and copies name and value.
    unsafe {
        ffi::envoy_dynamic_module_callback_http_set_filter_state_bytes(
            filter,
            Bytes::of(name.as_bytes()),
            Bytes::of(value),
        );
    }
}

pub(crate) fn shared(key: &str) -> Option<(Vec<u8>, u32)> {
    data::get(key)
}

/// Whether the value was written. A `version` of 0 writes whatever stands there.
pub(crate) fn set_shared(key: &str, value: &[u8], version: u32) -> bool {
    data::set(key, value, version)
}

/// Lets go what a pause holds, when the callback at hand is over.
pub(crate) fn resume(side: Side) {
    current::defer(Deferred::Resume(side));
}

/// Resets the whole exchange, when the callback at hand is over.
pub(crate) fn reset(_: Side) {
    current::defer(Deferred::Reset);
}

/// Sends a reply, when the callback at hand is over.
pub(crate) fn send_reply(status: u16, headers: &[(&str, &str)], body: &[u8], details: &str) -> bool {
    current::defer(Deferred::Reply(Reply::new(status, headers, body, details)));
    true
}

/// The token that names the callout when it ends; `None` if it was not sent.
pub(crate) fn send_callout(callout: &Callout<'_>) -> Option<u32> {
    let (send, sender): (ffi::Send, _) = match current::filter() {
        Some(filter) => (ffi::envoy_dynamic_module_callback_http_filter_http_callout, filter),
        None => (ffi::envoy_dynamic_module_callback_http_filter_config_http_callout, current::config()?),
    };
    let headers: Vec<Pair> =
        callout.headers.iter().map(|(name, value)| Pair::of(name, value.as_bytes())).collect();
    let mut id = 0;
    // SAFETY: Envoy keeps the filter or the configuration of the callback at hand and copies what is pointed to.
    let result = unsafe {
        send(
            sender,
            &raw mut id,
            Bytes::of(callout.cluster.as_bytes()),
            headers.as_ptr(),
            headers.len(),
            Bytes::of(callout.body),
            u64::from(callout.timeout_ms),
        )
    };
    if result == ffi::SUCCESS { u32::try_from(id).ok() } else { None }
}

/// This thread's number for a series; `None`: no filter has declared it.
pub(crate) fn define_metric(kind: MetricType, series: &str) -> Option<u32> {
    let number = metrics::number(kind, series);
    if number.is_none() {
        log(Level::Error, &format!("no filter has declared the metric {series:?}"));
    }
    number
}

pub(crate) fn increment(metric: u32, by: i64) {
    metrics::add(metric, by);
}

pub(crate) fn record(metric: u32, value: u64) {
    metrics::record(metric, value);
}

/// Closes the connection of a network filter, when the callback at hand is over.
pub(crate) fn close_connection() {
    network::close();
}
