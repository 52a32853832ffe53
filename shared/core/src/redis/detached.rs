//! Calls that nobody waits for: each travels as the note of its callout, with what its sender wants to know at its end.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::call::{Redis, Replies};
use super::command::Command;
use super::pending::Pending;
use super::unavailable::Unavailable;
use crate::filter::{CalloutError, CalloutReply, Host, Note};

/// Deadline of a call nobody waits for, in milliseconds, unless the other one is longer: a slow Redis still gets
/// what it must know.
const TIMEOUT_MS: u32 = 1_000;

/// A detached call that was not sent.
#[derive(Debug)]
pub struct Unsent<T> {
    /// [`Unavailable::BreakerOpen`] or [`Unavailable::NotSent`].
    pub why: Unavailable,
    /// What was to be known at its end; none if the host has not given it back.
    pub task: Option<T>,
}

/// A call and what it is for.
struct Detached<T> {
    pending: Pending,
    task: T,
}

impl Redis {
    /// Sends `commands` as [`Self::call`] does, in a callout that outlives the stream and has at least a second's time.
    /// Its end is to be read with [`read_detached`], on any thread. If it never is, `task` is dropped.
    ///
    /// # Errors
    /// At once, and then no callout follows: what was not sent.
    pub fn call_detached<T: Send + 'static>(
        &self,
        host: &mut dyn Host,
        commands: Vec<Command>,
        task: T,
    ) -> Result<(), Unsent<T>> {
        let time_ms = self.client.options.timeout_ms.max(TIMEOUT_MS);
        match self.client.begin(host, commands, time_ms) {
            Ok(pending) => Detached { pending, task }.send(host, time_ms),
            Err(why) => Err(Unsent { why, task: Some(task) }),
        }
    }
}

/// Reads the end of a detached call, sent by whichever client, whose task is a `T`: the task, and what became of the
/// call. `None` if there is more to come, for the source of a script that Redis did not know has been sent within the
/// same deadline; or if the note is of something else.
pub fn read_detached<T: Send + 'static>(
    host: &mut dyn Host,
    note: Note,
    reply: Result<CalloutReply, CalloutError>,
) -> Option<(T, Replies)> {
    let mut call = note.downcast::<Detached<T>>().ok()?;
    match call.pending.read(host, reply) {
        ControlFlow::Break(replies) => Some((call.task, replies)),
        ControlFlow::Continue(left_ms) => {
            let Unsent { why, task } = call.send(host, left_ms).err()?;
            Some((task?, Err(why)))
        }
    }
}

impl<T: Send + 'static> Detached<T> {
    fn send(self, host: &mut dyn Host, timeout_ms: u32) -> Result<(), Unsent<T>> {
        let (client, ticket, body) =
            (Arc::clone(&self.pending.client), self.pending.ticket, self.pending.body());
        host.callout_detached(&client.callout(&body, timeout_ms), Box::new(self)).map_err(|note| Unsent {
            why: client.fail(host, ticket, Unavailable::NotSent),
            task: note.downcast::<Self>().ok().map(|call| call.task),
        })
    }
}
