//! A Redis client for one worker over callouts to `redis-bridge`: pipelined, with deadlines and a circuit breaker.
//!
//! Stock proxy-wasm has no Redis call. A callout's body holds commands, its answer's body their replies (RESP2,
//! <https://redis.io/docs/latest/develop/reference/protocol-spec/>); `redis-bridge` takes the HTTP off and Envoy's
//! `redis_proxy` brings connections, AUTH, TLS and Redis Cluster.

mod call;
mod command;
mod detached;
mod frames;
mod pending;
mod reply;
mod token;
mod unavailable;

pub use self::call::{Call, Options, Outcome, Redis, Replies};
pub use self::command::{Command, Script};
pub use self::detached::{Unsent, read_detached};
pub use self::frames::{DecodeError, Frames, Progress, command_names};
pub use self::pending::{BREAKER_OPENED, CALL_MS, CALLS, FAILURES};
pub use self::reply::{RedisError, Reply, decode};
pub use self::token::Tokens;
pub use self::unavailable::Unavailable;

#[cfg(test)]
mod tests;
