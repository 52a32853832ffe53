//! Ten thousand requests of every kind, the same for the same seed.

use crate::kinds;

/// Numbers that look random: SplitMix64, <https://prng.di.unimi.it/splitmix64.c>.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let z = z ^ (z >> 31);
        usize::try_from(z % bound as u64).expect("less than a usize")
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// In another order.
    fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.below(last + 1));
        }
    }
}

/// What the client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Does {
    /// Reads its answer.
    Read,
    /// Goes away once its provider has the request.
    LeaveBefore,
    /// Goes away when it has read two events.
    LeaveWithin,
}

/// How sure it is, and from where, what an answer is booked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Booked {
    /// With what the provider said.
    Reported,
    /// With an estimate that is known: input, output.
    Estimated(u64, u64),
    /// With what had come when it broke off, which nobody can foretell. Its model is asked for in no other way.
    Unknown,
}

/// One request.
pub(crate) struct Planned {
    /// What it is an example of.
    pub(crate) kind: &'static str,
    /// Who sends it; empty: nobody who is known.
    pub(crate) consumer: &'static str,
    pub(crate) model: String,
    pub(crate) operation: &'static str,
    /// By which the provider tells it from others.
    pub(crate) user: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) does: Does,
    pub(crate) booked: Booked,
}

/// Names that a glob matches, and that are answered once before the others are asked: each has series of its own.
pub(crate) const GLOBBED: [&str; 17] = [
    "gpt-split-1",
    "gpt-split-2",
    "gpt-cache-1",
    "gpt-limited-calls",
    "gpt-limited-tokens",
    "gpt-limited-flight",
    "gpt-guard-1",
    "gpt-guard-said",
    "gpt-guard-cut",
    "gpt-guard-service",
    "gpt-chain",
    "gpt-left",
    "gpt-reset",
    "gpt-idle",
    "gpt-odd \"quoted\"; back\\slash, comma=é {x}",
    "text-embed",
    "claude-x",
];

/// Names of rules without a wildcard.
pub(crate) const LITERAL: [&str; 4] = ["gpt-dead", "gpt-nobody", "gpt-keys", "gpt-plain"];

/// How many there are of each kind. `plain` fills up.
const KINDS: [(&str, usize); 51] = [
    ("stream", 1_500),
    ("usage-finish", 250),
    ("usage-every", 250),
    ("hidden", 200),
    ("hidden-stream", 200),
    ("reasoning", 200),
    ("reasoning-stream", 200),
    ("completion", 200),
    ("embeddings", 400),
    ("responses", 200),
    ("responses-stream", 200),
    ("messages", 200),
    ("messages-stream", 200),
    ("split", 400),
    ("odd-name", 100),
    ("cache", 800),
    ("cache-stream", 200),
    ("cache-no-store", 50),
    ("cache-no-cache", 50),
    ("cache-store", 50),
    ("mask", 200),
    ("noted", 100),
    ("banned", 150),
    ("said", 100),
    ("said-stream", 50),
    ("service", 50),
    ("service-blocked", 50),
    ("fallback", 200),
    ("error-first", 60),
    ("exhausted", 50),
    ("dead", 60),
    ("nobody", 30),
    ("keys", 100),
    ("provider-400", 100),
    ("never", 150),
    ("reset-first", 40),
    ("error-event", 60),
    ("error-event-every", 40),
    ("cut", 60),
    ("reset", 60),
    ("idle", 6),
    ("first-token", 2),
    ("leave-within", 60),
    ("leave-before", 40),
    ("missing-key", 250),
    ("bad-key", 250),
    ("forbidden-model", 100),
    ("unknown-model", 300),
    ("limited-calls", 300),
    ("limited-tokens", 300),
    ("limited-flight", 150),
];

/// Requests that are malformed or no question to a model: 50 of each.
const OTHERS: [&str; 7] =
    ["bad-json", "missing-model", "bad-type", "too-large", "bad-path", "list-models", "show-limits"];

/// All of them: first one to each of [`GLOBBED`], then the rest in an order of the seed's choice.
pub(crate) fn plan(seed: u64, count: usize) -> (Vec<Planned>, Vec<Planned>) {
    let mut random = Random::new(seed);
    let first: Vec<Planned> = GLOBBED.iter().enumerate().map(|(n, model)| kinds::warm(n, model)).collect();
    let mut kinds: Vec<&str> = KINDS.iter().flat_map(|(kind, times)| vec![*kind; *times]).collect();
    kinds.extend(OTHERS.iter().flat_map(|kind| [*kind; 50]));
    kinds.resize(count - first.len(), "plain");
    random.shuffle(&mut kinds);
    let rest = (first.len()..).zip(kinds).map(|(n, kind)| kinds::one(n, kind, &mut random)).collect();
    (first, rest)
}

/// Requests without end, of each kind as often as in [`plan`].
pub(crate) struct Endless {
    kinds: Vec<&'static str>,
    random: Random,
    next: usize,
}

impl Endless {
    /// Goes on with the `next`th request.
    pub(crate) fn new(seed: u64, next: usize) -> Self {
        let kinds = KINDS.iter().flat_map(|(kind, times)| vec![*kind; *times]);
        let others = OTHERS.iter().flat_map(|kind| [*kind; 50]);
        Self { kinds: kinds.chain(others).collect(), random: Random::new(seed), next }
    }
}

impl Iterator for Endless {
    type Item = Planned;

    fn next(&mut self) -> Option<Planned> {
        let kind = *self.random.pick(&self.kinds);
        let one = kinds::one(self.next, kind, &mut self.random);
        self.next += 1;
        Some(one)
    }
}
