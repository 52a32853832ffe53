//! Requests to a gateway that keeps answers, and what its answers, records and counters tell of that.

use std::net::SocketAddr;

use serde_json::Value;

use crate::bed;
use crate::client::{self, Connection, Reply};
use crate::gateway::Gateway;
use crate::wait;

/// Where chats are posted to.
pub const CHAT: &str = "/v1/chat/completions";

/// The header of JSON.
pub const JSON: (&str, &str) = ("content-type", "application/json");

/// A chat request of `test` with further members.
#[must_use]
pub fn body(test: &str, members: &Value) -> Value {
    let mut body = bed::chat_body(test);
    for (name, value) in members.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    body
}

/// One request with all that tells requests apart, but for its body: who sends it, where to, with which headers.
#[derive(Clone)]
pub struct Caller<'a> {
    /// The gateway.
    pub gateway: &'a Gateway,
    /// Path with query.
    pub path: &'a str,
    /// Headers, those of the caller's key among them.
    pub headers: Vec<(String, String)>,
}

impl<'a> Caller<'a> {
    /// Somebody without a key who posts chats.
    #[must_use]
    pub fn nobody(gateway: &'a Gateway) -> Self {
        Self { gateway, path: CHAT, headers: vec![(JSON.0.to_owned(), JSON.1.to_owned())] }
    }

    /// The consumer whose key is `sk-<name>`.
    #[must_use]
    pub fn named(gateway: &'a Gateway, name: &str) -> Self {
        Self::nobody(gateway).with("authorization", &format!("Bearer sk-{name}"))
    }

    /// The same with one more header.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same with another path.
    #[must_use]
    pub const fn at(mut self, path: &'a str) -> Self {
        self.path = path;
        self
    }

    /// The request as it stands on the wire.
    #[must_use]
    pub fn request(&self, body: &str) -> Vec<u8> {
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        client::request("POST", self.path, &headers, body.as_bytes())
    }

    /// Sends `body` over a connection of its own.
    #[track_caller]
    pub fn send(&self, body: &str) -> Reply {
        let mut client = Connection::open(self.gateway.address()).expect("the gateway listens");
        client.write(&self.request(body)).expect("a request");
        client.read().expect("an answer")
    }

    /// Sends `body`, whose model nobody else asks for at this moment. If a provider was asked, waits for the record, the
    /// second result: then all that the request leaves behind is there. Of a hit it is null.
    #[track_caller]
    pub fn ask(&self, body: &Value) -> (Reply, Value) {
        let model = body["model"].as_str().expect("a model").to_owned();
        let asked = || {
            let records = records(self.gateway, &model).into_iter();
            records.filter(|record| !record["cache"].as_str().is_some_and(|label| label.starts_with("hit")))
        };
        let before = asked().count();
        let reply = self.send(&body.to_string());
        if label(&reply).starts_with("hit") {
            return (reply, Value::Null);
        }
        let record = wait::until(&format!("a record of {model}"), || asked().nth(before));
        (reply, record)
    }
}

/// What the answer says of the cache; `none` if nothing.
#[must_use]
pub fn label(reply: &Reply) -> &str {
    reply.header("x-ai-cache").unwrap_or("none")
}

/// The records of posted requests to `model` so far. Only lines that name it are parsed.
#[must_use]
pub fn records(gateway: &Gateway, model: &str) -> Vec<Value> {
    let named = format!("\"model\":\"{model}\"");
    let text = gateway.access_text();
    let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n') && line.contains(&named));
    let records = lines.map(|line| serde_json::from_str::<Value>(line).expect("JSON")["ai_log"].clone());
    records.filter(|record| record["method"] == "POST").collect()
}

/// Waits for `count` records of requests to `model`.
#[track_caller]
pub fn wait_records(gateway: &Gateway, model: &str, count: usize) -> Vec<Value> {
    wait::until(&format!("{count} records of {model}"), || {
        Some(records(gateway, model)).filter(|records| records.len() >= count)
    })
}

/// A counter of the filters, 0 before it has counted.
#[must_use]
#[track_caller]
pub fn counter(gateway: &Gateway, name: &str) -> u64 {
    gateway.counter(name)
}

/// Answers to `bodies`, all sent at the same moment, each over a connection of its own.
#[track_caller]
pub fn at_once(address: SocketAddr, requests: &[Vec<u8>]) -> Vec<Reply> {
    let start = std::sync::Barrier::new(requests.len());
    let ask = &|request: &[u8]| {
        let mut client = Connection::open(address).expect("the gateway listens");
        start.wait();
        client.write(request).expect("a request");
        client.read().expect("an answer")
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = requests.iter().map(|request| scope.spawn(move || ask(request))).collect();
        threads.into_iter().map(|thread| thread.join().expect("an answer")).collect()
    })
}
