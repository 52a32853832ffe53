//! The closed set of errors that the gateway itself shows to a client.
//!
//! Shape: `{"error":{"message","type","param","code"}}`
//! (<https://platform.openai.com/docs/guides/error-codes/api-errors>); for Anthropic's Messages
//! `{"type":"error","error":{"type","message"}}` (<https://docs.anthropic.com/en/api/errors>).

use serde_json::{Value, json};

use crate::openai::Operation;

/// Header that tells an error of the gateway from one of a provider; its value is the code.
pub const ERROR_HEADER: &str = "x-sluice-error";

/// Every error code of the gateway, with its HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// 400: the body is not the JSON it must be; the message says where.
    InvalidJson,
    /// 400: no `model` in the request.
    MissingModel,
    /// 400: a body that is neither JSON nor a form.
    UnsupportedContentType,
    /// 401: the request names no key.
    MissingApiKey,
    /// 401: nobody's key, or a disabled consumer's.
    InvalidApiKey,
    /// 401: the key was good once.
    ExpiredApiKey,
    /// 401: two different keys in one request.
    AmbiguousApiKey,
    /// 403: the consumer may not call from this address.
    IpNotAllowed,
    /// 403: the consumer may not call this route.
    RouteNotAllowed,
    /// 403: the consumer may not use this model.
    ModelNotAllowed,
    /// 404: no rule matches the model.
    ModelNotFound,
    /// 404: no such endpoint.
    NotFound,
    /// 413: the body is over the configured size.
    RequestTooLarge,
    /// 429: a limit over a window of time; it frees by itself.
    RateLimitExceeded,
    /// 429: too many requests at the same time.
    ConcurrencyLimitExceeded,
    /// 429: a quota is used up; asking again does not help.
    InsufficientQuota,
    /// 400: a check forbids the prompt or its answer.
    ContentPolicyViolation,
    /// 503: the content cannot be checked, and the operator wants such requests refused.
    GuardUnavailable,
    /// 503: the limits cannot be checked, and the operator wants such requests refused.
    LimitsUnavailable,
    /// 502: every attempt failed.
    UpstreamError,
    /// 503: no provider could be tried.
    NoHealthyTarget,
    /// 504: the deadline passed.
    UpstreamTimeout,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 22] = [
        Self::InvalidJson,
        Self::MissingModel,
        Self::UnsupportedContentType,
        Self::MissingApiKey,
        Self::InvalidApiKey,
        Self::ExpiredApiKey,
        Self::AmbiguousApiKey,
        Self::IpNotAllowed,
        Self::RouteNotAllowed,
        Self::ModelNotAllowed,
        Self::ModelNotFound,
        Self::NotFound,
        Self::RequestTooLarge,
        Self::RateLimitExceeded,
        Self::ConcurrencyLimitExceeded,
        Self::InsufficientQuota,
        Self::ContentPolicyViolation,
        Self::GuardUnavailable,
        Self::LimitsUnavailable,
        Self::UpstreamError,
        Self::NoHealthyTarget,
        Self::UpstreamTimeout,
    ];

    /// The inverse of [`Self::name`].
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.name() == name)
    }

    /// The `code` member and the value of [`ERROR_HEADER`].
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::MissingModel => "missing_model",
            Self::UnsupportedContentType => "unsupported_content_type",
            Self::MissingApiKey => "missing_api_key",
            Self::InvalidApiKey => "invalid_api_key",
            Self::ExpiredApiKey => "expired_api_key",
            Self::AmbiguousApiKey => "ambiguous_api_key",
            Self::IpNotAllowed => "ip_not_allowed",
            Self::RouteNotAllowed => "route_not_allowed",
            Self::ModelNotAllowed => "model_not_allowed",
            Self::ModelNotFound => "model_not_found",
            Self::NotFound => "not_found",
            Self::RequestTooLarge => "request_too_large",
            Self::RateLimitExceeded => "rate_limit_exceeded",
            Self::ConcurrencyLimitExceeded => "concurrency_limit_exceeded",
            Self::InsufficientQuota => "insufficient_quota",
            Self::ContentPolicyViolation => "content_policy_violation",
            Self::GuardUnavailable => "guard_unavailable",
            Self::LimitsUnavailable => "limits_unavailable",
            Self::UpstreamError => "upstream_error",
            Self::NoHealthyTarget => "no_healthy_target",
            Self::UpstreamTimeout => "upstream_timeout",
        }
    }

    /// Whether it is that of an answer which the content checks keep from the client, though its provider has given it.
    #[must_use]
    pub const fn is_withholding(self) -> bool {
        matches!(self, Self::ContentPolicyViolation | Self::GuardUnavailable)
    }

    /// [`Self::is_withholding`] of the code called `name`.
    #[must_use]
    pub fn withholds(name: &str) -> bool {
        Self::named(name).is_some_and(Self::is_withholding)
    }

    /// HTTP status of the reply.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::InvalidJson
            | Self::MissingModel
            | Self::UnsupportedContentType
            | Self::ContentPolicyViolation => 400,
            Self::MissingApiKey | Self::InvalidApiKey | Self::ExpiredApiKey | Self::AmbiguousApiKey => 401,
            Self::IpNotAllowed | Self::RouteNotAllowed | Self::ModelNotAllowed => 403,
            Self::ModelNotFound | Self::NotFound => 404,
            Self::RequestTooLarge => 413,
            Self::RateLimitExceeded | Self::ConcurrencyLimitExceeded | Self::InsufficientQuota => 429,
            Self::UpstreamError => 502,
            Self::NoHealthyTarget | Self::LimitsUnavailable | Self::GuardUnavailable => 503,
            Self::UpstreamTimeout => 504,
        }
    }

    /// The `type` member.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::UpstreamError
            | Self::NoHealthyTarget
            | Self::UpstreamTimeout
            | Self::LimitsUnavailable
            | Self::GuardUnavailable => "server_error",
            Self::RateLimitExceeded | Self::ConcurrencyLimitExceeded => "rate_limit_error",
            Self::InsufficientQuota => "insufficient_quota",
            _ => "invalid_request_error",
        }
    }

    /// Whether asking again can never help; such a reply carries `x-should-retry: false`.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        self.status() < 500 && !matches!(self, Self::RateLimitExceeded | Self::ConcurrencyLimitExceeded)
    }

    /// The error object for a body or a stream's error event.
    #[must_use]
    pub fn body(self, param: Option<&str>, message: &str) -> String {
        let code = self.name();
        json!({"error": {"message": message, "type": self.kind(), "param": param, "code": code}}).to_string()
    }
}

/// The error event that ends a stream which cannot go on, in the protocol of its `operation`.
///
/// It opens with a blank line: the stream may have broken off within an event.
/// Shapes: OpenAI's SDKs raise on a `data` with an `error` member; Responses and Messages have an event of their
/// own (<https://platform.openai.com/docs/api-reference/responses-streaming/error>,
/// <https://docs.anthropic.com/en/docs/build-with-claude/streaming#error-events>).
#[must_use]
pub fn stream_event(operation: Operation, code: Code, message: &str) -> String {
    let name = code.name();
    match operation {
        Operation::Responses => {
            let event = json!({"type": "error", "code": name, "message": message, "param": null});
            format!("\n\nevent: error\ndata: {event}\n\n")
        }
        Operation::Messages => {
            let kind = messages_kind(code.status());
            let event = json!({"type": "error", "error": {"type": kind, "message": message}});
            format!("\n\nevent: error\ndata: {event}\n\n")
        }
        _ => format!("\n\ndata: {}\n\n", code.body(None, message)),
    }
}

/// Anthropic's `type` of an error with this status.
const fn messages_kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        400..500 => "invalid_request_error",
        _ => "api_error",
    }
}

/// A response made by the gateway itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalReply {
    /// HTTP status code.
    pub status: u16,
    /// Headers besides `:status` and `content-length`.
    pub headers: Vec<(&'static str, String)>,
    /// Whole body.
    pub body: String,
}

impl LocalReply {
    /// An error in OpenAI's shape; `param` names the request member at fault.
    #[must_use]
    pub fn error(code: Code, param: Option<&str>, message: &str) -> Self {
        let mut headers =
            vec![("content-type", "application/json".to_owned()), (ERROR_HEADER, code.name().to_owned())];
        if code.is_terminal() {
            headers.push(("x-should-retry", "false".to_owned()));
        }
        Self { status: code.status(), headers, body: code.body(param, message) }
    }

    /// The same error in the shape that clients of `operation` read.
    #[must_use]
    pub fn shaped(mut self, operation: Operation) -> Self {
        let is_error = self.headers.iter().any(|(name, _)| *name == ERROR_HEADER);
        if operation == Operation::Messages && is_error {
            let body: Value = serde_json::from_str(&self.body).unwrap_or_default();
            let message = body.pointer("/error/message").cloned().unwrap_or_default();
            let error = json!({"type": messages_kind(self.status), "message": message});
            self.body = json!({"type": "error", "error": error}).to_string();
        }
        self
    }

    /// A 200 with a JSON body.
    #[must_use]
    pub fn json(body: String) -> Self {
        Self { status: 200, headers: vec![("content-type", "application/json".to_owned())], body }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_is_found_by_its_name() {
        for (index, code) in Code::ALL.into_iter().enumerate() {
            assert_eq!(Code::ALL.iter().position(|other| *other == code), Some(index));
            assert_eq!(Code::named(code.name()), Some(code));
        }
        assert_eq!(Code::named("sideways"), None);
    }

    #[test]
    fn clients_of_messages_get_errors_in_their_own_shape() {
        for (code, want) in [
            (Code::InvalidJson, "invalid_request_error"),
            (Code::ExpiredApiKey, "authentication_error"),
            (Code::ModelNotAllowed, "permission_error"),
            (Code::ModelNotFound, "not_found_error"),
            (Code::RequestTooLarge, "request_too_large"),
            (Code::InsufficientQuota, "rate_limit_error"),
            (Code::LimitsUnavailable, "api_error"),
        ] {
            let reply = LocalReply::error(code, Some("model"), "No.");
            let shaped = reply.clone().shaped(Operation::Messages);
            let body: Value = serde_json::from_str(&shaped.body).unwrap();
            assert_eq!(body, json!({"type": "error", "error": {"type": want, "message": "No."}}));
            assert_eq!((shaped.status, &shaped.headers), (reply.status, &reply.headers));
            assert_eq!(reply.clone().shaped(Operation::Chat), reply);
        }
        let list = LocalReply::json("{}".to_owned());
        assert_eq!(list.clone().shaped(Operation::Messages), list);
    }

    #[test]
    fn an_event_names_the_same_kind_of_error_as_a_whole_answer() {
        for (code, want) in [
            (Code::ContentPolicyViolation, "invalid_request_error"),
            (Code::GuardUnavailable, "api_error"),
            (Code::UpstreamError, "api_error"),
        ] {
            let event = stream_event(Operation::Messages, code, "No.");
            assert!(event.contains(&format!("\"type\":\"{want}\"")), "{event}");
        }
    }

    #[test]
    fn only_what_frees_by_itself_may_be_asked_again() {
        let told = |code| {
            LocalReply::error(code, None, "").headers.contains(&("x-should-retry", "false".to_owned()))
        };
        for code in
            [Code::InvalidApiKey, Code::ModelNotAllowed, Code::InsufficientQuota, Code::RequestTooLarge]
        {
            assert!(told(code), "{code:?}");
        }
        for code in [Code::RateLimitExceeded, Code::ConcurrencyLimitExceeded, Code::LimitsUnavailable] {
            assert!(!told(code), "{code:?}");
        }
    }
}
