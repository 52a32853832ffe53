//! Replies of ours. Of a local reply Envoy (1.40) tells nothing to the filter that sends it, but the members before the one
//! that replies have to hear of it, and may change it: they are told here, as they would be by Envoy, and then it is sent.
#![allow(unsafe_code, reason = "Envoy's functions are foreign")]

use std::rc::Rc;

use sluice_core::filter::{Headers, Side};

use super::current;
use super::ffi::{self, Bytes, Handle, Pair};
use super::stream::Stream;
use crate::dispatch::Action;

/// What Envoy puts at a reply's head itself.
const STATUS: &str = ":status";
const LENGTH: &str = "content-length";

/// A reply.
pub(crate) struct Reply {
    status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
    /// `response.code_details`.
    details: String,
    /// The last that there is to be told is being told, or has been.
    told: bool,
}

/// Tells the stream of the reply, and sends it, at once or when whoever pauses it resumes it.
///
/// Where an answer has begun, Envoy lets no other through the filters, and none is told of it here.
pub(crate) fn tell(stream: &Rc<Stream>, mut reply: Reply) {
    if stream.answered.replace(true) || stream.broken.get() {
        stream.reply.take();
        reply.send(stream.filter);
        return;
    }
    let size = reply.body.len();
    reply.headers.set(STATUS, reply.status.to_string().as_bytes());
    reply.headers.set(LENGTH, size.to_string().as_bytes());
    reply.told = size == 0;
    stream.reply.replace(Some(reply));
    let mut action = current::enter(stream, |running| running.on_headers(Side::Response, size == 0));
    if size > 0 && is_told(stream) {
        stream.reply.borrow_mut().iter_mut().for_each(|reply| reply.told = true);
        action = current::enter(stream, |running| running.on_body(Side::Response, size, true));
    }
    if !matches!(action, Some(Action::Pause)) {
        resume(stream);
    }
}

/// Whether the stream is being told of a reply that has not been sent.
pub(crate) fn is_told(stream: &Stream) -> bool {
    stream.reply.borrow().is_some()
}

/// Sends the reply that the stream has been told of, once that is all of it.
pub(crate) fn resume(stream: &Stream) {
    let reply = stream.reply.borrow_mut().take_if(|reply| reply.told);
    if let Some(reply) = reply.filter(|_| !stream.done.get()) {
        reply.send(stream.filter);
    }
}

impl Reply {
    pub(crate) fn new(status: u16, headers: &[(&str, &str)], body: &[u8], details: &str) -> Self {
        let named = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
        let (headers, body) = (Headers::new(named.collect()), body.to_vec());
        Self { status, headers, body, details: details.to_owned(), told: false }
    }

    /// What a stream that has panicked is answered: what a trap of a Wasm filter costs its request.
    pub(crate) fn of_panic() -> Self {
        Self::new(503, &[], &[], "panic")
    }

    /// Bytes of the body, at most `max` behind the first `start`.
    pub(crate) fn part(&self, start: usize, max: usize) -> Vec<u8> {
        let rest = self.body.get(start..).unwrap_or_default();
        rest.get(..max).unwrap_or(rest).to_vec()
    }

    fn send(&self, filter: Handle) {
        let status = self.headers.text(STATUS).and_then(|status| status.parse().ok());
        let own = self.headers.iter().filter(|(name, _)| ![STATUS, LENGTH].contains(name));
        let headers: Vec<Pair> = own.map(|(name, value)| Pair::of(name, value)).collect();
        // SAFETY: whoever sends keeps to a filter whose stream is not over; what is pointed to outlives the call.
        unsafe {
            ffi::envoy_dynamic_module_callback_http_send_response(
                filter,
                status.unwrap_or_else(|| u32::from(self.status)),
                headers.as_ptr(),
                headers.len(),
                Bytes::of(&self.body),
                Bytes::of(self.details.as_bytes()),
            );
        }
    }
}
