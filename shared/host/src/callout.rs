//! The answer of a callout, as a filter is shown it.

use sluice_core::filter::{CalloutError, CalloutReply, Headers};

use crate::abi::{self, BufferType, MapType};

/// The whole answer of a callout. One that is not answered is reported as no headers at all, or as a reply that
/// Envoy makes in the upstream's name.
pub(crate) fn callout_reply(body_size: usize) -> Result<CalloutReply, CalloutError> {
    let headers = abi::headers(MapType::Callout);
    let status = headers.text(":status").and_then(|status| status.parse().ok());
    let body = abi::buffer(BufferType::CalloutBody, 0, body_size).unwrap_or_default();
    let status = status.filter(|status| !is_envoys_own(*status, &headers));
    status.map(|status| CalloutReply { status, headers, body }).ok_or(CalloutError::NotAnswered)
}

/// Whether Envoy itself made this reply because of a timeout (504) or a broken connection (503). It is a plain text
/// with none of the headers, `date` for one, that a server adds (1.40).
fn is_envoys_own(status: u16, headers: &Headers) -> bool {
    let is_bare =
        headers.iter().all(|(name, _)| matches!(name, ":status" | "content-length" | "content-type"));
    is_bare && matches!(status, 503 | 504) && headers.text("content-type") == Some("text/plain")
}
