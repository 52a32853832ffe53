//! The common test bed: three providers in one fallback chain behind one gateway, shared by parallel tests.
//!
//! A test names its requests with a model of its own (`gpt-<test>`) and tells the providers what to do in the
//! request's `x_mock`, so it sees only its own requests at the providers and in the log.

use std::ops::Deref;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::gateway::{Gateway, Options};
use crate::script::Script;
use crate::upstream::{Seen, Upstream};

/// Names of the providers, in the order of the chain.
pub const CHAIN: [&str; 3] = ["a", "b", "c"];

/// Providers `a`, `b`, `c` and a gateway that tries them in this order, once each.
pub struct Bed {
    /// The gateway.
    pub gateway: Gateway,
    /// The providers, in the order of the chain.
    pub providers: Vec<Upstream>,
}

/// The bed that all tests of one process share; it stops with the process.
#[must_use]
#[track_caller]
pub fn shared() -> Shared {
    static BED: OnceLock<Bed> = OnceLock::new();
    Shared(BED.get_or_init(|| Bed::start(&Options::default(), "")))
}

/// One test's use of a shared bed; shows its logs if the test fails, and fails it if a filter trapped.
pub struct Shared(pub &'static Bed);

impl Deref for Shared {
    type Target = Bed;

    fn deref(&self) -> &Bed {
        self.0
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.gateway.show();
        } else {
            self.0.gateway.assert_no_trap();
        }
    }
}

impl Bed {
    /// Starts a bed with further top-level `sections` in its gateway.yaml; see [`yaml`].
    #[must_use]
    #[track_caller]
    pub fn start(options: &Options, sections: &str) -> Self {
        let providers: Vec<Upstream> = CHAIN.into_iter().map(Upstream::start).collect();
        let gateway = options.start(&yaml(&providers, sections));
        Self { gateway, providers }
    }

    /// Asks for a chat completion; `x_mock` tells each provider by name what to do.
    #[track_caller]
    pub fn ask(&self, test: &str, stream: bool, x_mock: Value) -> Answered {
        self.ask_with(test, json!({"stream": stream, "x_mock": x_mock}))
    }

    /// As [`Self::ask`], with any further members of the body.
    #[track_caller]
    pub fn ask_with(&self, test: &str, members: Value) -> Answered {
        let mut body = chat_body(test);
        for (name, value) in members.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        Answered { reply: self.gateway.chat(&body), seen: self.seen(test) }
    }

    /// Requests of `test` at the providers, in the order they arrived, each with its provider's name.
    #[must_use]
    pub fn seen(&self, test: &str) -> Vec<(String, Seen)> {
        let tag = format!("\"{}\"", tag(test));
        let mut seen: Vec<(String, Seen)> = Vec::new();
        for provider in &self.providers {
            seen.extend(provider.tagged(&tag).into_iter().map(|one| (provider.name().to_owned(), one)));
        }
        seen.sort_by_key(|(_, one)| one.at);
        seen
    }

    /// Waits for the finished record of the request of `test`.
    #[track_caller]
    pub fn ai_log(&self, test: &str) -> Value {
        self.gateway.ai_log(&model(test))
    }

    /// From now on all providers answer by this script.
    pub fn script(&self, script: &Script) {
        for provider in &self.providers {
            provider.script(script.clone());
        }
    }
}

/// What came of one request.
pub struct Answered {
    /// What the client got.
    pub reply: crate::client::Reply,
    /// What the providers got.
    pub seen: Vec<(String, Seen)>,
}

impl Answered {
    /// Names of the providers that were asked, in order.
    #[must_use]
    pub fn asked(&self) -> Vec<&str> {
        self.seen.iter().map(|(name, _)| name.as_str()).collect()
    }
}

/// The model that a test asks for.
#[must_use]
pub fn model(test: &str) -> String {
    format!("gpt-{test}")
}

/// The `user` member of a test's requests.
#[must_use]
pub fn tag(test: &str) -> String {
    format!("user-{test}")
}

/// A minimal chat request of `test`.
#[must_use]
pub fn chat_body(test: &str) -> Value {
    json!({"model": model(test), "messages": [{"role": "user", "content": "hi"}], "user": tag(test)})
}

/// gateway.yaml of a bed: `gpt-*` goes through the chain; each provider has its own base path, key and (but for
/// the first) model name.
#[must_use]
pub fn yaml(providers: &[Upstream], sections: &str) -> String {
    let [a, b, c] = [0, 1, 2].map(|n| providers[n].address());
    let retry = "retry: {per_target: 1, backoff: 1ms}\n";
    let timeouts = "timeouts: {connect: 500ms, first_token: 1s, idle: 2s, request: 10s}\n";
    let retry = if sections.contains("retry:") { "" } else { retry };
    let timeouts = if sections.contains("timeouts:") { "" } else { timeouts };
    format!(
        "providers:
  a: {{url: \"http://{a}/v1\", keys: [sk-secret-a]}}
  b: {{url: \"http://{b}/base-b/v1\", keys: [sk-secret-b]}}
  c: {{url: \"http://{c}/base-c/v1\", keys: [sk-secret-c]}}
models:
  - match: \"gpt-*\"
    targets: [{{provider: a}}]
    fallback: [{{provider: b, model: model-b}}, {{provider: c, model: model-c}}]
{timeouts}{retry}{sections}"
    )
}
