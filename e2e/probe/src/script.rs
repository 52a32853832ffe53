//! What a probe is told to do, as JSON.

use std::collections::BTreeMap;

use serde::Deserialize;
use sluice_core::metric::Family;

/// What the tests have counted: a name that is not among them counts in modules, which make series as they are asked to, and
/// nowhere else.
pub const METRICS: &[Family] = &[
    Family::counter("attempts_done", &[]),
    Family::counter("detached_200", &[]),
    Family::counter("detached_other", &[]),
    Family::counter("detached_unanswered", &[]),
    Family::counter("detached_wake", &[]),
    Family::counter("left_done", &[]),
    Family::counter("left_in_callout", &[]),
    Family::counter("part_hold", &[]),
    Family::counter("part_watch", &[]),
    Family::histogram("thing_ms", &[]),
    Family::counter("things_total", &[]),
    Family::counter("will_leave", &[]),
    Family::counter("woken_though_gone", &[]),
];

/// The whole behaviour of one probe on one stream. The default lets everything pass unseen.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// What is asked for of the request, in its headers and after each part.
    pub request: Ask,
    /// The same of the response.
    pub response: Ask,
    /// What is done in which callback, in this order.
    pub on: BTreeMap<When, Vec<Act>>,
}

/// [`sluice_core::filter::Next`] without its replies.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// `Next::Pass`.
    #[default]
    Pass,
    /// `Next::Watch`.
    Watch,
    /// `Next::End`.
    End,
    /// `Next::Hold`.
    Hold,
    /// `Next::Whole` with its bound in bytes.
    Whole(usize),
    /// `Next::Wait`.
    Wait,
}

/// A callback. Of a body, the part that ends it is told from the others.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Request headers.
    RequestHeaders,
    /// A part of the request body that is not the last.
    RequestPart,
    /// The last part of the request body.
    RequestEnd,
    /// Response headers.
    ResponseHeaders,
    /// A part of the response body that is not the last.
    ResponsePart,
    /// The last part of the response body.
    ResponseEnd,
    /// The end of a callout.
    Callout,
    /// A wake-up.
    Wake,
    /// The end of the exchange.
    Done,
}

/// One thing to do.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Answers what the callback returns, instead of the side's [`Ask`].
    Next(Ask),
    /// Replies 400 `invalid_json` with this message.
    Reply(String),
    /// Breaks the exchange off.
    Break,
    /// Traps, on purpose.
    Panic,
    /// Replaces the body at hand.
    SetBody(String),
    /// Adds to the body at hand.
    AppendBody(String),
    /// Sets a header of the side at hand.
    SetHeader(String, String),
    /// Records a header of the request.
    NoteHeader(String),
    /// Records a fact.
    NoteFact(String),
    /// Asks to be woken after so many milliseconds.
    WakeAfter(u64),
    /// Calls `GET /callout` of a cluster, with a deadline in milliseconds.
    Callout(String, u32),
    /// Asks for a detached wake-up after so many milliseconds; it adds 1 to counter `detached_wake`.
    WakeDetachedAfter(u64),
    /// As `callout`, detached; its end adds 1 to counter `detached_200`, `detached_other` or `detached_unanswered`.
    CalloutDetached(String, u32),
    /// Adds 1 to a counter of [`METRICS`].
    Count(String),
    /// Records a value in a histogram of [`METRICS`].
    Observe(String, u64),
    /// Adds 1 to each of so many numbers in shared data, whose names begin alike, however often others are faster.
    IncrementAll(String, u32),
    /// Records the sum of so many numbers in shared data, whose names begin alike.
    NoteSum(String, u32),
}
