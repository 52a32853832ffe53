//! A gateway whose books can be read, its providers, and how it was before anything went wrong.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sluice_e2e::bed::CHAIN;
use sluice_e2e::gateway::{Gateway, Options};
use sluice_e2e::upstream::Upstream;
use sluice_e2e::wild::Wild;

use crate::books;

/// Requests that may be in flight at the same time.
pub(crate) const FLIGHT: usize = 48;

/// How often each scenario is gone through: once, unless `SLUICE_CHAOS_ROUNDS` says more.
pub(crate) fn rounds() -> usize {
    std::env::var("SLUICE_CHAOS_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1)
}

/// How long a gateway may take until it is ready, where other tests take the machine's time.
const START: Duration = Duration::from_secs(240);

/// Providers that do as they are told, one that is wild, and a gateway before them.
pub(crate) struct Bed {
    pub(crate) gateway: Gateway,
    pub(crate) chain: Vec<Upstream>,
    pub(crate) wild: Wild,
    /// Requests that the gateway has been sent, by whatever way.
    sent: AtomicUsize,
    /// Requests that it may have been sent: nobody waited for what came of them.
    maybe: AtomicUsize,
    /// Each request has a number, and so a model, of its own.
    next: AtomicUsize,
    pub(crate) before: books::Before,
}

/// What every gateway of this suite has, beside `providers`: models, limits that count everything and refuse nothing,
/// prices by which a token costs a micro-dollar, and little patience.
const SECTIONS: &str = "
models:
  - {match: \"lone-*\", targets: [{provider: wild}]}
  - {match: \"wild-*\", targets: [{provider: wild}], fallback: [{provider: a}]}
  - {match: \"gpt-*\", targets: [{provider: a}], fallback: [{provider: b}, {provider: c}]}
limits:
  - {name: total, total_tokens: 1000000000, per: 1h}
  - {name: cost, cost_usd: 1000, per: 1h}
  - {name: calls, requests: 100000000, per: 1h}
  - {name: flight, in_flight: 48}
prices: {\"*\": {input: 1, output: 1}}
retry: {per_target: 1, backoff: 1ms}
";

/// How long it waits for what: no answer that is fine takes as long, however busy the machine.
pub(crate) const TIMEOUTS: &str = "timeouts: {connect: 2s, first_token: 6s, idle: 6s, request: 30s}\n";

/// The same where providers fall silent.
pub(crate) const IMPATIENT: &str = "timeouts: {connect: 500ms, first_token: 2s, idle: 2s, request: 6s}\n";

/// gateway.yaml with further top-level sections.
pub(crate) fn yaml(chain: &[Upstream], wild: &Wild, sections: &str) -> String {
    let mut yaml = format!("providers:\n  wild: {{url: \"{}\", keys: [sk-wild]}}\n", wild.url());
    for provider in chain {
        let name = provider.name();
        yaml += &format!("  {name}: {{url: \"{}\", keys: [sk-{name}-1, sk-{name}-2]}}\n", provider.url());
    }
    yaml + SECTIONS + sections
}

impl Bed {
    /// Starts a gateway with so many workers and further top-level sections.
    #[track_caller]
    pub(crate) fn start(options: &Options, sections: &str) -> Self {
        let chain: Vec<Upstream> = CHAIN.into_iter().map(Upstream::start).collect();
        let wild = Wild::start();
        let gateway = options.clone().patience(START).start(&yaml(&chain, &wild, sections));
        let mut bed = Self {
            gateway,
            chain,
            wild,
            sent: AtomicUsize::new(0),
            maybe: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
            before: books::Before::default(),
        };
        // What is built on first use, VMs above all, is no leak.
        crate::traffic::warm(&bed);
        bed.before = books::Before::of(&bed.gateway);
        bed
    }

    /// Notes that a request goes out.
    pub(crate) fn count_sent(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    /// Requests that have been sent.
    pub(crate) fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// Notes that so many requests may have gone out, or parts of them.
    pub(crate) fn may_have_sent(&self, count: usize) {
        self.maybe.fetch_add(count, Ordering::Relaxed);
    }

    /// Requests that may have been sent beside those that were.
    pub(crate) fn maybe(&self) -> usize {
        self.maybe.load(Ordering::Relaxed)
    }

    /// A model that nobody else asks for.
    pub(crate) fn model(&self, family: &str) -> String {
        format!("{family}-{}", self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Replaces gateway.yaml.
    pub(crate) fn rewrite(&self, sections: &str) {
        self.gateway.rewrite(&yaml(&self.chain, &self.wild, sections));
    }
}
