//! `GET /cache` and `DELETE /cache`, for `sluice cache` on the operators' listener.

use std::rc::Rc;

use percent_encoding::percent_decode_str;
use serde_json::json;
use sluice_core::filter::{CalloutError, CalloutId, CalloutReply, Host, Next, Side};
use sluice_core::openai::error::{Code, LocalReply};
use sluice_core::redis::{Call, Reply};

use crate::ResponseCache;
use crate::config::Store;
use crate::phase::Phase;
use crate::store::clear::{Clear, tag};
use crate::worker::{Answer, Worker};

/// How often the rules in Redis are read again because somebody else has changed them.
const TRIES: u32 = 10;

/// Something to be cleared in Redis: the rules are read, then changed if nobody else has.
#[derive(Debug)]
pub(crate) struct Order {
    clear: Clear,
    call: Call,
    /// The change is under way, else the reading.
    changing: bool,
    tries: u32,
}

impl ResponseCache {
    /// Answers an operator.
    pub(crate) fn operate(&mut self, host: &mut dyn Host) -> Next {
        let headers = host.headers(Side::Request);
        let path = headers.text(":path").unwrap_or_default();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        match (headers.text(":method"), path) {
            (Some("GET"), "/cache") => self.stats(host),
            (Some("DELETE"), "/cache") => match rule(query) {
                Some(clear) => self.clear(host, clear),
                None => not_found("Only `consumer` and `model`, each once, name what is to be cleared."),
            },
            _ => not_found("Only GET and DELETE of /cache are answered here."),
        }
    }

    fn stats(&self, host: &dyn Host) -> Next {
        let stats = match &self.config.store {
            Store::Memory(memory) => {
                let stats = memory.stats(host);
                json!({"store": "memory", "entries": stats.entries, "bytes": stats.bytes,
                       "capacity_bytes": stats.capacity_bytes})
            }
            // what Redis holds is not ours alone to count
            Store::Redis(_) => {
                json!({"store": "redis", "entries": null, "bytes": null, "capacity_bytes": null})
            }
        };
        Next::Reply(LocalReply::json(stats.to_string()))
    }

    fn clear(&mut self, host: &mut dyn Host, clear: Clear) -> Next {
        let config = Rc::clone(&self.config);
        match &config.store {
            Store::Memory(memory) => outcome(memory.clear(host, clear)),
            Store::Redis(worker) => self.read_rules(host, worker, clear, 1),
        }
    }

    fn read_rules(&mut self, host: &mut dyn Host, worker: &Worker, clear: Clear, tries: u32) -> Next {
        match worker.ask_clears(host) {
            Ok(call) => self.wait_for(Order { clear, call, changing: false, tries }),
            Err(_) => outcome(false),
        }
    }

    fn wait_for(&mut self, order: Order) -> Next {
        self.phase = Phase::Operating(order);
        Next::Wait
    }

    /// Redis has answered to a step of `order`.
    pub(crate) fn obeyed(
        &mut self,
        host: &mut dyn Host,
        order: Order,
        id: CalloutId,
        reply: Result<CalloutReply, CalloutError>,
    ) -> Next {
        let config = Rc::clone(&self.config);
        let Some(worker) = config.redis() else { return outcome(false) };
        if order.call.id() != id {
            return self.wait_for(order);
        }
        let Order { clear, call, changing, tries } = order;
        match Answer::read(host, call, reply) {
            Answer::Again(call) => self.wait_for(Order { clear, call, changing, tries }),
            Answer::Reply(Reply::Integer(1)) if changing => outcome(true),
            Answer::Reply(Reply::Integer(0)) if changing && tries < TRIES => {
                self.read_rules(host, worker, clear, tries.saturating_add(1))
            }
            Answer::Reply(rules) if !changing => {
                match worker.add_clear(host, &rules, clear, self.config.ttl_ms) {
                    Ok(call) => self.wait_for(Order { clear, call, changing: true, tries }),
                    Err(_) => outcome(false),
                }
            }
            Answer::Reply(_) | Answer::Failed => outcome(false),
        }
    }
}

/// What a query names; `None` if it says anything else: a slip of the pen must not clear everything.
fn rule(query: &str) -> Option<Clear> {
    let mut clear = Clear::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=')?;
        let place = match name {
            "consumer" => &mut clear.consumer,
            "model" => &mut clear.model,
            _ => return None,
        };
        let value = percent_decode_str(value).decode_utf8().ok()?;
        if value.is_empty() || place.replace(tag(&value)).is_some() {
            return None;
        }
    }
    Some(clear)
}

fn outcome(done: bool) -> Next {
    if done {
        return Next::Reply(LocalReply::json(json!({"cleared": true}).to_string()));
    }
    let message = "The store does not answer: perhaps nothing was cleared. Try again.";
    Next::Reply(LocalReply::error(Code::UpstreamError, None, message))
}

fn not_found(message: &str) -> Next {
    Next::Reply(LocalReply::error(Code::NotFound, None, message))
}
