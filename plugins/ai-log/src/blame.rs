//! Whose error it is that a request was not answered well, and which.

use std::borrow::Cow;

use sluice_core::openai::error::Code;

use crate::outcome::{End, Outcome};

/// Whose error it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// The request is to blame: its key, its body, its model.
    Caller,
    /// A limit has no room.
    Limit,
    /// The content checks forbid it.
    Content,
    /// The provider refused, failed, was too slow or broke off.
    Provider,
    /// The gateway could not do its own work.
    Gateway,
    /// The client left.
    Client,
}

impl Class {
    /// Its name in metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Limit => "limit",
            Self::Content => "content",
            Self::Provider => "provider",
            Self::Gateway => "gateway",
            Self::Client => "client",
        }
    }

    const fn of_code(code: Code) -> Self {
        match code {
            Code::InvalidJson
            | Code::MissingModel
            | Code::UnsupportedContentType
            | Code::MissingApiKey
            | Code::InvalidApiKey
            | Code::ExpiredApiKey
            | Code::AmbiguousApiKey
            | Code::IpNotAllowed
            | Code::RouteNotAllowed
            | Code::ModelNotAllowed
            | Code::ModelNotFound
            | Code::NotFound
            | Code::RequestTooLarge => Self::Caller,
            Code::RateLimitExceeded | Code::ConcurrencyLimitExceeded | Code::InsufficientQuota => Self::Limit,
            Code::ContentPolicyViolation => Self::Content,
            Code::GuardUnavailable | Code::LimitsUnavailable => Self::Gateway,
            Code::UpstreamError | Code::NoHealthyTarget | Code::UpstreamTimeout => Self::Provider,
        }
    }
}

/// An error, as metrics tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blame {
    /// Whose it is.
    pub(crate) class: Class,
    /// Code of the gateway's error, `status_<n>`, or how the request ended.
    pub(crate) kind: Cow<'static, str>,
}

/// The error of a request that ended so, with this code of the gateway's; `None`: it was answered well.
pub(crate) fn judge(outcome: &Outcome, end: End, code: Option<Code>) -> Option<Blame> {
    let status = || Cow::Owned(format!("status_{}", outcome.status));
    let (class, kind) = match (end, code) {
        (End::ClientGone, _) => (Class::Client, end.name().into()),
        (_, Some(code)) => (Class::of_code(code), code.name().into()),
        (End::Complete, None) if outcome.status < 400 => return None,
        (End::Complete, None) => (Class::Provider, status()),
        (End::Refused, None) if outcome.status < 500 => (Class::Caller, status()),
        (End::Refused, None) => (Class::Gateway, status()),
        // Envoy's 408 of a request that never came whole.
        (End::Timeout, None) if outcome.status == 408 => (Class::Caller, end.name().into()),
        (End::Timeout | End::ProviderReset | End::ErrorEvent | End::Unterminated, None) => {
            (Class::Provider, end.name().into())
        }
    };
    Some(Blame { class, kind })
}

#[cfg(test)]
mod tests;
