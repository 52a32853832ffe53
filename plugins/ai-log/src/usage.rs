//! The tokens of a request, and what they cost.

use sluice_core::context;
use sluice_core::filter::Host;
use sluice_core::price::{Prices, Served};

/// Who says how many tokens there were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The provider.
    Reported,
    /// The gateway.
    Estimated,
    /// There were none: the cache answered.
    Cache,
}

impl Source {
    /// Its name in the record and in metrics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::Estimated => "estimated",
            Self::Cache => "cache",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::Reported, Self::Estimated, Self::Cache].into_iter().find(|source| source.name() == name)
    }
}

/// What the meter tells.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    /// Input tokens.
    pub(crate) input: Option<u64>,
    /// Output tokens.
    pub(crate) output: Option<u64>,
    /// Of the input, what the provider had in its cache.
    pub(crate) cached: Option<u64>,
    /// Of the output, what the model thought.
    pub(crate) reasoning: Option<u64>,
    /// Who says so.
    pub(crate) source: Option<Source>,
    /// Milliseconds to the first token of content.
    pub(crate) ttft_ms: Option<u64>,
}

impl Usage {
    /// Reads it; only a stream has a first token.
    pub(crate) fn read(host: &dyn Host, stream: Option<bool>) -> Self {
        let ttft_ms = if stream == Some(false) { None } else { context::TTFT_MS.number(host) };
        let Some(output) = context::OUTPUT_TOKENS.number(host) else {
            return Self { ttft_ms, ..Self::default() };
        };
        Self {
            input: context::INPUT_TOKENS.number(host),
            output: Some(output),
            cached: context::CACHED_TOKENS.number(host),
            reasoning: context::REASONING_TOKENS.number(host),
            source: context::USAGE_SOURCE.read(host, Source::named).flatten(),
            ttft_ms,
        }
    }

    /// As far as it makes a cost.
    pub(crate) fn served(&self) -> Served<'static> {
        Served {
            input: self.input,
            cached: self.cached.unwrap_or(0),
            output: self.output.unwrap_or(0),
            ..Served::default()
        }
    }

    /// Output tokens after the first, and milliseconds after the first, of a stream by its provider's word.
    pub(crate) fn pace(&self, duration_ms: Option<u64>) -> Option<(u64, u64)> {
        let tokens = self.output?.checked_sub(1).filter(|tokens| *tokens > 0)?;
        let ms = duration_ms?.checked_sub(self.ttft_ms?)?;
        (self.source == Some(Source::Reported)).then_some((tokens, ms))
    }
}

/// What a request cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cost {
    /// Nobody charges for it, or nothing has a price.
    None,
    /// The model that served has no price.
    Unpriced,
    /// Nano-dollars.
    Nano(u64),
}

impl Cost {
    /// The cost of what was `served`: as limits book it.
    pub(crate) fn of(host: &dyn Host, prices: &Prices, mut served: Served<'_>, usage: &Usage) -> Self {
        if prices.is_empty() || served.is_error {
            return Self::None;
        }
        let is_metered = matches!(usage.source, Some(Source::Reported | Source::Estimated));
        // Envoy knows its own address in a connection once there is one.
        let is_connected = || host.attribute(&["upstream", "local_address"]).is_some();
        served.reached_provider = served.reached_provider || is_metered || is_connected();
        let Some(tokens) = served.usage() else {
            return Self::None;
        };
        match prices.of(&served) {
            Some(price) => Self::Nano(price.of(&tokens)),
            None if tokens.input == 0 && tokens.output == 0 => Self::None,
            None => Self::Unpriced,
        }
    }

    /// In nano-dollars, if it is known.
    pub(crate) const fn nano(self) -> Option<u64> {
        match self {
            Self::Nano(nano) => Some(nano),
            Self::None | Self::Unpriced => None,
        }
    }
}
