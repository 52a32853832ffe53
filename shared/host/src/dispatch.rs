//! Who is called back: the contexts that a host makes for filters, streams and connections.

use std::rc::Rc;

use sluice_core::filter::Side;
#[cfg(not(target_family = "wasm"))]
use sluice_core::filter::StreamId;
use sluice_core::network::Way;

/// What becomes of the part of a stream that a callback is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Action {
    /// It goes on.
    Continue = 0,
    /// It is held.
    Pause = 1,
}

/// One configured filter of one worker.
pub trait RootContext {
    /// Reads the configuration; `false` refuses it.
    fn on_configure(&self) -> bool;
    /// The timer has fired.
    #[cfg(target_family = "wasm")]
    fn on_tick(&self);
    /// The time of `member` of a stream, or of the root itself, has come.
    #[cfg(not(target_family = "wasm"))]
    fn on_due(&self, member: StreamId);
    /// There are errands to do, on the main thread.
    #[cfg(not(target_family = "wasm"))]
    fn on_errands(&self);
    /// A callout of no stream has ended with a body of `body_size` bytes.
    fn on_callout(&self, token: u32, body_size: usize);
    /// A new stream; `None` from a network filter.
    fn create_stream(&self, _context: u32) -> Option<Rc<dyn StreamContext>> {
        None
    }
    /// A new connection; `None` from an HTTP filter.
    fn create_connection(&self, _context: u32) -> Option<Rc<dyn ConnectionContext>> {
        None
    }
}

/// One connection through one network filter.
pub trait ConnectionContext {
    /// `size` bytes can be read and replaced.
    fn on_data(&self, way: Way, size: usize);
}

/// One stream through one filter.
pub trait StreamContext {
    /// Headers have come; `end` when there is no body.
    fn on_headers(&self, side: Side, end: bool) -> Action;
    /// `size` bytes of body can be read.
    fn on_body(&self, side: Side, size: usize, end: bool) -> Action;
    /// Trailers have come.
    fn on_trailers(&self, side: Side) -> Action;
    /// A callout has ended with a body of `body_size` bytes.
    fn on_callout(&self, token: u32, body_size: usize);
    /// The stream is over; comes again when it has been logged already.
    fn on_done(&self);
    /// The callouts that end with the stream.
    fn open_callouts(&self) -> Vec<u32>;
}

/// Makes the root context of the plugin being configured.
pub type NewRoot = fn(u32) -> Rc<dyn RootContext>;
