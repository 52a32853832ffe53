//! The gateway that most tests share. Its limits apply by the model's name: for `gpt-all-*` it counts everything that can
//! be counted, in buckets of each model's own.

use std::ops::Deref;
use std::sync::OnceLock;

use serde_json::{Value, json};
use sluice_e2e::bed::{self, Bed};
use sluice_e2e::client::Reply;
use sluice_e2e::gateway::{Options, closed_port};
use sluice_e2e::limits::{self, body_with};
use sluice_e2e::ports::Port;
use sluice_e2e::upstream::Upstream;
use sluice_e2e::wait;

const SECTIONS: &str = "
max_request_body: 64KiB
consumers:
  - {name: worker, keys: [sk-worker], models: \"gpt-all-*\"}
  - {name: ann, keys: [sk-ann-1, sk-ann-2], tier: gold}
  - {name: bob, keys: [sk-bob], tier: gold}
  - {name: cat, keys: [sk-cat], tier: iron}
  - {name: anybody}
anonymous: anybody
limits:
  # everything that can be counted
  - {name: total, by: [model], models: \"gpt-all-*\", total_tokens: 1000000, per: 1h}
  - {name: input, by: [model], models: \"gpt-all-*\", input_tokens: 1000000, per: 1h}
  - {name: output, by: [model], models: \"gpt-all-*\", output_tokens: 1000000, per: 1h}
  - {name: weighted, by: [model], models: \"gpt-all-*\", total_tokens: 1000000,
     weighted: {input: 1, cached: 0.1, output: 4}, per: 1h}
  - {name: cost, by: [model], models: \"gpt-all-*\", cost_usd: 1000, per: 1h}
  - {name: requests, by: [model], models: [\"gpt-all-*\", \"nobody-*\", \"busy-*\"], requests: 1000000, per: 1h}
  - {name: flight, by: [model], models: [\"gpt-all-*\", \"nobody-*\", \"busy-*\"], in_flight: 1000}
  # small ones
  - {name: two, by: [model], models: \"gpt-two-*\", in_flight: 2}
  - {name: small, by: [model], models: \"gpt-small-*\", total_tokens: 10, per: 1h}
  - {name: cent, by: [model], models: \"gpt-cent-*\", cost_usd: 0.00001, per: 1h}
  # many at once
  - {name: ten, by: [model], models: \"gpt-ten-*\", total_tokens: 160, per: 1h}
  - {name: low, by: [model], models: \"gpt-low\", total_tokens: 2670, per: 1h}
  - {name: high, by: [model], models: \"gpt-high\", total_tokens: 600, per: 1h}
  - {name: wide, models: \"gpt-many-*\", total_tokens: 1000000, per: 1h}
  - {name: calls, models: \"gpt-many-*\", requests: 1000000, per: 1h}
  - {name: now, models: \"gpt-many-*\", in_flight: 1000}
  - {name: tokens, by: [model], models: \"gpt-many-*\", total_tokens: 160, per: 1h}
  - {name: narrow, by: [model], models: \"gpt-many-*\", requests: 3, per: 1h}
  # to be told of
  - {name: tpm, by: [model], models: \"gpt-told-*\", total_tokens: 40, per: 1m}
  - {name: tph, by: [model], models: \"gpt-told-*\", total_tokens: 10000, per: 1h}
  - {name: rpm, by: [model], models: \"gpt-told-*\", requests: 100, per: 1m}
  - {name: usd, by: [model], models: \"gpt-told-*\", cost_usd: 0.5, per: 30d}
  - {name: seen, by: [model], models: \"gpt-told-seen\", requests: 2, per: 30d}
  - {name: quota, by: [model], models: \"gpt-told-quota*\", requests: 1, per: 30d, terminal: true}
  - {name: words, models: \"gpt-told-words\", requests: 1, per: 30d, message: \"Ask platform@example.com — “soon”.\"}
  - {name: any-model, when: {headers: {x-any-model: \"*\"}}, requests: 10, per: 1h}
  # short windows
  - {name: three, models: \"gpt-three\", requests: 3, per: 2s}
  - {name: forty, models: \"gpt-forty\", total_tokens: 40, per: 2s}
  - {name: debt, by: [model], models: \"gpt-debt-*\", total_tokens: 30, per: 1s}
  # each by something else
  - {name: by-consumer, by: [consumer], models: \"gpt-by-consumer\", requests: 1, per: 1h}
  - {name: by-tier, by: [tier], models: \"gpt-by-tier\", requests: 1, per: 1h}
  - {name: by-key, by: [key], models: \"gpt-by-key\", requests: 1, per: 1h}
  - {name: by-model, by: [model], models: \"gpt-by-model-*\", requests: 1, per: 1h}
  - {name: by-rule, by: [rule], models: [\"gpt-by-rule\", \"qwen-*\"], requests: 1, per: 1h}
  - {name: by-ip, by: [ip], models: \"gpt-by-ip\", requests: 1, per: 1h}
  - {name: by-header, by: [\"header:X-Team\"], models: \"gpt-by-header\", requests: 1, per: 1h}
  - {name: by-both, by: [consumer, \"header:x-team\"], models: \"gpt-by-both\", requests: 1, per: 1h}
  - {name: by-none, models: \"gpt-by-none\", requests: 1, per: 1h}
  - {name: forged, by: [consumer], models: \"gpt-forged\", requests: 1, per: 1h}
  - {name: when-gold, models: \"gpt-when-gold\", when: {tier: gold}, requests: 1, per: 1h}
  - {name: when-bob, models: \"gpt-when-bob\", when: {consumer: bob, headers: {x-team: \"red*\"}}, requests: 1, per: 1h}
  - {name: when-long, models: \"gpt-when-long\", when: {min_input_tokens: 100}, requests: 1, per: 1h}
  - {name: when-tools, models: \"gpt-when-tools\", when: {has: [tools]}, requests: 1, per: 1h}
prices:
  \"a/gpt-told-*\": {input: 100, output: 100}
  \"a/*\": {input: 2.5, cached: 1.25, output: 10}
  model-b: {input: 1, output: 2}
  \"*\": {input: 100, output: 100}
";

/// Rules beside `gpt-*`, with a provider that nobody is.
const RULES: &str = "models:
  - {match: \"qwen-*\", targets: [{provider: b}]}
  - {match: \"nobody-*\", targets: [{provider: nobody}]}
  - {match: \"busy-first-*\", targets: [{provider: b}], fallback: [{provider: nobody}]}
  - {match: \"busy-last-*\", targets: [{provider: nobody}], fallback: [{provider: b}]}
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

/// The gateway that all tests of this suite share; it has two workers.
#[track_caller]
pub(crate) fn shared() -> Limited {
    static BED: OnceLock<(Bed, Port)> = OnceLock::new();
    Limited(&BED.get_or_init(start).0)
}

fn start() -> (Bed, Port) {
    let nobody = closed_port();
    let providers: Vec<Upstream> = bed::CHAIN.into_iter().map(Upstream::start).collect();
    let yaml = bed::yaml(&providers, SECTIONS).replacen("models:\n", RULES, 1);
    let provider = format!("providers:\n  nobody: {{url: \"http://127.0.0.1:{}/v1\"}}\n", nobody.number());
    let gateway = Options::default().workers(2).start(&yaml.replacen("providers:\n", &provider, 1));
    (Bed { gateway, providers }, nobody)
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
        NAMES.map(|name| {
            let used = self.used_of(model, name);
            used.as_f64().unwrap_or_else(|| panic!("{name} is no number: {used}"))
        })
    }

    /// What is used of one limit by requests to `model`, once they are over.
    #[track_caller]
    pub(crate) fn used_of(&self, model: &str, name: &str) -> Value {
        limits::used(self.gateway.address(), &[], model, name)
    }

    /// How one limit stands for requests to `model`.
    #[track_caller]
    pub(crate) fn standing(&self, model: &str, name: &str) -> Value {
        limits::standing(self.gateway.address(), &[], model, name)
    }

    /// The record of the request to `model`. Of this gateway's long log only the lines that name it are parsed.
    #[track_caller]
    pub(crate) fn record(&self, model: &str) -> Value {
        let named = format!("\"model\":\"{model}\"");
        wait::until(&format!("the record of {model}"), || {
            let text = self.gateway.access_text();
            let line =
                text.split_inclusive('\n').find(|line| line.ends_with('\n') && line.contains(&named))?;
            Some(serde_json::from_str::<Value>(line).expect("JSON")["ai_log"].clone())
        })
    }
}

/// `a` does as told, whatever the others would do.
pub(crate) fn told(script: Value) -> Value {
    json!({"x_mock": {"a": script}})
}
