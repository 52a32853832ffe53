//! The gateway that most tests share: for models called `gpt-all-*` it counts everything that can be counted, in
//! buckets of their own.

use std::ops::Deref;
use std::sync::OnceLock;

use serde_json::{Value, json};
use sluice_e2e::bed::Bed;
use sluice_e2e::client::Reply;
use sluice_e2e::gateway::Options;
use sluice_e2e::limits::{self, body_with};

const SECTIONS: &str = "
max_request_body: 64KiB
consumers:
  - {name: worker, keys: [sk-worker], tier: gold, models: [\"gpt-all-*\", \"gpt-own-*\"]}
  - {name: anybody, tier: gold}
anonymous: anybody
limits:
  - {name: total, by: [model], models: [\"gpt-all-*\"], total_tokens: 1000000, per: 1h}
  - {name: input, by: [model], models: [\"gpt-all-*\"], input_tokens: 1000000, per: 1h}
  - {name: output, by: [model], models: [\"gpt-all-*\"], output_tokens: 1000000, per: 1h}
  - {name: weighted, by: [model], models: [\"gpt-all-*\"], total_tokens: 1000000,
     weighted: {input: 1, cached: 0.1, output: 4}, per: 1h}
  - {name: cost, by: [model], models: [\"gpt-all-*\"], cost_usd: 1000, per: 1h}
  - {name: requests, by: [model], models: [\"gpt-all-*\"], requests: 1000000, per: 1h}
  - {name: flight, by: [model], models: [\"gpt-all-*\"], in_flight: 1000}
  - {name: two, by: [model], models: [\"gpt-two-*\"], in_flight: 2}
  - {name: small, by: [model], models: [\"gpt-small-*\"], total_tokens: 10, per: 1h}
  - {name: cent, by: [model], models: [\"gpt-cent-*\"], cost_usd: 0.00001, per: 1h}
prices:
  \"a/*\": {input: 2.5, cached: 1.25, output: 10}
  model-b: {input: 1, output: 2}
  \"*\": {input: 100, output: 100}
";

/// What is used, in the order of the limits.
pub(crate) const NAMES: [&str; 7] = ["total", "input", "output", "weighted", "cost", "requests", "flight"];

/// Of one request to provider `a`: 11 tokens in, 3 of them from its cache, and 5 out.
pub(crate) const ONE: [f64; 7] = [16.0, 11.0, 5.0, 28.3, 0.000_073_75, 1.0, 0.0];

/// Of none.
pub(crate) const NOTHING: [f64; 7] = [0.0; 7];

/// The gateway, as one test uses it.
pub(crate) struct Limited(&'static Bed);

impl Deref for Limited {
    type Target = Bed;

    fn deref(&self) -> &Bed {
        self.0
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        match std::thread::panicking() {
            true => self.0.gateway.show(),
            false => self.0.gateway.assert_no_trap(),
        }
    }
}

/// The gateway that all tests of this suite share.
#[track_caller]
pub(crate) fn shared() -> Limited {
    static BED: OnceLock<Bed> = OnceLock::new();
    Limited(BED.get_or_init(|| Bed::start(&Options::default().workers(2), SECTIONS)))
}

impl Limited {
    /// Asks for a chat completion of `model`, with further members.
    #[track_caller]
    pub(crate) fn chat(&self, model: &str, members: &Value) -> Reply {
        self.gateway.chat(&body_with(model, members))
    }

    /// What is used of every limit by requests to `model`, once they are over.
    #[track_caller]
    pub(crate) fn used(&self, model: &str) -> [f64; 7] {
        let address = self.gateway.address();
        NAMES.map(|name| {
            let used = limits::used(address, &[], model, name);
            used.as_f64().unwrap_or_else(|| panic!("{name} is no number: {used}"))
        })
    }

    /// How one limit stands for requests to `model`.
    #[track_caller]
    pub(crate) fn standing(&self, model: &str, name: &str) -> Value {
        limits::standing(self.gateway.address(), &[], model, name)
    }

    /// The record of the request to `model`.
    #[track_caller]
    pub(crate) fn record(&self, model: &str) -> Value {
        self.gateway.ai_log(model)
    }
}

/// `a` does as told, whatever the others would do.
pub(crate) fn told(script: Value) -> Value {
    json!({"x_mock": {"a": script}})
}
