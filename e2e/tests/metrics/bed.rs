//! A gateway with every plugin in use, and its providers. What happens to a request, its model's name says.

use std::time::Duration;

use sluice_e2e::gateway::{Gateway, Options, closed_port};
use sluice_e2e::ports::Port;
use sluice_e2e::script::Script;
use sluice_e2e::upstream::Upstream;

/// Keys of provider `k` that it answers so, whatever is asked; a fourth one is good. No other provider says 401 or 429,
/// and both rests outlast the test: each begins once.
const KEYS: [(&str, u16); 3] = [("sk-k-broken", 503), ("sk-k-limited", 429), ("sk-k-revoked", 401)];

/// How long a start may take.
const START: Duration = Duration::from_secs(180);

/// Largest body of a request.
pub(crate) const MAX_BODY: usize = 16 * 1024;

/// Requests that each consumer has of `gpt-limited-calls`.
pub(crate) const CALLS: usize = 60;

/// Micro-dollars per token, which are nano-dollars per thousandth: input, cached, output.
pub(crate) const PRICES: [(&str, [u64; 3]); 2] =
    [("gpt-", [2_500, 1_250, 10_000]), ("model-b", [1_000, 1_000, 2_125])];

const SECTIONS: &str = "
max_request_body: 16KiB
consumers:
  - {name: ann, keys: [sk-ann], tier: gold}
  - {name: bob, keys: [sk-bob]}
  - {name: cat, keys: [sk-cat], models: \"gpt-plain\"}
cache: {models: \"gpt-cache-*\", memory: 16MiB, max_wait: 10s}
limits:
  - {name: calls, by: [consumer], models: \"gpt-limited-calls\", requests: 60, per: 1h}
  - {name: tokens, by: [consumer], models: \"gpt-limited-tokens\", total_tokens: 1600, per: 1h, terminal: true}
  - {name: flight, models: \"gpt-limited-flight\", in_flight: 1}
  - {name: everything, by: [model], total_tokens: 100000000, per: 1h}
prices:
  \"gpt-*\": {input: 2.5, cached: 1.25, output: 10}
  \"model-b\": {input: 1, output: 2.125}
timeouts: {connect: 500ms, first_token: 2s, idle: 2s, request: 30s}
retry: {per_target: 2, backoff: 1ms}
";

/// The gateway, its providers in the order of the chain, the provider with keys and the moderation service.
pub(crate) struct Metered {
    pub(crate) gateway: Gateway,
    pub(crate) yaml: String,
    pub(crate) chain: Vec<Upstream>,
    pub(crate) keyed: Upstream,
    pub(crate) service: Upstream,
    _closed: Port,
}

/// Starts it with so many workers.
#[track_caller]
pub(crate) fn start(workers: usize) -> Metered {
    start_with(workers, "")
}

/// As [`start`], with further sections in its gateway.yaml.
#[track_caller]
pub(crate) fn start_with(workers: usize, sections: &str) -> Metered {
    let chain: Vec<Upstream> = ["a", "b", "c"].into_iter().map(Upstream::start).collect();
    let (keyed, service, closed) = (Upstream::start("k"), Upstream::start("service"), closed_port());
    for (key, status) in KEYS {
        keyed.for_key(key, Script::status(status).header("retry-after", "3600"));
    }
    let ours = [providers(&chain, &keyed, &closed), models(), guard(&service)].concat();
    let yaml = [&ours, SECTIONS, sections].concat();
    // Several start at once, and other work on the machine makes that slow.
    let gateway = Options::default().workers(workers).patience(START).start(&yaml);
    Metered { gateway, yaml, chain, keyed, service, _closed: closed }
}

fn providers(chain: &[Upstream], keyed: &Upstream, closed: &Port) -> String {
    let mut yaml = "providers:\n".to_owned();
    for provider in chain {
        let name = provider.name();
        yaml += &format!("  {name}: {{url: \"{}\", keys: [sk-{name}-1, sk-{name}-2]}}\n", provider.url());
    }
    let keys = KEYS.map(|(key, _)| key).join(", ");
    yaml += &format!("  k: {{url: \"{}\", keys: [{keys}, sk-k-good]}}\n", keyed.url());
    yaml + &format!("  dead: {{url: \"http://127.0.0.1:{}/v1\"}}\n", closed.number())
}

fn models() -> String {
    let chain =
        "targets: [{provider: a}], fallback: [{provider: b, model: model-b}, {provider: c, model: model-c}]";
    let rules = [
        ("gpt-dead", "targets: [{provider: dead}], fallback: [{provider: a}]".to_owned()),
        ("gpt-nobody", "targets: [{provider: dead}]".to_owned()),
        ("gpt-keys", "targets: [{provider: k}], fallback: [{provider: a}]".to_owned()),
        (
            "gpt-split-*",
            "targets: [{provider: a, weight: 3}, {provider: b, weight: 1}], sticky: request".to_owned(),
        ),
        ("gpt-plain", chain.to_owned()),
        ("gpt-*", chain.to_owned()),
        ("text-*", "targets: [{provider: a}]".to_owned()),
        ("claude-*", "targets: [{provider: a}]".to_owned()),
    ];
    let rules = rules.map(|(glob, rule)| format!("  - {{match: \"{glob}\", {rule}}}\n"));
    format!("models:\n{}", rules.concat())
}

fn guard(service: &Upstream) -> String {
    format!(
        "guard:
  checks:
    - {{name: banned, on: request, models: \"gpt-guard-*\", keywords: [forbidden], action: block}}
    - {{name: said, on: response, models: \"gpt-guard-*\", keywords: [classified], action: block}}
    - {{name: pii, on: request, models: \"gpt-guard-*\", detect: [email, phone], action: mask}}
    - {{name: noted, models: \"gpt-guard-*\", keywords: [heron], action: log}}
    - {{name: asked, on: request, models: \"gpt-guard-service\", url: \"http://{}/check\", protocol: generic, timeout: 5s}}
",
        service.address()
    )
}
