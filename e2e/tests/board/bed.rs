//! A gateway to which everything happens that the board shows and the alerts look for.

use std::time::Duration;

use serde_json::{Value, json};
use sluice_e2e::cache::{self, Caller};
use sluice_e2e::client::Reply;
use sluice_e2e::gateway::{Gateway, Options};
use sluice_e2e::redis::{self, Fault, Faults, Redis};
use sluice_e2e::script::Script;
use sluice_e2e::upstream::Upstream;
use sluice_e2e::wait;

/// Longest a check's service may take, in milliseconds.
const TIMEOUT_MS: u64 = 300;

/// Label sets with series of their own: as many as [`Bed::happen`] makes without [`Bed::crowd`].
const SETS: usize = 60;

/// The gateway, and all that it turns to.
pub(crate) struct Bed {
    pub(crate) gateway: Gateway,
    redis: Faults,
    _redis: Redis,
    _providers: Vec<Upstream>,
    _services: [Upstream; 2],
}

impl Bed {
    #[track_caller]
    pub(crate) fn start() -> Self {
        let server = Redis::start(&redis::Options::default());
        let redis = Faults::before(server.address());
        let providers: Vec<Upstream> = ["a", "b", "limited"].into_iter().map(Upstream::start).collect();
        let services = [Upstream::start("good"), Upstream::start("hung")];
        services[1].script(Script::json(json!({"hang": true})));
        let gateway = Options::default().start(&yaml(&providers, &services, &redis));
        Self { gateway, redis, _redis: server, _providers: providers, _services: services }
    }

    /// Everything but what needs Redis to be away, or many models. Each `turn` has buckets and entries of its own.
    #[track_caller]
    pub(crate) fn happen(&self, turn: usize) {
        for stream in [true, false] {
            self.ask("gpt-1", json!({"stream": stream}), &json!({"events": 8, "gap_ms": 4}), 200);
            self.ask("gpt-1", json!({"stream": stream}), &json!({"usage": "never", "gap_ms": 4}), 200);
        }
        self.ask("gpt-2", json!({}), &json!({"status": 500}), 200); // from a to b
        self.ask("alone", json!({}), &json!({"status": 500}), 502);
        self.ask("busy", json!({}), &json!({"status": 429, "headers": {"retry-after": "1"}}), 200); // its key rests, both times
        self.ask("unknown", json!({}), &json!({}), 404);
        self.limits(turn);
        self.cache(turn);
        self.guard();
    }

    fn limits(&self, turn: usize) {
        for status in [200, 200, 429] {
            self.ask(&format!("few-{turn}"), json!({}), &json!({}), status);
        }
        self.ask(&format!("long-{turn}"), json!({"max_tokens": 1}), &json!({"events": 80}), 200);
    }

    fn cache(&self, turn: usize) {
        let body =
            |text: &str| body("kept", &json!({"delay_ms": 300}), json!({"user": format!("{text}-{turn}")}));
        let caller = self.caller();
        let requests = [body("one"), body("one"), body("one")].map(|body| caller.request(&body.to_string()));
        let labels: Vec<Reply> = cache::at_once(self.gateway.address(), &requests);
        let labels: Vec<&str> = labels.iter().map(cache::label).collect();
        assert!(labels.contains(&"hit; reason=coalesced"), "{labels:?}");
        let again = caller.send(&body("one").to_string());
        assert_eq!(cache::label(&again), "hit", "{}", again.text());
        self.ask("kept", json!({"store": true}), &json!({}), 200); // a bypass
    }

    fn guard(&self) {
        self.say("gpt-1", "I am alice@example.com", 200);
        self.say("gpt-1", "the internal codename", 400);
        for _ in 0..7 {
            self.say("checked", "hello", 503); // its breaker opens
        }
    }

    /// More models than have room, each answered well.
    #[track_caller]
    pub(crate) fn crowd(&self) {
        for n in 0..SETS {
            self.ask(&format!("gpt-crowd-{n}"), json!({}), &json!({}), 200);
        }
    }

    /// Redis goes away, and the gateway does without.
    #[track_caller]
    pub(crate) fn lose_redis(&self) {
        self.redis.set(Fault::Reset);
        for n in 0..8 {
            self.ask("few-off", json!({"user": n.to_string()}), &json!({}), if n < 2 { 200 } else { 429 });
        }
        wait::until("calls to be held back", || {
            let held = cache::counter(&self.gateway, "redis_failures_total;kind=breaker_open");
            (held > 0).then_some(())
        });
    }

    fn caller(&self) -> Caller<'_> {
        Caller::named(&self.gateway, "ann")
    }

    #[track_caller]
    fn ask(&self, model: &str, members: Value, script: &Value, status: u16) {
        let reply = self.caller().send(&body(model, script, members).to_string());
        assert_eq!(reply.status, status, "{model}: {}", reply.text());
    }

    #[track_caller]
    fn say(&self, model: &str, text: &str, status: u16) {
        let members = json!({"messages": [{"role": "user", "content": text}]});
        self.ask(model, members, &json!({}), status);
    }
}

/// A request whose first provider does as `script` says; what it says to others is nothing.
fn body(model: &str, script: &Value, members: Value) -> Value {
    let metadata = json!({"x_mock": {"a": script, "limited": script}});
    let messages = json!([{"role": "user", "content": "hi"}]);
    let mut body = json!({"model": model, "max_tokens": 20, "messages": messages, "metadata": metadata});
    if let (Value::Object(body), Value::Object(members)) = (&mut body, members) {
        body.extend(members);
    }
    body
}

fn yaml(providers: &[Upstream], services: &[Upstream; 2], redis: &Faults) -> String {
    let [a, b, limited] = [0, 1, 2].map(|n: usize| providers[n].url());
    let [good, hung] = services.each_ref().map(Upstream::url);
    let wait = Duration::from_secs(2).as_millis();
    format!(
        "providers:
  a: {{url: \"{a}\", keys: [sk-secret-a]}}
  b: {{url: \"{b}\", keys: [sk-secret-b]}}
  limited: {{url: \"{limited}\", keys: [sk-secret-l]}}
models:
  - {{match: \"gpt-*\", targets: [{{provider: a}}], fallback: [{{provider: b, model: model-b}}]}}
  - {{match: busy, targets: [{{provider: limited}}], fallback: [{{provider: b}}]}}
  - {{match: [alone, kept, checked, \"few-*\", \"long-*\"], targets: [{{provider: a}}]}}
consumers: [{{name: ann, keys: [sk-ann]}}]
limits:
  - {{name: few, by: [model], models: \"few-*\", requests: 2, per: 1h}}
  - {{name: long, by: [model], models: \"long-*\", total_tokens: 40, per: 1h}}
prices: {{\"gpt-*\": {{input: 2.5, output: 10}}}}
redis: {{url: \"redis://{}\", timeout: {wait}ms, on_error: local}}
cache: {{models: kept}}
guard:
  checks:
    - {{name: pii, on: request, detect: [email], action: mask}}
    - {{name: banned, keywords: [internal codename]}}
    - {{name: moderation, on: request, models: \"gpt-*\", url: \"{good}/moderations\", timeout: 5s}}
    - {{name: hung, on: request, models: checked, url: \"{hung}/moderations\", timeout: {TIMEOUT_MS}ms}}
timeouts: {{connect: 500ms, first_token: 5s, idle: 5s, request: 20s}}
retry: {{per_target: 2, backoff: 1ms}}
metrics: {{max_label_sets: {SETS}}}
",
        redis.address()
    )
}
