//! Why a call has no answer.

use super::reply::RedisError;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// Redis failed several times in a row; it is asked again soon.
    #[error("redis keeps failing and is left alone for now")]
    BreakerOpen,
    /// The callout could not be sent: there is no such cluster.
    #[error("the bridge to redis is not there")]
    NotSent,
    /// No answer in time.
    #[error("redis did not answer in time")]
    TimedOut,
    /// Every command met an outage; this is the first.
    #[error("no command succeeded: {0}")]
    Refused(#[source] RedisError),
    /// The replies are larger than the bridge passes on.
    #[error("the replies are too large")]
    ReplyTooLarge,
    /// The bridge refused the commands, or the answer is not their replies.
    #[error("the answer is not what was asked for")]
    Protocol,
}

impl Unavailable {
    /// Its name in metrics, one of a fixed set.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::BreakerOpen => "breaker_open",
            Self::NotSent => "not_sent",
            Self::TimedOut => "timed_out",
            Self::Refused(error) => error.kind(),
            Self::ReplyTooLarge => "reply_too_large",
            Self::Protocol => "protocol",
        }
    }

    /// Whether Redis or the way to it is at fault.
    pub(super) fn is_outage(&self) -> bool {
        !matches!(self, Self::BreakerOpen | Self::ReplyTooLarge)
    }
}
