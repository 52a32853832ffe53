//! The one gateway that all tests of this suite share: every kind of caller, limits by tier, a guard, a fence of routes.

use std::sync::OnceLock;
use std::time::Duration;

use sluice_e2e::bed::{Bed, Shared};
use sluice_e2e::gateway::Options;

/// Callers `c0`, `c1` …, whose keys are `sk-0`, `sk-1` …; every third is of tier `gold`.
pub(crate) const CALLERS: usize = 32;

/// Requests that one of each tier has, as the answers' headers tell.
pub(crate) const LIMITS: [(&str, &str); 3] = [("gold", "700000"), ("silver", "300000"), ("guest", "900000")];

/// Tier of a caller.
pub(crate) fn tier(caller: usize) -> (&'static str, &'static str) {
    LIMITS[usize::from(!caller.is_multiple_of(3))]
}

/// The gateway: without a key one is `guest`, and may ask for everything.
#[track_caller]
pub(crate) fn shared() -> Shared {
    static BED: OnceLock<Bed> = OnceLock::new();
    Shared(BED.get_or_init(|| {
        // Other work on the machine makes starts slow, and answers too.
        Bed::start(&Options::default().patience(Duration::from_secs(180)), &sections())
    }))
}

fn sections() -> String {
    let caller = |n: usize| {
        let tier = tier(n).0;
        format!(
            "  - {{name: c{n}, keys: [sk-{n}], tier: {tier}, models: \"gpt-may-*\", metadata: {{number: \"{n}\"}}}}\n"
        )
    };
    let callers: String = (0..CALLERS).map(caller).collect();
    let limit = |(tier, requests)| {
        format!(
            "  - {{name: {tier}, by: [consumer], when: {{tier: {tier}}}, requests: {requests}, per: 30d}}\n"
        )
    };
    format!(
        "timeouts: {{connect: 5s, first_token: 20s, idle: 20s, request: 60s}}
prices: {{\"*\": {{input: 1, output: 2}}}}
guard:
  checks:
    - {{name: banned, on: request, keywords: [forbidden], action: block}}
    - {{name: pii, on: request, detect: [email], action: mask}}
cache: {{models: \"kept-*\"}}
credentials: {{query: key}}
anonymous: guest
consumers:
  - {{name: guest, tier: guest}}
  - {{name: small, keys: [sk-small], models: \"gpt-small-*\"}}
  - {{name: embedder, keys: [sk-embedder], routes: [\"/v1/embeddings\", \"/v1/embeddings/*\"]}}
{callers}limits:
{}",
        LIMITS.map(limit).concat()
    )
}
