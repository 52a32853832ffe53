//! Two gateways that most tests share, alike but for what they do with what they object to or cannot check. Which
//! checks look at a request, the model's name says: `gpt-<group>-<test>`.

use std::ops::Deref;
use std::sync::OnceLock;

use serde_json::{Value, json};
use sluice_e2e::bed::{self, Bed};
use sluice_e2e::client::{self, Reply};
use sluice_e2e::gateway::{Options, closed_port};
use sluice_e2e::ports::Port;
use sluice_e2e::script::Script;
use sluice_e2e::upstream::Upstream;
use sluice_e2e::wait;

/// Key of the moderation service: it is nobody else's.
pub(crate) const SERVICE_KEY: &str = "sk-moderation-magpie";

/// What a refusal says.
pub(crate) const REFUSAL: &str = "This is not talked about here.";

/// What the checks of group `ban` and of many others block.
pub(crate) const PHRASE: &str = "internal codename";

/// Deadline of services that do not answer in time.
pub(crate) const TIMEOUT_MS: u64 = 150;

/// Local checks, by group.
const CHECKS: &str = "
    - {name: banned, models: \"gpt-ban-*\", keywords: [internal codename, blue heron, 内部代号], action: block}
    - {name: alike-first, models: \"gpt-alike-*\", keywords: [internal codename], action: block}
    - {name: asked, on: request, models: \"gpt-asked-*\", keywords: [internal codename], action: block}
    - {name: said, on: response, models: \"gpt-said-*\", keywords: [internal codename], action: block}
    - {name: strict, on: response, models: \"gpt-*cached*\", when: {headers: {x-strict: \"1\"}}, keywords: [internal codename], action: block}
    - {name: tickets, models: \"gpt-regex-*\", regex: ['TICKET-[0-9]{4,8}', '(?i)ref: [a-z]{3}'], action: block}
    - {name: secrets, models: \"gpt-detect-*\", detect: [email, phone, card, cn_id, api_key, jwt, private_key], action: block}
    - {name: pii, on: request, models: \"gpt-pii-*\", detect: [email, phone, card, cn_id, api_key, jwt, private_key], action: mask}
    - {name: odd-names, on: request, models: \"gpt-pii-*\", keywords: ['ann \"the fox\" lee\\new', blue heron], action: mask}
    - {name: made-up, on: response, models: \"gpt-invent-*\", detect: [email, phone], action: mask}
    - {name: noted, models: \"gpt-note-*\", keywords: [internal codename, blue heron], action: log}
    - {name: noted-pii, models: \"gpt-note-*\", detect: [email], action: log}
    - {name: tier, models: \"gpt-when-*\", when: {tier: gold}, keywords: [internal codename], action: block}
    - {name: tools, models: \"gpt-when-*\", when: {has: [tools]}, keywords: [blue heron], action: block}
    - {name: masked-first, on: request, models: \"gpt-both-*\", detect: [email], action: mask}
";

/// Checks that ask a service: group, protocol, on, action, more.
const SERVICES: [(&str, &str, &str, &str, &str); 9] = [
    (
        "mod",
        "openai",
        "[request, response]",
        "block",
        ", key: env:MODERATION_KEY, headers: {x-team: search}, model: omni-moderation-latest",
    ),
    ("medium", "openai", "[request, response]", "block", ", min_risk: medium"),
    ("watch", "openai", "[request, response]", "log", ""),
    ("alike", "openai", "request", "block", ""),
    ("both", "openai", "[request, response]", "block", ""),
    ("own", "generic", "[request, response]", "block", ""),
    ("rewrite", "generic", "[request, response]", "mask", ""),
    ("heard", "generic", "[request, response]", "log", ""),
    ("late", "generic", "response", "block", ", timeout: 5s"),
];

/// Services that fail, and how.
pub(crate) const FAULTS: [&str; 5] = ["dead", "slow", "hung", "garbage", "broken"];

/// The services that are asked.
pub(crate) struct Services {
    /// It answers at once.
    pub(crate) good: Upstream,
    /// It answers after [`LATE_MS`].
    pub(crate) late: Upstream,
    /// It fails when it is told to.
    pub(crate) flaky: Upstream,
    bad: Vec<(&'static str, Upstream)>,
    closed: Port,
}

/// How long `late` takes.
pub(crate) const LATE_MS: u64 = 400;

impl Services {
    pub(crate) fn start() -> Self {
        let script = |json: Value| Script::json(json);
        let bad = [
            ("slow", json!({"delay_ms": 4 * TIMEOUT_MS})),
            ("hung", json!({"hang": true})),
            ("garbage", json!({"body": "<h1>It works!</h1>"})),
            ("broken", json!({"status": 500})),
        ];
        let start = |(name, how): (&'static str, Value)| {
            let service = Upstream::start(name);
            service.script(script(how));
            (name, service)
        };
        let late = Upstream::start("late");
        late.script(script(json!({"delay_ms": LATE_MS})));
        Self {
            good: Upstream::start("good"),
            late,
            flaky: Upstream::start("flaky"),
            bad: bad.into_iter().map(start).collect(),
            closed: closed_port(),
        }
    }

    /// The one that fails so; `dead` is none.
    #[track_caller]
    pub(crate) fn bad(&self, name: &str) -> &Upstream {
        &self.bad.iter().find(|(bad, _)| *bad == name).expect("a service").1
    }

    fn address(&self, name: &str) -> String {
        if name == "dead" {
            format!("127.0.0.1:{}", self.closed.number())
        } else {
            self.bad(name).address().to_string()
        }
    }

    fn checks(&self) -> String {
        let mut checks = String::new();
        for (group, protocol, on, action, more) in SERVICES {
            let service = if group == "late" { &self.late } else { &self.good };
            let (address, path) =
                (service.address(), if protocol == "openai" { "v1/moderations" } else { "check" });
            checks += &format!(
                "    - {{name: {group}, on: {on}, models: \"gpt-{group}-*\", url: \"http://{address}/{path}\", protocol: {protocol}, action: {action}{more}}}\n"
            );
        }
        for name in FAULTS {
            let address = self.address(name);
            for (on, suffix) in [("request", "q"), ("response", "a")] {
                checks += &format!(
                    "    - {{name: {name}-{suffix}, on: {on}, models: \"gpt-{name}{suffix}-*\", url: \"http://{address}/v1/moderations\", timeout: {TIMEOUT_MS}ms}}\n"
                );
            }
        }
        let flaky = self.flaky.address();
        checks
            + &format!(
                "    - {{name: flaky, on: request, models: \"gpt-flaky-*\", url: \"http://{flaky}/check\", protocol: generic, timeout: {TIMEOUT_MS}ms}}\n"
            )
    }
}

/// A gateway with the services of its checks.
pub(crate) struct Guarded {
    pub(crate) bed: Bed,
    pub(crate) services: Services,
}

/// The gateway, as one test uses it.
pub(crate) struct Shared(&'static Guarded);

impl Deref for Shared {
    type Target = Guarded;

    fn deref(&self) -> &Guarded {
        self.0
    }
}

impl Deref for Guarded {
    type Target = Bed;

    fn deref(&self) -> &Bed {
        &self.bed
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        match std::thread::panicking() {
            true => self.0.gateway.show(),
            false => self.0.gateway.assert_no_trap(),
        }
    }
}

/// `on_error: deny`, refusals are errors.
#[track_caller]
pub(crate) fn deny() -> Shared {
    static BED: OnceLock<Guarded> = OnceLock::new();
    Shared(BED.get_or_init(|| start("deny", "error")))
}

/// `on_error: allow`, refusals are answers.
#[track_caller]
pub(crate) fn allow() -> Shared {
    static BED: OnceLock<Guarded> = OnceLock::new();
    Shared(BED.get_or_init(|| start("allow", "completion")))
}

/// Both.
#[track_caller]
pub(crate) fn beds() -> [Shared; 2] {
    [deny(), allow()]
}

const SECTIONS: &str = "
max_request_body: 16MiB
consumers:
  - {name: ann, keys: [sk-ann], tier: gold}
  - {name: bob, keys: [sk-bob]}
  - {name: anybody}
anonymous: anybody
cache: {models: \"gpt-*-cached*\"}
limits: [{name: total, by: [model], models: \"gpt-*-limited*\", total_tokens: 100000, per: 1h}]
timeouts: {connect: 500ms, first_token: 5s, idle: 5s, request: 20s}
";

fn start(on_error: &str, form: &str) -> Guarded {
    let services = Services::start();
    let providers: Vec<Upstream> = bed::CHAIN.into_iter().map(Upstream::start).collect();
    let guard = format!(
        "guard:\n  on_error: {on_error}\n  refusal: {{as: {form}, message: \"{REFUSAL}\"}}\n  checks:{CHECKS}{}",
        services.checks()
    );
    let yaml = bed::yaml(&providers, &(SECTIONS.to_owned() + &guard));
    let gateway = Options::default().env("MODERATION_KEY", SERVICE_KEY).start(&yaml);
    Guarded { bed: Bed { gateway, providers }, services }
}

impl Guarded {
    /// Posts to `/v1{path}` with further headers.
    #[track_caller]
    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
        self.post_raw(path, headers, body.to_string().as_bytes())
    }

    /// As [`Self::post`], with a body as it stands.
    #[track_caller]
    pub(crate) fn post_raw(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let headers = [&[("content-type", "application/json")], headers].concat();
        client::send(self.gateway.address(), "POST", &format!("/v1{path}"), &headers, body)
    }

    /// Requests to `model` at the providers.
    pub(crate) fn asked(&self, model: &str) -> Vec<sluice_e2e::upstream::Seen> {
        let named = format!("\"{model}\"");
        self.providers[0].tagged(&named)
    }

    /// The only request to `model` at the first provider, as text.
    #[track_caller]
    pub(crate) fn sent(&self, model: &str) -> String {
        let asked = self.asked(model);
        assert_eq!(asked.len(), 1, "requests to {model} at the provider");
        String::from_utf8_lossy(&asked[0].body).into_owned()
    }

    /// The record of the request to `model`. Of this gateway's long log only the lines that name it are parsed.
    #[track_caller]
    pub(crate) fn record(&self, model: &str) -> Value {
        self.records(model, 1).swap_remove(0)
    }

    /// The records of all requests to `model`, `count` at least.
    #[track_caller]
    pub(crate) fn records(&self, model: &str, count: usize) -> Vec<Value> {
        let named = format!("\"model\":\"{model}\"");
        wait::until(&format!("{count} records of {model}"), || {
            let text = self.gateway.access_text();
            let lines =
                text.split_inclusive('\n').filter(|line| line.ends_with('\n') && line.contains(&named));
            let parse = |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["ai_log"].clone();
            let records: Vec<Value> = lines.map(parse).collect();
            (records.len() >= count).then_some(records)
        })
    }

    /// What the record of `model` says of the guard: `check on category risk action count`.
    #[track_caller]
    pub(crate) fn verdicts(&self, model: &str) -> Vec<String> {
        verdicts(&self.record(model))
    }

    /// A statistic of Envoy's; 0 where there is none.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        self.gateway.counter(name)
    }
}

/// What a record says of the guard, a verdict a line.
pub(crate) fn verdicts(record: &Value) -> Vec<String> {
    let list = record["guard"].as_array().cloned().unwrap_or_default();
    let verdict = |verdict: &Value| {
        let text = |name: &str| verdict[name].as_str().unwrap_or_else(|| panic!("no {name} in {verdict}"));
        let words = ["check", "on", "category", "risk", "action"].map(text).join(" ");
        format!("{words} {}", verdict["count"])
    };
    list.iter().map(verdict).collect()
}

/// `members` for a provider that does as told; they are no text to the guard.
pub(crate) fn told(script: Value) -> Value {
    json!({"x_mock": {"a": script}})
}

/// `base` with further members.
pub(crate) fn with(mut base: Value, members: &Value) -> Value {
    for (name, value) in members.as_object().into_iter().flatten() {
        base[name] = value.clone();
    }
    base
}

/// A chat request.
pub(crate) fn chat(model: &str, text: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": text}]})
}

/// A chat request to a provider that does as told.
pub(crate) fn chat_told(model: &str, text: &str, stream: bool, script: Value) -> Value {
    with(chat(model, text), &json!({"stream": stream, "metadata": told(script)}))
}

/// Asks for a transcription by a form whose boundary is `x`.
#[track_caller]
pub(crate) fn transcribe(bed: &Guarded, form: &str) -> Reply {
    let headers = [("content-type", "multipart/form-data; boundary=x")];
    client::send(bed.gateway.address(), "POST", "/v1/audio/transcriptions", &headers, form.as_bytes())
}
