//! Clients of one worker, each with what a stream has of its own, over one configuration and one store.

use std::rc::Rc;

use serde_json::{Value, json};
use sluice_core::context::{self, Fact};
use sluice_core::filter::{CalloutError, CalloutId, CalloutReply, Filter as _, Next};
use sluice_core::testing::{FakeHost, SentCallout};

use crate::{Config, ResponseCache};

/// A worker.
pub(super) struct Bed {
    pub(super) host: FakeHost,
    pub(super) config: Rc<Config>,
    clients: u64,
}

/// One request of a client, and what the gateway did with it.
pub(super) struct Client {
    filter: ResponseCache,
    own: FakeHost,
    /// What became of the request at last.
    pub(super) next: Next,
    /// What the client has got of a provider's answer.
    pub(super) got: Vec<u8>,
}

pub(super) fn config(raw: Value) -> Rc<Config> {
    Rc::new(serde_json::from_value::<crate::RawConfig>(raw).unwrap().try_into().unwrap())
}

/// A question, as a client asks it.
pub(super) fn question(text: &str) -> Value {
    json!({"model": "gpt-4o", "messages": [{"role": "user", "content": text}]})
}

/// The same, as a stream.
pub(super) fn streamed(text: &str) -> Value {
    let mut question = question(text);
    question["stream"] = json!(true);
    question
}

/// A provider's whole answer.
pub(super) fn document(text: &str) -> String {
    json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-2024-08-06",
           "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
           "usage": {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}})
    .to_string()
}

/// A provider's stream, with the usage that provider-adapter has asked for.
pub(super) fn stream(words: &[&str]) -> String {
    let event = |delta: Value, finish: Value| {
        let data = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "usage": null});
        format!("data: {data}\n\n")
    };
    let mut out = event(json!({"role": "assistant", "content": ""}), Value::Null);
    out.extend(words.iter().map(|word| event(json!({"content": word}), Value::Null)));
    out.push_str(&event(json!({}), json!("stop")));
    let usage = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o",
        "choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}});
    out.push_str(&format!("data: {usage}\n\ndata: [DONE]\n\n"));
    out
}

impl Bed {
    pub(super) fn new(raw: Value) -> Self {
        let host = FakeHost { now_ns: 1_700_000_000_000_000_000, ..FakeHost::default() };
        Self { host, config: config(raw), clients: 0 }
    }

    pub(super) fn default() -> Self {
        Self::new(json!({}))
    }

    /// The client's own reply comes by, as Envoy shows it, and is left as it is; then its exchange is over.
    pub(super) fn replayed(&mut self, client: &mut Client) {
        let Next::Reply(reply) = &client.next else { panic!("no reply: {:?}", client.next) };
        let headers: Vec<_> = reply.headers.iter().map(|(name, value)| (*name, value.clone())).collect();
        let next = self.on(client, |filter, host| {
            let headers = headers.iter().map(|(name, value)| (*name, value.as_str()));
            host.respond(&std::iter::once((":status", "200")).chain(headers.clone()).collect::<Vec<_>>());
            let before = host.response.clone();
            let next = filter.on_response_headers(host, false);
            assert_eq!(host.response, before);
            filter.on_done(host);
            next
        });
        assert_eq!(next, Next::Pass);
    }

    /// Runs `act` as a callback of the client's stream.
    pub(super) fn on<R>(
        &mut self,
        client: &mut Client,
        act: impl FnOnce(&mut ResponseCache, &mut FakeHost) -> R,
    ) -> R {
        self.swap(client);
        let result = act(&mut client.filter, &mut self.host);
        self.swap(client);
        result
    }

    fn swap(&mut self, client: &mut Client) {
        use std::mem::swap;
        let (host, own) = (&mut self.host, &mut client.own);
        swap(&mut host.request, &mut own.request);
        swap(&mut host.response, &mut own.response);
        swap(&mut host.response_body, &mut own.response_body);
        swap(&mut host.facts, &mut own.facts);
        swap(&mut host.wake_after, &mut own.wake_after);
        swap(&mut host.stream, &mut own.stream);
    }

    /// The usual question, of a request with these facts; an empty one is absent.
    pub(super) fn send_as(&mut self, facts: &[(Fact, &str)], more: Option<(Fact, &str)>) -> Client {
        let facts: Vec<_> = facts.iter().copied().chain(more).collect();
        let headers = [("openai-beta", "a")];
        self.begin("ann", &headers, &facts, question("hi").to_string().as_bytes())
    }

    /// The usual question of `consumer` to `model`.
    pub(super) fn send_of(&mut self, consumer: &str, model: &str) -> Client {
        let mut question = question("hi");
        question["model"] = json!(model);
        self.begin(consumer, &[], &[(context::MODEL, model)], question.to_string().as_bytes())
    }

    /// A request with these headers beside the usual ones, of `consumer`.
    pub(super) fn send(&mut self, consumer: &str, headers: &[(&str, &str)], body: &[u8]) -> Client {
        self.begin(consumer, headers, &[], body)
    }

    fn begin(
        &mut self,
        consumer: &str,
        headers: &[(&str, &str)],
        facts: &[(Fact, &str)],
        body: &[u8],
    ) -> Client {
        self.clients = self.clients.saturating_add(1);
        let mut all = vec![
            (":method", "POST"),
            (":path", "/v1/chat/completions"),
            ("content-type", "application/json"),
        ];
        all.retain(|(name, _)| headers.iter().all(|(other, _)| other != name));
        all.extend(headers);
        let mut own = FakeHost { stream: self.clients, ..FakeHost::with_request(&all) };
        for (fact, value) in [
            (context::CONSUMER, consumer),
            (context::MODEL, "gpt-4o"),
            (context::RULE, "gpt-*"),
            (context::TARGET, "openai"),
        ] {
            fact.set(&mut own, value);
        }
        facts.iter().for_each(|(fact, value)| fact.set(&mut own, value));
        let filter = ResponseCache::new(Rc::clone(&self.config));
        let mut client = Client { filter, own, next: Next::Pass, got: Vec::new() };
        client.next = self.on(&mut client, |filter, host| {
            let next = filter.on_request_headers(host, body.is_empty());
            if matches!(next, Next::Whole { .. }) { filter.on_request_body(host, body, true) } else { next }
        });
        client
    }

    /// Ann asks.
    pub(super) fn ask(&mut self, body: &Value) -> Client {
        self.send("ann", &[], body.to_string().as_bytes())
    }

    /// A provider answers, in parts of so many bytes.
    pub(super) fn serve(&mut self, client: &mut Client, headers: &[(&str, &str)], body: &str, size: usize) {
        assert_eq!(client.next, Next::Pass, "the provider is asked");
        let mut all = vec![(":status", "200"), ("content-type", "application/json")];
        all.retain(|(name, _)| headers.iter().all(|(other, _)| other != name));
        all.extend(headers);
        let next = self.on(client, |filter, host| {
            host.respond(&all);
            filter.on_response_headers(host, body.is_empty())
        });
        let parts: Vec<&[u8]> = body.as_bytes().chunks(size.max(1)).collect();
        let mut watched = next == Next::Watch;
        for (index, part) in parts.iter().enumerate() {
            let end = index.saturating_add(1) == parts.len();
            watched = self.part(client, part, end, watched);
        }
    }

    /// A part of an answer comes; whether the next one is to be shown too.
    pub(super) fn part(&mut self, client: &mut Client, part: &[u8], end: bool, watched: bool) -> bool {
        if !watched {
            client.got.extend_from_slice(part);
            return false;
        }
        let (next, instead) = self.on(client, |filter, host| {
            host.response_body = None;
            (filter.on_response_body(host, part, end), host.response_body.take())
        });
        client.got.extend_from_slice(instead.as_deref().unwrap_or(part));
        assert!(matches!(next, Next::Watch | Next::Pass), "{next:?}");
        next == Next::Watch
    }

    /// A provider answers with a document.
    pub(super) fn answer(&mut self, client: &mut Client, text: &str) {
        self.serve(client, &[], &document(text), 4096);
    }

    /// A provider answers with a stream.
    pub(super) fn stream(&mut self, client: &mut Client, body: &str, size: usize) {
        self.serve(client, &[("content-type", "text/event-stream")], body, size);
    }

    /// The exchange is over.
    pub(super) fn done(&mut self, client: &mut Client) {
        self.on(client, |filter, host| filter.on_done(host));
    }

    /// The time that the client's stream has asked for has come.
    pub(super) fn wake(&mut self, client: &mut Client) {
        client.own.wake_after = None;
        if let Some(next) = self.on(client, |filter, host| filter.on_wake(host)) {
            client.next = next;
        }
    }

    /// Wakes those of `clients` who are to be woken now; how many those are.
    pub(super) fn wake_hastened(&mut self, clients: &mut [Client]) -> usize {
        let mut woken: usize = 0;
        while !self.host.hastened.is_empty() {
            for stream in std::mem::take(&mut self.host.hastened) {
                let waiting = clients.iter_mut().find(|client| client.own.stream == stream.0);
                // One that awaits no wake-up is left alone.
                if let Some(client) = waiting.filter(|client| client.own.wake_after.is_some()) {
                    self.wake(client);
                    woken = woken.saturating_add(1);
                }
            }
        }
        woken
    }

    /// The callouts since the last time, with their ids.
    pub(super) fn callouts(&self, seen: usize) -> Vec<(CalloutId, SentCallout)> {
        let ids = (1..).map(CalloutId);
        ids.zip(self.host.callouts.iter().cloned()).skip(seen).collect()
    }

    /// Redis answers a callout of the client.
    pub(super) fn reply(
        &mut self,
        client: &mut Client,
        id: CalloutId,
        reply: Result<CalloutReply, CalloutError>,
    ) {
        if let Some(next) = self.on(client, |filter, host| filter.on_callout(host, id, reply)) {
            client.next = next;
        }
    }

    pub(super) fn count(&self, name: &str) -> u64 {
        self.host.counters.get(&format!("response_cache_{name}_total")).copied().unwrap_or(0)
    }

    /// Nothing is kept of requests that are over.
    pub(super) fn assert_nothing_under_way(&self) {
        assert!(self.config.flights.borrow().is_empty(), "{:?}", self.config.flights);
    }
}

impl Client {
    /// What the answer says of the cache.
    pub(super) fn label(&self) -> Option<String> {
        self.header("x-ai-cache")
    }

    pub(super) fn header(&self, name: &str) -> Option<String> {
        match &self.next {
            Next::Reply(reply) => {
                reply.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
            }
            _ => self.own.response_header(name),
        }
    }

    /// The body that the client gets from the cache.
    pub(super) fn hit(&self) -> Option<&str> {
        match &self.next {
            Next::Reply(reply) if reply.status == 200 => Some(&reply.body),
            _ => None,
        }
    }

    pub(super) fn fact(&self, fact: Fact) -> Option<String> {
        fact.get(&self.own)
    }

    pub(super) fn set_fact(&mut self, fact: Fact, value: &str) {
        fact.set(&mut self.own, value);
    }

    /// Milliseconds until the wake-up that it awaits.
    pub(super) fn wakes_in(&self) -> Option<u64> {
        self.own.wake_after
    }
}
