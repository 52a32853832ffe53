//! What outlives a stream: the root context of the same worker does it.

use sluice_core::filter::Callout;

use super::entry::expect_callout;
use super::hostcalls::{send_callout, set_effective_context};
use crate::detached::Errand;

/// A callout that outlives the stream: it has been sent already.
pub(crate) struct Letter(u32);

impl Letter {
    /// Takes over a callout of the stream with this context; `None` if it cannot be sent.
    pub(crate) fn of(callout: &Callout<'_>, root: u32, context: u32) -> Option<Self> {
        // A callout is cancelled with the context that sent it, and the root's stays.
        set_effective_context(root);
        let token = send_callout(callout);
        set_effective_context(context);
        expect_callout(token?, root);
        token.map(Self)
    }

    /// The token that names the callout when it ends.
    pub(crate) const fn send(self) -> Option<u32> {
        Some(self.0)
    }
}

/// Hands an errand to whoever does it; back if that is this worker, as here it always is.
pub(crate) const fn mail(_root: u32, _at: usize, _route: &str, errand: Errand) -> Option<Errand> {
    Some(errand)
}
