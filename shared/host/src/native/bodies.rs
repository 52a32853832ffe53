//! Bodies: of each side what Envoy holds from before, and what has come with the callback at hand.
#![allow(unsafe_code, reason = "Envoy's functions are foreign; this module is their safe face")]

use sluice_core::filter::Side;

use super::ffi::{self, Body, Bytes, Handle};

/// Pieces of a body that are taken without an allocation.
pub(crate) const FEW: usize = 16;

fn parts(side: Side) -> [Body; 2] {
    match side {
        Side::Request => [Body::RequestHeld, Body::RequestReceived],
        Side::Response => [Body::ResponseHeld, Body::ResponseReceived],
    }
}

/// Bytes that Envoy holds of this side, those of the callback at hand among them.
pub(crate) fn size(filter: Handle, side: Side) -> usize {
    // SAFETY: Envoy keeps the filter of the callback at hand.
    parts(side)
        .map(|part| unsafe { ffi::envoy_dynamic_module_callback_http_get_body_size(filter, part) })
        .into_iter()
        .fold(0, usize::saturating_add)
}

/// At most `max` bytes of this side, behind its first `start`.
pub(crate) fn read(filter: Handle, side: Side, start: usize, max: usize) -> Vec<u8> {
    let length = max.min(size(filter, side).saturating_sub(start));
    let (mut bytes, mut skip) = (Vec::with_capacity(length), start);
    for part in parts(side) {
        with_chunks(filter, part, |chunk| {
            let from = skip.min(chunk.len());
            skip = skip.saturating_sub(from);
            let room = length.saturating_sub(bytes.len());
            let chunk = chunk.get(from..).unwrap_or_default();
            bytes.extend_from_slice(chunk.get(..room.min(chunk.len())).unwrap_or_default());
        });
    }
    bytes
}

fn with_chunks(filter: Handle, part: Body, mut see: impl FnMut(&[u8])) {
    // SAFETY: Envoy keeps the filter of the callback at hand; there is room for as many chunks as it says there are; and
    // they stay until the body is changed, which `see` cannot do.
    unsafe {
        let count = ffi::envoy_dynamic_module_callback_http_get_body_chunks_size(filter, part);
        let fill = |room| ffi::envoy_dynamic_module_callback_http_get_body_chunks(filter, part, room);
        ffi::listed::<_, _, FEW>(count, Bytes::NONE, fill, |chunks| {
            chunks.iter().for_each(|chunk| see(chunk.get()));
        });
    }
}

/// Takes away all of this side.
pub(crate) fn drain(filter: Handle, side: Side) {
    for part in parts(side) {
        // SAFETY: Envoy keeps the filter of the callback at hand.
        unsafe { ffi::envoy_dynamic_module_callback_http_drain_body(filter, part, usize::MAX) };
    }
}

/// Adds to the end of this side; `false` if there is nothing to add to.
pub(crate) fn append(filter: Handle, side: Side, value: &[u8]) -> bool {
    let [held, received] = parts(side);
    // SAFETY: Envoy keeps the filter of the callback at hand and copies the bytes.
    let append =
        |part| unsafe { ffi::envoy_dynamic_module_callback_http_append_body(filter, part, Bytes::of(value)) };
    append(received) || append(held)
}
