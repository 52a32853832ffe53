//! Wake-ups: who waits for a time.

use sluice_core::filter::StreamId;

pub(crate) use crate::platform::waiting::Waiting;

/// A stream that can be woken.
pub(crate) trait Wake {
    /// The time of this member of it has come; the stream's context is the effective one.
    fn wake(&self, member: StreamId);
}
