//! `redis-bridge`: lets HTTP callouts speak to Redis. A network filter in front of Envoy's `redis_proxy`.
//!
//! Reads    the bytes of a connection: HTTP/1.1 requests whose bodies are Redis commands (RESP2), one at a time.
//! Writes   the commands alone, one way; the other way their replies, all in one HTTP response.
//! Replies  200 with the replies; 400, 411, 431 to what is no such request, 413 to more than `max_request_bytes`; 502 to replies that are not RESP2,
//!          507 to replies of more than `max_reply_bytes`. All but 200 close the connection.
//! Config   `{"max_request_bytes": 1048576, "max_reply_bytes": 1048576}`
//! Source   <https://redis.io/docs/latest/develop/reference/protocol-spec/>, RFC 9112,
//!          <https://www.envoyproxy.io/docs/envoy/v1.40.0/configuration/listeners/network_filters/redis_proxy_filter>

mod config;
mod request;
mod response;

use std::rc::Rc;

use sluice_core::config::Env;
use sluice_core::filter::{Host, Level};
use sluice_core::metric::Family;
use sluice_core::network::{NetworkFilter, Onward, Way};

pub use crate::config::Config;
use crate::request::{Inbox, Refusal};
use crate::response::{NUDGE, Outbox, Problem};

sluice_host::register!(network: RedisBridge);

/// One connection: one request at a time, any number after each other.
pub struct RedisBridge {
    config: Rc<Config>,
    state: State,
}

enum State {
    Reading(Inbox),
    Waiting(Outbox),
    Refusing(Refusal), // nudged
    Over,
}

impl NetworkFilter for RedisBridge {
    const NAME: &'static str = "redis-bridge";
    const METRICS: &'static [Family] = &[
        Family::counter("redis_bridge_refused_total", &[]),
        Family::counter("redis_bridge_dropped_total", &[]),
    ];

    type Raw = Config;
    type Config = Config;

    fn check(raw: Config, _env: &Env<'_>) -> Result<Config, String> {
        raw.checked()
    }

    fn new(config: Rc<Config>) -> Self {
        let state = State::Reading(Inbox::new(config.max_request_bytes));
        Self { config, state }
    }

    fn on_bytes(&mut self, host: &mut dyn Host, way: Way, chunk: &[u8]) -> Onward {
        match way {
            Way::Out => self.on_request(host, chunk),
            Way::Back => self.on_reply(host, chunk),
        }
    }
}

impl RedisBridge {
    fn on_request(&mut self, host: &mut dyn Host, chunk: &[u8]) -> Onward {
        match &mut self.state {
            State::Reading(inbox) => match inbox.take(chunk) {
                Ok(None) => Onward::nothing(),
                Ok(Some(request)) => {
                    self.state = State::Waiting(Outbox::new(request.count, self.config.max_reply_bytes));
                    Onward::send(request.commands)
                }
                Err(refusal) => {
                    host.count("redis_bridge_refused_total", 1);
                    host.log(Level::Warn, &format!("refused: {refusal}"));
                    self.state = State::Refusing(refusal);
                    Onward::send(NUDGE.to_vec())
                }
            },
            // The rest of what is refused. Closing now could overtake the answer; whoever has it closes.
            State::Refusing(_) | State::Over => Onward::nothing(),
            // Nobody sends more before the answer.
            State::Waiting(_) => self.close(),
        }
    }

    fn on_reply(&mut self, host: &mut dyn Host, chunk: &[u8]) -> Onward {
        match &mut self.state {
            State::Waiting(outbox) => match outbox.take(chunk) {
                Ok(None) => Onward::nothing(),
                Ok(Some(response)) => {
                    self.state = State::Reading(Inbox::new(self.config.max_request_bytes));
                    Onward::send(response)
                }
                Err(problem) => self.give_up(host, problem),
            },
            State::Refusing(refusal) => {
                let answer = response::last(refusal.status(), &refusal.to_string());
                self.state = State::Over;
                Onward::send(answer)
            }
            State::Over => Onward::nothing(),
            State::Reading(_) => self.close(),
        }
    }

    fn give_up(&mut self, host: &mut dyn Host, problem: Problem) -> Onward {
        host.count("redis_bridge_dropped_total", 1);
        host.log(Level::Warn, &format!("replies dropped: {problem}"));
        self.state = State::Over;
        Onward::send(response::last(problem.status(), &problem.to_string()))
    }

    fn close(&mut self) -> Onward {
        self.state = State::Over;
        Onward::close()
    }
}

#[cfg(test)]
mod tests;
