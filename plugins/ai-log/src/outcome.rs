//! Tells from what Envoy says of a finished request how it ended, and whose fault that was.

use sluice_core::context;
use sluice_core::filter::{Host, Side};
use sluice_core::openai::error::{Code, ERROR_HEADER};

/// Bits of the attribute `response.flags`: 1 shifted by the value of `CoreResponseFlag`
/// (<https://github.com/envoyproxy/envoy/blob/v1.40.0/envoy/stream_info/stream_info.h>).
mod flag {
    pub(super) const NO_HEALTHY_UPSTREAM: u64 = 1 << 1;
    pub(super) const UPSTREAM_REQUEST_TIMEOUT: u64 = 1 << 2;
    pub(super) const LOCAL_RESET: u64 = 1 << 3;
    pub(super) const UPSTREAM_REMOTE_RESET: u64 = 1 << 4;
    pub(super) const UPSTREAM_CONNECTION_FAILURE: u64 = 1 << 5;
    pub(super) const UPSTREAM_CONNECTION_TERMINATION: u64 = 1 << 6;
    pub(super) const UPSTREAM_OVERFLOW: u64 = 1 << 7;
    pub(super) const NO_ROUTE_FOUND: u64 = 1 << 8;
    pub(super) const DOWNSTREAM_CONNECTION_TERMINATION: u64 = 1 << 14;
    pub(super) const UPSTREAM_RETRY_LIMIT_EXCEEDED: u64 = 1 << 15;
    pub(super) const STREAM_IDLE_TIMEOUT: u64 = 1 << 16;
    pub(super) const UPSTREAM_MAX_STREAM_DURATION: u64 = 1 << 19;
    pub(super) const DURATION_TIMEOUT: u64 = 1 << 22;
    pub(super) const UPSTREAM_PROTOCOL_ERROR: u64 = 1 << 23;
    pub(super) const NO_CLUSTER_FOUND: u64 = 1 << 24;
    pub(super) const DNS_RESOLUTION_FAILED: u64 = 1 << 26;
    pub(super) const DOWNSTREAM_REMOTE_RESET: u64 = 1 << 28;
}

const CLIENT_GONE: u64 = flag::DOWNSTREAM_CONNECTION_TERMINATION | flag::DOWNSTREAM_REMOTE_RESET;
const TIMEOUT: u64 = flag::UPSTREAM_REQUEST_TIMEOUT
    | flag::STREAM_IDLE_TIMEOUT
    | flag::UPSTREAM_MAX_STREAM_DURATION
    | flag::DURATION_TIMEOUT;
const NO_HOST: u64 = flag::NO_HEALTHY_UPSTREAM | flag::NO_CLUSTER_FOUND | flag::UPSTREAM_OVERFLOW;
const NOT_CONNECTED: u64 = flag::UPSTREAM_CONNECTION_FAILURE | flag::DNS_RESOLUTION_FAILED;
const RESET: u64 = NOT_CONNECTED
    | flag::LOCAL_RESET
    | flag::UPSTREAM_REMOTE_RESET
    | flag::UPSTREAM_CONNECTION_TERMINATION
    | flag::UPSTREAM_PROTOCOL_ERROR;

/// `response.code_details` of an answer that came from the provider whole, and of one that it broke off
/// (<https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/http/http_conn_man/response_code_details>).
const VIA_UPSTREAM: &str = "via_upstream";
const BROKEN_OFF: &str = "upstream_reset_after_response_started";

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The client has the whole answer.
    Complete,
    /// The provider's stream ended after an error event.
    ErrorEvent,
    /// The provider's stream ended without its terminator.
    Unterminated,
    /// The client left before the end.
    ClientGone,
    /// The provider could not be reached, or broke the connection.
    ProviderReset,
    /// Something took too long.
    Timeout,
    /// The gateway answered with an error of its own.
    Refused,
}

impl End {
    const METERED: [Self; 3] = [Self::Complete, Self::ErrorEvent, Self::Unterminated];

    /// Its name in the record.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ErrorEvent => "error_event",
            Self::Unterminated => "unterminated",
            Self::ClientGone => "client_gone",
            Self::ProviderReset => "provider_reset",
            Self::Timeout => "timeout",
            Self::Refused => "refused",
        }
    }
}

/// What Envoy and the filters know when a request is over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Status the client got; 0: none.
    pub(crate) status: u64,
    /// Whether no byte of a body has gone to the client.
    pub(crate) unsent: bool,
    /// Attribute `response.flags`.
    pub(crate) flags: u64,
    /// Attribute `response.code_details`.
    pub(crate) details: String,
    /// Fact `ai.stream_end`.
    pub(crate) stream_end: Option<String>,
    /// Fact `ai.error`: a filter's own reply, or the event it ended a stream with.
    pub(crate) error: Option<Code>,
    /// Header of the gateway's own errors, as the client got it.
    pub(crate) error_header: Option<Code>,
    /// Whether a provider's answer was withheld, and not only the request refused.
    pub(crate) withheld_answer: bool,
}

impl Outcome {
    /// Asks Envoy, and the filters.
    pub(crate) fn read(host: &dyn Host) -> Self {
        let number = |name| host.attribute_number(&["response", name]);
        let details = host.attribute(&["response", "code_details"]).unwrap_or_default();
        let (status, flags) = (number("code").unwrap_or(0), number("flags").unwrap_or(0));
        let shown = || Code::named(std::str::from_utf8(&host.header(Side::Response, ERROR_HEADER)?).ok()?);
        let error = context::ERROR.read(host, Code::named).flatten();
        Self {
            status,
            unsent: flags & CLIENT_GONE != 0 && number("size") == Some(0),
            flags,
            details: String::from_utf8_lossy(&details).into_owned(),
            stream_end: context::STREAM_END.get(host),
            error,
            error_header: if status >= 400 { shown() } else { None },
            withheld_answer: error.is_some_and(Code::is_withholding) && context::METER.is_set(host),
        }
    }

    const fn has(&self, flags: u64) -> bool {
        self.flags & flags != 0
    }

    /// Whether the client got (the beginning of) a provider's answer, and not a reply made by Envoy or a filter.
    pub(crate) fn is_answered(&self) -> bool {
        let own = self.error.is_some() || self.error_header.is_some();
        let via_upstream = match self.details.as_str() {
            "" => !self.has(TIMEOUT | RESET | NO_HOST | flag::NO_ROUTE_FOUND),
            _ => self.is_from_upstream(),
        };
        match self.status {
            0 => false,
            1..400 => true,
            _ => !own && (via_upstream || self.has(CLIENT_GONE)),
        }
    }

    /// Whether the content checks refused the request, or kept (the rest of) an answer from the client.
    pub(crate) fn is_withheld(&self) -> bool {
        self.error.is_some_and(Code::is_withholding)
    }

    /// Whether Envoy says that it is an upstream's answer, or the beginning of one.
    pub(crate) fn is_from_upstream(&self) -> bool {
        self.details == VIA_UPSTREAM || self.is_broken_off()
    }

    fn is_broken_off(&self) -> bool {
        self.details.starts_with(BROKEN_OFF)
    }

    /// How the request ended.
    pub(crate) fn end(&self) -> End {
        if self.is_withheld() {
            return End::Refused;
        }
        if self.unsent && self.has(CLIENT_GONE) {
            return End::ClientGone; // the provider may have said all, but a filter still held it
        }
        if let Some(end) = self.metered_end() {
            return end; // a client that hangs up on the terminator has got everything
        }
        match self.error {
            Some(Code::UpstreamTimeout) => End::Timeout,
            Some(_) => End::Refused,
            None if self.has(CLIENT_GONE) => End::ClientGone,
            None if self.has(TIMEOUT) => End::Timeout,
            None if self.has(RESET) || self.is_broken_off() => End::ProviderReset,
            None if self.is_answered() => End::Complete,
            None if self.status > 0 => End::Refused,
            None => End::ClientGone, // no reply and no fault of the provider's: only the client is left
        }
    }

    /// What the meter saw of the answer that the client got. An answer that did not reach the client (a retried
    /// attempt's) does not count.
    fn metered_end(&self) -> Option<End> {
        let name = self.stream_end.as_deref().filter(|_| self.is_answered())?;
        End::METERED.into_iter().find(|end| end.name() == name)
    }

    /// Code of the gateway's error, as the client got it: by a filter, by the listener's mapping of Envoy's
    /// replies, or, where there is none, by what Envoy says of its reply.
    pub(crate) fn error_code(&self) -> Option<Code> {
        let told = self.error.or(self.error_header);
        if told.is_some() || self.is_answered() || self.status == 0 {
            return told;
        }
        match self.status {
            413 => Some(Code::RequestTooLarge),
            504 => Some(Code::UpstreamTimeout),
            _ if self.has(flag::NO_ROUTE_FOUND) => Some(Code::NotFound),
            _ if self.has(flag::UPSTREAM_REQUEST_TIMEOUT | flag::UPSTREAM_MAX_STREAM_DURATION) => {
                Some(Code::UpstreamTimeout)
            }
            _ if self.has(NO_HOST) => Some(Code::NoHealthyTarget),
            _ if self.has(RESET | flag::UPSTREAM_RETRY_LIMIT_EXCEEDED) => Some(Code::UpstreamError),
            _ => None,
        }
    }

    /// What became of the attempt that was running when the request ended. `broke` is what `fallback` said of it;
    /// where that is no more than `reset`, Envoy's flags know better: to a filter of the provider stage a timeout
    /// and a client that leaves look like one, too.
    pub(crate) fn verdict<'a>(&self, broke: Option<&'a str>) -> &'a str {
        match (self.end(), broke.filter(|broke| *broke != "reset")) {
            (End::Complete, _) => "ok",
            (End::Refused, _) if self.is_withheld() => "withheld",
            (end @ (End::ErrorEvent | End::Unterminated), _) => end.name(),
            (End::ProviderReset, _) if self.is_answered() => "cut",
            (_, Some(broke)) => broke,
            (End::ProviderReset, _) if self.has(NOT_CONNECTED) => "connect_failure",
            (End::ProviderReset, _) => "reset",
            (End::Refused, _) if self.has(NO_HOST) => "no_host",
            (end, _) => end.name(),
        }
    }
}

#[cfg(test)]
mod tests;
