//! The two traits every plugin is written against: [`Filter`] and [`Host`].

use std::any::Any;
use std::rc::Rc;

use serde::de::DeserializeOwned;

use crate::config::Env;
use crate::context::Fact;
use crate::digits::Digits;
pub use crate::headers::Headers;
use crate::metric::Family;
use crate::openai::error::LocalReply;
use crate::target::{self, Target};

/// One half of an HTTP exchange: its headers and its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What the client sends, pseudo-headers (`:path`) included.
    Request,
    /// What the upstream answers, `:status` included.
    Response,
}

/// What becomes of the part just shown, and what the filter wants to see next on the same [`Side`].
///
/// Every body that a filter asked for ends with exactly one call with `end == true`, be the end marked
/// by the last chunk, by trailers or by headers without a body, unless the exchange breaks off first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Let it go on; show nothing more of this side.
    Pass,
    /// Let it go on; show each further chunk as it passes.
    Watch,
    /// Let it go on; show only its end, as an empty part. Costs no copy of what passes.
    End,
    /// Hold it and everything after it; show each further chunk once, as it arrives.
    Hold,
    /// Hold it, and show the whole body at once when it is complete. A request body of more than
    /// `max_bytes` is answered with 413 `request_too_large`; of a response body that is longer the filter is
    /// shown the first part, with `end == false`, and asked again what to do.
    Whole {
        /// Upper bound in bytes of what is held.
        max_bytes: usize,
    },
    /// Hold it and everything after it unseen, until [`Filter::on_callout`] or [`Filter::on_wake`] lets it pass or
    /// ends it. Costs no copy of what is held; Envoy's own limit on a buffered body applies.
    Wait,
    /// Answer the client now; what is held is dropped.
    Reply(LocalReply),
    /// Break the exchange off: the client's connection (HTTP/2: its stream) is reset, for a clean end would be a lie.
    Break,
}

/// Names one callout in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CalloutId(pub u32);

/// Names one stream of one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// An HTTP request a filter sends to a cluster of its own choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callout<'a> {
    /// Envoy cluster name.
    pub cluster: &'a str,
    /// Headers, `:method`, `:path` and `:authority` among them.
    pub headers: Vec<(&'a str, &'a str)>,
    /// Whole body.
    pub body: &'a [u8],
    /// Deadline for the whole answer, in milliseconds.
    pub timeout_ms: u32,
}

/// What the sender of a detached callout wants to know at its end, which may come on another thread.
pub type Note = Box<dyn Any + Send>;

/// A callout's complete answer.
#[derive(Clone, Debug)]
pub struct CalloutReply {
    /// HTTP status code.
    pub status: u16,
    /// Response headers, `:status` included.
    pub headers: Headers,
    /// Whole body.
    pub body: Vec<u8>,
}

/// Why a callout has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CalloutError {
    /// The cluster is unknown, or the request was refused before it left.
    #[error("the callout could not be sent")]
    NotSent,
    /// No whole answer within the deadline, or the connection failed. Envoy does not tell which.
    #[error("the callout was not answered in time")]
    NotAnswered,
}

/// A value in process-wide shared data, with the version that a compare-and-set names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shared {
    /// The value; empty when there is none yet.
    pub value: Vec<u8>,
    /// Version to pass to [`Host::set_shared`]; 0 when there is no value yet.
    pub version: u32,
}

/// Somebody else changed the value since it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the shared value has changed since it was read")]
pub struct Conflict;

/// Severity of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For whoever develops a plugin.
    Debug,
    /// Worth knowing.
    Info,
    /// An operator should look.
    Warn,
    /// Something is broken.
    Error,
}

/// Everything a filter may ask of the proxy. Its only implementations are `sluice_host::Envoy` and
/// `FakeHost` (feature `testing`). Reading costs about 1 µs a call (the host re-enters the module to allocate),
/// writing 0.3 µs: read once and keep.
pub trait Host {
    /// All headers of `side`; empty when that side has not begun.
    fn headers(&self, side: Side) -> Headers;
    /// First value of header `name` (lower case).
    fn header(&self, side: Side, name: &str) -> Option<Vec<u8>>;
    /// Sets header `name` to `value`, replacing every value it has.
    fn set_header(&mut self, side: Side, name: &str, value: &str);
    /// Removes every value of header `name`.
    fn remove_header(&mut self, side: Side, name: &str);
    /// Replaces the part of the body that is held or passing now (all that [`Next::Whole`] or [`Next::Hold`]
    /// gathered, or the chunk just shown) and, for a held request, corrects `content-length`.
    fn set_body(&mut self, side: Side, body: &[u8]);
    /// Adds to the end of what is held or passing now. In the last part of a body, whatever is added is sent;
    /// where trailers end the body, nothing can be added any more.
    fn append_body(&mut self, side: Side, bytes: &[u8]);
    /// Envoy attribute, e.g. `["xds", "route_name"]`, in the host's own encoding (numbers are little-endian).
    fn attribute(&self, path: &[&str]) -> Option<Vec<u8>>;
    /// As [`Self::attribute`], of one that is a number.
    fn attribute_number(&self, path: &[&str]) -> Option<u64> {
        self.attribute(path)?.try_into().ok().map(u64::from_le_bytes)
    }
    /// A fact of this request; see [`crate::context`].
    fn fact(&self, name: &str) -> Option<Vec<u8>>;
    /// Shows a fact of this request to `read`, if it was published: as [`Self::fact`], without a copy.
    fn read_fact(&self, fact: Fact, read: &mut dyn FnMut(&[u8])) {
        if let Some(value) = self.fact(fact.0) {
            read(&value);
        }
    }
    /// Publishes a fact of this request.
    fn set_fact(&mut self, name: &str, value: &[u8]);
    /// As [`Self::set_fact`], of a fact that is known by its place.
    fn publish(&mut self, fact: Fact, value: &[u8]) {
        self.set_fact(fact.0, value);
    }
    /// As [`Self::read_fact`], of one that is a number.
    fn fact_number(&self, fact: Fact) -> Option<u64> {
        let mut number = None;
        self.read_fact(fact, &mut |value| number = Digits::read(value));
        number
    }
    /// As [`Self::publish`], in decimal digits.
    fn publish_number(&mut self, fact: Fact, value: u64) {
        self.publish(fact, Digits::of(value).as_str().as_bytes());
    }
    /// The endpoint chosen for the running attempt; `None` in the gateway stage or without readable metadata.
    fn target(&self) -> Option<Rc<Target>> {
        Target::parse(self.attribute(target::ATTRIBUTE)?)
    }
    /// Nanoseconds since the Unix epoch.
    fn now_ns(&self) -> u64;
    /// Milliseconds since the last part of `side` came by; for a side that the filter watches or whose end it
    /// awaits.
    fn idle_ms(&self, side: Side) -> u64;
    /// Asks for one [`Filter::on_wake`] no sooner than `ms` milliseconds from now. A later call replaces it.
    fn wake_after(&mut self, ms: u64);
    /// This stream, for [`Self::hasten`].
    fn stream(&self) -> StreamId;
    /// Lets the wake-up that another stream of the same filter and worker awaits come now, within a millisecond or two.
    /// One that awaits none is left alone.
    fn hasten(&mut self, stream: StreamId);
    /// Sends a callout; its end, good or bad, comes as [`Filter::on_callout`].
    ///
    /// # Errors
    /// [`CalloutError::NotSent`], at once, and then no `on_callout` follows.
    fn callout(&mut self, callout: &Callout<'_>) -> Result<CalloutId, CalloutError>;
    /// Sends a callout that the stream's end does not cancel; its own end comes as [`Filter::on_detached_callout`], with
    /// `note`. A host that goes first drops the notes of the callouts that are open.
    ///
    /// # Errors
    /// It could not be sent: the note, at once, and then no `on_detached_callout` follows. A host that sends from another
    /// thread hears of that later; there the callout ends with [`CalloutError::NotSent`].
    fn callout_detached(&mut self, callout: &Callout<'_>, note: Note) -> Result<(), Note>;
    /// Asks for one [`Filter::on_detached_wake`] no sooner than `ms` milliseconds from now, whatever becomes of the
    /// stream. Of several asked for on one worker the soonest counts.
    fn wake_detached_after(&mut self, ms: u64);
    /// Reads process-wide shared data (all workers, all plugins of one `vm_id`).
    fn shared(&self, key: &str) -> Shared;
    /// Writes shared data if its version is still `version` (0: only if there is no value yet).
    ///
    /// # Errors
    /// [`Conflict`] when another worker was faster: read again and repeat.
    fn set_shared(&mut self, key: &str, value: &[u8], version: u32) -> Result<(), Conflict>;
    /// Adds `by` to the counter of this [`series`](crate::metric::series).
    fn count(&mut self, series: &str, by: u64);
    /// Records `value` in the histogram of this series.
    fn observe(&mut self, series: &str, value: u64);
    /// Adds `by`, which may be negative, to the gauge of this series. It is the sum over all workers; what a worker
    /// has added stays in it if its VM traps.
    fn adjust(&mut self, series: &str, by: i64);
    /// Writes a line to Envoy's log. Never a body, a prompt or a key.
    fn log(&mut self, level: Level, message: &str);

    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64 {
        self.now_ns() / 1_000_000
    }
}

/// One plugin's behaviour over one HTTP stream.
///
/// Filters never trap: every callback has an answer for every input.
pub trait Filter: Sized + 'static {
    /// Plugin name as in the Envoy configuration; prefixes its log lines.
    const NAME: &'static str;
    /// Every family of metrics that it may count by, those of the parts it shares with others among them.
    const METRICS: &'static [Family] = &[];

    /// Configuration as written.
    type Raw: DeserializeOwned;
    /// Configuration as used: checked, with environment variables read. State of one worker may live in it
    /// behind a `Cell`.
    type Config: 'static;

    /// Checks a configuration, at start and on every change.
    ///
    /// # Errors
    /// What does not hold, as `path: what is wrong`; Envoy then refuses the configuration.
    fn check(raw: Self::Raw, env: &Env<'_>) -> Result<Self::Config, String>;

    /// Starts a stream with the configuration of its route.
    fn new(config: Rc<Self::Config>) -> Self;

    /// Request headers have arrived; `end` when there is no body.
    fn on_request_headers(&mut self, _host: &mut dyn Host, _end: bool) -> Next {
        Next::Pass
    }

    /// A part of the request body, as asked for by the last [`Next`]: never the same byte twice.
    fn on_request_body(&mut self, _host: &mut dyn Host, _part: &[u8], _end: bool) -> Next {
        Next::Pass
    }

    /// Response headers have arrived; `end` when there is no body.
    fn on_response_headers(&mut self, _host: &mut dyn Host, _end: bool) -> Next {
        Next::Pass
    }

    /// A part of the response body, as asked for by the last [`Next`]: never the same byte twice.
    fn on_response_body(&mut self, _host: &mut dyn Host, _part: &[u8], _end: bool) -> Next {
        Next::Pass
    }

    /// A callout has ended. `None` leaves the stream as it is; `Some` decides for the side that is held.
    fn on_callout(
        &mut self,
        _host: &mut dyn Host,
        _id: CalloutId,
        _reply: Result<CalloutReply, CalloutError>,
    ) -> Option<Next> {
        None
    }

    /// The time asked for with [`Host::wake_after`] has come. As [`Self::on_callout`].
    fn on_wake(&mut self, _host: &mut dyn Host) -> Option<Next> {
        None
    }

    /// A callout sent with [`Host::callout_detached`] has ended. There is no stream: headers, bodies and facts are
    /// empty, and cannot be set.
    ///
    /// This comes on some thread of the process, with some copy of the configuration that sent it: what that copy keeps
    /// behind a `Cell` may be another worker's. Whatever must be known here stands in `note`, or is the process's.
    fn on_detached_callout(
        _config: &Rc<Self::Config>,
        _host: &mut dyn Host,
        _note: Note,
        _reply: Result<CalloutReply, CalloutError>,
    ) {
    }

    /// The time asked for with [`Host::wake_detached_after`] has come. As [`Self::on_detached_callout`].
    fn on_detached_wake(_config: &Rc<Self::Config>, _host: &mut dyn Host) {}

    /// The exchange is over, however it ended; facts set here are in the access log when the filter is a
    /// downstream one.
    fn on_done(&mut self, _host: &mut dyn Host) {}
}
