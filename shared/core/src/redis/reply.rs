//! What Redis answers, as values and typed errors.

use super::frames::{DecodeError, MAX_DEPTH, Piece, next};

/// How many values one answer may hold: 1 MiB of empty arrays would become 16 MiB here.
const MAX_VALUES: usize = 65_536;

/// How much of an error's first word is kept.
const MAX_CODE: usize = 32;

/// A reply that is no error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A status, such as `OK`.
    Simple(Vec<u8>),
    /// A number.
    Integer(i64),
    /// Bytes.
    Bulk(Vec<u8>),
    /// Nothing there.
    Nil,
    /// Several, each of which may be an error of its own.
    Array(Vec<Result<Self, RedisError>>),
}

impl Reply {
    /// A number: an integer, or text that spells one.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Simple(text) | Self::Bulk(text) => std::str::from_utf8(text).ok()?.parse().ok(),
            Self::Nil | Self::Array(_) => None,
        }
    }

    /// The bytes of a status or a bulk string.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Simple(text) | Self::Bulk(text) => Some(text),
            Self::Integer(_) | Self::Nil | Self::Array(_) => None,
        }
    }

    /// The elements of an array.
    #[must_use]
    pub fn array(&self) -> Option<&[Result<Self, RedisError>]> {
        match self {
            Self::Array(elements) => Some(elements),
            _ => None,
        }
    }
}

/// Why Redis, or Envoy's `redis_proxy` in its name, did not do as it was told. Holds no data: an error's text may
/// quote keys and values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedisError {
    /// `NOSCRIPT`: it does not know the digest.
    #[error("the script is unknown")]
    NoScript,
    /// `OOM`: `maxmemory` is reached.
    #[error("redis is full")]
    OutOfMemory,
    /// `NOAUTH`, `WRONGPASS`, `NOPERM`, a long command before logging in: user name or password are wrong or missing, or
    /// the user may not do this.
    #[error("redis refuses the credentials")]
    Auth,
    /// `READONLY`: this is a replica.
    #[error("redis is a read-only replica")]
    ReadOnly,
    /// `LOADING`: it is starting.
    #[error("redis is loading its data")]
    Loading,
    /// `BUSY`: a script of somebody's runs too long.
    #[error("redis is busy with a script")]
    Busy,
    /// `CLUSTERDOWN`, `MASTERDOWN`: the part that holds the key is down.
    #[error("the redis cluster is down")]
    ClusterDown,
    /// `MOVED`, `ASK`, `TRYAGAIN`: another node of a cluster holds the key, and nobody follows there.
    #[error("the key is on another node of the redis cluster")]
    Moved,
    /// `CROSSSLOT`: the keys of one command are on different nodes of a cluster.
    #[error("the keys are in different hash slots")]
    CrossSlot,
    /// Envoy's own errors: there is no Redis, it does not answer, or what it says is not RESP.
    #[error("redis cannot be reached")]
    NotReachable,
    /// Any other, by the first word of its text, such as `WRONGTYPE`.
    #[error("redis answers {0}")]
    Other(String),
}

impl RedisError {
    /// Reads an error's text.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        match inner_code(&text).unwrap_or_else(|| text.split(' ').next().unwrap_or_default()) {
            "NOSCRIPT" => Self::NoScript,
            "OOM" => Self::OutOfMemory,
            "NOAUTH" | "WRONGPASS" | "NOPERM" => Self::Auth,
            "READONLY" => Self::ReadOnly,
            "LOADING" => Self::Loading,
            "BUSY" => Self::Busy,
            "CLUSTERDOWN" | "MASTERDOWN" => Self::ClusterDown,
            "MOVED" | "ASK" | "TRYAGAIN" => Self::Moved,
            "CROSSSLOT" => Self::CrossSlot,
            _ if is_envoys(&text) => Self::NotReachable,
            _ if text.starts_with(UNAUTHENTICATED) => Self::Auth,
            code if is_code(code) => Self::Other(code.to_owned()),
            _ => Self::Other("ERR".to_owned()),
        }
    }

    /// Whether Redis is of no use at present, rather than the command wrong.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        !matches!(self, Self::NoScript | Self::CrossSlot | Self::Other(_))
    }

    /// Its name in metrics, one of a fixed set.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NoScript => "no_script",
            Self::OutOfMemory => "out_of_memory",
            Self::Auth => "auth",
            Self::ReadOnly => "read_only",
            Self::Loading => "loading",
            Self::Busy => "busy",
            Self::ClusterDown => "cluster_down",
            Self::Moved => "moved",
            Self::CrossSlot => "cross_slot",
            Self::NotReachable => "not_reachable",
            Self::Other(_) => "other",
        }
    }
}

/// What a client that has not logged in gets for a command of more than ten words, as calls of scripts are, instead of
/// `NOAUTH`: <https://github.com/redis/redis/blob/7.0.15/src/networking.c#L2194>
const UNAUTHENTICATED: &str = "ERR Protocol error: unauthenticated ";

/// Redis before version 7 wraps an error of a command that a script calls:
/// `ERR Error running script (call to f_…): @user_script:1: @user_script: 1: -OOM command not allowed …`.
fn inner_code(text: &str) -> Option<&str> {
    let (_, inner) = text.strip_prefix("ERR Error running script")?.split_once(": -")?;
    inner.split(' ').next()
}

/// <https://github.com/envoyproxy/envoy/blob/v1.40.0/source/extensions/filters/network/redis_proxy/command_splitter.h>
fn is_envoys(text: &str) -> bool {
    const TEXTS: [&str; 4] =
        ["upstream failure", "no upstream host", "upstream protocol error", "downstream protocol error"];
    TEXTS.contains(&text) || text.starts_with("finished with ")
}

fn is_code(word: &str) -> bool {
    (1..=MAX_CODE).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

/// Reads exactly `count` replies.
///
/// # Errors
/// The bytes are something else; `TooDeep` and `TooMany` where they would take too much memory.
pub fn decode(bytes: &[u8], count: usize) -> Result<Vec<Result<Reply, RedisError>>, DecodeError> {
    let mut reader = Reader { rest: bytes, values: 0 };
    let replies = reader.replies(count, 0)?;
    if reader.rest.is_empty() { Ok(replies) } else { Err(DecodeError::Trailing) }
}

struct Reader<'a> {
    rest: &'a [u8],
    values: usize,
}

impl Reader<'_> {
    fn replies(&mut self, count: usize, depth: usize) -> Result<Vec<Result<Reply, RedisError>>, DecodeError> {
        self.values = self.values.saturating_add(count);
        if self.values > MAX_VALUES {
            return Err(DecodeError::TooMany);
        }
        (0..count).map(|_| self.reply(depth)).collect()
    }

    fn reply(&mut self, depth: usize) -> Result<Result<Reply, RedisError>, DecodeError> {
        Ok(Ok(match next(&mut self.rest)? {
            Piece::Error(text) => return Ok(Err(RedisError::parse(text))),
            Piece::Simple(text) => Reply::Simple(text.to_vec()),
            Piece::Integer(number) => Reply::Integer(number),
            Piece::Bulk(bytes) => Reply::Bulk(bytes.to_vec()),
            Piece::Nil => Reply::Nil,
            Piece::Array(_) if depth == MAX_DEPTH => return Err(DecodeError::TooDeep),
            Piece::Array(count) => Reply::Array(self.replies(count, depth.saturating_add(1))?),
        }))
    }
}
