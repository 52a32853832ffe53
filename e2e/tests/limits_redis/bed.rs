//! Gateways that count in a Redis, and what can be seen of what they count.

use std::net::SocketAddr;

use redis::Connection;
use serde_json::{Value, json};
use sluice_e2e::client::{self, Reply};
use sluice_e2e::gateway::Gateway;
use sluice_e2e::upstream::Upstream;
use sluice_e2e::wait;

/// What every answer of the provider is charged: 11 input and 5 output tokens.
pub(crate) const INPUT: u64 = 11;
pub(crate) const OUTPUT: u64 = 5;
pub(crate) const TOTAL: u64 = INPUT + OUTPUT;

/// Settings of a Redis that a busy machine may take its time to reach, and that is never done without.
pub(crate) const PATIENT: &str = "timeout: 5s, on_error: deny";

/// gateway.yaml: `gpt-*` at one provider, with further top-level `sections`.
pub(crate) fn yaml(provider: &Upstream, sections: &str) -> String {
    format!(
        "providers: {{a: {{url: \"{}\", keys: [sk-secret]}}}}
models: [{{match: \"gpt-*\", targets: [{{provider: a}}]}}]
retry: {{attempts: 1}}
{sections}\n",
        provider.url()
    )
}

/// The section `redis`.
pub(crate) fn redis(address: SocketAddr, settings: &str) -> String {
    format!("redis: {{url: \"redis://{address}\", {settings}}}\n")
}

/// A request that is estimated exactly in its output: the answer is as long as it allows.
pub(crate) fn chat(model: &str, members: &Value) -> Value {
    let mut body =
        json!({"model": model, "max_tokens": OUTPUT, "messages": [{"role": "user", "content": "hi"}]});
    for (name, value) in members.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    body
}

/// Reads the keys of one bucket: what is used, what is held, and how many leases have not expired.
const READ: &str = "
local used = 0
local slots = redis.call('HGET', KEYS[1], 'slots')
for _, amount in pairs(slots and cmsgpack.unpack(slots) or {}) do used = used + amount end
local time = redis.call('TIME')
local now = string.format('(%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
local leases = 0
for _, lease in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], now, '+inf')) do
  if not string.find(lease, ':late:') then leases = leases + 1 end
end
return {used, tonumber(redis.call('HGET', KEYS[1], 'held') or 0), leases}";

/// What Redis holds of a limit, all its buckets together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    pub(crate) used: u64,
    pub(crate) held: u64,
    /// That have not expired.
    pub(crate) leases: u64,
}

impl Ledger {
    pub(crate) fn settled(used: u64) -> Self {
        Self { used, ..Self::default() }
    }

    /// Reads all buckets of a limit as they stand.
    #[track_caller]
    pub(crate) fn read(redis: &mut Connection, limit: &str) -> Self {
        Self::tagged(redis, "*", limit)
    }

    /// Reads the buckets of a limit whose keys have this hash tag.
    #[track_caller]
    pub(crate) fn tagged(redis: &mut Connection, tag: &str, limit: &str) -> Self {
        let pattern = format!("sluice:{{{tag}}}:{limit}-*");
        let keys: Vec<String> = redis::cmd("KEYS").arg(pattern).query(redis).expect("keys");
        let mut ledger = Self::default();
        for key in keys.iter().filter(|key| !key.ends_with(":leases")) {
            let mut read = redis::cmd("EVAL_RO");
            read.arg(READ).arg(2).arg(key).arg(format!("{key}:leases"));
            let (used, held, leases): (u64, u64, u64) = read.query(redis).expect("a ledger");
            ledger.used += used;
            ledger.held += held;
            ledger.leases += leases;
        }
        ledger
    }

    /// Waits until the ledger is this.
    #[track_caller]
    pub(crate) fn becomes(self, redis: &mut Connection, limit: &str) {
        let mut last = Self::default();
        let found = wait::poll(wait::PATIENCE, || {
            last = Self::read(redis, limit);
            (last == self).then_some(())
        });
        assert!(found.is_some(), "{limit}: {last:?}, and never {self:?}");
    }
}

/// A limit as `GET /v1/limits` shows it to the caller with `key`: used, held.
#[track_caller]
pub(crate) fn shown(gateway: &Gateway, key: &str, limit: &str) -> (u64, u64) {
    let authorization = format!("Bearer {key}");
    let headers = [("authorization", authorization.as_str())];
    let reply = client::send(gateway.address(), "GET", "/v1/limits?model=gpt-any", &headers, b"");
    assert_eq!(reply.status, 200, "{}", reply.text());
    let limits = reply.json()["limits"].clone();
    let mut limits = limits.as_array().into_iter().flatten();
    let shown = limits.find(|shown| shown["name"] == limit).unwrap_or_else(|| panic!("{}", reply.text()));
    (shown["used"].as_u64().expect("a number"), shown["held"].as_u64().expect("a number"))
}

/// A counter of the filters, 0 if it has not counted yet.
#[track_caller]
pub(crate) fn counter(gateway: &Gateway, name: &str) -> u64 {
    gateway.counter(name)
}

/// Waits for the records of `count` requests to `model`: what the limits decided on each.
#[track_caller]
pub(crate) fn decisions(gateway: &Gateway, model: &str, count: usize) -> Vec<String> {
    wait::until(&format!("{count} records of {model}"), || {
        let log = gateway.access_log();
        let mine = log.iter().map(|line| &line["ai_log"]).filter(|record| record["model"] == model);
        let decisions: Vec<String> =
            mine.map(|record| record["limit"].as_str().unwrap_or_default().to_owned()).collect();
        (decisions.len() >= count).then_some(decisions)
    })
}

/// Asks with a key of the caller's.
#[track_caller]
pub(crate) fn ask_as(gateway: &Gateway, key: &str, body: &Value) -> Reply {
    let authorization = format!("Bearer {key}");
    let headers = [("content-type", "application/json"), ("authorization", authorization.as_str())];
    client::send(gateway.address(), "POST", CHAT, &headers, body.to_string().as_bytes())
}

/// Where chats are posted to.
pub(crate) const CHAT: &str = "/v1/chat/completions";

/// A stream that has begun: its head and first content have come.
pub(crate) struct Stream {
    connection: client::Connection,
    framing: sluice_e2e::wire::Framing,
    text: Vec<u8>,
}

impl Stream {
    #[track_caller]
    pub(crate) fn begin(gateway: &Gateway, model: &str, script: &Value) -> Self {
        let body = chat(model, &json!({"stream": true, "x_mock": {"a": script}})).to_string();
        let mut connection = client::Connection::open(gateway.address()).expect("the gateway listens");
        let headers = [("content-type", "application/json")];
        connection.write(&client::request("POST", CHAT, &headers, body.as_bytes())).expect("a connection");
        let head = connection.read_head().expect("an answer");
        assert!(head.start.contains(" 200 "), "{}", head.start);
        let framing = head.framing(true);
        Self { connection, framing, text: Vec::new() }
    }

    /// Reads to the clean end of the stream.
    #[track_caller]
    pub(crate) fn end(mut self) {
        while let Some(piece) = self.connection.read_piece(&mut self.framing).expect("no break") {
            self.text.extend_from_slice(&piece);
        }
        let text = String::from_utf8_lossy(&self.text);
        assert!(text.trim_end().ends_with("data: [DONE]"), "{text}");
    }

    /// Leaves, as a client that was killed.
    pub(crate) fn abort(self) {
        self.connection.abort();
    }
}
