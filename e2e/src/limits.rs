//! Requests whose tokens are known beforehand, and how the limits of a gateway stand.

use std::io;
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::client::{self, Connection, Reply};
use crate::wait;
use crate::wire::Framing;

/// Input tokens of every request, as the scripted provider reports them and as the gateway estimates [`body`].
pub const INPUT: u64 = 11;

/// Output tokens of every answer, unless its script says otherwise.
pub const OUTPUT: u64 = 5;

/// Tokens that a request costs in all.
pub const TOKENS: u64 = INPUT + OUTPUT;

const CHAT: &str = "/v1/chat/completions";
const JSON: (&str, &str) = ("content-type", "application/json");

/// A chat request of which everything is estimated right: `max_tokens` is what the answer has, and the text is as long
/// as the input that the provider reports.
#[must_use]
pub fn body(model: &str) -> Value {
    let content = "x".repeat(40); // with the role 44 bytes: 11 tokens
    json!({"model": model, "max_tokens": OUTPUT, "messages": [{"role": "user", "content": content}]})
}

/// A request with further members, those of [`body`] among them where they are not given.
#[must_use]
pub fn body_with(model: &str, members: &Value) -> Value {
    let mut body = body(model);
    for (name, value) in members.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    body
}

/// Posts a chat completion with further headers.
#[track_caller]
pub fn chat(address: SocketAddr, headers: &[(&str, &str)], body: &Value) -> Reply {
    let headers = [&[JSON], headers].concat();
    client::send(address, "POST", CHAT, &headers, body.to_string().as_bytes())
}

/// Answers to `count` requests that are sent at the same moment, each over a connection of its own.
#[track_caller]
pub fn at_once(address: SocketAddr, count: usize, body: impl Fn(usize) -> Value + Sync) -> Vec<Reply> {
    let start = std::sync::Barrier::new(count);
    let ask = &|n: usize| {
        let mut client = Connection::open(address).expect("the gateway listens");
        let request = client::request("POST", CHAT, &[JSON], body(n).to_string().as_bytes());
        start.wait();
        client.write(&request).expect("a request");
        client.read().expect("an answer")
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|n| scope.spawn(move || ask(n))).collect();
        threads.into_iter().map(|thread| thread.join().expect("an answer")).collect()
    })
}

/// How many of `replies` have `status`.
#[must_use]
pub fn count(replies: &[Reply], status: u16) -> usize {
    replies.iter().filter(|reply| reply.status == status).count()
}

/// What `GET /v1/limits` shows to a caller with `headers` of a request to `model`.
#[track_caller]
pub fn shown(address: SocketAddr, headers: &[(&str, &str)], model: &str) -> Vec<Value> {
    let reply = client::send(address, "GET", &format!("/v1/limits?model={model}"), headers, b"");
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["limits"].as_array().expect("limits").clone()
}

/// How the limit called `name` stands for such a caller.
#[track_caller]
pub fn standing(address: SocketAddr, headers: &[(&str, &str)], model: &str, name: &str) -> Value {
    let shown = shown(address, headers, model);
    let found = shown.iter().find(|limit| limit["name"] == name);
    found.unwrap_or_else(|| panic!("no limit {name:?} in {shown:?}")).clone()
}

/// What is used of that limit once nothing is held any more.
#[track_caller]
pub fn used(address: SocketAddr, headers: &[(&str, &str)], model: &str, name: &str) -> Value {
    wait::until("every reservation to be settled", || {
        let standing = standing(address, headers, model, name);
        (standing["held"] == 0).then(|| standing["used"].clone())
    })
}

/// A stream of which the client has not read all.
pub struct Running {
    client: Connection,
    framing: Framing,
    got: Vec<u8>,
}

impl Running {
    /// Asks for a stream and reads its head, which must be a 200.
    #[must_use]
    #[track_caller]
    pub fn begin(address: SocketAddr, headers: &[(&str, &str)], body: &Value) -> Self {
        Self::begin_over(Connection::open(address).expect("the gateway listens"), headers, body)
    }

    /// As [`Self::begin`], over this connection.
    #[must_use]
    #[track_caller]
    pub fn begin_over(mut client: Connection, headers: &[(&str, &str)], body: &Value) -> Self {
        let mut body = body.clone();
        body["stream"] = json!(true);
        let headers = [&[JSON], headers].concat();
        let request = client::request("POST", CHAT, &headers, body.to_string().as_bytes());
        client.write(&request).expect("a request");
        let head = client.read_head().expect("a head");
        assert!(head.start.contains(" 200 "), "{head:?}");
        Self { client, framing: head.framing(true), got: Vec::new() }
    }

    /// Reads until `text` has come so many times.
    #[track_caller]
    pub fn read_until(&mut self, text: &str, times: usize) {
        while self.text().matches(text).count() < times {
            let piece = self.piece().expect("a stream").expect("no end yet");
            self.got.extend(piece);
        }
    }

    /// Reads to the end.
    #[track_caller]
    pub fn finish(mut self) -> String {
        while let Some(piece) = self.piece().expect("a stream that ends") {
            self.got.extend(piece);
        }
        self.text()
    }

    /// Reads to the end, or to where it breaks off.
    #[must_use]
    pub fn finish_anyhow(mut self) -> String {
        while let Ok(Some(piece)) = self.piece() {
            self.got.extend(piece);
        }
        self.text()
    }

    /// Goes away in mid-stream.
    pub fn leave(self) {
        self.client.abort();
    }

    /// What has come so far.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.got).into_owned()
    }

    fn piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.client.read_piece(&mut self.framing)
    }
}
